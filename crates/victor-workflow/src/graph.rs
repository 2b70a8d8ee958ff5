//! A graph under construction: nodes, edges, reducers and limits. [`StateGraph::compile`] makes a [`Workflow`] of it.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use victor_core::error::ConfigurationError;

use crate::check;
use crate::closure::{ComputeNode, FnNode, IntoOutput};
use crate::error::{Mistakes, NodeError};
use crate::node::{Node, NodeCx, NodeOutput};
use crate::route::{Join, Route};
use crate::state::{Reducer, Reducers, Update};
use crate::workflow::Workflow;

/// A name that stands for the end of a path, where a node is named: in edges, targets and routes.
pub const END: &str = "__end__";

/// How often a failed node is tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Tries after the first.
    pub attempts: u32,
    /// How long until the first of them.
    pub delay: Duration,
    /// What the delay is multiplied with each time; 1.0 keeps it.
    pub backoff: f64,
    /// The longest delay.
    pub max_delay: Duration,
}

impl Retry {
    /// So many further tries, `delay` apart.
    #[must_use]
    pub fn new(attempts: u32, delay: Duration) -> Self {
        Self { attempts, delay, backoff: 1.0, max_delay: Duration::from_mins(5) }
    }

    /// The delay is multiplied with `factor` each time.
    #[must_use]
    pub fn backoff(mut self, factor: f64) -> Self {
        self.backoff = factor;
        self
    }

    /// The delay before the try after `attempt`, counted from 1.
    pub(crate) fn delay_after(&self, attempt: u32) -> Duration {
        let power = self.backoff.max(1.0).powi(i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX));
        let seconds = (self.delay.as_secs_f64() * power).min(self.max_delay.as_secs_f64());
        Duration::try_from_secs_f64(seconds).unwrap_or(self.max_delay)
    }
}

/// What happens when a node has failed for good and has no error edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The run fails; inside a subgraph, the node that it stands for does.
    #[default]
    Fail,
    /// The run goes on along the node's edges, with the failure under `error` in the state.
    Continue,
}

/// Limits of a graph. None can be infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps of one run of the graph.
    pub max_steps: u64,
    /// Times that a node runs, where it says nothing itself.
    pub max_iterations: u32,
    /// Bytes of the state, about, as JSON.
    pub max_state_bytes: usize,
    /// Pieces of work at once.
    pub concurrency: u32,
    /// Pieces of work in one step.
    pub max_fan_out: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_steps: 10_000,
            max_iterations: 100,
            max_state_bytes: 16 << 20,
            concurrency: 64,
            max_fan_out: 100_000,
        }
    }
}

type Decide = dyn Fn(&Value) -> Result<Route, NodeError> + Send + Sync;
pub(crate) type Prepare = dyn Fn(Value) -> Result<Update, ConfigurationError> + Send + Sync;
type MapIn = dyn Fn(&Value, Option<&Value>) -> Result<Update, NodeError> + Send + Sync;
type MapOut = dyn Fn(&Value) -> Result<Update, NodeError> + Send + Sync;

/// A conditional edge.
#[derive(Clone)]
pub(crate) struct Branch {
    pub(crate) targets: Vec<String>,
    pub(crate) decide: Arc<Decide>,
}

/// A workflow as a node of another one.
#[derive(Clone)]
pub struct Subgraph {
    pub(crate) workflow: Workflow,
    pub(crate) join: Join,
    pub(crate) input: Option<Arc<MapIn>>,
    pub(crate) output: Option<Arc<MapOut>>,
}

impl Subgraph {
    /// `workflow` works on the same state: it sees all of it, and what it changes is put into it when it is done.
    #[must_use]
    pub fn new(workflow: Workflow) -> Self {
        Self { workflow, join: Join::All, input: None, output: None }
    }

    /// How many of its paths have to come to their end; the others are stopped then.
    #[must_use]
    pub fn join(mut self, join: Join) -> Self {
        self.join = join;
        self
    }

    /// It begins with a state of its own, made of the state and of the input that was sent. Must be pure.
    #[must_use]
    pub fn input(
        mut self,
        map: impl Fn(&Value, Option<&Value>) -> Result<Update, NodeError> + Send + Sync + 'static,
    ) -> Self {
        self.input = Some(Arc::new(map));
        self
    }

    /// What of its last state is put into the state. Must be pure.
    #[must_use]
    pub fn output(mut self, map: impl Fn(&Value) -> Result<Update, NodeError> + Send + Sync + 'static) -> Self {
        self.output = Some(Arc::new(map));
        self
    }
}

/// What a node does.
#[derive(Clone)]
pub(crate) enum Body {
    Leaf(Arc<dyn Node>),
    Graph(Box<Subgraph>),
}

/// A node as it was described.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) body: Body,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) on_error: OnError,
    pub(crate) error_to: Option<String>,
    pub(crate) max_iterations: Option<u32>,
    pub(crate) join: Option<Join>,
}

/// A graph under construction. `S` is the state that async closures get: any type, or [`Value`].
pub struct StateGraph<S = Value> {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) version: String,
    pub(crate) drafts: Vec<Draft>,
    pub(crate) edges: Vec<(String, String)>,
    pub(crate) branches: Vec<(String, Branch)>,
    pub(crate) entries: Vec<String>,
    pub(crate) reducers: Reducers,
    pub(crate) outputs: Option<Vec<String>>,
    pub(crate) prepare: Option<Arc<Prepare>>,
    pub(crate) limits: Limits,
    state: PhantomData<fn() -> S>,
}

impl StateGraph<Value> {
    /// A graph whose state is a JSON object.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self::typed(name)
    }
}

impl<S: Serialize + DeserializeOwned + Send + 'static> StateGraph<S> {
    /// A graph whose state is an `S`, which must be an object in JSON.
    #[must_use]
    pub fn typed(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            version: String::new(),
            drafts: Vec::new(),
            edges: Vec::new(),
            branches: Vec::new(),
            entries: Vec::new(),
            reducers: Reducers::default(),
            outputs: None,
            prepare: None,
            limits: Limits::default(),
            state: PhantomData,
        }
    }

    /// What it is for.
    pub fn description(&mut self, text: impl Into<String>) -> &mut Self {
        self.description = text.into();
        self
    }

    /// A text that changes when closures change what they do: a run of another version is not continued silently.
    pub fn version(&mut self, version: impl Into<String>) -> &mut Self {
        self.version = version.into();
        self
    }

    /// How new values of `key` meet old ones; without it they take their place.
    pub fn reducer(&mut self, key: impl Into<String>, reducer: Reducer) -> &mut Self {
        self.reducers.0.insert(key.into(), reducer);
        self
    }

    /// The keys of the last state that are the result; all, if it is not said.
    pub fn outputs<K: Into<String>>(&mut self, keys: impl IntoIterator<Item = K>) -> &mut Self {
        self.outputs = Some(keys.into_iter().map(Into::into).collect());
        self
    }

    /// Checks what a run is given and makes the state of it that the run begins with. Without it, the input is that
    /// state.
    pub fn prepare(
        &mut self,
        prepare: impl Fn(Value) -> Result<Update, ConfigurationError> + Send + Sync + 'static,
    ) -> &mut Self {
        self.prepare = Some(Arc::new(prepare));
        self
    }

    /// What it may use at most.
    pub fn limits(&mut self, limits: Limits) -> &mut Self {
        self.limits = limits;
        self
    }

    /// Adds a node.
    pub fn add(&mut self, name: impl Into<String>, node: impl Node) -> NodeSlot<'_> {
        self.add_shared(name, Arc::new(node))
    }

    /// Adds a node that others hold too.
    pub fn add_shared(&mut self, name: impl Into<String>, node: Arc<dyn Node>) -> NodeSlot<'_> {
        self.put(name.into(), Body::Leaf(node))
    }

    /// Adds an async closure as a node. It gets the state and gives what changes in it: an object, a
    /// [`Patch`](crate::node::Patch), or a [`NodeOutput`].
    pub fn node<F, Fut, U>(&mut self, name: impl Into<String>, work: F) -> NodeSlot<'_>
    where
        F: Fn(S, NodeCx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<U, NodeError>> + Send + 'static,
        U: IntoOutput,
    {
        let work = move |cx: NodeCx| {
            let state = S::deserialize(cx.state());
            let begun = state.map(|state| work(state, cx));
            let done = async move {
                match begun {
                    Ok(work) => work.await?.into_output(),
                    Err(e) => Err(NodeError::invalid(format!("the state has not the form that the node wants: {e}"))),
                }
            };
            Box::pin(done) as futures::future::BoxFuture<'static, _>
        };
        self.add(name, FnNode(Box::new(work)))
    }

    /// Adds a closure that only computes as a node: it may run ahead of the checkpoints before it, and again after a
    /// crash.
    pub fn compute<F>(&mut self, name: impl Into<String>, compute: F) -> NodeSlot<'_>
    where
        F: Fn(&NodeCx) -> Result<NodeOutput, NodeError> + Send + Sync + 'static,
    {
        self.add(name, ComputeNode::new("function", compute))
    }

    /// Adds a workflow as a node.
    pub fn subgraph(&mut self, name: impl Into<String>, subgraph: Subgraph) -> NodeSlot<'_> {
        self.put(name.into(), Body::Graph(Box::new(subgraph)))
    }

    /// Where it begins; several begin at once. Without one the first node is the entry.
    pub fn entry(&mut self, node: impl Into<String>) -> &mut Self {
        self.entries.push(node.into());
        self
    }

    /// After `from` comes `to`. Several edges from one node are followed all at once, in their order: as branches that
    /// go on by themselves, each on what came before it on its own way. A node that all of them lead to waits for those
    /// that come, and runs once; [`NodeSlot::join`] says otherwise.
    pub fn edge(&mut self, from: impl Into<String>, to: impl Into<String>) -> &mut Self {
        self.edges.push((from.into(), to.into()));
        self
    }

    /// After `from`, `decide` says where to go, with the state as it is then: to some of `targets`. [`Route::send`]
    /// gives each an input of its own.
    pub fn branch<T: Into<String>>(
        &mut self,
        from: impl Into<String>,
        targets: impl IntoIterator<Item = T>,
        decide: impl Fn(&Value) -> Result<Route, NodeError> + Send + Sync + 'static,
    ) -> &mut Self {
        let targets = targets.into_iter().map(Into::into).collect();
        self.branches.push((from.into(), Branch { targets, decide: Arc::new(decide) }));
        self
    }

    /// Checks the graph and makes it ready to run.
    ///
    /// # Errors
    /// All that is wrong with it, at once.
    pub fn compile(self) -> Result<Workflow, Mistakes> {
        check::compile(self)
    }

    fn put(&mut self, name: String, body: Body) -> NodeSlot<'_> {
        let at = self.drafts.len();
        self.drafts.push(Draft {
            name,
            body,
            retry: None,
            timeout: None,
            on_error: OnError::Fail,
            error_to: None,
            max_iterations: None,
            join: None,
        });
        NodeSlot { draft: &mut self.drafts[at] }
    }
}

/// A node that was just added, for more to be said of it.
pub struct NodeSlot<'a> {
    draft: &'a mut Draft,
}

impl NodeSlot<'_> {
    /// How often it is tried again when it fails.
    pub fn retry(self, retry: Retry) -> Self {
        self.draft.retry = Some(retry);
        self
    }

    /// How long one try may take; for a subgraph, all of it.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.draft.timeout = Some(timeout);
        self
    }

    /// What happens when it has failed for good.
    pub fn on_error(self, on_error: OnError) -> Self {
        self.draft.on_error = on_error;
        self
    }

    /// Where to go when it has failed for good; the failure stands under `error` in the state.
    pub fn error_to(self, node: impl Into<String>) -> Self {
        self.draft.error_to = Some(node.into());
        self
    }

    /// How many times it may run.
    pub fn max_iterations(self, times: u32) -> Self {
        self.draft.max_iterations = Some(times);
        self
    }

    /// It waits until so many of the nodes with edges to it were done. Without it, it waits where all branches meet at
    /// it for those that come; elsewhere it runs after each step in which one of them was done.
    pub fn join(self, join: Join) -> Self {
        self.draft.join = Some(join);
        self
    }
}
