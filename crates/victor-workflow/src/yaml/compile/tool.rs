//! One call of a tool.

use std::borrow::Cow;

use async_trait::async_trait;
use serde_json::Value;
use victor_core::permission::Mode;

use super::super::node::{Node, ToolNode};
use super::Shared;
use super::scope::{NodeScope, wrong};
use crate::error::NodeError;
use crate::leave::Worked;
use crate::node::{Node as Runs, NodeCx, NodeOutput};
use crate::template::Shape;
use crate::tool::answer_of;

/// A call with templates as arguments.
pub(super) struct Step {
    tool: String,
    arguments: Shape,
    output: String,
    mode: Option<Mode>,
    fingerprint: String,
}

/// The call of a node.
pub(super) fn step(node: &Node, tool: &ToolNode, shared: Shared<'_>) -> Result<Step, String> {
    let none = Value::Object(serde_json::Map::new());
    let arguments = tool.arguments.as_ref().map_or(&none, |a| &a.value);
    Ok(Step {
        tool: tool.tool.value.clone(),
        arguments: Shape::parse(arguments, shared.environment).map_err(|e| e.0)?,
        output: node.output().to_owned(),
        mode: shared.mode,
        fingerprint: format!("{:?} {:?} {:?}", node.kind, node.common.output, shared.mode),
    })
}

#[async_trait]
impl Runs for Step {
    fn kind(&self) -> Cow<'static, str> {
        Cow::Borrowed("tool")
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    async fn run(&self, cx: NodeCx) -> Result<NodeOutput, NodeError> {
        if let Some(mode) = self.mode {
            let tools = cx.runtime().tool_set().await;
            if tools.get(&self.tool).is_some_and(|t| !mode.permits(t.spec().effects)) {
                let message = format!("node `{}`: `{}` is not allowed in mode {}", cx.node(), self.tool, mode.name());
                return Err(NodeError::with_code("PERMISSION_DENIED", message));
            }
        }
        let arguments = self.arguments.value(&NodeScope(&cx)).map_err(|e| wrong(&cx, "", &e))?;
        let output = match cx.tool_or_ask(&self.tool, arguments).await? {
            Worked::Done(output) => output,
            Worked::Asks(ask) => return Ok(ask),
        };
        let failed = output.is_error;
        let value = answer_of(output);
        if failed {
            let text = crate::template::as_text(&value);
            let short: String = text.chars().take(300).collect();
            return Err(NodeError::new(format!("node `{}`: `{}` failed: {short}", cx.node(), self.tool)));
        }
        Ok(NodeOutput::set(self.output.clone(), value))
    }
}
