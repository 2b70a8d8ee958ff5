//! What templates and conditions of a node read: the state, and the variables of the run over it.

use std::borrow::Cow;

use serde_json::Value;

use crate::error::NodeError;
use crate::expr::Scope;
use crate::node::{NodeCx, VARIABLES};

/// The names that a node can read.
pub(super) struct NodeScope<'a>(pub(super) &'a NodeCx);

impl Scope for NodeScope<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.0.variable(name).map(Cow::Owned).or_else(|| Scope::get(self.0.state(), name))
    }

    fn names(&self) -> Vec<String> {
        let mut names = Scope::names(self.0.state());
        names.extend(VARIABLES.map(ToOwned::to_owned));
        names
    }
}

/// A failure of a node that no retry mends; names the node.
pub(super) fn wrong(cx: &NodeCx, what: &str, why: &dyn std::fmt::Display) -> NodeError {
    NodeError::invalid(format!("node `{}`: {what}{why}", cx.node()))
}
