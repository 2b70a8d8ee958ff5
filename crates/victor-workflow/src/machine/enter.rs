//! How work begins and spreads: the first frame, new tasks, and subgraphs that are entered and left.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use victor_core::id::{RunId, Timestamp};

use crate::error::{NodeError, guarded};
use crate::graph::{Body, Subgraph};
use crate::options::Keeper;
use crate::record::{Begun, Entry, Record, Settings};
use crate::runner::begun;
use crate::state::{Update, weight};
use crate::task::TaskId;
use crate::workflow::Workflow;

use super::frame::{At, Frame, Lane, Stepped, Task, too_large};
use super::{End, Machine, Queues, later};

impl Machine {
    /// A run that begins now, as its first record says.
    #[must_use]
    pub(crate) fn begin(run: RunId, workflow: &Workflow, begun: &Begun, now: Timestamp) -> Self {
        let state = Arc::new(Value::Object(begun.input.clone()));
        let frame = Frame::new(workflow, None, Arc::from([]), state);
        let most = workflow.0.limits.max_state_bytes;
        let size = frame.size;
        let mut machine = Self {
            run,
            started: now,
            frames: BTreeMap::from([(0, frame)]),
            next_frame: 1,
            end: None,
            completed: Vec::new(),
            pause_before: begun.pause_before.clone(),
            pause_after: begun.pause_after.clone(),
            queues: Queues { total: count(workflow), ..Queues::default() },
        };
        if size > most {
            machine.fail_run(&too_large(size, most));
        } else {
            machine.begin_frame(0, now);
        }
        machine
    }

    /// A run that begins now on this input, and its first record: for runners of one's own.
    #[must_use]
    pub fn start(run: RunId, workflow: &Workflow, input: Update, now: Timestamp) -> (Self, Entry) {
        let begun = Begun {
            keeper: Keeper::default(),
            file: None,
            workflow: workflow.name().to_owned(),
            hash: workflow.hash().to_owned(),
            prints: workflow.0.prints.clone(),
            input,
            pause_before: Vec::new(),
            pause_after: Vec::new(),
            settings: Settings::default(),
            from: None,
        };
        let machine = Self::begin(run, workflow, &begun, now);
        (machine, Entry { at: now, what: Record::Begun(Box::new(begun)) })
    }

    fn begin_frame(&mut self, id: u32, now: Timestamp) {
        let Some(frame) = self.frames.get_mut(&id) else { return };
        match frame.begin() {
            Ok(()) => self.spread(id, &[], now),
            Err(e) => self.break_frame(id, e, now),
        }
    }

    /// Makes the step's new tasks ready, or holds them where the run is to pause.
    pub(super) fn spread(&mut self, id: u32, just_done: &[u32], now: Timestamp) {
        let lanes = self.fork(id);
        let pauses = self.is_top(id);
        let Some(frame) = self.frames.get_mut(&id) else { return };
        let Some(graph) = frame.graph().cloned() else { return };
        let step = frame.step;
        let named = |names: &[String], node: u32| names.iter().any(|n| **n == *graph.node(node).name);
        let after = pauses && just_done.iter().any(|node| named(&self.pause_after, *node));
        let mut inner = Vec::new();
        for (slot, task) in (0..).zip(&mut frame.tasks) {
            let at = TaskId { frame: id, step, slot };
            if matches!(task.at, At::Lane { .. }) {
                continue;
            } else if after || pauses && named(&self.pause_before, task.node) {
                task.at = At::Held;
                self.queues.held.insert(at);
            } else if matches!(graph.node(task.node).body, Body::Graph(_)) {
                inner.push(at);
            } else {
                self.queues.ready.push_back(at);
            }
        }
        for task in inner {
            self.enter(task, now);
        }
        for lane in lanes {
            self.spread(lane, just_done, now);
        }
    }

    /// Gives branches that can go on by themselves frames of their own; tells which.
    fn fork(&mut self, id: u32) -> Vec<u32> {
        let Some(frame) = self.frames.get_mut(&id) else { return Vec::new() };
        let (apart, step) = (frame.split(), frame.step);
        let first = self.next_frame;
        for (number, (slot, mut lane)) in (first..).zip(apart) {
            let above = TaskId { frame: id, step, slot };
            lane.parent = Some(above);
            if let Some(frame) = self.frames.get_mut(&id) {
                frame.put(slot, At::Lane { frame: number });
            }
            self.frames.insert(number, lane);
            self.next_frame = number + 1;
        }
        (first..self.next_frame).collect()
    }

    /// Whether a frame is the workflow's own, or one of its branches.
    fn is_top(&self, id: u32) -> bool {
        let above = |id: u32| self.frames.get(&id).filter(|f| f.lane.is_some()).and_then(|f| f.parent).map(|p| p.frame);
        std::iter::successors(Some(id), |id| above(*id)).last() == Some(0)
    }

    /// Enters the subgraph that a task stands for.
    pub(super) fn enter(&mut self, id: TaskId, now: Timestamp) {
        match self.inner_frame(id) {
            Ok(Some((frame, timeout))) => {
                let number = self.next_frame;
                self.next_frame += 1;
                self.frames.insert(number, frame);
                let deadline = timeout.map(|t| later(now, t));
                self.put(id, At::Inside { frame: number, since: now, deadline });
                if let Some(at) = deadline {
                    self.queues.timers.insert((at, id));
                }
                self.tell_entered(id);
                self.begin_frame(number, now);
            }
            Ok(None) => {}
            Err(error) => self.broken(id, error),
        }
    }

    fn tell_entered(&mut self, id: TaskId) {
        let (Some(frame), Some(task), Some(spec)) = (self.frames.get(&id.frame), self.task(id), self.spec(id)) else {
            return;
        };
        let (path, node) = (Arc::clone(&frame.path), Arc::clone(&spec.name));
        let told = begun(path, node, spec.kind().into(), task.iteration, task.attempt);
        self.queues.entered.push(told);
    }

    fn inner_frame(&self, id: TaskId) -> Result<Option<(Frame, Option<std::time::Duration>)>, NodeError> {
        let Some(above) = self.frames.get(&id.frame) else { return Ok(None) };
        let (Some(graph), Some(task)) = (above.graph(), above.tasks.get(id.slot as usize)) else { return Ok(None) };
        let spec = graph.node(task.node);
        let Body::Graph(subgraph) = &spec.body else { return Ok(None) };
        let path: Arc<[String]> = above.task_path(task).into();
        let state = match &subgraph.input {
            None => Arc::clone(&above.state),
            Some(map) => {
                let input = guarded("the mapping of its input", || map(&above.state, task.input.as_ref()))?;
                Arc::new(Value::Object(input))
            }
        };
        let most = subgraph.workflow.0.limits.max_state_bytes;
        if subgraph.input.is_some() && weight(&state) > most {
            return Err(too_large(weight(&state), most));
        }
        let mut frame = Frame::new(&subgraph.workflow, Some(id), path, state);
        frame.join = subgraph.join;
        frame.shares = subgraph.output.is_none();
        Ok(Some((frame, spec.timeout)))
    }

    /// What follows when a task of the frame is over.
    pub(super) fn progress(&mut self, id: u32, now: Timestamp) {
        let Some(frame) = self.frames.get_mut(&id) else { return };
        let needed = frame.graph().map_or(0, |g| frame.join.needed(u32::try_from(g.entries.len()).unwrap_or(u32::MAX)));
        let enough = frame.parent.is_some() && frame.join != crate::route::Join::All && frame.ends >= needed;
        if enough {
            return self.leave_early(id, now);
        }
        if frame.open > 0 {
            return;
        }
        let done: Vec<u32> = match self.pause_after.is_empty() {
            true => Vec::new(),
            false => frame.tasks.iter().flat_map(nodes_done).collect(),
        };
        match frame.end_step() {
            Ok(Stepped::On) => self.spread(id, &done, now),
            Ok(Stepped::Over) => self.leave(id, now),
            Err(e) => self.break_frame(id, e, now),
        }
    }

    /// Enough paths have come to their end: the others are stopped.
    fn leave_early(&mut self, id: u32, now: Timestamp) {
        self.stop_below(id);
        self.stop_tasks(id);
        let Some(frame) = self.frames.get_mut(&id) else { return };
        let Some(graph) = frame.graph().cloned() else { return };
        let tasks = std::mem::take(&mut frame.tasks);
        let mut put = Ok(());
        for task in tasks {
            if let (Ok(()), At::Done { changes, .. }) = (&put, task.at) {
                put = frame.put_all(&graph, changes);
            }
        }
        match put {
            Ok(()) => self.leave(id, now),
            Err(e) => self.break_frame(id, e, now),
        }
    }

    /// A frame is done: the run is, or the task that it stands for has to be recorded.
    fn leave(&mut self, id: u32, now: Timestamp) {
        let Some(parent) = self.frames.get(&id).and_then(|f| f.parent) else {
            return self.finish(End::Completed);
        };
        let Some(frame) = self.frames.remove(&id) else { return };
        if let Some(lane) = frame.lane {
            return self.rejoin(parent, lane, frame.changes, &frame.counts, now);
        }
        let output = self.subgraph(parent).and_then(|s| s.output.clone());
        let changes = match output {
            None => Ok(frame.changes),
            Some(map) => {
                guarded("the mapping of its output", || map(&frame.state)).map(|update| update.into_iter().collect())
            }
        };
        match changes {
            Ok(changes) => {
                let Some(At::Inside { since, deadline, .. }) = self.task(parent).map(|t| t.at.clone()) else { return };
                self.put(parent, At::Closed { changes, since });
                if let Some(at) = deadline {
                    self.queues.timers.remove(&(at, parent));
                }
                self.queues.closing.push_back(parent);
            }
            Err(error) => self.broken(parent, error),
        }
    }

    /// Branches that went on by themselves have come to their end: the frame above goes on with what they changed. That
    /// follows from the record that ended them, so it has none of its own.
    fn rejoin(&mut self, above: TaskId, lane: Lane, changes: Vec<(String, Value)>, counts: &[u32], now: Timestamp) {
        let Some(frame) = self.frames.get_mut(&above.frame) else { return };
        for node in lane.only {
            let node = node as usize;
            if let (Some(count), Some(own)) = (frame.counts.get_mut(node), counts.get(node)) {
                *count = *own;
            }
        }
        let Some(graph) = frame.graph().cloned() else { return };
        match frame.fits(&graph, changes.iter().map(|(key, value)| (key, value))) {
            Ok(()) => self.over(above, At::Done { changes, next: lane.exits }, now),
            Err(error) => self.give_up(above, error, now),
        }
    }

    /// A frame has failed: the run does, or the task that it stands for, or the frame that it is a branch of.
    pub(super) fn break_frame(&mut self, id: u32, error: NodeError, now: Timestamp) {
        self.stop_below(id);
        self.stop_tasks(id);
        let Some(parent) = self.frames.get(&id).and_then(|f| f.parent) else { return self.fail_run(&error) };
        let is_lane = self.frames.remove(&id).is_some_and(|f| f.lane.is_some());
        match is_lane {
            true => self.give_up(parent, error, now),
            false => self.broken(parent, error),
        }
    }

    fn broken(&mut self, id: TaskId, error: NodeError) {
        if self.task(id).is_some() {
            self.put(id, At::Broken { error });
            self.queues.closing.push_back(id);
        }
    }

    /// Stops and forgets the frames inside of this one.
    pub(super) fn stop_below(&mut self, id: u32) {
        let inner: Vec<u32> =
            self.frames.iter().filter(|(_, f)| f.parent.is_some_and(|p| p.frame == id)).map(|(n, _)| *n).collect();
        for frame in inner {
            self.forget(frame);
        }
    }

    /// Stops and forgets a frame and those inside of it.
    pub(super) fn forget(&mut self, frame: u32) {
        self.stop_below(frame);
        self.stop_tasks(frame);
        self.frames.remove(&frame);
    }

    fn subgraph(&self, id: TaskId) -> Option<&Subgraph> {
        let frame = self.frames.get(&id.frame)?;
        let task = frame.tasks.get(id.slot as usize)?;
        match &frame.graph()?.node(task.node).body {
            Body::Graph(subgraph) => Some(subgraph),
            Body::Leaf(_) => None,
        }
    }
}

/// The nodes that a task of a step has brought to their end: its own, or those that led out of a branch.
fn nodes_done(task: &Task) -> Vec<u32> {
    let out = match &task.at {
        At::Done { next, .. } => next.iter().filter_map(|hop| hop.from).collect(),
        _ => Vec::new(),
    };
    if out.is_empty() { vec![task.node] } else { out }
}

/// The nodes of a workflow and of those inside of it.
pub(super) fn count(workflow: &Workflow) -> usize {
    let inner = workflow.0.nodes.iter().map(|spec| match &spec.body {
        Body::Graph(subgraph) => count(&subgraph.workflow),
        Body::Leaf(_) => 0,
    });
    workflow.0.nodes.len() + inner.sum::<usize>()
}
