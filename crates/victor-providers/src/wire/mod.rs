//! The wires: pure mappings between Victor's vocabulary and a protocol. No I/O stands here.

pub(crate) mod anthropic;
pub(crate) mod failure;
#[cfg(test)]
pub(crate) mod fixtures;
pub(crate) mod media;
pub(crate) mod openai_chat;
pub(crate) mod schema;
pub(crate) mod tools;

use serde::Deserialize;
use serde_json::Value;
use victor_core::error::{ProviderError, ProviderErrorKind};
use victor_core::provider::Chunk;
use victor_core::request::Request;

use crate::settings::{LengthField, Wire};

/// What a mapping has to know of the model and its server beside the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialect {
    /// The field that limits the answer (Chat Completions only).
    pub(crate) length_field: LengthField,
    /// How thinking is asked for.
    pub(crate) thinking: ThinkingStyle,
    /// The model refuses sampling parameters.
    pub(crate) fixed_sampling: bool,
    /// Tokens of an answer at most, where known.
    pub(crate) max_output: Option<u32>,
    /// How an answer's form is asked for (Chat Completions only).
    pub(crate) output: OutputStyle,
    /// Which part of JSON Schema tools may use.
    pub(crate) schema: schema::Style,
    /// Thinking is sent back as `reasoning_content` (Chat Completions only).
    pub(crate) replay_reasoning: bool,
    /// Ids of tool calls must be nine letters and digits (Chat Completions only).
    pub(crate) short_call_ids: bool,
    /// Usage comes without `stream_options`, which the server refuses (Chat Completions only).
    pub(crate) usage_unasked: bool,
}

/// How a model is asked to think.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ThinkingStyle {
    /// Not known: asked for as the wire usually does, if the user wants it.
    #[default]
    Unknown,
    /// It cannot think.
    Never,
    /// `reasoning_effort`, `low` at least.
    Effort,
    /// `reasoning_effort`, which can be `minimal`.
    EffortMinimal,
    /// `reasoning_effort`, which can be `none`.
    EffortNone,
    /// `thinking` with a budget of tokens.
    Budget,
    /// `thinking: adaptive` with an effort; off unless asked for.
    Adaptive,
    /// `thinking: adaptive` with an effort; on unless switched off.
    AdaptiveOn,
    /// `thinking: adaptive` with an effort; cannot be switched off.
    Always,
}

impl ThinkingStyle {
    /// Whether it is asked for with `reasoning_effort`.
    pub(crate) fn is_effort(self) -> bool {
        matches!(self, Self::Effort | Self::EffortMinimal | Self::EffortNone)
    }
}

/// How a server is told the form of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutputStyle {
    /// `response_format: json_schema`.
    #[default]
    JsonSchema,
    /// `response_format: json_object`; the schema stands in the system prompt.
    JsonObject,
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More must come.
    Running,
    /// The answer is whole; details such as usage may follow.
    Whole,
    /// The protocol's own end has come.
    Ended,
}

/// Turns a server's events into chunks.
pub(crate) trait Decoder: Send {
    /// One event of the stream.
    fn event(&mut self, event: Option<&str>, data: &str) -> Result<Vec<Chunk>, ProviderError>;

    /// A whole answer at once, from a server that does not stream.
    fn whole(&mut self, body: &Value) -> Result<Vec<Chunk>, ProviderError>;

    /// How far the answer has come.
    fn progress(&self) -> Progress;

    /// The end of the stream: what was held back, [`Chunk::Stop`] last; an error if the answer is not whole.
    fn finish(&mut self) -> Result<Vec<Chunk>, ProviderError>;
}

impl Wire {
    /// The name that marks blocks of this wire in saved messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenaiChat => openai_chat::NAME,
            Self::Anthropic => anthropic::NAME,
        }
    }

    /// The path below the base URL that answers.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::OpenaiChat => "/chat/completions",
            Self::Anthropic => "/messages",
        }
    }

    /// The request's body without its tools.
    pub(crate) fn without_tools(self, request: &Request, dialect: &Dialect) -> Value {
        match self {
            Self::OpenaiChat => openai_chat::request::without_tools(request, dialect),
            Self::Anthropic => anthropic::request::without_tools(request, dialect),
        }
    }

    /// The body's `tools`.
    pub(crate) fn tools(self, request: &Request, dialect: &Dialect) -> Value {
        match self {
            Self::OpenaiChat => openai_chat::request::tools(request, dialect),
            Self::Anthropic => anthropic::request::tools(request),
        }
    }

    /// A decoder for one answer of the provider of this name.
    pub(crate) fn decoder(self, provider: &str) -> Box<dyn Decoder> {
        match self {
            Self::OpenaiChat => Box::new(openai_chat::decode::ChatDecoder::new(provider)),
            Self::Anthropic => Box::new(anthropic::decode::MessagesDecoder::new(provider)),
        }
    }
}

/// An event that is no JSON.
pub(crate) fn not_json(provider: &str, data: &str) -> ProviderError {
    let shown: String = data.chars().take(120).collect();
    ProviderError::new(ProviderErrorKind::Protocol, provider, format!("sent an event that is no JSON: {shown}"))
}

/// A stream that ended too early.
pub(crate) fn truncated(provider: &str) -> ProviderError {
    ProviderError::new(ProviderErrorKind::Truncated, provider, "the answer broke off before its end")
}

/// The string at `key`, if there is one and it is not empty.
pub(crate) fn text_at<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|s| !s.is_empty())
}

/// The arguments of a call whose text was no JSON object, as an object that shows the model what it wrote.
pub(crate) fn arguments(call: &victor_core::message::ToolCall) -> Value {
    match (&call.malformed, &call.arguments) {
        (Some(text), _) => serde_json::json!({ "invalid_json": text }),
        (None, Value::Object(_)) => call.arguments.clone(),
        (None, _) => Value::Object(serde_json::Map::new()),
    }
}
