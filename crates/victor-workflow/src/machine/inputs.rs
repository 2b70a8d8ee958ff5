//! What the machine is told: results, answers, time, the wish to end. Each gives back the records of what it changed.

use std::sync::Arc;

use serde_json::Value;
use victor_core::agent::Failure;
use victor_core::id::Timestamp;
use victor_core::question::Reply;

use crate::error::{Again, NodeError};
use crate::graph::OnError;
use crate::human;
use crate::node::{Answered, Ask, NodeOutput};
use crate::record::{Entry, Record, Then, failure_update};
use crate::route::{Route, Send};
use crate::state::Update;
use crate::task::TaskId;

use super::frame::{At, Task};
use super::{Machine, Noted, later, route};

impl Machine {
    /// A piece of work has come to its end. What comes from one that is not under way any more is passed over.
    pub fn done(&mut self, id: TaskId, result: Result<NodeOutput, NodeError>, now: Timestamp) -> Vec<Noted> {
        let mut noted = Vec::with_capacity(1);
        if !self.is_running(id) {
            return noted;
        }
        let record = match result {
            Ok(NodeOutput::Done { update, route }) => self.judge(id, update, route),
            Ok(NodeOutput::Ask(ask)) => Ok(self.asked(id, ask)),
            Err(e) => Err(e),
        };
        let record = record.unwrap_or_else(|e| self.failed(id, e, now));
        self.note(record, now, &mut noted);
        self.close(now, &mut noted);
        noted
    }

    /// Somebody has answered, will answer later, or is not there. What is not asked any more is passed over.
    ///
    /// # Errors
    /// The answer does not fit the question, which stays open.
    pub fn replied(&mut self, id: TaskId, reply: Reply, now: Timestamp) -> Result<Vec<Noted>, NodeError> {
        let mut noted = Vec::new();
        let Some((ask, expires)) = self.waiting(id) else { return Ok(noted) };
        let late = expires.is_some_and(|at| at <= now);
        let answer = match reply {
            Reply::Later if !late => {
                self.queues.posed.remove(&id);
                return Ok(noted);
            }
            Reply::Answer(value) if !late => Answered::Person { value: human::accept(ask.kind, &ask.options, &value)? },
            Reply::Nobody => Answered::Fallback { fallback: ask.fallback.clone() },
            Reply::Later | Reply::Answer(_) => Answered::Timeout { fallback: ask.fallback.clone() },
        };
        self.answer(id, answer, now, &mut noted);
        Ok(noted)
    }

    /// Puts the question once more: the answer to it did not fit.
    pub fn ask_again(&mut self, id: TaskId) {
        self.queues.posed.remove(&id);
        self.queues.asking.push_back(id);
    }

    /// Time has gone on. Records too what was left to be recorded when a process ended.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Noted> {
        let mut noted = Vec::new();
        while let Some((at, id)) = self.queues.timers.first().copied() {
            if at > now || self.end.is_some() {
                break;
            }
            self.queues.timers.pop_first();
            self.due(id, at, now, &mut noted);
        }
        self.close(now, &mut noted);
        noted
    }

    /// The run is to end.
    pub fn cancel(&mut self, now: Timestamp) -> Vec<Noted> {
        let mut noted = Vec::new();
        if self.end.is_none() {
            self.note(Record::Cancelled, now, &mut noted);
        }
        noted
    }

    /// The run has used up what it may.
    pub fn limited(&mut self, failure: Failure, now: Timestamp) -> Vec<Noted> {
        let mut noted = Vec::new();
        if self.end.is_none() {
            self.note(Record::Limited { failure }, now, &mut noted);
        }
        noted
    }

    /// What was paused goes on.
    pub fn go_on(&mut self, now: Timestamp) -> Vec<Noted> {
        let mut noted = Vec::new();
        if !self.paused().is_empty() {
            self.note(Record::Continued, now, &mut noted);
            self.close(now, &mut noted);
        }
        noted
    }

    fn due(&mut self, id: TaskId, at: Timestamp, now: Timestamp, noted: &mut Vec<Noted>) {
        let Some(task) = self.task(id) else { return };
        match &task.at {
            At::Delayed { until } if *until == at => self.wake(id, now, noted),
            At::Running { deadline: Some(deadline), .. } if *deadline == at => {
                self.queues.stops.push_back(id);
                let error = NodeError::timeout(self.too_long(id));
                let record = self.failed(id, error, now);
                self.note(record, now, noted);
            }
            At::Inside { deadline: Some(deadline), .. } if *deadline == at => {
                let error = NodeError::timeout(self.too_long(id));
                let record = self.failed(id, error, now);
                self.note(record, now, noted);
            }
            At::Waiting { ask, expires: Some(expires), .. } if *expires == at => {
                let answer = Answered::Timeout { fallback: ask.fallback.clone() };
                if self.queues.posed.contains(&id) {
                    self.queues.stops.push_back(id);
                }
                self.answer(id, answer, now, noted);
            }
            _ => {}
        }
    }

    fn too_long(&self, id: TaskId) -> String {
        let (node, _) = self.named(id);
        let timeout = self.spec(id).and_then(|s| s.timeout).unwrap_or_default();
        format!("node `{node}` was not done within {timeout:?} (`timeout`)")
    }

    fn wake(&mut self, id: TaskId, now: Timestamp, noted: &mut Vec<Noted>) {
        let is_graph = self.spec(id).is_some_and(|s| matches!(s.body, crate::graph::Body::Graph(_)));
        if is_graph {
            let (node, _) = self.named(id);
            return self.note(Record::Woken { task: id, node }, now, noted);
        }
        if let Some(task) = self.task_mut(id) {
            task.at = At::Ready;
            self.queues.ready.push_back(id);
        }
    }

    fn answer(&mut self, id: TaskId, answer: Answered, now: Timestamp, noted: &mut Vec<Noted>) {
        self.queues.posed.remove(&id);
        let (node, _) = self.named(id);
        let question = self.question_id(id);
        self.note(Record::Answered { task: id, node, question, answer }, now, noted);
        self.close(now, noted);
    }

    /// Records the ends of subgraphs that were reached, from the inside out.
    fn close(&mut self, now: Timestamp, noted: &mut Vec<Noted>) {
        while let Some(id) = self.queues.closing.pop_front() {
            if self.end.is_some() {
                break;
            }
            let record = match self.task(id).map(|t| &t.at) {
                Some(At::Closed { changes, .. }) => {
                    let changes = changes.clone();
                    match self.way_on(id, changes.iter().map(|(key, value)| (key, value)), Route::Next) {
                        Ok((node, next)) => Record::Done { task: id, node, update: Update::new(), next },
                        Err(e) => self.failed(id, e, now),
                    }
                }
                Some(At::Broken { error }) => {
                    let error = error.clone();
                    self.failed(id, error, now)
                }
                _ => continue,
            };
            self.note(record, now, noted);
        }
    }

    /// The record of a node that was done, unless what it says cannot be.
    fn judge(&mut self, id: TaskId, update: Update, route: Route) -> Result<Record, NodeError> {
        let (node, next) = self.way_on(id, update.iter(), route)?;
        Ok(Record::Done { task: id, node, update, next })
    }

    /// Whether the changes fit, and where they lead.
    fn way_on<'a>(
        &mut self,
        id: TaskId,
        changes: impl Iterator<Item = (&'a String, &'a Value)> + Clone,
        route: Route,
    ) -> Result<(Arc<str>, Vec<Send>), NodeError> {
        let frame = self.frames.get_mut(&id.frame).ok_or_else(NodeError::cancelled)?;
        let graph = frame.graph().cloned().ok_or_else(NodeError::cancelled)?;
        let task = frame.tasks.get(id.slot as usize).ok_or_else(NodeError::cancelled)?;
        let spec = graph.node(task.node);
        frame.fits(&graph, changes.clone())?;
        Ok((Arc::clone(&spec.name), route::next(frame, spec, changes, route)?))
    }

    fn asked(&self, id: TaskId, ask: Box<Ask>) -> Record {
        let (node, _) = self.named(id);
        Record::Asked { task: id, node, question: self.question_id(id), ask }
    }

    /// The record of a failure, with what follows from it.
    fn failed(&mut self, id: TaskId, error: NodeError, now: Timestamp) -> Record {
        let (node, attempt) = self.named(id);
        let then = match self.retry_at(id, attempt, &error, now) {
            Some(at) => Then::Retry { at },
            None => self.after_failure(id, &node, attempt, &error),
        };
        Record::Failed { task: id, node, attempt, error, then }
    }

    fn retry_at(&self, id: TaskId, attempt: u32, error: &NodeError, now: Timestamp) -> Option<Timestamp> {
        let retry = self.spec(id)?.retry?;
        let again = error.again == Again::Worthwhile && attempt <= retry.attempts;
        again.then(|| later(now, retry.delay_after(attempt)))
    }

    fn after_failure(&mut self, id: TaskId, node: &str, attempt: u32, error: &NodeError) -> Then {
        let Some(frame) = self.frames.get_mut(&id.frame) else { return Then::Fail };
        let Some(graph) = frame.graph().cloned() else { return Then::Fail };
        let Some(task) = frame.tasks.get(id.slot as usize) else { return Then::Fail };
        let spec = graph.node(task.node);
        // Who ends the whole run is not held up by an error strategy.
        if error.code == "CANCELLED" {
            return Then::Fail;
        }
        if let Some(to) = spec.error_to {
            return Then::Go(vec![Send { node: graph.node(to).name.to_string(), input: None }]);
        }
        if spec.on_error == OnError::Fail || error.code == crate::error::ABORTED {
            return Then::Fail;
        }
        let update = failure_update(node, attempt, error);
        route::next(frame, spec, update.iter(), Route::Next).map_or(Then::Fail, Then::Go)
    }

    /// Applies a record and keeps it, with what an event needs.
    fn note(&mut self, record: Record, now: Timestamp, noted: &mut Vec<Noted>) {
        let mut note = Noted {
            entry: Entry { at: now, what: record },
            path: Arc::from([]),
            iteration: 1,
            attempt: 1,
            began: None,
            question: None,
        };
        let task = note.entry.what.task().map(|(id, _)| id);
        if let Some((frame, task)) = task.and_then(|id| Some((self.frames.get(&id.frame)?, self.task(id)?))) {
            note.path = Arc::clone(&frame.path);
            (note.iteration, note.attempt, note.began) = (task.iteration, task.attempt, began(task));
        }
        let applied = self.apply(&note.entry);
        debug_assert!(applied.is_ok(), "a record that the machine made itself does not fit it: {applied:?}");
        if let (Record::Asked { .. }, Some(id)) = (&note.entry.what, task) {
            note.question = self.question(id).map(Box::new);
        }
        noted.push(note);
    }

    fn is_running(&self, id: TaskId) -> bool {
        self.task(id).is_some_and(|t| matches!(t.at, At::Running { .. }))
    }

    fn waiting(&self, id: TaskId) -> Option<(Ask, Option<Timestamp>)> {
        match &self.task(id)?.at {
            At::Waiting { ask, expires, .. } => Some((Ask::clone(ask), *expires)),
            _ => None,
        }
    }

    /// The name of the task's node, and which try it is at.
    fn named(&self, id: TaskId) -> (Arc<str>, u32) {
        match (self.spec(id), self.task(id)) {
            (Some(spec), Some(task)) => (Arc::clone(&spec.name), task.attempt),
            _ => (Arc::from(""), 1),
        }
    }
}

fn began(task: &Task) -> Option<Timestamp> {
    match &task.at {
        At::Running { since, .. } | At::Inside { since, .. } | At::Closed { since, .. } => Some(*since),
        At::Ready
        | At::Held
        | At::Delayed { .. }
        | At::Lane { .. }
        | At::Broken { .. }
        | At::Waiting { .. }
        | At::Done { .. }
        | At::Lost => None,
    }
}

/// The changes of an update, in its order.
pub(super) fn changes_of(update: &Update) -> Vec<(String, Value)> {
    update.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}
