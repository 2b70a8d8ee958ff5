//! Where a run goes after a node.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A node that is to run, with an input of its own where it has one (LangGraph: `Send`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Send {
    /// The node.
    pub node: String,
    /// What it works on, beside the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
}

impl Send {
    /// `node` is to run on `input`.
    pub fn new(node: impl Into<String>, input: Value) -> Self {
        Self { node: node.into(), input: Some(input) }
    }
}

/// Where a run goes after a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Along the node's edges.
    #[default]
    Next,
    /// Nowhere: the path ends.
    End,
    /// To these, in this order, all at once.
    To(Vec<Send>),
}

impl Route {
    /// To one node.
    pub fn to(node: impl Into<String>) -> Self {
        Self::To(vec![Send { node: node.into(), input: None }])
    }

    /// To several nodes at once.
    pub fn all<N: Into<String>>(nodes: impl IntoIterator<Item = N>) -> Self {
        Self::To(nodes.into_iter().map(|n| Send { node: n.into(), input: None }).collect())
    }

    /// To nodes with inputs of their own, in this order. None at all ends the path.
    pub fn send(sends: impl IntoIterator<Item = Send>) -> Self {
        Self::To(sends.into_iter().collect())
    }
}

/// How many of several paths have to arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// All.
    #[default]
    All,
    /// The first.
    Any,
    /// So many.
    Count(u32),
}

impl Join {
    /// How many of `all` have to arrive.
    #[must_use]
    pub(crate) fn needed(self, all: u32) -> u32 {
        match self {
            Self::All => all,
            Self::Any => 1.min(all),
            Self::Count(n) => n.min(all),
        }
    }
}
