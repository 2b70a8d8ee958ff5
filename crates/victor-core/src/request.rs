//! One request to a model, shared and never copied with its history.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::conversation::History;
use crate::tool::ToolSpec;

/// All that a provider needs for one answer. The same history gives the same request, byte for byte on the wire:
/// nothing volatile stands in it, so providers' prompt caches hit.
#[derive(Clone, Debug)]
pub struct Request {
    /// The provider's id of the model.
    pub model: Arc<str>,
    /// The system prompt; empty for none.
    pub system: Arc<str>,
    /// What was said so far.
    pub messages: History,
    /// The tools that the model may ask for, sorted by name.
    pub tools: Arc<[Arc<ToolSpec>]>,
    /// Whether it must ask for one.
    pub tool_choice: ToolChoice,
    /// Sampling and length.
    pub params: Params,
    /// The form that the answer must have.
    pub output_schema: Option<Arc<OutputSchema>>,
}

/// Sampling and length of an answer. `None` leaves it to the provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Params {
    /// Tokens of the answer at most.
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// How much the model thinks before it answers.
    pub thinking: Option<ThinkingEffort>,
}

impl Params {
    /// Fills what `self` leaves open from `other`.
    #[must_use]
    pub fn over(self, other: &Self) -> Self {
        Self {
            max_tokens: self.max_tokens.or(other.max_tokens),
            temperature: self.temperature.or(other.temperature),
            top_p: self.top_p.or(other.top_p),
            stop: if self.stop.is_empty() { other.stop.clone() } else { self.stop },
            thinking: self.thinking.or(other.thinking),
        }
    }
}

/// How much a model thinks before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThinkingEffort {
    /// Not at all, where the model allows that.
    Off,
    /// A little.
    Low,
    /// The usual amount.
    Medium,
    /// A lot.
    High,
}

/// Whether the model must ask for a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// It must not.
    None,
    /// It must ask for some tool.
    Required,
    /// It must ask for this tool.
    Tool(String),
}

/// The form that the final answer must have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputSchema {
    /// A name for it, of letters, digits, `_` and `-`.
    pub name: String,
    /// A JSON Schema (draft 2020-12) of an object.
    pub schema: Value,
}

/// What belongs to one call of a provider beside the request.
#[derive(Clone, Debug)]
pub struct CallCx {
    /// Ends the call when cancelled.
    pub cancel: tokio_util::sync::CancellationToken,
    /// Longest wait for the connection and between two bytes of the answer. There is no overall limit.
    pub idle_timeout: Duration,
}
