//! How a run ended.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::VictorError;
use crate::id::{RunId, SessionId};
use crate::permission::ApprovalRequest;
use crate::provider::Model;
use crate::usage::{Limit, NanoUsd, Spent, Usage};

use super::machine::Machine;

/// How a run ended, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// The model was done.
    Completed,
    /// A limit was reached.
    Limit,
    /// It could not be done because something was denied.
    Denied,
    /// It was cancelled.
    Cancelled,
    /// It failed.
    Failed,
    /// It waits for answers and can be resumed.
    Waiting,
}

impl Status {
    /// The word itself.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Limit => "limit",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
        }
    }
}

/// How a run ended. Prints as its final text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// The run.
    pub run_id: RunId,
    /// The session, where the run belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// How it ended.
    pub status: Status,
    /// The text of the last assistant message.
    pub text: String,
    /// The answer in the form that the output schema asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured: Option<Value>,
    /// The provider that answered last; empty where no single agent drove the run.
    pub provider: String,
    /// The model that answered last; empty where no single agent drove the run.
    pub model: String,
    /// Tokens, those of its children among them.
    pub usage: Usage,
    /// What it cost, where the prices are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<NanoUsd>,
    /// Model calls that answered.
    pub turns: u32,
    /// The names of the tools that ran, those of its children among them, each once, in the order of their first call.
    pub tools_used: Vec<String>,
    /// The calls that were denied, those of its children among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<Denial>,
    /// The limit that was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// The questions that it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<ApprovalRequest>,
    /// From start to end.
    pub duration_ms: u64,
}

impl Outcome {
    /// The end of a run that could not begin, or that crashed.
    pub(crate) fn refused(run: RunId, model: Option<&Model>, e: &VictorError, took: Duration) -> Self {
        Self {
            run_id: run,
            session_id: None,
            status: Status::Failed,
            text: String::new(),
            structured: None,
            provider: model.map(|m| m.info.provider.clone()).unwrap_or_default(),
            model: model.map(|m| m.info.id.clone()).unwrap_or_default(),
            usage: Usage::default(),
            cost: None,
            turns: 0,
            tools_used: Vec::new(),
            denied: Vec::new(),
            limit: None,
            error: Some(Failure::from(e)),
            waiting: Vec::new(),
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The text of the last assistant message.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A call that was denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Denial {
    /// The tool.
    pub tool: String,
    /// Why.
    pub reason: String,
}

/// What failed, for a program and for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// A stable name of the kind of error.
    pub code: String,
    /// What happened and what to do.
    pub message: String,
}

impl From<&VictorError> for Failure {
    fn from(e: &VictorError) -> Self {
        Self { code: e.code().to_owned(), message: e.to_string() }
    }
}

/// A run put down until its questions are answered: all that another process needs to go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspended {
    /// The run.
    pub run_id: RunId,
    /// Where its loop stands.
    pub machine: Machine,
    /// What it asks.
    pub questions: Vec<ApprovalRequest>,
    /// What it has used so far.
    #[serde(default)]
    pub spent: Spent,
    /// The place of its next event.
    #[serde(default)]
    pub next_event: u64,
}
