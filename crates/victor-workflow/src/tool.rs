//! A tool as a node: one call, on the run's permission path.

use std::borrow::Cow;

use async_trait::async_trait;
use serde_json::Value;
use victor_core::message::Block;
use victor_core::tool::ToolOutput;

use crate::error::NodeError;
use crate::leave::Worked;
use crate::node::{Node, NodeCx, NodeOutput};

type Arguments = dyn Fn(&NodeCx) -> Result<Value, NodeError> + Send + Sync;

/// A node that calls a tool and puts its answer into the state.
pub struct ToolNode {
    tool: String,
    arguments: Box<Arguments>,
    output: Option<String>,
    fingerprint: String,
}

impl ToolNode {
    /// Calls `tool` with what `arguments` makes of the state.
    pub fn new(
        tool: impl Into<String>,
        arguments: impl Fn(&NodeCx) -> Result<Value, NodeError> + Send + Sync + 'static,
    ) -> Self {
        Self { tool: tool.into(), arguments: Box::new(arguments), output: None, fingerprint: String::new() }
    }

    /// The key of the state that the answer is put in; the node's name unless said otherwise.
    #[must_use]
    pub fn output(mut self, key: impl Into<String>) -> Self {
        self.output = Some(key.into());
        self
    }

    /// What it is made of, as text.
    #[must_use]
    pub fn fingerprint(mut self, text: impl Into<String>) -> Self {
        self.fingerprint = text.into();
        self
    }
}

/// A tool's answer as a value: its form for programs, else its text.
#[must_use]
pub fn answer_of(output: ToolOutput) -> Value {
    output.structured.unwrap_or_else(|| Value::String(text_of(&output.content)))
}

/// The text of an answer.
fn text_of(content: &[Block]) -> String {
    let texts = content.iter().filter_map(|b| match b {
        Block::Text { text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

#[async_trait]
impl Node for ToolNode {
    fn kind(&self) -> Cow<'static, str> {
        Cow::Borrowed("tool")
    }

    fn fingerprint(&self) -> String {
        format!("{} {:?} {}", self.tool, self.output, self.fingerprint)
    }

    async fn run(&self, cx: NodeCx) -> Result<NodeOutput, NodeError> {
        let arguments = (self.arguments)(&cx)?;
        let output = match cx.tool_or_ask(&self.tool, arguments).await? {
            Worked::Done(output) => output,
            Worked::Asks(ask) => return Ok(ask),
        };
        if output.is_error {
            let said = text_of(&output.content);
            let text = format!("the tool `{}` failed: {}", self.tool, said.chars().take(2000).collect::<String>());
            return Err(NodeError { code: Cow::Borrowed("TOOL_EXECUTION_FAILED"), ..NodeError::new(text) });
        }
        let key = self.output.clone().unwrap_or_else(|| cx.node().to_owned());
        Ok(NodeOutput::set(key, answer_of(output)))
    }
}
