//! A compiled workflow: checked, unchangeable, cheap to clone.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use victor_core::error::ConfigurationError;

use crate::graph::{Body, Branch, Limits, OnError, Prepare, Retry};
use crate::route::Join;
use crate::state::{Reducers, Update, kind_of};

/// A workflow that was checked and can run.
#[derive(Clone)]
pub struct Workflow(pub(crate) Arc<Graph>);

pub(crate) struct Graph {
    pub(crate) name: Arc<str>,
    pub(crate) description: String,
    pub(crate) version: String,
    pub(crate) nodes: Vec<Spec>,
    pub(crate) by_name: HashMap<Arc<str>, u32>,
    pub(crate) entries: Vec<u32>,
    pub(crate) reducers: Reducers,
    pub(crate) outputs: Option<Vec<String>>,
    pub(crate) prepare: Option<Arc<Prepare>>,
    pub(crate) limits: Limits,
    /// Of each node, and of the rest under an empty name, what it was made of.
    pub(crate) prints: BTreeMap<String, String>,
    pub(crate) hash: String,
}

pub(crate) struct Spec {
    pub(crate) name: Arc<str>,
    pub(crate) body: Body,
    pub(crate) edges: Vec<u32>,
    pub(crate) branches: Vec<Branch>,
    /// All that it may go to: edges, branches and routes of its own.
    pub(crate) targets: Vec<u32>,
    pub(crate) error_to: Option<u32>,
    pub(crate) on_error: OnError,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_iterations: u32,
    pub(crate) join: Option<Join>,
    /// The nodes that may go to it.
    pub(crate) sources: u32,
}

/// What a drawing or a list shows of a node.
#[derive(Clone, Debug)]
pub struct NodeView<'a> {
    /// Its name.
    pub name: &'a str,
    /// What kind of node, in a word.
    pub kind: String,
    /// Where its edges lead.
    pub edges: Vec<&'a str>,
    /// Where it may be sent instead, by conditions and routes.
    pub branches: Vec<&'a str>,
    /// Where it goes after a failure.
    pub error_to: Option<&'a str>,
    /// The workflow that it stands for, where it does.
    pub inside: Option<&'a Workflow>,
}

impl Workflow {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is for.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.0.description
    }

    /// The text that says which version it is, where one was given.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// What it is made of, in short: another workflow has another hash.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.0.hash
    }

    /// The names of the nodes that it begins with.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        self.0.entries.iter().map(|n| &*self.0.node(*n).name)
    }

    /// The state that a run begins with that is given `input`.
    ///
    /// # Errors
    /// The input is no object, or not what the workflow wants; all that is wrong with it.
    pub fn prepare(&self, input: Value) -> Result<Update, ConfigurationError> {
        match (&self.0.prepare, input) {
            (Some(prepare), input) => prepare(input),
            (None, Value::Object(input)) => Ok(input),
            (None, Value::Null) => Ok(Update::new()),
            (None, other) => {
                let text = format!("the input of a workflow is an object, not {}", kind_of(&other));
                Err(ConfigurationError::new(text))
            }
        }
    }

    /// Its nodes, in the order in which they were added.
    pub fn nodes(&self) -> impl Iterator<Item = NodeView<'_>> {
        self.0.nodes.iter().map(|spec| self.view(spec))
    }

    fn view<'a>(&'a self, spec: &'a Spec) -> NodeView<'a> {
        let name = |n: &u32| &*self.0.node(*n).name;
        NodeView {
            name: &spec.name,
            kind: spec.kind(),
            edges: spec.edges.iter().map(name).collect(),
            branches: spec.targets.iter().filter(|t| !spec.edges.contains(t)).map(name).collect(),
            error_to: spec.error_to.as_ref().map(name),
            inside: match &spec.body {
                Body::Graph(subgraph) => Some(&subgraph.workflow),
                Body::Leaf(_) => None,
            },
        }
    }
}

impl Graph {
    /// The node at a place that the graph itself has given out.
    pub(crate) fn node(&self, index: u32) -> &Spec {
        &self.nodes[index as usize]
    }

    /// The result that the last state holds.
    pub(crate) fn result(&self, state: &Value) -> Value {
        let Some(keys) = &self.outputs else { return state.clone() };
        let picked = keys.iter().filter_map(|k| Some((k.clone(), state.get(k)?.clone())));
        Value::Object(picked.collect())
    }
}

impl Spec {
    pub(crate) fn kind(&self) -> String {
        match &self.body {
            Body::Leaf(node) => node.kind().into_owned(),
            Body::Graph(subgraph) if subgraph.workflow.0.entries.len() > 1 => "parallel".to_owned(),
            Body::Graph(_) => "workflow".to_owned(),
        }
    }
}

impl fmt::Debug for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workflow").field("name", &self.0.name).field("hash", &self.0.hash).finish_non_exhaustive()
    }
}
