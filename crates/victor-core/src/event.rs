//! What a run tells while it works: one stream of events, which every door translates.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::{Failure, Outcome};
use crate::error::ProviderError;
use crate::id::{CallId, RunId, SessionId, Timestamp};
use crate::message::{Block, Message};
use crate::permission::ApprovalRequest;
use crate::question::Question;
use crate::tool::Preview;
use crate::usage::{NanoUsd, Usage};

/// The version of the events' form; it changes only when a field changes its meaning.
pub const EVENT_VERSION: u32 = 1;

/// One event of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The version of the events' form.
    pub v: u32,
    /// Its place in the root run's stream, counted from 0 without gaps.
    pub seq: u64,
    /// The root run.
    pub run_id: RunId,
    /// Which child speaks: the calls and nodes that lead to it from the root; empty for the root itself.
    #[serde(default)]
    pub path: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What an event tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The run began.
    Started {
        /// The session, where the run belongs to one.
        #[serde(skip_serializing_if = "Option::is_none")]
        session_id: Option<SessionId>,
        /// The provider.
        provider: String,
        /// The model.
        model: String,
    },
    /// The model is called for the `turn`-th time, counted from 1.
    TurnStarted {
        /// Which.
        turn: u32,
    },
    /// A piece of the answer's text.
    Text {
        /// What comes after what there is.
        delta: String,
    },
    /// A piece of thinking.
    Thinking {
        /// What comes after what there is.
        delta: String,
    },
    /// A piece of a tool call's arguments, as JSON text.
    ToolArgs {
        /// The tool.
        tool: String,
        /// The call's place among the answer's blocks.
        index: u32,
        /// What comes after what there is.
        delta: String,
    },
    /// A tool call was judged and starts.
    ToolCall {
        /// The call.
        id: CallId,
        /// The tool.
        tool: String,
        /// Its arguments.
        arguments: Value,
        /// What a person is shown of it: the change of a file as a diff, say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preview: Option<Preview>,
    },
    /// A tool tells how far it is.
    ToolProgress {
        /// The call.
        id: CallId,
        /// What it tells.
        text: String,
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
        output: Vec<Block>,
        /// The same for programs, where the tool has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        structured: Option<Value>,
        /// How long it took.
        duration_ms: u64,
        /// Whether it was denied.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        denied: bool,
    },
    /// Somebody is asked whether a call may run.
    Approval {
        /// The question.
        request: ApprovalRequest,
    },
    /// A whole message was added to the conversation.
    Message {
        /// It.
        message: Message,
    },
    /// The tokens of the turn that just ended, and of the whole run.
    Usage {
        /// Of the turn.
        turn: Usage,
        /// Of the run so far, its children's part included.
        run: Usage,
        /// The run's cost so far, as far as prices are known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost: Option<NanoUsd>,
    },
    /// The model's call failed and is made again; what text of it already came is void.
    Retrying {
        /// Which try failed, counted from 1.
        attempt: u32,
        /// How long until the next.
        delay_ms: u64,
        /// What went wrong.
        error: ProviderError,
        /// The model that is tried next, where it is another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fallback: Option<String>,
    },
    /// A team began to work. The path of the event, and of those of its members, leads to the team.
    TeamStarted {
        /// How the members work together.
        formation: String,
        /// Their names.
        members: Vec<String>,
    },
    /// A member of a team is told something; the path ends with its name. Or it has written a note on the blackboard
    /// of its team: the path ends with `blackboard` then.
    MemberMessage {
        /// Whose words it is told; nobody's where it is the team's task.
        from: Vec<String>,
        /// All that it is told.
        text: String,
    },
    /// The conversation was made shorter.
    Compacted {
        /// Tokens before, estimated.
        before: u64,
        /// Tokens after, estimated.
        after: u64,
    },
    /// A workflow began, or goes on after it had waited or its process had ended.
    WorkflowStarted {
        /// Its name.
        workflow: String,
        /// Whether it goes on instead of beginning.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        resumed: bool,
    },
    /// A workflow's node changed its state. The event's path leads to the workflow that the node belongs to.
    Node {
        /// The node.
        node: Arc<str>,
        /// Its state.
        status: NodeStatus,
        /// What kind of node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<Cow<'static, str>>,
        /// Which time the node runs, counted from 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        iteration: Option<u32>,
        /// Which try this is, counted from 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
        /// From its start to now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
        /// The tokens that it used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// What it cost, as far as prices are known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost: Option<NanoUsd>,
        /// What went wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    },
    /// A person is asked something, beyond leave for a call.
    Question {
        /// The question.
        question: Box<Question>,
    },
    /// A question was answered, by a person or by its fallback.
    Answered {
        /// The question's id.
        id: String,
        /// Who said so: `person`, `fallback` or `timeout`.
        by: String,
        /// The answer, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Value>,
    },
    /// Something that the person should know and that ends nothing.
    Warning {
        /// It.
        message: String,
    },
    /// The run ended; the last event at the root path.
    Finished {
        /// How.
        outcome: Box<Outcome>,
    },
}

/// The state of a workflow's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeStatus {
    /// It works.
    Started,
    /// It did what it should.
    Completed,
    /// It failed, and is tried again.
    Retrying,
    /// It failed.
    Failed,
    /// It failed, and the run goes on without it.
    Skipped,
    /// It waits for an answer.
    Waiting,
    /// It was stopped: its result is not needed any more, or the run ended.
    Cancelled,
}

impl NodeStatus {
    /// The state in a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Waiting => "waiting",
            Self::Cancelled => "cancelled",
        }
    }
}
