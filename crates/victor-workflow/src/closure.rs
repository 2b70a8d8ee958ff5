//! Closures as nodes: async ones, and those that only compute.

use std::borrow::Cow;
use std::fmt;

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use crate::error::NodeError;
use crate::node::{Node, NodeCx, NodeOutput, Work};
use crate::route::Route;
use crate::state::Update;

/// What a closure may give as a node's output.
pub trait IntoOutput {
    /// The output.
    ///
    /// # Errors
    /// It has no JSON form, or is no object.
    fn into_output(self) -> Result<NodeOutput, NodeError>;
}

impl IntoOutput for NodeOutput {
    fn into_output(self) -> Result<NodeOutput, NodeError> {
        Ok(self)
    }
}

impl IntoOutput for () {
    fn into_output(self) -> Result<NodeOutput, NodeError> {
        Ok(NodeOutput::nothing())
    }
}

impl IntoOutput for Update {
    fn into_output(self) -> Result<NodeOutput, NodeError> {
        Ok(NodeOutput::update(self))
    }
}

impl IntoOutput for Value {
    fn into_output(self) -> Result<NodeOutput, NodeError> {
        match self {
            Self::Object(update) => Ok(NodeOutput::update(update)),
            Self::Null => Ok(NodeOutput::nothing()),
            other => {
                let kind = crate::state::kind_of(&other);
                Err(NodeError::invalid(format!("a node must give an object of changed keys, not {kind}")))
            }
        }
    }
}

/// Changed keys as a serialisable value of any type: a whole state, or a struct of some of its fields.
#[derive(Clone, Copy, Debug)]
pub struct Patch<T>(pub T);

impl<T: Serialize> IntoOutput for Patch<T> {
    fn into_output(self) -> Result<NodeOutput, NodeError> {
        serde_json::to_value(self.0)?.into_output()
    }
}

type Work1 = dyn Fn(NodeCx) -> BoxFuture<'static, Result<NodeOutput, NodeError>> + Send + Sync;
type Compute1 = dyn Fn(&NodeCx) -> Result<NodeOutput, NodeError> + Send + Sync;

/// An async closure as a node.
pub(crate) struct FnNode(pub(crate) Box<Work1>);

#[async_trait]
impl Node for FnNode {
    fn kind(&self) -> Cow<'static, str> {
        Cow::Borrowed("function")
    }

    async fn run(&self, cx: NodeCx) -> Result<NodeOutput, NodeError> {
        (self.0)(cx).await
    }
}

/// A closure that only computes as a node.
pub struct ComputeNode {
    kind: Cow<'static, str>,
    fingerprint: String,
    targets: Vec<String>,
    compute: Box<Compute1>,
}

impl ComputeNode {
    /// A node of this kind that only computes.
    pub fn new<F>(kind: impl Into<Cow<'static, str>>, compute: F) -> Self
    where
        F: Fn(&NodeCx) -> Result<NodeOutput, NodeError> + Send + Sync + 'static,
    {
        Self { kind: kind.into(), fingerprint: String::new(), targets: Vec::new(), compute: Box::new(compute) }
    }

    /// A node that decides where the run goes: to one of `targets`.
    pub fn condition<T, F>(targets: impl IntoIterator<Item = T>, decide: F) -> Self
    where
        T: Into<String>,
        F: Fn(&NodeCx) -> Result<Route, NodeError> + Send + Sync + 'static,
    {
        let node = Self::new("condition", move |cx| Ok(NodeOutput::route(decide(cx)?)));
        node.targets(targets)
    }

    /// A node that does nothing.
    #[must_use]
    pub fn passthrough() -> Self {
        Self::new("passthrough", |_| Ok(NodeOutput::nothing()))
    }

    /// What it is made of, as text.
    #[must_use]
    pub fn fingerprint(mut self, text: impl Into<String>) -> Self {
        self.fingerprint = text.into();
        self
    }

    /// Where it may route to.
    #[must_use]
    pub fn targets<T: Into<String>>(mut self, targets: impl IntoIterator<Item = T>) -> Self {
        self.targets.extend(targets.into_iter().map(Into::into));
        self
    }
}

impl fmt::Debug for ComputeNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComputeNode").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[async_trait]
impl Node for ComputeNode {
    fn kind(&self) -> Cow<'static, str> {
        self.kind.clone()
    }

    fn work(&self) -> Work {
        Work::Compute
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn targets(&self) -> Vec<String> {
        self.targets.clone()
    }

    fn compute(&self, cx: &NodeCx) -> Option<Result<NodeOutput, NodeError>> {
        Some((self.compute)(cx))
    }

    async fn run(&self, cx: NodeCx) -> Result<NodeOutput, NodeError> {
        (self.compute)(&cx)
    }
}
