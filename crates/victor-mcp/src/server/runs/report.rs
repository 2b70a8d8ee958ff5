//! What a client is told of a run: the same form while it goes on and when it has ended.

use schemars::JsonSchema;
use serde::Serialize;
use victor_core::agent::{Denial, Failure, Outcome, Status};

use super::Live;

/// How a run stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// The run; `run_status` takes it.
    pub(crate) run_id: String,
    /// `running`, `waiting` for an answer, or how it ended: `completed`, `limit`, `denied`, `cancelled`, `failed`.
    pub(crate) status: String,
    /// The agent's answer; what it does at the moment, while it runs.
    pub(crate) text: String,
    /// The saved session, which `victor chat --session` goes on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session_id: Option<String>,
    /// The provider that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<String>,
    /// The model that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    /// Calls of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) turns: Option<u32>,
    /// Tokens, sent and received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokens: Option<u64>,
    /// Tools that were used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tools_used: Vec<String>,
    /// What was denied, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) denied: Vec<Denial>,
    /// What failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Failure>,
}

impl Report {
    /// How it stands now.
    pub(crate) fn of(live: &Live) -> Self {
        let snapshot = live.snapshot();
        match &snapshot.outcome {
            Some(outcome) => Self::ended(outcome),
            None => {
                let status = match (snapshot.is_over(), live.question()) {
                    (true, _) => "failed",
                    (false, Some(_)) => "waiting",
                    (false, None) => "running",
                };
                Self { status: status.to_owned(), text: snapshot.note().to_owned(), ..Self::empty(live.id.to_string()) }
            }
        }
    }

    fn ended(outcome: &Outcome) -> Self {
        Self {
            status: outcome.status.name().to_owned(),
            text: outcome.text.clone(),
            session_id: outcome.session_id.as_ref().map(ToString::to_string),
            provider: Some(outcome.provider.clone()),
            model: Some(outcome.model.clone()),
            turns: Some(outcome.turns),
            tokens: Some(outcome.usage.input + outcome.usage.output),
            tools_used: outcome.tools_used.clone(),
            denied: outcome.denied.clone(),
            error: outcome.error.clone(),
            ..Self::empty(outcome.run_id.to_string())
        }
    }

    fn empty(run_id: String) -> Self {
        Self {
            run_id,
            status: String::new(),
            text: String::new(),
            session_id: None,
            provider: None,
            model: None,
            turns: None,
            tokens: None,
            tools_used: Vec::new(),
            denied: Vec::new(),
            error: None,
        }
    }

    /// Whether it did not do what it was asked to do.
    pub(crate) fn is_failure(&self) -> bool {
        let fine = [Status::Completed.name(), "running", "waiting"];
        !fine.contains(&self.status.as_str())
    }

    /// The report for a reader who sees no fields.
    pub(crate) fn as_text(&self) -> String {
        let mut text = self.text.clone();
        if self.status != Status::Completed.name() {
            text = format!("[{}] {text}", self.status);
        }
        if let Some(error) = &self.error {
            text.push_str(&format!("\n{}", error.message));
        }
        for denial in &self.denied {
            text.push_str(&format!("\n{} was denied: {}", denial.tool, denial.reason));
        }
        if matches!(self.status.as_str(), "running" | "waiting") {
            text.push_str(&format!("\nThe run goes on; `run_status` with run_id `{}` tells more.", self.run_id));
        }
        text
    }
}

#[cfg(all(test, feature = "client"))]
mod tests {
    use super::*;
    use crate::convert;

    #[test]
    fn a_report_with_nothing_to_tell_fits_its_own_schema() {
        let schema = jsonschema::validator_for(&convert::answer_of::<Report>()).unwrap();
        let told = serde_json::to_value(Report::empty("r".to_owned())).unwrap();
        let wrong: Vec<_> = schema.iter_errors(&told).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
