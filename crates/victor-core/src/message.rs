//! What is said: messages as lists of content blocks, neutral between providers.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::CallId;

/// Who says a message. The system prompt is no message: it stands in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The person, or the program that calls the agent.
    User,
    /// The model.
    Assistant,
    /// The results of the tool calls of the assistant message before it.
    Tool,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said, in order.
    pub content: Vec<Block>,
}

impl Message {
    /// A user message of one text.
    pub fn user(text: impl Into<String>) -> Self {
        Self { role: Role::User, content: vec![Block::text(text)] }
    }

    /// An assistant message of one text.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self { role: Role::Assistant, content: vec![Block::text(text)] }
    }

    /// All text blocks, joined with nothing between them.
    #[must_use]
    pub fn text(&self) -> String {
        text_of(&self.content)
    }

    /// The tool calls in this message, in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.content.iter().filter_map(|b| match b {
            Block::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    /// The tool results in this message, in order.
    pub fn tool_results(&self) -> impl Iterator<Item = &ToolResult> {
        self.content.iter().filter_map(|b| match b {
            Block::ToolResult(result) => Some(result),
            _ => None,
        })
    }
}

/// The text blocks of `content`, joined with nothing between them.
#[must_use]
pub fn text_of(content: &[Block]) -> String {
    content
        .iter()
        .filter_map(|b| match b {
            Block::Text { text } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

/// One block of a message's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Block {
    /// Plain text or Markdown.
    Text {
        /// The text.
        text: String,
    },
    /// An image or another file.
    Media(Media),
    /// What the model thought before it answered.
    Thinking(Thinking),
    /// The model asks for a tool.
    ToolCall(ToolCall),
    /// The answer to a tool call.
    ToolResult(ToolResult),
    /// A provider's own block that has no neutral form. Sent back only to the provider that made it.
    Opaque {
        /// The provider's wire name (`anthropic`, `openai_chat`).
        wire: String,
        /// The block as the provider sent it.
        value: Value,
    },
}

impl Block {
    /// A text block.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// A text file for the model to see: in a fence that is longer than any in it, under its name.
    #[must_use]
    pub fn text_file(name: &str, text: &str) -> Self {
        let runs = text.lines().map(|l| l.trim_start().chars().take_while(|c| *c == '`').count());
        let fence = "`".repeat(runs.max().unwrap_or(0).max(2) + 1);
        let end = if text.ends_with('\n') { "" } else { "\n" };
        Self::text(format!("\n{name}:\n{fence}\n{text}{end}{fence}"))
    }
}

/// An image or another file in a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Media {
    /// The media type, such as `image/png` (RFC 6838).
    pub media_type: String,
    /// Where the bytes are.
    pub source: MediaSource,
    /// The file's name, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Where a medium's bytes are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaSource {
    /// In the message, as standard base64 with padding (RFC 4648, section 4).
    Base64(Arc<str>),
    /// At an address that the provider fetches itself.
    Url(String),
}

/// A model's thinking. The signature makes it replayable to the provider that made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Thinking {
    /// The thought as text; empty where the provider hides it.
    pub text: String,
    /// The provider's proof that the thought is its own, or its encrypted form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Whether `signature` holds the encrypted thought itself and `text` nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
    /// The wire name of the provider that made it; other providers are not shown it.
    pub wire: String,
}

/// A tool call of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolCall {
    /// Our id of the call.
    pub id: CallId,
    /// The provider's id of the call, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The tool's name.
    pub name: String,
    /// The arguments, a JSON object; `null` where the model's text was no JSON.
    pub arguments: Value,
    /// The model's text where it was no JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub malformed: Option<String>,
}

impl ToolCall {
    /// The id to write on the wire: the provider's where it gave one, else ours.
    #[must_use]
    pub fn wire_id(&self) -> &str {
        self.provider_id.as_deref().unwrap_or(self.id.as_str())
    }
}

/// The answer to one tool call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolResult {
    /// The call that this answers.
    pub call: CallId,
    /// The provider's id of that call, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The tool's name.
    pub name: String,
    /// What the model gets to see.
    pub content: Vec<Block>,
    /// Whether the call failed, was denied or was cut short.
    #[serde(default)]
    pub is_error: bool,
}

impl ToolResult {
    /// The result that says why `call` has no real one.
    pub fn error(call: &ToolCall, text: impl Into<String>) -> Self {
        Self {
            call: call.id.clone(),
            provider_id: call.provider_id.clone(),
            name: call.name.clone(),
            content: vec![Block::text(text)],
            is_error: true,
        }
    }

    /// The id to write on the wire: the provider's where it gave one, else ours.
    #[must_use]
    pub fn wire_id(&self) -> &str {
        self.provider_id.as_deref().unwrap_or(self.call.as_str())
    }
}

/// What a caller gives an agent: text, or blocks of text and media.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input(pub Vec<Block>);

impl Input {
    /// Whether nothing is said: no block, or text of spaces alone.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.0.iter().all(|b| matches!(b, Block::Text { text } if text.trim().is_empty()))
    }
}

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        Self(vec![Block::text(text)])
    }
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        Self(vec![Block::text(text)])
    }
}

impl From<Vec<Block>> for Input {
    fn from(blocks: Vec<Block>) -> Self {
        Self(blocks)
    }
}
