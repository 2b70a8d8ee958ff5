//! One program from its start to its end: output as it comes, time-outs, cancelling, and nothing left behind.

use std::hash::{BuildHasher, Hasher};
use std::io::{self, PipeReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use victor_core::error::ToolError;
use victor_core::tool::ToolCx;

use super::output::Capture;
use super::watch::Watched;
use crate::platform::{self, Group};
use crate::sandbox::{self, Limits};

/// How long a program has to end by itself once it is asked to.
const GRACE: Duration = Duration::from_secs(1);
/// How long output may still come in after the program has ended, from children that it did not wait for.
const LINGER: Duration = Duration::from_millis(100);
/// How long the readers may take to see the end once nobody is left to write.
const DRAIN: Duration = Duration::from_secs(2);
/// How often whoever follows the run is told of new output.
const LIVE_EVERY: Duration = Duration::from_millis(100);

/// A program to run.
pub(crate) struct Job {
    /// The program, its arguments, environment and folder. It gets no input and a process group of its own.
    pub(crate) command: Command,
    /// Its sandbox.
    pub(crate) limits: Option<Limits>,
    /// How long it may run.
    pub(crate) timeout: Duration,
    /// Where its output goes.
    pub(crate) output: Capture,
    /// Where its error output goes, if not to the same place in order of arrival.
    pub(crate) errors: Option<Capture>,
}

/// Why a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself.
    Own,
    /// It ran too long and was ended.
    TimedOut,
    /// The call was cancelled.
    Cancelled,
}

/// How a program ended, and what it printed.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) ending: Ending,
    pub(crate) output: Capture,
    pub(crate) errors: Option<Capture>,
}

/// Runs a program to its end. It and all that it started are gone when this returns or is dropped.
///
/// # Errors
/// The program or its sandbox could not be started.
pub(crate) async fn run(job: Job, cx: &ToolCx) -> Result<Ended, ToolError> {
    let timeout = job.timeout;
    let Started { running, output, errors, mut ended } = crate::blocking(move || start(job)).await?;
    let mut live = tokio::time::interval(LIVE_EVERY);
    live.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut late = std::pin::pin!(tokio::time::sleep(timeout));
    let (status, ending) = loop {
        let ending = tokio::select! {
            status = &mut ended => break (status, Ending::Own),
            () = &mut late => Ending::TimedOut,
            () = cx.cancel.cancelled() => Ending::Cancelled,
            _ = live.tick() => {
                tell(&output, cx);
                continue;
            }
        };
        break (running.end(&mut ended).await, ending);
    };
    tell(&output, cx);
    let status = status.map_err(|_| ToolError::model("the program was lost sight of"))?;
    let status = status.map_err(|e| ToolError::model(format!("the program cannot be waited for: {e}")))?;
    Ok(Ended { status, ending, output: taken(&output), errors: errors.as_ref().map(taken) })
}

fn tell(output: &Shared, cx: &ToolCx) {
    let text = lock(output).take_live();
    if let Some(text) = text {
        cx.progress(text);
    }
}

type Shared = Arc<Mutex<Capture>>;
type Status = oneshot::Receiver<io::Result<ExitStatus>>;

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was captured. A reader that is stuck with an escaped pipe writes into an empty capture from now on.
fn taken(output: &Shared) -> Capture {
    std::mem::replace(&mut *lock(output), Capture::whole(0))
}

struct Started {
    running: Running,
    output: Shared,
    errors: Option<Shared>,
    ended: Status,
}

fn start(job: Job) -> Result<Started, ToolError> {
    let Job { mut command, limits, output, errors, .. } = job;
    let fail = |e: io::Error| ToolError::model(format!("no pipe can be made for the program: {e}"));
    let mark = format!("VICTOR_CALL_{:016x}", std::hash::RandomState::new().build_hasher().finish());
    let (reader, writer) = io::pipe().map_err(fail)?;
    let (error_reader, error_writer) = match &errors {
        Some(_) => io::pipe().map(|(r, w)| (Some(r), w)).map_err(fail)?,
        None => (None, writer.try_clone().map_err(fail)?),
    };
    command.stdin(Stdio::null()).stdout(writer).stderr(error_writer).env(&mark, "1");
    platform::own_group(&mut command);
    let watched = Watched::new(&mark);
    // The command, which holds the pipes' writing ends, is dropped in there.
    let child = sandbox::spawn(command, limits).map_err(ToolError::Model)?;
    let group = Group::of(&child).ok_or_else(|| ToolError::model("the program has no process id"))?;
    watched.in_group(group);
    let running = Running { group, alive: Arc::new(Mutex::new(true)), mark };
    let (done, all_read) = mpsc::channel();
    let output = Arc::new(Mutex::new(output));
    let errors = errors.map(|c| Arc::new(Mutex::new(c)));
    let mut readers = 1;
    read_all(reader, &output, done.clone());
    if let (Some(reader), Some(errors)) = (error_reader, &errors) {
        readers += 1;
        read_all(reader, errors, done.clone());
    }
    let ended = wait(child, &running, watched, all_read, readers);
    Ok(Started { running, output, errors, ended })
}

fn read_all(mut reader: PipeReader, into: &Shared, done: mpsc::Sender<()>) {
    let into = Arc::clone(into);
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => lock(&into).push(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // Nobody listens any more when the call is gone.
        let _ = done.send(());
    });
}

/// Waits for the program on a thread of its own, ends what it left behind, and only then lets go of its process id.
fn wait(mut child: Child, running: &Running, watched: Watched, all_read: mpsc::Receiver<()>, readers: usize) -> Status {
    let (tell, ended) = oneshot::channel();
    let (group, alive, mark) = (running.group, Arc::clone(&running.alive), running.mark.clone());
    thread::spawn(move || {
        group.wait_unreaped();
        let mut open = readers;
        while open > 0 && all_read.recv_timeout(LINGER).is_ok() {
            open -= 1;
        }
        let mut alive = lock(&alive);
        group.kill();
        platform::kill_marked(&mark, "1");
        *alive = false;
        drop(watched);
        let status = child.wait();
        drop(alive);
        while open > 0 && all_read.recv_timeout(DRAIN).is_ok() {
            open -= 1;
        }
        let _ = tell.send(status);
    });
    ended
}

/// A program that runs; dropping this ends it and all that it started.
struct Running {
    group: Group,
    /// Whether the process id is still ours to signal.
    alive: Arc<Mutex<bool>>,
    mark: String,
}

impl Running {
    /// Asks the program to end, and ends it when it does not.
    async fn end(&self, ended: &mut Status) -> Result<io::Result<ExitStatus>, oneshot::error::RecvError> {
        self.terminate();
        tokio::select! {
            status = &mut *ended => return status,
            () = tokio::time::sleep(GRACE) => self.kill(),
        }
        ended.await
    }

    fn terminate(&self) {
        let alive = lock(&self.alive);
        if *alive {
            self.group.terminate();
        }
    }

    fn kill(&self) {
        // Held, so that the process id stays ours meanwhile.
        let alive = lock(&self.alive);
        if *alive {
            self.group.kill();
            platform::kill_marked(&self.mark, "1");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
