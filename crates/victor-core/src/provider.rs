//! Models' providers: one call method, which streams; everything else is a fold of it.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ProviderError, VictorError};
use crate::request::{CallCx, Request};
use crate::usage::{Price, Usage};

/// A provider of models. It classifies failures and never retries: the run's machine does that, in one place.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// The provider's name in configuration and in `provider/model`.
    fn name(&self) -> &str;

    /// The name of the protocol that it speaks (`anthropic`, `openai_chat`): marks the blocks that only this protocol
    /// can read back.
    fn wire(&self) -> &str;

    /// Calls the model. The stream yields each piece when it arrives and ends after [`Chunk::Stop`].
    ///
    /// # Errors
    /// Everything that goes wrong before the first piece; what goes wrong later is an item of the stream.
    async fn stream(&self, request: &Request, cx: &CallCx) -> Result<ChunkStream, ProviderError>;

    /// Asks the provider whether it can be reached with these credentials, at no cost where it can.
    ///
    /// # Errors
    /// What is wrong.
    async fn check(&self, cx: &CallCx) -> Result<(), ProviderError>;

    /// The models that the provider itself lists.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    async fn list_models(&self, cx: &CallCx) -> Result<Vec<ModelInfo>, ProviderError>;

    /// How the latest calls went; no call is made.
    fn health(&self) -> Health {
        Health::default()
    }
}

/// The pieces of one answer.
pub type ChunkStream = Pin<Box<dyn Stream<Item = Result<Chunk, ProviderError>> + Send>>;

/// A piece of an answer. Blocks are told apart by `index`, the place of the block in the message; a wire gives each
/// block of an answer an index of its own and never goes back to a lower one for another kind of block.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Chunk {
    /// The answer begins.
    Start {
        /// The provider's id of the answer.
        id: Option<String>,
        /// The model that answers, as the provider names it.
        model: Option<String>,
    },
    /// More text.
    Text {
        /// The block.
        index: u32,
        /// What comes after what there is.
        delta: String,
    },
    /// More thinking.
    Thinking {
        /// The block.
        index: u32,
        /// What comes after what there is.
        delta: String,
    },
    /// The signature of a thinking block, or more of it.
    ThinkingSignature {
        /// The block.
        index: u32,
        /// What comes after what there is.
        delta: String,
        /// Whether this is the encrypted thought itself.
        redacted: bool,
    },
    /// A tool call begins.
    ToolCall {
        /// The block.
        index: u32,
        /// The provider's id of the call.
        id: Option<String>,
        /// The tool.
        name: String,
    },
    /// More of a tool call's arguments, as JSON text.
    ToolArgs {
        /// The block.
        index: u32,
        /// What comes after what there is.
        delta: String,
    },
    /// A block without a neutral form, whole.
    Opaque {
        /// The block.
        index: u32,
        /// The block as the provider sent it.
        value: Value,
    },
    /// The tokens so far; replaces what was said before.
    Usage(Usage),
    /// Why the answer ended; nothing but [`Chunk::Usage`] follows.
    Stop(StopReason),
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// The model was done.
    EndTurn,
    /// It asks for tools.
    ToolUse,
    /// Its length limit.
    MaxTokens,
    /// One of the request's stop texts.
    StopSequence,
    /// The provider or the model refused.
    Refusal,
    /// The provider wants to be called again to go on (long-running server tools).
    Pause,
    /// Another reason, as the provider names it.
    Other(String),
}

/// How a provider's latest calls went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Calls made.
    pub requests: u64,
    /// Calls that failed.
    pub failures: u64,
    /// The latest failure, if nothing went well since.
    pub error: Option<String>,
}

/// What is known of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ModelInfo {
    /// The provider's id of the model.
    pub id: String,
    /// The provider's name.
    pub provider: String,
    /// Tokens of prompt and answer together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u32>,
    /// Tokens of an answer at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output: Option<u32>,
    /// What the model can do.
    pub features: Features,
    /// What a token costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Whether the provider has retired it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
}

/// What a model can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of independent facts, written by name in the catalogue")]
pub struct Features {
    /// It asks for tools.
    pub tool_calling: bool,
    /// It answers piece by piece.
    pub streaming: bool,
    /// It sees images.
    pub vision: bool,
    /// It can think before it answers.
    pub thinking: bool,
}

impl Default for Features {
    /// What an unknown model is taken for.
    fn default() -> Self {
        Self { tool_calling: true, streaming: true, vision: false, thinking: false }
    }
}

/// A provider with one of its models.
#[derive(Clone)]
pub struct Model {
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// The model.
    pub info: Arc<ModelInfo>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.info.provider, self.info.id)
    }
}

/// Which provider and model are wanted; what is `None` follows the documented order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Selector {
    /// The provider's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model's id; `provider/model` names both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl From<&str> for Selector {
    /// `provider` or `provider/model`; the model's id may hold further slashes.
    fn from(s: &str) -> Self {
        match s.split_once('/') {
            Some((provider, model)) => Self { provider: Some(provider.into()), model: Some(model.into()) },
            None => Self { provider: Some(s.into()), model: None },
        }
    }
}

/// What a door shows of a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderInfo {
    /// The provider's name.
    pub name: String,
    /// The models that the catalogue knows.
    pub models: Vec<String>,
    /// Whether it has what it needs to be called.
    pub configured: bool,
    /// What is missing, where it is not configured; where the credentials come from, where it is.
    pub detail: String,
    /// What its models can do, taken together.
    pub features: Features,
    /// How the latest calls went.
    pub health: Health,
}

/// The providers and models of a runtime.
#[async_trait]
pub trait ProviderRegistry: Send + Sync + 'static {
    /// Finds the model that `selector` names, or the default where it names none.
    ///
    /// # Errors
    /// Unknown names (with the nearest known ones) and missing credentials.
    async fn resolve(&self, selector: &Selector) -> Result<Model, VictorError>;

    /// The models to try in turn after `first` has failed for good.
    async fn fallbacks(&self, first: &Model) -> Vec<Model>;

    /// All providers, in the order in which a default is looked for.
    fn providers(&self) -> Vec<ProviderInfo>;

    /// All models that the catalogue and the configuration know.
    fn models(&self) -> Vec<ModelInfo>;
}
