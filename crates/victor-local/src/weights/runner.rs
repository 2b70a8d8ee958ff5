//! Programs of this machine, run to their end. None of them outlives the wish for it, nor this process.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

/// Waits for the end of its input, then ends the group that it is given.
const WATCH: &str = r#"read -r _; kill -s KILL -- "-$1""#;

/// Runs programs.
#[async_trait]
pub trait Runner: Send + Sync + 'static {
    /// Runs a program to its end. Dropping the future ends the program and all that it started, as does the end of this
    /// process.
    ///
    /// # Errors
    /// It cannot be started; `NotFound` where there is no such program.
    async fn run(&self, call: &Call) -> io::Result<Ended>;
}

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name, looked up in `PATH`.
    pub program: &'static str,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The folder for its temporary files, which is there; it is run in it.
    pub temporary: PathBuf,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whether it did what it was asked to do.
    pub success: bool,
    /// What it said on standard error.
    pub said: String,
    /// What it printed on standard output.
    pub printed: String,
}

/// The programs of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Programs;

#[async_trait]
impl Runner for Programs {
    async fn run(&self, call: &Call) -> io::Result<Ended> {
        let mut command = Command::new(call.program);
        // Nobody is there to be asked for a password.
        command.args(&call.args).env("TMPDIR", &call.temporary).env("PIP_NO_INPUT", "1");
        // Never where the user is: `python3 -m pip` would run a `pip.py` of that folder, `uv` a Python of its `.venv`.
        command.current_dir(&call.temporary);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.kill_on_drop(true).spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let group = Group::led_by(child);
        let (printed, said) = tokio::try_join!(all(stdout), all(stderr))?;
        Ok(Ended { success: group.end().await?.success(), said, printed })
    }
}

/// A program with all that it started. They end with this value, and when this process is killed: then a small shell
/// sees the end of its input. A death signal would follow the thread that started the program, not the process.
struct Group {
    /// While it is surely ours.
    id: Option<Pid>,
    leader: Child,
    _watcher: Option<Child>,
}

impl Group {
    fn led_by(leader: Child) -> Self {
        let id = leader.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Self { id, leader, _watcher: id.and_then(watcher) }
    }

    /// Waits for the end of the leader.
    async fn end(mut self) -> io::Result<ExitStatus> {
        let ended = self.leader.wait().await;
        self.id = None;
        ended
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // The only failure is that nobody is left.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

/// Ends the group when this process is gone: then nobody holds the other end of its input any more.
fn watcher(group: Pid) -> Option<Child> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", WATCH, "victor-pull-watch", &group.as_raw_nonzero().to_string()]).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let started = command.kill_on_drop(true).spawn();
    started.inspect_err(|e| tracing::warn!(error = %e, "nobody would end this program if Victor were killed")).ok()
}

/// All that comes, as text.
async fn all(stream: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
