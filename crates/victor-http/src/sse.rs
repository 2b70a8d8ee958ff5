//! The events of a stream as the API names them, and their way onto the wire.

use bytes::{BufMut, Bytes, BytesMut};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use victor_core::agent::{Denial, Status};
use victor_core::event::NodeStatus;
use victor_core::id::{CallId, RunId, SessionId, Timestamp};
use victor_core::message::text_of;
use victor_core::question::QuestionKind;
use victor_core::tool::Preview;

use crate::answer::{MessageBody, TokensUsed};

/// The media type of a stream.
pub(crate) const MEDIA_TYPE: &str = "text/event-stream";

/// A line that says nothing but that the connection lives.
pub(crate) const HEARTBEAT: Bytes = Bytes::from_static(b": alive\n\n");

/// One event of a run, told to a client.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum StreamEvent {
    /// The run began.
    Start {
        /// The run.
        run_id: RunId,
        /// The request, as in the header `X-Request-Id`.
        request_id: String,
        /// The conversation; `null` where nothing is stored.
        conversation_id: Option<SessionId>,
        /// The provider.
        provider: String,
        /// The model.
        model: String,
        /// When.
        timestamp: Timestamp,
    },
    /// A piece of the answer.
    Token {
        /// What comes after what there is.
        content: String,
        /// Which piece, counted from 0. A replay may join pieces; it then names the first of them.
        index: u64,
    },
    /// A piece of thinking.
    Thinking {
        /// What comes after what there is.
        content: String,
    },
    /// A tool call starts.
    ToolCall {
        /// The call.
        id: CallId,
        /// The tool.
        tool: String,
        /// Its arguments.
        arguments: Value,
        /// Which sub-agents lead to it; absent for the run's own calls.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        path: Vec<String>,
    },
    /// A tool call ended.
    ToolResult {
        /// The call.
        id: CallId,
        /// The tool.
        tool: String,
        /// Whether it did what it was asked to do.
        success: bool,
        /// What the model gets to see.
        output: String,
        /// Whether it was denied.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        denied: bool,
        /// How long it took.
        duration_ms: u64,
        /// Which sub-agents lead to it; absent for the run's own calls.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        path: Vec<String>,
    },
    /// Somebody has to say whether a call may run: `POST /approvals/{id}`.
    Approval {
        /// The question.
        id: String,
        /// The tool.
        tool: String,
        /// Its arguments.
        arguments: Value,
        /// Why it is asked.
        reason: String,
        /// What a person is shown: the change as a diff, the command.
        #[serde(skip_serializing_if = "Option::is_none")]
        preview: Option<Preview>,
        /// After so many seconds it counts as denied.
        timeout_seconds: u64,
    },
    /// A workflow that the agent runs asks its person: `POST /approvals/{id}` with `answer`.
    Question {
        /// The question.
        id: String,
        /// What kind of answer it wants.
        kind: QuestionKind,
        /// The node that asks.
        node: String,
        /// What the person reads.
        prompt: String,
        /// What a choice is made among.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        options: Vec<String>,
        /// More to look at.
        #[serde(skip_serializing_if = "Option::is_none")]
        details: Option<Value>,
        /// After so many seconds, or sooner by the workflow, its fallback acts.
        timeout_seconds: u64,
    },
    /// A node of a workflow that the agent runs changed its state.
    Node {
        /// The node.
        node: String,
        /// Its state.
        status: NodeStatus,
        /// What leads to it.
        path: Vec<String>,
        /// What went wrong.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A team began to work.
    TeamStarted {
        /// How its members work together.
        formation: String,
        /// Their names.
        members: Vec<String>,
        /// What leads to it.
        path: Vec<String>,
    },
    /// A member of a team is told something, or has written on its blackboard; the path ends with its name or `blackboard`.
    MemberMessage {
        /// Whose words it is told; nobody's where it is the team's task.
        from: Vec<String>,
        /// All that it is told.
        text: String,
        /// What leads to it.
        path: Vec<String>,
    },
    /// The tokens of the run so far.
    Usage {
        /// They.
        #[serde(flatten)]
        tokens_used: TokensUsed,
        /// US dollars, as far as prices are known.
        #[serde(skip_serializing_if = "Option::is_none")]
        cost: Option<f64>,
    },
    /// The model's call failed and is made again. The text since the last tool result, or the start, is void.
    Retrying {
        /// Which try failed, counted from 1.
        attempt: u32,
        /// How long until the next.
        delay_ms: u64,
        /// What went wrong.
        error: String,
    },
    /// The conversation was made shorter for the model.
    Compacted {
        /// Tokens before, estimated.
        before: u64,
        /// Tokens after, estimated.
        after: u64,
    },
    /// Something that a person should know and that ends nothing.
    Warning {
        /// It.
        message: String,
    },
    /// What was asked for is no longer kept event by event: these messages stand for it, then the stream goes on.
    Resync {
        /// The run.
        run_id: RunId,
        /// What was said in the run and is stored.
        messages: Vec<MessageBody>,
    },
    /// The run failed; `end` follows.
    Error {
        /// What happened and what to do.
        error: String,
        /// A stable name of the kind of error.
        error_code: String,
    },
    /// The last event.
    End {
        /// The run.
        run_id: RunId,
        /// The request that began it.
        request_id: String,
        /// The conversation; `null` where nothing is stored.
        conversation_id: Option<SessionId>,
        /// Tokens of the whole run.
        tokens_used: TokensUsed,
        /// US dollars, as far as prices are known.
        #[serde(skip_serializing_if = "Option::is_none")]
        cost: Option<f64>,
        /// From start to end.
        duration_ms: u64,
        /// How it ended.
        status: Status,
        /// Calls that were denied.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        denied: Vec<Denial>,
        /// The answer in the form that was asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        structured: Option<Value>,
        /// When.
        timestamp: Timestamp,
    },
}

impl StreamEvent {
    /// The name that stands in `event:` and in `type`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Token { .. } => "token",
            Self::Thinking { .. } => "thinking",
            Self::ToolCall { .. } => "tool_call",
            Self::ToolResult { .. } => "tool_result",
            Self::Approval { .. } => "approval",
            Self::Question { .. } => "question",
            Self::Node { .. } => "node",
            Self::TeamStarted { .. } => "team_started",
            Self::MemberMessage { .. } => "member_message",
            Self::Usage { .. } => "usage",
            Self::Retrying { .. } => "retrying",
            Self::Compacted { .. } => "compacted",
            Self::Warning { .. } => "warning",
            Self::Resync { .. } => "resync",
            Self::Error { .. } => "error",
            Self::End { .. } => "end",
        }
    }

    /// The data as JSON, on one line.
    pub(crate) fn json(&self) -> Box<str> {
        serde_json::to_string(self).unwrap_or_default().into()
    }
}

/// Writes one event. `data` is JSON on one line.
pub(crate) fn write(out: &mut BytesMut, id: u64, name: &str, data: &str) {
    out.reserve(data.len() + name.len() + 40);
    out.put_slice(b"id: ");
    out.put_slice(id.to_string().as_bytes());
    out.put_slice(b"\nevent: ");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\ndata: ");
    out.put_slice(data.as_bytes());
    out.put_slice(b"\n\n");
}

/// What a tool gave, as text.
pub(crate) fn output(content: &[victor_core::message::Block]) -> String {
    text_of(content)
}
