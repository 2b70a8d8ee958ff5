//! An agent as a tool of another agent.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::error::ToolError;
use crate::tool::{DynTool, Effects, Plan, ToolCx, ToolOutput, ToolSpec, parameters_of};

use super::outcome::Status;
use super::{Agent, Part};

/// The arguments of an agent that is a tool.
#[derive(Deserialize, JsonSchema)]
struct TaskArgs {
    /// The task, complete in itself: the agent sees nothing else of the conversation.
    task: String,
}

struct AgentTool {
    agent: Agent,
    spec: Arc<ToolSpec>,
}

pub(super) fn as_tool(agent: Agent, name: &str, description: &str) -> Arc<dyn DynTool> {
    let effects = Effects::AGENT;
    let spec = Arc::new(ToolSpec::new(name, description, "agents", parameters_of::<TaskArgs>(), effects));
    Arc::new(AgentTool { agent, spec })
}

#[async_trait]
impl DynTool for AgentTool {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn plan(&self, args: Value, _: &ToolCx) -> Result<Plan, ToolError> {
        let args: TaskArgs = serde_json::from_value(args).map_err(|e| ToolError::Model(e.to_string()))?;
        let agent = self.agent.clone();
        Ok(Plan::new(Effects::AGENT, move |_permit, cx: ToolCx| async move {
            let parent = cx.scope().ok_or_else(|| ToolError::model("an agent can only be called in a run"))?;
            let ended = parent.run_part(&agent, Part::named(cx.call.as_str()), args.task).await;
            let outcome = ended.into_result().map_err(|e| ToolError::Model(format!("the agent failed: {e}")))?;
            let output = match outcome.status {
                Status::Completed => ToolOutput::text(outcome.text),
                status => ToolOutput::text(format!("ended as {}: {}", status.name(), outcome.text)).failed(),
            };
            Ok(output)
        }))
    }
}
