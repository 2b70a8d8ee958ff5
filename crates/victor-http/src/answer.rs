//! What chats and conversations answer with: core's outcome and messages in the API's words.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use victor_core::agent::{Denial, Outcome, Status};
use victor_core::id::{CallId, RunId, SessionId, Timestamp};
use victor_core::message::{Message, Role, text_of};
use victor_core::session::SessionInfo;
use victor_core::usage::{NanoUsd, Usage};

/// Tokens.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct TokensUsed {
    /// Of the prompts, cached ones among them.
    pub(crate) input: u64,
    /// Of the answers.
    pub(crate) output: u64,
    /// Both together.
    pub(crate) total: u64,
    /// Of the prompts, read from the provider's cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) cache_read: u64,
    /// Of the prompts, written to the provider's cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) cache_write: u64,
    /// Of the answers, spent on thinking.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) reasoning: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl From<Usage> for TokensUsed {
    fn from(usage: Usage) -> Self {
        let Usage { input, output, cache_read, cache_write, reasoning } = usage;
        Self { input, output, total: usage.total(), cache_read, cache_write, reasoning }
    }
}

/// US dollars as a number.
#[expect(clippy::cast_precision_loss, reason = "exact up to nine million dollars")]
pub(crate) fn dollars(cost: NanoUsd) -> f64 {
    cost.0 as f64 / 1e9
}

/// The answer of `POST /chat`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChatResponse {
    /// Always `true`.
    #[schemars(extend("const" = true))]
    pub(crate) success: bool,
    /// The text of the last assistant message.
    pub(crate) response: String,
    /// How the run ended: `completed`, `limit`, `denied` or `cancelled`.
    pub(crate) status: Status,
    /// The provider that answered last.
    pub(crate) provider: String,
    /// The model that answered last.
    pub(crate) model: String,
    /// The conversation, to be named in the next request; `null` where nothing is stored.
    pub(crate) conversation_id: Option<SessionId>,
    /// The run.
    pub(crate) run_id: RunId,
    /// The request, as in the header `X-Request-Id`.
    pub(crate) request_id: String,
    /// Tokens of the whole run.
    pub(crate) tokens_used: TokensUsed,
    /// US dollars, where the prices are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<f64>,
    /// From start to end.
    pub(crate) duration_ms: u64,
    /// The tools that ran, each once.
    pub(crate) tools_used: Vec<String>,
    /// Calls that were denied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) denied: Vec<Denial>,
    /// The answer in the form that `output_schema` asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) structured: Option<Value>,
}

impl ChatResponse {
    /// The answer for a run that ended.
    pub(crate) fn new(outcome: Outcome, request_id: &str) -> Self {
        Self {
            success: true,
            response: outcome.text,
            status: outcome.status,
            provider: outcome.provider,
            model: outcome.model,
            conversation_id: outcome.session_id,
            run_id: outcome.run_id,
            request_id: request_id.to_owned(),
            tokens_used: outcome.usage.into(),
            cost: outcome.cost.map(dollars),
            duration_ms: outcome.duration_ms,
            tools_used: outcome.tools_used,
            denied: outcome.denied,
            structured: outcome.structured,
        }
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct MessageBody {
    /// `user` or `assistant`.
    pub(crate) role: Role,
    /// Its text.
    pub(crate) content: String,
    /// What the assistant called, with what came of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<CallBody>,
}

/// One tool call of a message.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct CallBody {
    /// The call.
    pub(crate) id: CallId,
    /// The tool.
    pub(crate) tool: String,
    /// Its arguments.
    pub(crate) arguments: Value,
    /// What came of it; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<String>,
    /// Whether it did what it was asked to do; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) success: Option<bool>,
}

/// User and assistant messages, each tool's result beside its call.
pub(crate) fn messages<'a>(said: impl IntoIterator<Item = &'a Message>) -> Vec<MessageBody> {
    let mut bodies: Vec<MessageBody> = Vec::new();
    for message in said {
        if message.role != Role::Tool {
            let tool_calls = message.tool_calls().map(CallBody::from).collect();
            bodies.push(MessageBody { role: message.role, content: message.text(), tool_calls });
            continue;
        }
        for result in message.tool_results() {
            let mut calls = bodies.iter_mut().rev().flat_map(|b| b.tool_calls.iter_mut());
            if let Some(call) = calls.find(|c| c.id == result.call) {
                call.output = Some(text_of(&result.content));
                call.success = Some(!result.is_error);
            }
        }
    }
    bodies
}

impl From<&victor_core::message::ToolCall> for CallBody {
    fn from(call: &victor_core::message::ToolCall) -> Self {
        let (tool, arguments) = (call.name.clone(), call.arguments.clone());
        Self { id: call.id.clone(), tool, arguments, output: None, success: None }
    }
}

/// What a list shows of a conversation.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ConversationSummary {
    /// The conversation.
    pub(crate) conversation_id: SessionId,
    /// Its title, or the beginning of the first message.
    pub(crate) title: String,
    /// When it was begun.
    pub(crate) created_at: Timestamp,
    /// When it was last written to.
    pub(crate) updated_at: Timestamp,
    /// User and assistant messages.
    pub(crate) message_count: u64,
}

impl From<SessionInfo> for ConversationSummary {
    fn from(info: SessionInfo) -> Self {
        let SessionInfo { id, title, created_at, updated_at, message_count, .. } = info;
        Self { conversation_id: id, title, created_at, updated_at, message_count }
    }
}
