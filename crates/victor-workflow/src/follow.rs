//! A run followed from its journal: its nodes' events, for whoever did not start it, in this process or another.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use victor_core::agent::{Failure, Outcome, Status};
use victor_core::event::{EVENT_VERSION, Event, EventKind, NodeStatus};
use victor_core::id::{RunId, Timestamp};
use victor_core::journal::{JournalInfo, RunStatus};
use victor_core::question::Question;

use crate::engine::Workflows;
use crate::error::WorkflowError;
use crate::node::Ask;
use crate::record::{Entry, Record, Then};
use crate::resume::entry_of;
use crate::summary::RunSummary;

/// How often a journal that another process writes is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Records that are read at once.
const PAGE: usize = 512;

impl Workflows {
    /// The events of a run as its journal tells them, from the record after `after` on (0 for all), until the run ends
    /// or waits; then one [`EventKind::Finished`]. An event's `seq` is the place of its record. Nodes and questions
    /// only: what agents say stands in the stream of whoever started the run.
    pub fn events(&self, id: RunId, after: u64) -> impl Stream<Item = Result<Event, WorkflowError>> + Send + use<> {
        let following = Following { workflows: self.clone(), id, after, ready: Vec::new(), over: false };
        futures::stream::unfold(following, |mut following| async move {
            let event = following.next().await.transpose()?;
            if event.is_err() {
                following.over = true;
            }
            Some((event, following))
        })
    }
}

struct Following {
    workflows: Workflows,
    id: RunId,
    after: u64,
    /// Events that were read, the next one last.
    ready: Vec<Event>,
    over: bool,
}

impl Following {
    async fn next(&mut self) -> Result<Option<Event>, WorkflowError> {
        loop {
            if let Some(event) = self.ready.pop() {
                return Ok(Some(event));
            }
            if self.over {
                return Ok(None);
            }
            let live = self.workflows.live.get(self.id);
            // Made before the journal is read, so that nothing written since is missed.
            let changed = live.as_ref().map(|live| Arc::clone(&live.changed));
            let woken = changed.as_ref().map(|changed| changed.notified());
            let journal = self.workflows.runtime.journal();
            let info = journal.info(self.id).await?;
            let records = journal.records(self.id, self.after, PAGE).await?;
            if let Some(last) = records.last() {
                self.after = last.seq;
                for stored in records.iter().rev() {
                    let told = kind_of(self.id, entry_of(stored)?);
                    self.ready.extend(told.map(|kind| event(self.id, stored.seq, stored.at, kind)));
                }
                continue;
            }
            let gone = info.status == RunStatus::Running && info.holder.is_none() && live.is_none();
            if info.last_seq <= self.after && (info.status != RunStatus::Running || gone) {
                self.over = true;
                let kind = EventKind::Finished { outcome: Box::new(outcome(&info)) };
                return Ok(Some(event(self.id, info.last_seq + 1, info.updated_at, kind)));
            }
            match woken {
                Some(woken) => drop(tokio::time::timeout(LOOK, woken).await),
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

fn event(run_id: RunId, seq: u64, at: Timestamp, kind: EventKind) -> Event {
    Event { v: EVENT_VERSION, seq, run_id, path: Vec::new(), at, kind }
}

/// What is told of a record.
fn kind_of(run: RunId, entry: Entry) -> Option<EventKind> {
    let (node, status, attempt, error) = match entry.what {
        Record::Begun(begun) => return Some(EventKind::WorkflowStarted { workflow: begun.workflow, resumed: false }),
        Record::Snapshot { begun, .. } if begun.from.is_some() => {
            return Some(EventKind::WorkflowStarted { workflow: begun.workflow, resumed: true });
        }
        Record::Done { node, .. } => (node, NodeStatus::Completed, None, None),
        Record::Failed { node, attempt, error, then, .. } => {
            let status = match then {
                Then::Retry { .. } => NodeStatus::Retrying,
                Then::Go(_) => NodeStatus::Skipped,
                Then::Fail => NodeStatus::Failed,
            };
            (node, status, Some(attempt), Some(Failure::from(&error)))
        }
        Record::Asked { node, question, ask, .. } => {
            let question = question_of(run, entry.at, &node, question, *ask);
            return Some(EventKind::Question { question: Box::new(question) });
        }
        Record::Answered { question, answer, .. } => {
            let (by, answer) = (answer.by().to_owned(), answer.value().cloned());
            return Some(EventKind::Answered { id: question, by, answer });
        }
        Record::Woken { .. }
        | Record::Continued
        | Record::Cancelled
        | Record::Limited { .. }
        | Record::Snapshot { .. } => return None,
    };
    Some(EventKind::Node {
        node,
        status,
        kind: None,
        iteration: None,
        attempt,
        duration_ms: None,
        usage: None,
        cost: None,
        error,
    })
}

fn question_of(run_id: RunId, at: Timestamp, node: &str, id: String, ask: Ask) -> Question {
    let Ask { kind, prompt, options, details, timeout, fallback: _, kept: _ } = ask;
    let expires_at = timeout.map(|timeout| crate::machine::later(at, timeout));
    Question { id, run_id, node: node.to_owned(), kind, prompt, options, details, asked_at: at, expires_at }
}

/// A run's end, or where it stands, in core's words.
fn outcome(info: &JournalInfo) -> Outcome {
    let summary = RunSummary::read(info);
    let status = match info.status {
        RunStatus::Completed => Status::Completed,
        RunStatus::Failed => Status::Failed,
        RunStatus::Cancelled => Status::Cancelled,
        RunStatus::Waiting | RunStatus::Running => Status::Waiting,
    };
    let passed = info.updated_at.since(info.created_at);
    Outcome {
        run_id: info.id,
        session_id: None,
        status,
        text: summary.result.as_ref().map(ToString::to_string).unwrap_or_default(),
        structured: summary.result,
        provider: String::new(),
        model: String::new(),
        usage: summary.spent.usage,
        cost: summary.cost,
        turns: summary.spent.turns,
        tools_used: Vec::new(),
        denied: Vec::new(),
        limit: None,
        error: summary.error,
        waiting: Vec::new(),
        duration_ms: u64::try_from(passed.as_millis()).unwrap_or(u64::MAX),
    }
}
