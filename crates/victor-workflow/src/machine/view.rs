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
        self.tasks().filter_map(|(id, frame, task)| Some((id, self.question_of(frame, task)?)))
    }

    /// The nodes that the run is paused before.
    #[must_use]
    pub fn paused(&self) -> Vec<String> {
        self.tasks().filter(|(_, _, t)| t.at == At::Held).map(|(_, f, t)| f.node_name(t.node).to_string()).collect()
    }

    /// The nodes that work or wait, the innermost ones, each once.
    #[must_use]
    pub fn current(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        if self.end.is_some() {
            return names;
        }
        for (_, frame, task) in self.tasks() {
            let counts = !task.at.is_over() && !matches!(task.at, At::Inside { .. } | At::Lane { .. });
            let name = frame.node_name(task.node);
            if counts && names.last().is_none_or(|n| **n != *name) && !names.iter().any(|n| **n == *name) {
                names.push(name.to_string());
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
        let waits = |at: &At| match at {
            At::Waiting { .. } | At::Held | At::Inside { .. } | At::Lane { .. } | At::Done { .. } | At::Lost => true,
            At::Ready | At::Running { .. } | At::Delayed { .. } | At::Closed { .. } | At::Broken { .. } => false,
        };
        self.end.is_none() && self.queues.posed.is_empty() && self.tasks().all(|(_, _, t)| waits(&t.at))
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
