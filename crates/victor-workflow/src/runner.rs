//! The seam between a run's rules and the world: [`drive`] does what the machine says, a [`Runner`] carries it out.
//! The engine's own runner uses tokio and the journal; a distributed durable engine can be another one.

use std::borrow::Cow;
use std::sync::Arc;

use victor_core::agent::Failure;
use victor_core::event::{EventKind, NodeStatus};
use victor_core::id::Timestamp;
use victor_core::question::{Question, Reply};

use crate::error::{NodeError, WorkflowError};
use crate::machine::{End, Machine, Noted, Step};
use crate::node::{Node, NodeOutput, Work};
use crate::record::{Record, Then};
use crate::task::{Start, TaskId};

/// What happens to a run from outside.
#[derive(Debug)]
pub enum Input {
    /// A node that was started has come to its end.
    Output {
        /// The piece of work.
        task: TaskId,
        /// What it says.
        result: Result<NodeOutput, NodeError>,
    },
    /// A question was replied to.
    Reply {
        /// The piece of work that asks.
        task: TaskId,
        /// The reply.
        reply: Reply,
    },
    /// The time that was waited for has come.
    Time,
    /// The run is to end.
    Cancel,
    /// The run has used up what it may, and fails.
    Limited(Failure),
}

/// Something that a run tells: an event at a path.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The path.
    pub path: Arc<[String]>,
    /// The event.
    pub kind: EventKind,
}

/// Carries out what a run's rules say. All its methods are called by [`drive`], one after the other.
pub trait Runner: Send {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Keeps a record, after those before it. `machine` is as it is after the record.
    ///
    /// # Errors
    /// It cannot be kept; the run ends.
    fn record(&mut self, noted: &Noted, machine: &Machine) -> Result<(), WorkflowError>;

    /// Tells something, after the records before it are kept.
    fn tell(&mut self, told: Told);

    /// Waits until all records are kept and all that was told has left.
    fn settle(&mut self, machine: &Machine) -> impl Future<Output = Result<(), WorkflowError>> + Send;

    /// Takes breath between two pieces of work that only compute: keeps what it can without waiting long. Tells what
    /// has happened meanwhile.
    fn pace(&mut self, machine: &Machine) -> impl Future<Output = Result<Option<Input>, WorkflowError>> + Send;

    /// Lets a node begin. What it says comes back by [`wait`](Self::wait), or at once where it only computes.
    fn start(&mut self, start: Start, node: Arc<dyn Node>) -> Option<Result<NodeOutput, NodeError>>;

    /// Stops a piece of work or a question. Nothing of it comes back any more.
    fn stop(&mut self, task: TaskId);

    /// Puts a question to whoever answers. The reply comes back by [`wait`](Self::wait).
    fn ask(&mut self, task: TaskId, question: Question);

    /// Waits for what happens next, at most until then.
    fn wait(
        &mut self,
        until: Option<Timestamp>,
        machine: &Machine,
    ) -> impl Future<Output = Result<Input, WorkflowError>> + Send;
}

/// Where a drive has led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Driven {
    /// The run is over.
    Ended(End),
    /// It waits for people.
    Suspended,
}

/// How often an answer that does not fit its question is asked for again.
const ASKED_AGAIN: u32 = 3;

/// Drives a run until it ends or waits for people.
///
/// # Errors
/// The runner failed: what was recorded stays, and the run can be driven on later.
pub async fn drive<R: Runner>(machine: &mut Machine, runner: &mut R) -> Result<Driven, WorkflowError> {
    let mut misfits = 0;
    // What has become due since it was last driven, and what was left to be recorded then.
    let noted = machine.tick(runner.now());
    keep(machine, runner, noted)?;
    loop {
        match machine.next(runner.now()) {
            Step::Stop(task) => runner.stop(task),
            Step::Start(start) => begin(machine, runner, start).await?,
            Step::Ask(task, question) => runner.ask(task, *question),
            Step::Wait(until) => {
                let input = runner.wait(until, machine).await?;
                take(machine, runner, input, &mut misfits)?;
            }
            Step::Suspend => {
                runner.settle(machine).await?;
                return Ok(Driven::Suspended);
            }
            Step::Done(end) => {
                runner.settle(machine).await?;
                return Ok(Driven::Ended(end));
            }
        }
    }
}

async fn begin<R: Runner>(machine: &mut Machine, runner: &mut R, start: Start) -> Result<(), WorkflowError> {
    let (task, at) = (start.task, start.at);
    let Some(node) = machine.node(&start) else {
        let noted = machine.done(task, Err(NodeError::new("the node is gone")), at);
        return keep(machine, runner, noted);
    };
    // A node that goes on with an answer was told of already.
    if start.answers.is_empty() {
        runner.tell(started(&start, node.as_ref()));
    }
    let work = node.work();
    if work == Work::Effects {
        runner.settle(machine).await?;
    }
    let Some(result) = runner.start(start, node) else { return Ok(()) };
    let now = runner.now();
    let noted = machine.done(task, result, now);
    keep(machine, runner, noted)?;
    match runner.pace(machine).await? {
        Some(input) => take(machine, runner, input, &mut 0),
        None => Ok(()),
    }
}

fn take<R: Runner>(
    machine: &mut Machine,
    runner: &mut R,
    input: Input,
    misfits: &mut u32,
) -> Result<(), WorkflowError> {
    let now = runner.now();
    let noted = match input {
        Input::Output { task, result } => machine.done(task, result, now),
        Input::Time => machine.tick(now),
        Input::Cancel => machine.cancel(now),
        Input::Limited(failure) => machine.limited(failure, now),
        Input::Reply { task, reply } => match machine.replied(task, reply, now) {
            Ok(noted) => noted,
            Err(e) => {
                *misfits += 1;
                runner.tell(Told { path: Arc::from([]), kind: EventKind::Warning { message: e.to_string() } });
                if *misfits < ASKED_AGAIN {
                    machine.ask_again(task);
                    return Ok(());
                }
                *misfits = 0;
                machine.replied(task, Reply::Nobody, now).unwrap_or_default()
            }
        },
    };
    keep(machine, runner, noted)
}

fn keep<R: Runner>(machine: &mut Machine, runner: &mut R, noted: Vec<Noted>) -> Result<(), WorkflowError> {
    for note in noted {
        runner.record(&note, machine)?;
        if let Some(told) = told(note) {
            runner.tell(told);
        }
    }
    machine.entered().for_each(|told| runner.tell(told));
    Ok(())
}

fn started(start: &Start, node: &dyn Node) -> Told {
    let (name, path) = (Arc::clone(&start.node), Arc::clone(&start.path));
    begun(path, name, node.kind(), start.iteration, start.attempt)
}

/// What is told when a node begins.
pub(crate) fn begun(
    path: Arc<[String]>,
    node: Arc<str>,
    kind: Cow<'static, str>,
    iteration: u32,
    attempt: u32,
) -> Told {
    let kind = EventKind::Node {
        node,
        status: NodeStatus::Started,
        kind: Some(kind),
        iteration: (iteration > 1).then_some(iteration),
        attempt: (attempt > 1).then_some(attempt),
        duration_ms: None,
        usage: None,
        cost: None,
        error: None,
    };
    Told { path, kind }
}

/// What is told of a record.
pub(crate) fn told(noted: Noted) -> Option<Told> {
    let Noted { entry, path, iteration, attempt, began, question } = noted;
    let (node, status, error) = match entry.what {
        Record::Done { node, .. } => (node, NodeStatus::Completed, None),
        Record::Failed { node, error, then, .. } => {
            let status = match then {
                Then::Retry { .. } => NodeStatus::Retrying,
                Then::Go(_) => NodeStatus::Skipped,
                Then::Fail => NodeStatus::Failed,
            };
            (node, status, Some(Failure::from(&error)))
        }
        Record::Asked { .. } => {
            return Some(Told { path, kind: EventKind::Question { question: question? } });
        }
        Record::Answered { question: id, answer, .. } => {
            let (by, answer) = (answer.by().to_owned(), answer.value().cloned());
            return Some(Told { path, kind: EventKind::Answered { id, by, answer } });
        }
        Record::Begun(_)
        | Record::Woken { .. }
        | Record::Continued
        | Record::Cancelled
        | Record::Limited { .. }
        | Record::Snapshot { .. } => return None,
    };
    let kind = EventKind::Node {
        node,
        status,
        kind: None,
        iteration: (iteration > 1).then_some(iteration),
        attempt: (attempt > 1).then_some(attempt),
        duration_ms: began.map(|b| u64::try_from(entry.at.since(b).as_millis()).unwrap_or(u64::MAX)),
        usage: None,
        cost: None,
        error,
    };
    Some(Told { path, kind })
}
