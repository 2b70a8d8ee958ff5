//! What a machine shows of itself: questions, what works, what was done.

use victor_core::id::Timestamp;
use victor_core::question::Question;

use crate::task::TaskId;

use super::Machine;
use super::frame::{At, Frame, Task};

impl Machine {
    /// The question that a task asks, if it does.
    pub(super) fn question(&self, id: TaskId) -> Option<Question> {
        let frame = self.frames.get(&id.frame)?;
        self.question_of(frame, self.task(id)?)
    }

    fn question_of(&self, frame: &Frame, task: &Task) -> Option<Question> {
        let At::Waiting { ask, since, expires } = &task.at else { return None };
        Some(Question {
            id: question_id(frame, task),
            run_id: self.run,
            node: frame.node_name(task.node).to_string(),
            kind: ask.kind,
            prompt: ask.prompt.clone(),
            options: ask.options.clone(),
            details: ask.details.clone(),
            asked_at: *since,
            expires_at: *expires,
        })
    }

    /// What a question that the task asks now is answered by.
    pub(super) fn question_id(&self, id: TaskId) -> String {
        match (self.frames.get(&id.frame), self.task(id)) {
            (Some(frame), Some(task)) => question_id(frame, task),
            _ => String::new(),
        }
    }

    /// The open questions, in the order of the pieces of work.
    pub fn questions(&self) -> impl Iterator<Item = (TaskId, Question)> {
        self.queues.waiting.iter().filter_map(|id| Some((*id, self.question(*id)?)))
    }

    /// The nodes that the run is paused before.
    #[must_use]
    pub fn paused(&self) -> Vec<String> {
        let held = |id: &TaskId| self.task(*id).filter(|task| task.at == At::Held);
        let name = |id: &TaskId| Some(self.frames.get(&id.frame)?.node_name(held(id)?.node).to_string());
        self.queues.held.iter().filter_map(name).collect()
    }

    /// The nodes that work or wait, the innermost ones, each once.
    #[must_use]
    pub fn current(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        if self.end.is_some() {
            return names;
        }
        for frame in self.frames.values() {
            for (node, _) in (0..).zip(&frame.busy).filter(|(_, busy)| **busy > 0) {
                let name = frame.node_name(node);
                if !names.iter().any(|n| **n == *name) {
                    names.push(name.to_string());
                }
            }
        }
        names
    }

    /// The nodes that were done, in the order in which they first were; inside of subgraphs with the path to them.
    #[must_use]
    pub fn completed(&self) -> &[String] {
        &self.completed
    }

    /// Nodes that were done, as a part of all: from 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of nodes")]
    pub fn progress_made(&self) -> f64 {
        match (&self.end, self.queues.total) {
            (Some(super::End::Completed), _) | (_, 0) => 1.0,
            (_, total) => (self.completed.len() as f64 / total as f64).min(1.0),
        }
    }

    /// Whether nothing works or is due, and people have to answer or to continue the run.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let queues = &self.queues;
        let idle = queues.ready.is_empty() && queues.closing.is_empty() && queues.posed.is_empty();
        self.end.is_none() && idle && !self.is_working()
    }

    /// Whether a node works, or is tried again by itself.
    pub(crate) fn is_working(&self) -> bool {
        self.queues.running > 0 || self.has_delayed()
    }

    /// When the earliest question's time is up, or a retry is due.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.queues.timers.first().map(|(at, _)| *at)
    }
}

fn question_id(frame: &Frame, task: &Task) -> String {
    let place = frame.task_path(task).join("/");
    match task.answers.len() {
        0 => place,
        n => format!("{place}:{}", n + 1),
    }
}
