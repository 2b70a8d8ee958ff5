//! What a record changes: the same when it happens and when it is read back. And how a machine is read back.

use std::sync::Arc;

use victor_core::id::{RunId, Timestamp};

use crate::error::{NodeError, WorkflowError};
use crate::graph::Body;
use crate::node::Answered;
use crate::record::{Begun, Entry, Record, Then, failure_update};
use crate::state::weight;
use crate::task::TaskId;
use crate::workflow::{Spec, Workflow};

use super::frame::{At, Task};
use super::inputs::changes_of;
use super::{End, Machine, enter, later, route};

/// A record that does not fit the machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal says that `{what}` happened, which this workflow would not have done")]
pub(crate) struct Misfit {
    what: String,
}

impl Machine {
    /// Reads a run back from its records, in their order. A later snapshot stands for all before it.
    ///
    /// # Errors
    /// The records do not fit the workflow, or there are none.
    pub fn replay(
        run: RunId,
        workflow: &Workflow,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Result<(Self, Begun), WorkflowError> {
        let mut known: Option<(Self, Begun)> = None;
        for entry in entries {
            known = Some(match (entry.what, known) {
                (Record::Begun(begun), _) => (Self::begin(run, workflow, &begun, entry.at), *begun),
                (Record::Snapshot { machine, begun }, _) => {
                    let mut machine = *machine;
                    machine.run = run;
                    machine.bind(workflow)?;
                    (machine, *begun)
                }
                (what, Some((mut machine, begun))) => {
                    let at = entry.at;
                    let misfit = |e: Misfit| {
                        WorkflowError::Diverged(format!(
                            "run {run} cannot be continued: {e}; start it again, or use the workflow that it began with"
                        ))
                    };
                    machine.apply(&Entry { at, what }).map_err(misfit)?;
                    (machine, begun)
                }
                (what, None) => {
                    let text = format!("the journal of run {run} begins with `{}`", what.kind());
                    return Err(WorkflowError::Diverged(text));
                }
            });
        }
        known.ok_or_else(|| WorkflowError::Diverged(format!("the journal of run {run} is empty")))
    }

    /// Lets what was under way when the process ended begin again, under the same names.
    pub fn restart(&mut self) {
        for frame in self.frames.values_mut() {
            for task in &mut frame.tasks {
                if matches!(task.at, At::Running { .. }) {
                    task.at = At::Ready;
                }
            }
        }
        self.queue_all();
    }

    /// Changes what a record says.
    ///
    /// # Errors
    /// It does not fit: nothing was changed.
    pub(crate) fn apply(&mut self, entry: &Entry) -> Result<(), Misfit> {
        if let Some((id, node)) = entry.what.task() {
            let fits = self.end.is_none() && self.spec(id).is_some_and(|spec| spec.name == *node);
            let open = self.task(id).is_some_and(|task| !task.at.is_over() && !matches!(task.at, At::Lane { .. }));
            if !fits || !open {
                let what = format!("{} of `{node}` ({id})", entry.what.kind());
                return Err(Misfit { what });
            }
        }
        let misfit = |what: &str| Misfit { what: what.to_owned() };
        match &entry.what {
            Record::Begun(_) | Record::Snapshot { .. } => {}
            Record::Done { task, update, next, .. } => {
                let spec = self.spec(*task).ok_or_else(|| misfit("done"))?;
                let name = Arc::clone(&spec.name);
                let graph = self.frames.get(&task.frame).and_then(|f| f.graph().cloned());
                let hops =
                    graph.and_then(|g| route::hops(&g, next)).ok_or_else(|| misfit(&format!("done of `{name}`")))?;
                let closed = self.task_mut(*task).and_then(|t| match &mut t.at {
                    At::Closed { changes, .. } => Some(std::mem::take(changes)),
                    _ => None,
                });
                self.leave_task(*task);
                self.complete(*task);
                let changes = closed.unwrap_or_else(|| changes_of(update));
                self.over(*task, At::Done { changes, next: hops }, entry.at);
            }
            Record::Failed { task, node, attempt, error, then } => {
                self.leave_task(*task);
                if let Some(At::Inside { frame, .. }) = self.task(*task).map(|t| &t.at) {
                    let frame = *frame;
                    self.forget(frame);
                }
                match then {
                    Then::Retry { at } => {
                        if let Some(task) = self.task_mut(*task) {
                            task.attempt = attempt + 1;
                        }
                        self.put(*task, At::Delayed { until: *at });
                        self.queues.timers.insert((*at, *task));
                    }
                    Then::Go(sends) => {
                        let graph = self.frames.get(&task.frame).and_then(|f| f.graph().cloned());
                        let hops = graph.and_then(|g| route::hops(&g, sends)).ok_or_else(|| misfit("a failure"))?;
                        let changes = changes_of(&failure_update(node, *attempt, error));
                        self.over(*task, At::Done { changes, next: hops }, entry.at);
                    }
                    Then::Fail => self.lose(*task, error, entry.at),
                }
            }
            Record::Asked { task, ask, .. } => {
                self.leave_task(*task);
                let expires = ask.timeout.map(|t| later(entry.at, t));
                if let Some(task) = self.task_mut(*task) {
                    (task.kept, task.at) = (None, At::Waiting { ask: ask.clone(), since: entry.at, expires });
                }
                if let Some(at) = expires {
                    self.queues.timers.insert((at, *task));
                }
                self.queues.asking.push_back(*task);
                self.queues.waiting.insert(*task);
            }
            Record::Answered { task, answer, .. } => self.take_answer(*task, answer),
            Record::Woken { task, .. } => self.enter(*task, entry.at),
            Record::Continued => self.release(entry.at),
            Record::Cancelled => self.finish(End::Cancelled),
            Record::Limited { failure } => self.finish(End::Failed(failure.clone())),
        }
        Ok(())
    }

    fn take_answer(&mut self, id: TaskId, answer: &Answered) {
        self.queues.waiting.remove(&id);
        let Some(task) = self.task_mut(id) else { return };
        if let At::Waiting { expires: Some(at), .. } = task.at {
            self.queues.timers.remove(&(at, id));
        }
        if let Some(task) = self.task_mut(id) {
            task.answers.push(answer.clone());
            if let At::Waiting { ask, .. } = std::mem::replace(&mut task.at, At::Ready) {
                task.kept = ask.kept;
            }
        }
        self.queues.ready.push_back(id);
    }

    /// Lets go of what a task that ends had in the queues.
    fn leave_task(&mut self, id: TaskId) {
        let at = self.task(id).map(|t| &t.at);
        if let Some(At::Running { deadline, .. }) = at {
            if let Some(at) = *deadline {
                self.queues.timers.remove(&(at, id));
            }
            self.queues.running = self.queues.running.saturating_sub(1);
        }
    }

    /// A task of a frame is over, and what follows.
    pub(super) fn over(&mut self, id: TaskId, at: At, now: Timestamp) {
        let Some(frame) = self.frames.get_mut(&id.frame) else { return };
        if let At::Done { next, .. } = &at
            && next.is_empty()
        {
            frame.ends += 1;
        }
        if let At::Done { changes, .. } = &at {
            frame.pending += changes.iter().map(|(key, value)| key.len() + weight(value)).sum::<usize>();
        }
        frame.put(id.slot, at);
        frame.open = frame.open.saturating_sub(1);
        self.progress(id.frame, now);
    }

    /// A task has failed for good.
    fn lose(&mut self, id: TaskId, error: &NodeError, now: Timestamp) {
        let (node, error) = (self.spec(id).map(|s| s.name.to_string()).unwrap_or_default(), error.clone());
        let message = match error.message.contains(&format!("`{node}`")) {
            true => error.message,
            false => format!("node `{node}`: {}", error.message),
        };
        self.give_up(id, NodeError { message, ..error }, now);
    }

    /// A task came to no good end: its frame fails, unless enough of the others can still come to theirs.
    pub(super) fn give_up(&mut self, id: TaskId, error: NodeError, now: Timestamp) {
        let Some(frame) = self.frames.get(&id.frame) else { return };
        let entries = frame.graph().map_or(0, |g| u32::try_from(g.entries.len()).unwrap_or(u32::MAX));
        let needed = frame.join.needed(entries);
        let possible = frame.ends + frame.open.saturating_sub(1);
        let goes_on = frame.parent.is_some() && frame.join != crate::route::Join::All && possible >= needed;
        if goes_on {
            return self.over(id, At::Lost, now);
        }
        if let Some(task) = self.task_mut(id) {
            task.at = At::Lost;
        }
        self.break_frame(id.frame, error, now);
    }

    fn release(&mut self, now: Timestamp) {
        for id in std::mem::take(&mut self.queues.held) {
            if self.task(id).is_none_or(|task| task.at != At::Held) {
                continue;
            }
            if self.spec(id).is_some_and(|s| matches!(s.body, Body::Graph(_))) {
                self.enter(id, now);
            } else if let Some(task) = self.task_mut(id) {
                task.at = At::Ready;
                self.queues.ready.push_back(id);
            }
        }
    }

    fn complete(&mut self, id: TaskId) {
        let Some(frame) = self.frames.get(&id.frame) else { return };
        let Some(task) = frame.tasks.get(id.slot as usize) else { return };
        // Later times of the same node are in the list already.
        if task.iteration > 1 || task.part > 0 {
            return;
        }
        let mut name: String =
            frame.path.iter().flat_map(|part| [part.split('#').next().unwrap_or(part), "/"]).collect();
        name.push_str(&frame.node_name(task.node));
        if !self.completed.contains(&name) {
            self.completed.push(name);
        }
    }

    /// Binds a machine that was read back to its workflow.
    fn bind(&mut self, workflow: &Workflow) -> Result<(), WorkflowError> {
        self.queues = super::Queues { total: enter::count(workflow), ..super::Queues::default() };
        let ids: Vec<u32> = self.frames.keys().copied().collect();
        // Parents have smaller numbers than what is inside of them.
        for id in ids {
            let parent = self.frames.get(&id).and_then(|f| f.parent);
            let (graph, path) = match parent {
                None => (workflow.clone(), Arc::from([])),
                Some(above) => self.inside(above).ok_or_else(|| {
                    WorkflowError::Diverged("a subgraph of the journal is not in the workflow any more".to_owned())
                })?,
            };
            if let Some(frame) = self.frames.get_mut(&id) {
                frame.bind(&graph)?;
                frame.path = path;
            }
        }
        self.queue_all();
        Ok(())
    }

    fn inside(&self, id: TaskId) -> Option<(Workflow, Arc<[String]>)> {
        let frame = self.frames.get(&id.frame)?;
        let task = frame.tasks.get(id.slot as usize)?;
        if matches!(task.at, At::Lane { .. }) {
            return Some((frame.graph.graph.clone()?, Arc::clone(&frame.path)));
        }
        match &frame.graph()?.nodes.get(task.node as usize)?.body {
            Body::Graph(subgraph) => Some((subgraph.workflow.clone(), frame.task_path(task).into())),
            Body::Leaf(_) => None,
        }
    }

    /// Makes the queues anew from where the tasks stand.
    fn queue_all(&mut self) {
        let total = self.queues.total;
        let mut queues = super::Queues { total, ..super::Queues::default() };
        for (id, _, task) in self.tasks() {
            match &task.at {
                At::Ready => queues.ready.push_back(id),
                At::Running { .. } => queues.running += 1,
                At::Delayed { until } => drop(queues.timers.insert((*until, id))),
                At::Inside { deadline: Some(at), .. } => drop(queues.timers.insert((*at, id))),
                At::Closed { .. } | At::Broken { .. } => queues.closing.push_back(id),
                At::Waiting { expires, .. } => {
                    queues.asking.push_back(id);
                    queues.waiting.insert(id);
                    queues.timers.extend(expires.map(|at| (at, id)));
                }
                At::Held => drop(queues.held.insert(id)),
                At::Inside { .. } | At::Lane { .. } | At::Done { .. } | At::Lost => {}
            }
        }
        self.queues = queues;
    }

    /// All tasks of all frames, with their names.
    pub(super) fn tasks(&self) -> impl Iterator<Item = (TaskId, &super::Frame, &Task)> {
        self.frames.iter().flat_map(|(n, frame)| {
            let id = move |slot| TaskId { frame: *n, step: frame.step, slot };
            (0..).zip(&frame.tasks).map(move |(slot, task)| (id(slot), frame, task))
        })
    }

    pub(super) fn task(&self, id: TaskId) -> Option<&Task> {
        self.frames.get(&id.frame).filter(|f| f.step == id.step)?.tasks.get(id.slot as usize)
    }

    pub(super) fn task_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        self.frames.get_mut(&id.frame).filter(|f| f.step == id.step)?.tasks.get_mut(id.slot as usize)
    }

    /// Says where a task stands now.
    pub(super) fn put(&mut self, id: TaskId, at: At) {
        if let Some(frame) = self.frames.get_mut(&id.frame).filter(|f| f.step == id.step) {
            frame.put(id.slot, at);
        }
    }

    pub(super) fn spec(&self, id: TaskId) -> Option<&Spec> {
        self.frames.get(&id.frame)?.graph()?.nodes.get(self.task(id)?.node as usize)
    }
}
