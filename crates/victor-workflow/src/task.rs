//! Tasks: one piece of work of one node, named the same in every process.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use victor_core::id::Timestamp;

use crate::node::Answered;

/// One piece of work: the `slot`-th of the `step`-th step of a frame. It means the same in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(u32, u64, u32)", into = "(u32, u64, u32)")]
pub struct TaskId {
    /// The frame: 0 for the workflow itself, others for its subgraphs as they are entered.
    pub frame: u32,
    /// The step of the frame, counted from 1.
    pub step: u64,
    /// Its place in the step.
    pub slot: u32,
}

impl From<(u32, u64, u32)> for TaskId {
    fn from((frame, step, slot): (u32, u64, u32)) -> Self {
        Self { frame, step, slot }
    }
}

impl From<TaskId> for (u32, u64, u32) {
    fn from(id: TaskId) -> Self {
        (id.frame, id.step, id.slot)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.frame, self.step, self.slot)
    }
}

/// A node that is to run now.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The piece of work.
    pub task: TaskId,
    /// The node's name.
    pub node: Arc<str>,
    /// Its place in the frame's graph.
    pub(crate) index: u32,
    /// The tasks that lead to its frame from the root.
    pub path: Arc<[String]>,
    /// Which time the node runs in its frame, counted from 1.
    pub iteration: u32,
    /// Which of the pieces of work of this time it is, counted from 0; more than one after a fan-out.
    pub part: u32,
    /// Which try this is, counted from 1.
    pub attempt: u32,
    /// The state that it reads.
    pub state: Arc<Value>,
    /// The input of its own, where it was sent one.
    pub input: Option<Value>,
    /// The answers to what it has asked so far.
    pub answers: Vec<Answered>,
    /// What it kept when it asked for the last time.
    pub kept: Option<Box<Value>>,
    /// Now.
    pub at: Timestamp,
    /// Until when it has to be done.
    pub deadline: Option<Timestamp>,
}

impl Start {
    /// The task's name among those of its frame: the node's name, with its number behind where it is not the first.
    #[must_use]
    pub fn name(&self) -> String {
        task_name(&self.node, self.iteration, self.part)
    }

    /// The task's name among all of the run.
    #[must_use]
    pub fn place(&self) -> String {
        self.event_path().join("/")
    }

    /// The path that the task's own events have.
    pub(crate) fn event_path(&self) -> Vec<String> {
        self.path.iter().cloned().chain([self.name()]).collect()
    }
}

/// The name of a piece of work among those of its frame.
pub(crate) fn task_name(node: &str, iteration: u32, part: u32) -> String {
    match (iteration, part) {
        (1, 0) => node.to_owned(),
        (_, 0) => format!("{node}#{iteration}"),
        _ => format!("{node}#{iteration}.{part}"),
    }
}
