//! A run's rules: what comes next, given what happened. No I/O and no clock: every input carries its time, and what
//! an input changes is given back as records. Played back they give the same machine; it can be written down after
//! any of them and read back.

mod enter;
mod frame;
mod inputs;
mod lanes;
mod rebind;
mod replay;
mod route;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use victor_core::agent::Failure;
use victor_core::id::{RunId, Timestamp};
use victor_core::question::Question;

use crate::error::NodeError;
use crate::node::Node;
use crate::record::Entry;
use crate::runner::Told;
use crate::task::{Start, TaskId};

pub(crate) use frame::too_large;
use frame::{At, Frame};

/// What the runner has to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Stop this piece of work: its result is not needed any more.
    Stop(TaskId),
    /// Let a node work; then [`Machine::done`] with what it says.
    Start(Start),
    /// Put this question to whoever answers; then [`Machine::replied`]. It was not put in this process before.
    Ask(TaskId, Box<Question>),
    /// Wait for one of the above, but not longer than until then; then [`Machine::tick`].
    Wait(Option<Timestamp>),
    /// Nothing works, and people have to answer or to continue it: put the run down.
    Suspend,
    /// The run is over.
    Done(End),
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All paths came to their end.
    Completed,
    /// It failed.
    Failed(Failure),
    /// It was cancelled.
    Cancelled,
}

/// A record with what an event tells beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Noted {
    /// The record.
    pub entry: Entry,
    /// The path to the graph that the node belongs to.
    pub path: Arc<[String]>,
    /// Which time the node ran, counted from 1.
    pub iteration: u32,
    /// Which try it was, counted from 1.
    pub attempt: u32,
    /// When the node began, where it did in this process.
    pub began: Option<Timestamp>,
    /// The question, where one was asked.
    pub question: Option<Box<Question>>,
}

/// The rules of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    run: RunId,
    #[serde(with = "crate::record::micros")]
    started: Timestamp,
    frames: BTreeMap<u32, Frame>,
    next_frame: u32,
    end: Option<End>,
    completed: Vec<String>,
    pause_before: Vec<String>,
    pause_after: Vec<String>,
    #[serde(skip)]
    queues: Queues,
}

/// What is to be done, made anew when the machine is read back.
#[derive(Clone, Debug, Default, PartialEq)]
struct Queues {
    ready: VecDeque<TaskId>,
    stops: VecDeque<TaskId>,
    closing: VecDeque<TaskId>,
    asking: VecDeque<TaskId>,
    timers: BTreeSet<(Timestamp, TaskId)>,
    running: u32,
    posed: BTreeSet<TaskId>,
    /// Those that ask somebody; some of them may not any more.
    waiting: BTreeSet<TaskId>,
    /// Those that the run was paused before; some of them may not be held any more.
    held: BTreeSet<TaskId>,
    /// Subgraphs that were entered and not told of yet.
    entered: Vec<Told>,
    /// How many nodes the graph has, those of its subgraphs among them.
    total: usize,
}

impl Machine {
    /// What has to be done next.
    pub fn next(&mut self, now: Timestamp) -> Step {
        if let Some(task) = self.queues.stops.pop_front() {
            return Step::Stop(task);
        }
        if let Some(end) = &self.end {
            return Step::Done(end.clone());
        }
        if let Some(start) = self.next_start(now) {
            return Step::Start(start);
        }
        while let Some(task) = self.queues.asking.pop_front() {
            if let Some(question) = self.question(task) {
                self.queues.posed.insert(task);
                return Step::Ask(task, Box::new(question));
            }
        }
        if self.is_working() || !self.queues.posed.is_empty() {
            return Step::Wait(self.queues.timers.first().map(|(at, _)| *at));
        }
        if self.questions().next().is_some() || !self.paused().is_empty() {
            return Step::Suspend;
        }
        // Every task is in one of these states; a machine that is in none was not made by its own rules.
        let message = "the run stands still without a reason".to_owned();
        Step::Done(End::Failed(Failure { code: "INTERNAL".to_owned(), message }))
    }

    fn next_start(&mut self, now: Timestamp) -> Option<Start> {
        let most = self.frames.get(&0)?.graph()?.limits.concurrency;
        if self.queues.running >= most {
            return None;
        }
        while let Some(id) = self.queues.ready.pop_front() {
            if let Some(start) = self.begin_task(id, now) {
                self.queues.running += 1;
                return Some(start);
            }
        }
        None
    }

    fn begin_task(&mut self, id: TaskId, now: Timestamp) -> Option<Start> {
        let frame = self.frames.get_mut(&id.frame).filter(|f| f.step == id.step)?;
        let graph = Arc::clone(frame.graph()?);
        let task = frame.tasks.get_mut(id.slot as usize).filter(|t| t.at == At::Ready)?;
        let spec = graph.node(task.node);
        let deadline = spec.timeout.map(|timeout| later(now, timeout));
        task.at = At::Running { since: now, deadline };
        if let Some(at) = deadline {
            self.queues.timers.insert((at, id));
        }
        Some(Start {
            task: id,
            node: Arc::clone(&spec.name),
            index: task.node,
            path: Arc::clone(&frame.path),
            iteration: task.iteration,
            part: task.part,
            attempt: task.attempt,
            state: Arc::clone(&frame.state),
            input: task.input.clone(),
            answers: task.answers.clone(),
            kept: task.kept.clone().map(Box::new),
            at: now,
            deadline,
        })
    }

    fn has_delayed(&self) -> bool {
        self.queues.timers.iter().any(|(_, id)| {
            let task = self.frames.get(&id.frame).and_then(|f| f.tasks.get(id.slot as usize));
            task.is_some_and(|t| matches!(t.at, At::Delayed { .. }))
        })
    }

    /// The node that a start is about.
    #[must_use]
    pub fn node(&self, start: &Start) -> Option<Arc<dyn Node>> {
        let spec = self.frames.get(&start.task.frame)?.graph()?.nodes.get(start.index as usize)?;
        match &spec.body {
            crate::graph::Body::Leaf(node) => Some(Arc::clone(node)),
            crate::graph::Body::Graph(_) => None,
        }
    }

    /// The workflow's state: that of its own graph, without what open steps have changed, and branches that have not met.
    #[must_use]
    pub fn state(&self) -> Arc<Value> {
        self.frames.get(&0).map(|f| Arc::clone(&f.state)).unwrap_or_default()
    }

    /// Subgraphs that were entered since this was last called.
    pub(crate) fn entered(&mut self) -> impl Iterator<Item = Told> + use<> {
        std::mem::take(&mut self.queues.entered).into_iter()
    }

    /// How it ended, once it did.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The run.
    #[must_use]
    pub fn run_id(&self) -> RunId {
        self.run
    }

    /// When it began.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// A failure that ends the run: nothing of it goes on.
    fn finish(&mut self, end: End) {
        self.stop_all();
        self.end = Some(end);
    }

    /// Stops all that works or waits.
    fn stop_all(&mut self) {
        let ids: Vec<u32> = self.frames.keys().copied().collect();
        for id in ids {
            self.stop_tasks(id);
        }
        self.queues.ready.clear();
        self.queues.timers.clear();
        self.queues.asking.clear();
        self.queues.waiting.clear();
        self.queues.held.clear();
        self.queues.closing.clear();
    }

    /// Stops what works in one frame.
    fn stop_tasks(&mut self, id: u32) {
        let Some(frame) = self.frames.get_mut(&id) else { return };
        let step = frame.step;
        for (slot, task) in (0..).zip(&mut frame.tasks) {
            let at = TaskId { frame: id, step, slot };
            match &task.at {
                At::Running { .. } => {
                    self.queues.running = self.queues.running.saturating_sub(1);
                    self.queues.stops.push_back(at);
                }
                At::Waiting { .. } => {
                    if self.queues.posed.remove(&at) {
                        self.queues.stops.push_back(at);
                    }
                }
                At::Ready
                | At::Held
                | At::Delayed { .. }
                | At::Inside { .. }
                | At::Lane { .. }
                | At::Closed { .. }
                | At::Broken { .. }
                | At::Done { .. }
                | At::Lost => continue,
            }
            task.at = At::Lost;
        }
    }

    /// Fails the run because of a mistake that no node can be blamed for.
    fn fail_run(&mut self, error: &NodeError) {
        self.finish(End::Failed(Failure::from(error)));
    }
}

/// `at` and `after` together.
pub(crate) fn later(at: Timestamp, after: std::time::Duration) -> Timestamp {
    let micros = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(at.as_micros().saturating_add(micros))
}
