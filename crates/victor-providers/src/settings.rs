//! What the user's configuration says of providers and models. It beats the catalogue.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use victor_core::error::ConfigurationError;
use victor_core::usage::Price;

/// A protocol that providers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// OpenAI Chat Completions, which most servers speak.
    OpenaiChat,
    /// Anthropic Messages.
    Anthropic,
}

/// The field of Chat Completions that limits the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LengthField {
    /// `max_tokens`, which compatible servers read.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`, which OpenAI's own models want.
    MaxCompletionTokens,
}

/// One provider, `providers.NAME` in the configuration.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderSettings {
    /// The protocol; `openai_chat` where neither this nor the catalogue says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire: Option<Wire>,
    /// The address, with the version part (`https://llm.example/v1`); without any path `/v1` is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The key itself, usually as `${NAME}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// The environment variable that holds the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// Headers to send with every request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Models that the catalogue does not know, or knows wrongly.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelSettings>,
    /// The model that serves when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_model: Option<String>,
    /// Tokens of prompt and answer together, for models without a value of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u32>,
    /// Tokens of an answer at most, for models without a value of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output: Option<u32>,
    /// The request's field that limits the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_field: Option<LengthField>,
}

impl fmt::Debug for ProviderSettings {
    /// Without the key and the headers' values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderSettings")
            .field("wire", &self.wire)
            .field("base_url", &self.base_url)
            .field("api_key", &self.api_key.as_ref().map(|_| "***"))
            .field("api_key_env", &self.api_key_env)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("models", &self.models)
            .field("default_model", &self.default_model)
            .field("context_window", &self.context_window)
            .field("max_output", &self.max_output)
            .field("length_field", &self.length_field)
            .finish()
    }
}

/// One model of a provider. What is not said follows the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// The provider's id of the model.
    pub id: String,
    /// Tokens of prompt and answer together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u32>,
    /// Tokens of an answer at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output: Option<u32>,
    /// What a million tokens cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceSettings>,
    /// Whether it asks for tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calling: Option<bool>,
    /// Whether it sees images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vision: Option<bool>,
    /// Whether it can think before it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<bool>,
}

/// Prices in US dollars per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceSettings {
    /// Prompt tokens.
    pub input: f64,
    /// Answer tokens.
    pub output: f64,
    /// Prompt tokens read from the cache; as `input` where not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<f64>,
    /// Prompt tokens written to the cache; as `input` where not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<f64>,
}

impl From<PriceSettings> for Price {
    fn from(p: PriceSettings) -> Self {
        // A dollar per million tokens is a thousand nano-dollars a token.
        let nano = |dollars: f64| victor_core::usage::NanoUsd::from_dollars(dollars / 1e6).0;
        Self {
            input: nano(p.input),
            output: nano(p.output),
            cache_read: nano(p.cache_read.unwrap_or(p.input)),
            cache_write: nano(p.cache_write.unwrap_or(p.input)),
        }
    }
}

/// What the configuration says of providers as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// The providers, by name.
    pub providers: BTreeMap<String, ProviderSettings>,
    /// The provider that serves when none is named.
    pub provider: Option<String>,
    /// The model that serves when none is named; `provider/model` names both.
    pub model: Option<String>,
    /// What is tried in turn when that one fails for good, as `provider/model` or `provider`.
    pub fallback: Vec<String>,
    /// Why only providers on this machine may be called; `None` where others may be too.
    pub local_only: Option<String>,
}

/// Where keys and addresses come from. Libraries read neither the environment nor files themselves.
pub trait Credentials: Send + Sync + 'static {
    /// The value of an environment variable.
    fn var(&self, name: &str) -> Option<String>;

    /// The key that is saved for a provider; asked for only where no variable has one.
    ///
    /// # Errors
    /// The place that keeps keys cannot be read safely.
    fn stored_key(&self, provider: &str) -> Result<Option<SecretString>, ConfigurationError>;
}
