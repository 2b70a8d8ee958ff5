//! How a team ended: its answer, and who brought what.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use victor_core::agent::{Denial, Failure, Status};
use victor_core::error::VictorError;
use victor_core::usage::{Limit, NanoUsd, Usage};

use crate::error::NodeError;

use super::Formation;

/// How a team ended. Prints as its final text.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct TeamOutcome {
    /// How the members worked together.
    pub formation: Formation,
    /// How it ended. Rounds that were used up without an agreement or an approval are a limit.
    pub status: Status,
    /// The team's answer; where it did not come to its end, the latest that there was.
    pub text: String,
    /// What the members brought, in order; of those who worked at once, in the order of the members.
    pub contributions: Vec<Contribution>,
    /// Rounds that were begun; 1 for formations without rounds.
    pub rounds: u32,
    /// The votes of a consensus, of all rounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
    /// The share of the members that voted for the answer in the last round of a consensus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// What the judge of a debate has decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Whether the critic of a reflection has approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<bool>,
    /// Tokens of all members.
    pub usage: Usage,
    /// What it cost, where the prices are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<NanoUsd>,
    /// Model calls that answered.
    pub turns: u32,
    /// The names of the tools that ran, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools_used: Vec<String>,
    /// The calls of all members that were denied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<Denial>,
    /// The limit that was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Why it did not come to its end: what failed, whose limit was reached, or which agreement was not
    /// (`NO_AGREEMENT`, `NOT_APPROVED`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// From start to end.
    pub duration_ms: u64,
    #[serde(skip)]
    pub(super) cause: Option<VictorError>,
}

/// What a member brought when it was asked once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Contribution {
    /// The member.
    pub member: String,
    /// The round, counted from 1.
    pub round: u32,
    /// How it ended.
    pub status: Status,
    /// What it said.
    pub text: String,
    /// The same for programs, where it was asked for a form: a vote, a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured: Option<Value>,
    /// Its tokens.
    pub usage: Usage,
    /// What it cost, where the price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<NanoUsd>,
    /// Model calls that answered.
    pub turns: u32,
    /// The names of the tools that ran, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools_used: Vec<String>,
    /// Its calls that were denied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<Denial>,
    /// The limit that it reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// A vote of a consensus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vote {
    /// The round, counted from 1.
    pub round: u32,
    /// Who voted.
    pub member: String,
    /// Whose proposal it voted for.
    pub vote: String,
    /// Why.
    pub reason: String,
}

/// What the judge of a debate has decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Whose position won; nobody's, if `None`.
    pub winner: Option<String>,
    /// Why.
    pub reason: String,
}

impl TeamOutcome {
    /// The team's answer.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What failed, where the status says so.
    #[must_use]
    pub fn cause(&self) -> Option<&VictorError> {
        self.cause.as_ref()
    }

    /// The team's answer as it stands in a workflow's state: `text`, `members`, `rounds`, and what the formation has
    /// beside it (`votes`, `agreement`, `verdict`, `approved`).
    ///
    /// # Errors
    /// The team did not come to its end.
    pub fn into_value(self) -> Result<Value, NodeError> {
        self.finished()?;
        let members: Vec<_> = self
            .contributions
            .iter()
            .map(|c| json!({ "member": c.member, "round": c.round, "status": c.status, "text": c.text }))
            .collect();
        let mut value = json!({ "text": self.text, "members": members, "rounds": self.rounds });
        if !self.votes.is_empty() {
            value["votes"] = json!(self.votes);
            value["agreement"] = json!(self.agreement);
        }
        if let Some(verdict) = &self.verdict {
            value["verdict"] = json!(verdict);
        }
        if let Some(approved) = self.approved {
            value["approved"] = json!(approved);
        }
        Ok(value)
    }

    /// Why it did not come to its end, where it did not.
    fn finished(&self) -> Result<(), NodeError> {
        let reason = |what: &str| match &self.error {
            Some(e) => format!("the team {what}: {}", e.message),
            None => format!("the team {what}"),
        };
        match self.status {
            Status::Completed => Ok(()),
            Status::Cancelled => Err(NodeError::cancelled()),
            Status::Limit => Err(NodeError::with_code("LIMIT_EXCEEDED", reason("reached a limit"))),
            Status::Denied => {
                let denied: Vec<_> = self.denied.iter().map(|d| format!("{}: {}", d.tool, d.reason)).collect();
                let text = format!("{} ({})", reason("was denied what it needed"), denied.join("; "));
                Err(NodeError::with_code("PERMISSION_DENIED", text))
            }
            _ => Err(self.cause.clone().map_or_else(|| NodeError::new(reason("failed")), NodeError::from)),
        }
    }
}

impl fmt::Display for TeamOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
