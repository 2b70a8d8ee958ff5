//! A server's program: a process group of its own, its stderr in the log, and an end to all of it in every case.
//!
//! The group ends with this value. Should Victor itself be killed, a small shell that waits on a pipe ends the group:
//! a death signal would follow the thread that started the program, not the process. Who left the group is known by a
//! variable, where the system shows those (Linux). Making Victor the reaper of such orphans would be the process's to
//! choose, and not a library's.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::watch;

use super::config::Program;
use super::mark::Mark;

/// Waits for the end of its input, then ends the group that it is given, and who has the variable that it is given.
const WATCH: &str = r#"read -r _; kill -s KILL -- "-$1"
for left in $(grep -slzx -e "$2" /proc/[0-9]*/environ); do left=${left#/proc/}; kill -s KILL "${left%/environ}"; done"#;
/// Lines of stderr that are kept for messages.
const KEPT: usize = 12;
/// Bytes of a line of stderr that are read as one.
const LONGEST: u64 = 4 << 10;
/// Lines of stderr that go to the log; those after them only count.
const LOGGED: u64 = 2_000;

/// A running program. Dropping this ends it and all that it started.
pub(super) struct Process {
    group: Pid,
    life: Arc<Mutex<Life>>,
    ended: watch::Receiver<Option<String>>,
    said: Arc<Mutex<VecDeque<String>>>,
}

/// What is signalled only while the process id is surely ours.
struct Life {
    alive: bool,
    watcher: Option<Child>,
}

/// The program's streams.
pub(super) struct Streams {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
}

impl Process {
    /// Starts a server's program with these variables and those of its own.
    pub(super) fn start(
        server: &str,
        program: &Program,
        env: &[(String, OsString)],
    ) -> Result<(Self, Streams), String> {
        let mut command = Command::new(&program.command);
        command.args(&program.args).current_dir(&program.folder).env_clear();
        command.envs(env.iter().map(|(n, v)| (n, v))).envs(&program.env);
        let mark = Mark::new();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command.env(&mark.0, "1");
        let mut child = command.spawn().map_err(|e| unstarted(program, &e))?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let group = group.ok_or_else(|| "it has no process id".to_owned())?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let life = Arc::new(Mutex::new(Life { alive: true, watcher: watcher(server, group, &mark) }));
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let listening = stderr.and_then(|stderr| listen(server, stderr, &said));
        let ended = wait(child, (group, mark), &life, listening)?;
        let this = Self { group, life, ended, said };
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else { return Err("it has no pipes".to_owned()) };
        let fail = |e: io::Error| format!("its pipes cannot be used: {e}");
        let streams = Streams {
            stdin: ChildStdin::from_std(stdin).map_err(fail)?,
            stdout: ChildStdout::from_std(stdout).map_err(fail)?,
        };
        Ok((this, streams))
    }

    /// How it ended, with its last words, once it has; waits a moment for that, as its pipes close first.
    pub(super) async fn epitaph(&self) -> Option<String> {
        let mut ended = self.ended.clone();
        let end = tokio::time::timeout(Duration::from_millis(500), ended.wait_for(Option::is_some)).await;
        let how = end.ok()?.ok()?.clone()?;
        Some(format!("{how}{}", self.last_words()))
    }

    /// What it last wrote to stderr, for a message.
    pub(super) fn last_words(&self) -> String {
        let said = lock(&self.said);
        if said.is_empty() {
            return String::new();
        }
        format!("; it last said: {}", said.iter().rev().take(3).rev().cloned().collect::<Vec<_>>().join(" | "))
    }

    /// Its stdin is closed: lets it end by itself, then asks it to, then ends it.
    pub(super) async fn end(&self) {
        let mut ended = self.ended.clone();
        let grace = Duration::from_millis(700);
        for signal in [None, Some(Signal::TERM)] {
            if let Some(signal) = signal {
                self.signal(signal);
            }
            if tokio::time::timeout(grace, ended.wait_for(Option::is_some)).await.is_ok() {
                return;
            }
        }
        self.signal(Signal::KILL);
        let _ = tokio::time::timeout(grace, ended.wait_for(Option::is_some)).await;
    }

    fn signal(&self, signal: Signal) {
        let life = lock(&self.life);
        if life.alive {
            // The only failure is that nobody is left.
            let _ = kill_process_group(self.group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unstarted(program: &Program, e: &io::Error) -> String {
    let hint = match e.kind() {
        io::ErrorKind::NotFound => "; is it installed, and on the PATH?",
        io::ErrorKind::PermissionDenied => "; may it be executed?",
        _ => "",
    };
    format!("`{}` cannot be started: {e}{hint}", program.command)
}

/// Ends the group when this process is gone: then nobody holds the other end of its input any more.
fn watcher(server: &str, group: Pid, mark: &Mark) -> Option<Child> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", WATCH, "victor-mcp-watch", &group.as_raw_nonzero().to_string(), &mark.pair()]).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let started = command.spawn();
    if let Err(e) = &started {
        tracing::warn!(server, error = %e, "nobody would end this server if Victor were killed");
    }
    started.ok()
}

/// Reads stderr to its end on a thread of its own: the log gets it, and the last lines are kept.
fn listen(
    server: &str,
    stderr: ChildStderr,
    said: &Arc<Mutex<VecDeque<String>>>,
) -> Option<std::sync::mpsc::Receiver<()>> {
    let (server, said) = (server.to_owned(), Arc::clone(said));
    let (done, finished) = std::sync::mpsc::channel();
    let thread = thread::Builder::new().name("mcp-stderr".to_owned());
    let started = thread.spawn(move || {
        let mut reader = BufReader::new(stderr);
        let mut count = 0_u64;
        loop {
            let mut line = Vec::new();
            match reader.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            count += 1;
            if count <= LOGGED {
                tracing::info!(server, "{text}");
            }
            let mut said = lock(&said);
            if said.len() == KEPT {
                said.pop_front();
            }
            said.push_back(text.chars().take(300).collect());
        }
        if count > LOGGED {
            tracing::info!(server, "{} more lines of stderr are left out", count - LOGGED);
        }
        let _ = done.send(());
    });
    started.is_ok().then_some(finished)
}

/// Waits for the leader on a thread of its own, ends what it left behind, and only then lets go of its process id.
fn wait(
    mut child: Child,
    (group, mark): (Pid, Mark),
    life: &Arc<Mutex<Life>>,
    listening: Option<std::sync::mpsc::Receiver<()>>,
) -> Result<watch::Receiver<Option<String>>, String> {
    let (tell, ended) = watch::channel(None);
    let life = Arc::clone(life);
    let thread = thread::Builder::new().name("mcp-wait".to_owned());
    let started = thread.spawn(move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(group), options) {}
        let status = {
            let mut life = lock(&life);
            let _ = kill_process_group(group, Signal::KILL);
            mark.kill();
            life.alive = false;
            if let Some(mut watcher) = life.watcher.take() {
                // Before the group's name is free for others.
                let _ = watcher.kill();
                let _ = watcher.wait();
            }
            child.wait()
        };
        if let Some(listening) = listening {
            let _ = listening.recv_timeout(Duration::from_millis(200));
        }
        tell.send_replace(Some(ending(status)));
    });
    match started {
        Ok(_) => Ok(ended),
        Err(e) => {
            let _ = kill_process_group(group, Signal::KILL);
            Err(format!("no thread can wait for it: {e}"))
        }
    }
}

fn ending(status: io::Result<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("it ended with exit code {code}"),
            (None, Some(signal)) => format!("it was ended by signal {signal}"),
            (None, None) => "it ended".to_owned(),
        },
        Err(e) => format!("it was lost: {e}"),
    }
}
