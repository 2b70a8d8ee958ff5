//! An agent as a node.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use victor_core::agent::{Agent, AgentSpec, Outcome};
use victor_core::message::Input;

use crate::error::NodeError;
use crate::leave::Worked;
use crate::node::{Node, NodeCx, NodeOutput};
use crate::yaml::narrowest;

type Task = dyn Fn(&NodeCx) -> Result<Input, NodeError> + Send + Sync;
type Read = dyn Fn(&Outcome) -> Result<Value, NodeError> + Send + Sync;

enum Who {
    Agent(Box<Agent>),
    Spec(Box<AgentSpec>),
}

/// A node that gives an agent a task and puts its answer into the state.
pub struct AgentNode {
    who: Who,
    task: Box<Task>,
    read: Arc<Read>,
    output: Option<String>,
    fingerprint: String,
}

impl AgentNode {
    /// Gives `agent` what `task` makes of the state.
    pub fn new(agent: Agent, task: impl Fn(&NodeCx) -> Result<Input, NodeError> + Send + Sync + 'static) -> Self {
        Self::with(Who::Agent(Box::new(agent)), Box::new(task))
    }

    /// As [`new`](Self::new), with an agent that is made by name when the node runs.
    pub fn of_spec(
        spec: impl Into<AgentSpec>,
        task: impl Fn(&NodeCx) -> Result<Input, NodeError> + Send + Sync + 'static,
    ) -> Self {
        Self::with(Who::Spec(Box::new(spec.into())), Box::new(task))
    }

    fn with(who: Who, task: Box<Task>) -> Self {
        Self { who, task, read: Arc::new(answer), output: None, fingerprint: String::new() }
    }

    /// The key of the state that the answer is put in; the node's name unless said otherwise.
    #[must_use]
    pub fn output(mut self, key: impl Into<String>) -> Self {
        self.output = Some(key.into());
        self
    }

    /// How the answer is read; [`answer`] unless said otherwise.
    #[must_use]
    pub fn read(mut self, read: impl Fn(&Outcome) -> Result<Value, NodeError> + Send + Sync + 'static) -> Self {
        self.read = Arc::new(read);
        self
    }

    /// What it is made of, as text.
    #[must_use]
    pub fn fingerprint(mut self, text: impl Into<String>) -> Self {
        self.fingerprint = text.into();
        self
    }
}

/// An agent's answer as a value: its structured form, else its text; JSON, where the whole text is a JSON object or
/// list, bare or in a code fence.
///
/// # Errors
/// None; the type is that of all readers.
pub fn answer(outcome: &Outcome) -> Result<Value, NodeError> {
    if let Some(value) = &outcome.structured {
        return Ok(value.clone());
    }
    let text = outcome.text.trim();
    let inner = text.strip_prefix("```json").or_else(|| text.strip_prefix("```")).and_then(|t| t.strip_suffix("```"));
    let json: Option<Value> = serde_json::from_str(inner.unwrap_or(text)).ok();
    Ok(json.filter(|v| v.is_object() || v.is_array()).unwrap_or_else(|| Value::String(outcome.text.clone())))
}

/// An agent that may do no more than the run.
async fn made(cx: &NodeCx, mut spec: AgentSpec) -> Result<Agent, NodeError> {
    let agent = Agent::create(cx.runtime(), spec.clone()).await?;
    let mode = narrowest(Some(agent.mode()), Some(cx.scope().mode()));
    let (own, run) = (agent.tools().await, cx.scope().tool_set());
    let names = own.tools().iter().map(|t| t.spec().name.as_str());
    let all = mode == Some(agent.mode()) && names.clone().all(|name| run.get(name).is_some());
    if all {
        return Ok(agent);
    }
    let shared = names.filter(|name| run.get(name).is_some()).map(globset::escape);
    (spec.mode, spec.tools) = (mode, Some(shared.collect()));
    Ok(Agent::create(cx.runtime(), spec).await?)
}

#[async_trait]
impl Node for AgentNode {
    fn kind(&self) -> Cow<'static, str> {
        Cow::Borrowed("agent")
    }

    fn fingerprint(&self) -> String {
        match &self.who {
            Who::Agent(agent) => format!("{:?} {}", agent, self.fingerprint),
            Who::Spec(spec) => format!("{:?} {:?} {}", spec, self.output, self.fingerprint),
        }
    }

    async fn run(&self, cx: NodeCx) -> Result<NodeOutput, NodeError> {
        let task = (self.task)(&cx)?;
        let agent = match &self.who {
            Who::Agent(agent) => Agent::clone(agent),
            Who::Spec(spec) => made(&cx, AgentSpec::clone(spec)).await?,
        };
        let outcome = match cx.agent_or_ask(&agent, "agent", task).await? {
            Worked::Done(outcome) => outcome,
            Worked::Asks(ask) => return Ok(ask),
        };
        let key = self.output.clone().unwrap_or_else(|| cx.node().to_owned());
        Ok(NodeOutput::set(key, (self.read)(&outcome)?))
    }
}
