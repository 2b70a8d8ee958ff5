//! Nodes: what a workflow does at one place, and what a node may use while it works.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use victor_core::agent::{Agent, Outcome, PartOptions, RunScope, Status, Unanswered};
use victor_core::id::{RunId, SessionId, Timestamp};
use victor_core::message::Input;
use victor_core::question::QuestionKind;
use victor_core::runtime::Runtime;
use victor_core::tool::ToolOutput;

pub use crate::closure::{ComputeNode, IntoOutput, Patch};
use crate::error::NodeError;
use crate::route::Route;
use crate::state::Update;
use crate::task::{Start, TaskId};

/// What a workflow does at one place.
#[async_trait]
pub trait Node: Send + Sync + 'static {
    /// What kind of node, in a word (`agent`, `tool`, `condition`, ...).
    fn kind(&self) -> Cow<'static, str>;

    /// What it does beside computing.
    fn work(&self) -> Work {
        Work::Effects
    }

    /// What it is made of, as text: a run that was begun with another text is not continued silently.
    fn fingerprint(&self) -> String {
        String::new()
    }

    /// Where it may route to by itself; the graph is checked with these.
    fn targets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Does the work at once, without waiting, where it only computes. `None` sends the engine to [`run`](Self::run).
    fn compute(&self, _cx: &NodeCx) -> Option<Result<NodeOutput, NodeError>> {
        None
    }

    /// Does the work. A panic is a failure of the node. Dropped when the node is stopped.
    async fn run(&self, cx: NodeCx) -> Result<NodeOutput, NodeError>;
}

/// What a node does beside computing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing that anybody sees: run twice it does no harm, so it may run ahead of the checkpoints before it.
    Compute,
    /// It calls a model, a tool, a person or the world: all checkpoints before it are written first.
    Effects,
}

/// What a node says when it is done.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NodeOutput {
    /// It did its work.
    Done {
        /// What changes in the state.
        update: Update,
        /// Where to go; [`Route::Next`] follows the edges.
        route: Route,
    },
    /// It asks a person, and runs again when there is an answer: see [`NodeCx::answers`].
    Ask(Box<Ask>),
}

impl NodeOutput {
    /// Nothing changes; the edges say where to go.
    #[must_use]
    pub fn nothing() -> Self {
        Self::Done { update: Update::new(), route: Route::Next }
    }

    /// These keys change.
    #[must_use]
    pub fn update(update: Update) -> Self {
        Self::Done { update, route: Route::Next }
    }

    /// One key changes.
    pub fn set(key: impl Into<String>, value: impl Into<Value>) -> Self {
        let mut update = Update::new();
        update.insert(key.into(), value.into());
        Self::update(update)
    }

    /// Goes there instead of along the edges.
    #[must_use]
    pub fn goto(self, route: Route) -> Self {
        match self {
            Self::Done { update, .. } => Self::Done { update, route },
            ask @ Self::Ask(_) => ask,
        }
    }

    /// Nothing changes, and the run goes there.
    #[must_use]
    pub fn route(route: Route) -> Self {
        Self::nothing().goto(route)
    }

    /// Asks a person.
    #[must_use]
    pub fn ask(ask: Ask) -> Self {
        Self::Ask(Box::new(ask))
    }
}

/// A question that a node asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// What kind of answer it wants.
    pub kind: QuestionKind,
    /// What the person reads.
    pub prompt: String,
    /// What a choice is made among.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// More for the person to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// How long an answer is waited for; for ever, if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What counts where nobody answers.
    pub fallback: Fallback,
    /// What the node wants to have again when there is an answer: see [`NodeCx::kept`]. Nobody else sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Value>,
}

/// What counts where nobody answers. Never a yes, unless the workflow says so itself with a value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// The node fails as aborted.
    #[default]
    Abort,
    /// The run goes on along the node's edges, unanswered.
    Continue,
    /// The run goes on at this node.
    Goto(String),
    /// This counts as the answer.
    Value(Value),
}

/// What was answered to a question of the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Answered {
    /// A person said so.
    Person {
        /// What.
        value: Value,
    },
    /// There was nobody to ask.
    Fallback {
        /// What counts.
        fallback: Fallback,
    },
    /// The time was up.
    Timeout {
        /// What counts.
        fallback: Fallback,
    },
}

impl Answered {
    /// Who decided, in a word.
    #[must_use]
    pub fn by(&self) -> &'static str {
        match self {
            Self::Person { .. } => "person",
            Self::Fallback { .. } => "fallback",
            Self::Timeout { .. } => "timeout",
        }
    }

    /// The answer, where there is one: what a person said, or the fallback's value.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Person { value }
            | Self::Fallback { fallback: Fallback::Value(value) }
            | Self::Timeout { fallback: Fallback::Value(value) } => Some(value),
            Self::Fallback { .. } | Self::Timeout { .. } => None,
        }
    }
}

/// What all nodes of a run share.
#[derive(Debug)]
pub struct RunContext {
    /// The part of core that the run's agents and tools work in.
    pub scope: RunScope,
    /// The name of the root workflow.
    pub workflow: Arc<str>,
    /// The session that it belongs to, where it does.
    pub session: Option<SessionId>,
    /// What becomes of a call that needs leave which is given later.
    pub unanswered: Unanswered,
}

/// What a node may use while it works.
#[derive(Debug)]
pub struct NodeCx {
    run: Arc<RunContext>,
    start: Start,
    cancel: CancellationToken,
    part: Arc<OnceLock<RunScope>>,
}

impl NodeCx {
    /// What `start` may use in `run`; it ends with `cancel`.
    #[must_use]
    pub fn new(run: Arc<RunContext>, start: Start, cancel: CancellationToken) -> Self {
        Self { run, start, cancel, part: Arc::default() }
    }

    /// The part of the run that the node becomes once it uses it.
    pub(crate) fn part(&self) -> Arc<OnceLock<RunScope>> {
        Arc::clone(&self.part)
    }

    /// The state when the node began.
    #[must_use]
    pub fn state(&self) -> &Value {
        &self.start.state
    }

    /// The state, to be kept.
    #[must_use]
    pub fn shared_state(&self) -> Arc<Value> {
        Arc::clone(&self.start.state)
    }

    /// The input of its own, where it was sent one.
    #[must_use]
    pub fn input(&self) -> Option<&Value> {
        self.start.input.as_ref()
    }

    /// The answers to what the node has asked so far, in order.
    #[must_use]
    pub fn answers(&self) -> &[Answered] {
        &self.start.answers
    }

    /// What the node kept when it asked for the last time.
    #[must_use]
    pub fn kept(&self) -> Option<&Value> {
        self.start.kept.as_deref()
    }

    /// What becomes of a call of the node that needs leave which is given later.
    #[must_use]
    pub fn unanswered(&self) -> Unanswered {
        self.run.unanswered
    }

    /// The piece of work that it does.
    #[must_use]
    pub fn task(&self) -> TaskId {
        self.start.task
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.start.node
    }

    /// The name of the root workflow.
    #[must_use]
    pub fn workflow(&self) -> &str {
        &self.run.workflow
    }

    /// The run.
    #[must_use]
    pub fn run_id(&self) -> RunId {
        self.run.scope.run_id()
    }

    /// Which try this is, counted from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.start.attempt
    }

    /// Which time the node runs, counted from 1.
    #[must_use]
    pub fn iteration(&self) -> u32 {
        self.start.iteration
    }

    /// When this try began.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.start.at
    }

    /// The same for every try of this piece of work, also after a crash, and for no other: for services that take a
    /// key to do a thing only once.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}", self.run_id(), self.start.place())
    }

    /// What ends the node when cancelled.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    /// The runtime.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        self.run.scope.runtime()
    }

    /// A variable of the run: `workflow_name`, `node_id`, `timestamp`, `workspace`, `project_root`, `mode`,
    /// `session_id`.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<Value> {
        Some(match name {
            "workflow_name" => json!(&*self.run.workflow),
            "node_id" => json!(&*self.start.node),
            "timestamp" => json!(self.start.at),
            "workspace" | "project_root" => json!(self.runtime().workspace().root.to_string_lossy()),
            "mode" => json!(self.run.scope.mode()),
            "session_id" => json!(self.run.session.as_ref().map(SessionId::as_str)),
            _ => return None,
        })
    }

    /// All variables of the run.
    #[must_use]
    pub fn variables(&self) -> Update {
        VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), self.variable(name)?))).collect()
    }

    /// The part of the run that this node is: for agents and tools of one's own. Its events have the node's path.
    pub fn scope(&self) -> &RunScope {
        self.part.get_or_init(|| {
            let (path, cancel) = (self.start.event_path(), self.cancel.clone());
            let spent = crate::leave::spent_before(self.kept());
            self.run.scope.part_of(PartOptions { path, cancel, spent, ..PartOptions::default() })
        })
    }

    /// Runs an agent as a part of the run: same budget, approver and stream of events. `name` sets its events apart
    /// from those of the node's other agents; two with one name must not run at the same time.
    ///
    /// # Errors
    /// It failed, reached a limit, was denied or cancelled.
    pub async fn agent(&self, agent: &Agent, name: &str, input: impl Into<Input>) -> Result<Outcome, NodeError> {
        let outcome = self.scope().run_agent(agent, name, input).await?;
        finished(outcome)
    }

    /// Calls a tool on the run's permission path.
    ///
    /// # Errors
    /// Unknown tool, wrong arguments, denial, failure.
    pub async fn tool(&self, name: &str, arguments: Value) -> Result<ToolOutput, NodeError> {
        Ok(self.scope().call_tool(name, arguments).await?)
    }
}

/// The names of the variables of a run.
pub const VARIABLES: [&str; 7] =
    ["workflow_name", "node_id", "timestamp", "workspace", "project_root", "mode", "session_id"];

/// The outcome of an agent that was done; what else happened is a node's error.
///
/// # Errors
/// It reached a limit, was denied or cancelled, or failed.
pub fn finished(outcome: Outcome) -> Result<Outcome, NodeError> {
    let why = |what: &str| match outcome.text.trim() {
        "" => format!("the agent {what}"),
        text => format!("the agent {what}; it last said: {}", text.chars().take(200).collect::<String>()),
    };
    match outcome.status {
        Status::Completed => Ok(outcome),
        Status::Limit => {
            let limit = outcome.limit.map_or_else(|| "a limit".to_owned(), |l| l.to_string());
            Err(NodeError::with_code("LIMIT_EXCEEDED", why(&format!("reached {limit}"))))
        }
        Status::Denied => {
            let reasons: Vec<_> = outcome.denied.iter().map(|d| format!("{}: {}", d.tool, d.reason)).collect();
            let text = why(&format!("was denied what it needed ({})", reasons.join("; ")));
            Err(NodeError::with_code("PERMISSION_DENIED", text))
        }
        Status::Cancelled => Err(NodeError::cancelled()),
        _ => match &outcome.error {
            Some(e) => Err(NodeError { message: e.message.clone(), ..NodeError::new("") }),
            None => Err(NodeError::new(why("did not finish"))),
        },
    }
}
