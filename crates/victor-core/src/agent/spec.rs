//! What an agent is made of, by name: specs and profiles.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::permission::Mode;
use crate::provider::Selector;
use crate::request::{OutputSchema, Params};
use crate::sandbox::SandboxMode;
use crate::usage::Budget;

/// What an agent is made of. What is `None` or empty follows the configuration of the runtime.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentSpec {
    /// Provider and model.
    pub selector: Selector,
    /// A saved profile that the rest is laid over.
    pub profile: Option<String>,
    /// What it is there for.
    pub mode: Option<Mode>,
    /// Further instructions, after the built-in prompt and the project's.
    pub system: Option<String>,
    /// The tools that it may use, by name or glob; `None` for all.
    pub tools: Option<Vec<String>>,
    /// Sampling and length.
    pub params: Params,
    /// What it may use at most.
    pub budget: Budget,
    /// The form that the final answer must have.
    pub output_schema: Option<Arc<OutputSchema>>,
    /// How far commands may reach.
    pub sandbox: Option<SandboxMode>,
    /// Whether calls that change something only say what they would do.
    pub dry_run: DryRun,
}

/// Whether calls that change something are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DryRun {
    /// They are.
    #[default]
    Off,
    /// They answer with what they would do.
    On,
}

/// A saved set of choices under a name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// The provider's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Tokens of an answer at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// What the agent is there for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Further instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The tools that it may use, by name or glob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// Model calls at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
}

impl AgentSpec {
    /// Fills what `self` leaves open from `profile`.
    #[must_use]
    pub fn over(mut self, profile: &Profile) -> Self {
        if self.selector.provider.is_none() && self.selector.model.is_none() {
            self.selector = Selector { provider: profile.provider.clone(), model: profile.model.clone() };
        } else if self.selector.model.is_none() && self.selector.provider == profile.provider {
            self.selector.model = profile.model.clone();
        }
        self.mode = self.mode.or(profile.mode);
        self.system = self.system.or_else(|| profile.system.clone());
        self.tools = self.tools.or_else(|| profile.tools.clone());
        self.params.temperature = self.params.temperature.or(profile.temperature);
        self.params.max_tokens = self.params.max_tokens.or(profile.max_tokens);
        self.budget.max_turns = self.budget.max_turns.or(profile.max_turns);
        self
    }
}

impl AgentSpec {
    /// Fills what `self` leaves open from the runtime's defaults.
    pub(super) fn over_defaults(mut self, defaults: &Self) -> Self {
        if self.selector == Selector::default() {
            self.selector = defaults.selector.clone();
        }
        self.mode = self.mode.or(defaults.mode);
        self.system = self.system.or_else(|| defaults.system.clone());
        self.tools = self.tools.or_else(|| defaults.tools.clone());
        self.params = self.params.over(&defaults.params);
        self.budget = self.budget.over(&defaults.budget);
        self.output_schema = self.output_schema.or_else(|| defaults.output_schema.clone());
        self.sandbox = self.sandbox.or(defaults.sandbox);
        self.dry_run = self.dry_run.max(defaults.dry_run);
        self
    }
}

impl From<()> for AgentSpec {
    /// Everything as configured.
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<&str> for AgentSpec {
    /// `provider` or `provider/model`.
    fn from(selector: &str) -> Self {
        Self { selector: selector.into(), ..Self::default() }
    }
}

impl From<Profile> for AgentSpec {
    fn from(profile: Profile) -> Self {
        Self::default().over(&profile)
    }
}
