//! An agent with a goal.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use globset::{Glob, GlobMatcher};
use victor_core::agent::{Agent, AgentSpec};
use victor_core::error::ConfigurationError;
use victor_core::permission::Mode;
use victor_core::provider::Selector;
use victor_core::request::{OutputSchema, Params};
use victor_core::tool::DynTool;
use victor_core::usage::{Budget, NanoUsd};

use super::super::document::Names;
use super::super::node::{AgentNode, Node};
use super::Shared;
use super::budget::{Calls, Counted};
use super::scope::{NodeScope, wrong};
use crate::agent::answer;
use crate::error::NodeError;
use crate::leave::Worked;
use crate::node::{Node as Runs, NodeCx, NodeOutput};
use crate::template::Template;
use crate::workflow_tool::RUN_WORKFLOW;

/// An agent as a node.
pub(super) struct Step {
    goal: Template,
    system: Option<Template>,
    role: Option<String>,
    spec: AgentSpec,
    filter: ToolFilter,
    tool_budget: Option<u32>,
    output: String,
    fingerprint: String,
}

/// Which tools an agent may use.
#[derive(Clone, Debug, Default)]
pub(super) struct ToolFilter {
    /// Lists that a tool must be in; none for all.
    allowed: Vec<Vec<String>>,
    /// Tools that it may not use.
    forbidden: Vec<String>,
}

/// The agent of a node.
pub(super) fn step(node: &Node, agent: &AgentNode, shared: Shared<'_>) -> Result<Step, String> {
    let template = |text: &str| Template::parse(text, shared.environment).map_err(|e| e.0);
    let text = |t: &super::super::At<String>| t.value.clone();
    let schema = agent.output_schema.as_ref().map(|s| {
        let name = node.id().chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect();
        Arc::new(OutputSchema { name, schema: s.value.clone() })
    });
    let spec = AgentSpec {
        selector: Selector { provider: agent.provider.as_ref().map(text), model: agent.model.as_ref().map(text) },
        profile: agent.profile.as_ref().map(text),
        mode: narrowest(agent.mode.as_ref().map(|m| m.value), shared.mode),
        params: Params {
            max_tokens: agent.max_tokens.as_ref().map(|m| m.value),
            temperature: agent.temperature.as_ref().map(|t| t.value),
            ..Params::default()
        },
        budget: Budget {
            max_turns: agent.max_turns.as_ref().map(|m| m.value),
            max_cost: agent.max_cost.as_ref().map(|c| NanoUsd::from_dollars(c.value)),
            ..Budget::default()
        },
        output_schema: schema,
        ..AgentSpec::default()
    };
    let names = |names: &Names| names.0.iter().map(|n| n.value.clone()).collect::<Vec<_>>();
    Ok(Step {
        goal: template(&agent.goal.value)?,
        system: agent.system.as_ref().map(|s| template(&s.value)).transpose()?,
        role: agent.role.clone(),
        spec,
        filter: ToolFilter {
            allowed: [&agent.tools, &agent.allowed_tools].into_iter().flatten().map(names).collect(),
            forbidden: agent.forbidden_tools.as_ref().map(names).unwrap_or_default(),
        },
        tool_budget: agent.tool_budget.as_ref().map(|b| b.value),
        output: node.output().to_owned(),
        fingerprint: format!("{:?} {:?} {:?}", node.kind, node.common.output, shared.mode),
    })
}

/// The mode that allows less; of two that each allow something else, one that only reads.
pub(crate) fn narrowest(a: Option<Mode>, b: Option<Mode>) -> Option<Mode> {
    let (Some(a), Some(b)) = (a, b) else { return a.or(b) };
    Some(if b.permits(a.ceiling()) {
        a
    } else if a.permits(b.ceiling()) {
        b
    } else {
        Mode::Explore
    })
}

impl ToolFilter {
    /// Takes the tools that it does not let through out of `tools`. The first list of `allowed` has been seen to.
    fn narrow(&self, tools: &mut Vec<Arc<dyn DynTool>>) -> Result<(), ConfigurationError> {
        for list in self.allowed.iter().skip(1) {
            let globs = matchers(list)?;
            tools.retain(|t| globs.iter().any(|g| g.is_match(&t.spec().name)));
        }
        let unwanted = matchers(&self.forbidden)?;
        tools.retain(|t| !unwanted.iter().any(|g| g.is_match(&t.spec().name)));
        Ok(())
    }
}

fn matchers(globs: &[String]) -> Result<Vec<GlobMatcher>, ConfigurationError> {
    let matcher = |text: &String| {
        let fail = |e| ConfigurationError::new(format!("`{text}` is neither a tool's name nor a glob: {e}"));
        Glob::new(text).map(|g| g.compile_matcher()).map_err(fail)
    };
    globs.iter().map(matcher).collect()
}

/// An agent that may do no more than the run, with the tools that a filter lets through, and calls counted where they
/// are limited.
pub(super) async fn make(
    cx: &NodeCx,
    mut spec: AgentSpec,
    filter: &ToolFilter,
    calls: Option<&Arc<Calls>>,
) -> Result<Agent, NodeError> {
    let most = cx.scope().mode();
    spec.tools = filter.allowed.first().cloned();
    let mut agent = Agent::create(cx.runtime(), spec.clone()).await?;
    let mode = narrowest(Some(agent.mode()), Some(most));
    if mode != Some(agent.mode()) {
        spec.mode = mode;
        agent = Agent::create(cx.runtime(), spec.clone()).await?;
    }
    let all = agent.tools().await;
    let run = cx.scope().tool_set();
    let mut tools: Vec<_> = all.tools().iter().filter(|t| run.get(&t.spec().name).is_some()).cloned().collect();
    filter.narrow(&mut tools)?;
    if filter.allowed.is_empty() {
        // An agent of a workflow runs others only where its node says so.
        tools.retain(|t| t.spec().name != RUN_WORKFLOW);
    }
    if tools.len() == all.tools().len() && calls.is_none() {
        return Ok(agent);
    }
    spec.tools = Some(tools.iter().map(|t| globset::escape(&t.spec().name)).collect());
    let mut builder = Agent::builder().spec(spec);
    if let Some(calls) = calls {
        for tool in tools {
            builder = builder.tool(Arc::new(Counted { tool, calls: Arc::clone(calls) }));
        }
    }
    Ok(builder.build(cx.runtime()).await?)
}

#[async_trait]
impl Runs for Step {
    fn kind(&self) -> Cow<'static, str> {
        Cow::Borrowed("agent")
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    async fn run(&self, cx: NodeCx) -> Result<NodeOutput, NodeError> {
        let fail = |e: crate::template::TemplateError| wrong(&cx, "", &e);
        let goal = self.goal.render(&NodeScope(&cx)).map_err(fail)?;
        let role = self.role.as_ref().map(|r| format!("You are the {r} of this workflow."));
        let system = self.system.as_ref().map(|s| s.render(&NodeScope(&cx))).transpose().map_err(fail)?;
        let system: Vec<String> = role.into_iter().chain(system).collect();
        let mut spec = self.spec.clone();
        if !system.is_empty() {
            spec.system = Some(system.join("\n\n"));
        }
        let calls = self.tool_budget.map(|budget| Calls::going_on(budget, cx.kept()));
        let agent = make(&cx, spec, &self.filter, calls.as_ref()).await?;
        match cx.agent_or_ask(&agent, "agent", goal).await? {
            Worked::Done(outcome) => Ok(NodeOutput::set(self.output.clone(), answer(&outcome)?)),
            Worked::Asks(mut ask) => {
                if let Some(calls) = calls {
                    calls.keep(&mut ask);
                }
                Ok(ask)
            }
        }
    }
}
