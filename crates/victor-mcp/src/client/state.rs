//! How a server stands: one of four states, and what is known of it.

use schemars::JsonSchema;
use serde::Serialize;

/// How a server stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// Nothing has needed it yet.
    NotStarted,
    /// It runs.
    Running,
    /// It cannot be used; says why.
    Failed {
        /// Why.
        reason: String,
    },
    /// Its user has switched it off.
    Disabled,
}

impl State {
    /// The state in words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotStarted => "not started",
            Self::Running => "running",
            Self::Failed { .. } => "failed",
            Self::Disabled => "disabled",
        }
    }

    /// Why it failed.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Failed { reason } => Some(reason),
            Self::NotStarted | Self::Running | Self::Disabled => None,
        }
    }
}

/// What is known of a server.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// How it stands.
    #[serde(flatten)]
    pub state: State,
    /// `stdio`, `http` or `sse`.
    pub transport: String,
    /// The command line or the address.
    pub target: String,
    /// Where it is configured.
    pub place: String,
    /// How many tools it offers, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<usize>,
    /// Its own name and version, where they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The revision of the protocol that is spoken, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What of it is left out, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}
