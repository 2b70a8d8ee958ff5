//! Whoever is asked: a person at a terminal, a client over a wire, or nobody.

use async_trait::async_trait;
use globset::escape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{CallId, RunId};
use crate::question::{AskLater, Question, Reply};
use crate::tool::{Effects, Preview};

use super::{PermissionKey, literal};

/// A question: may this call run?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalRequest {
    /// The run that asks.
    pub run_id: RunId,
    /// The call.
    pub call: CallId,
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub arguments: Value,
    /// What the call does.
    pub effects: Effects,
    /// What the permission rules were matched against.
    pub keys: Vec<PermissionKey>,
    /// What a person is shown.
    pub preview: Option<Preview>,
    /// Why it is asked.
    pub reason: String,
    /// Whether it would leave the sandbox, which a general yes does not answer.
    pub leaves_sandbox: bool,
    /// Whether it would be asked whatever is allowed by a rule: a rule that asks beats those, and where rules deny
    /// reading some paths every program asks.
    #[serde(default)]
    pub beats_rules: bool,
}

impl ApprovalRequest {
    /// The rules that allow this call and others of the same keys: one for each key, as each has to be allowed. A file
    /// that a command redirects needs none. None at all where no rule helps: outside the sandbox, for a line that
    /// could not be split, and where it is asked whatever is allowed.
    #[must_use]
    pub fn allow_rules(&self) -> Vec<String> {
        if self.leaves_sandbox || self.beats_rules {
            return Vec::new();
        }
        let is_path = |k: &&PermissionKey| matches!(k, PermissionKey::Path { .. });
        let (paths, others): (Vec<_>, Vec<_>) = self.keys.iter().partition(is_path);
        let keys = if others.is_empty() { paths } else { others };
        if keys.is_empty() {
            return vec![self.tool.clone()];
        }
        let patterns: Option<Vec<String>> = keys.into_iter().map(pattern_of).collect();
        let mut rules: Vec<String> =
            patterns.unwrap_or_default().into_iter().map(|p| format!("{}({p})", self.tool)).collect();
        rules.dedup();
        rules
    }

    /// Whether the same is asked: an answer to one counts for the other.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let Self {
            run_id: _,
            call,
            tool,
            arguments,
            effects,
            keys,
            preview,
            reason: _,
            leaves_sandbox,
            beats_rules: _,
        } = self;
        *call == other.call
            && *tool == other.tool
            && *arguments == other.arguments
            && *effects == other.effects
            && *keys == other.keys
            && *preview == other.preview
            && *leaves_sandbox == other.leaves_sandbox
    }

    /// How the call can be allowed from a command line where nobody can be asked.
    #[must_use]
    pub fn how_to_allow(&self) -> String {
        let quoted = |rule: &String| format!("--allow '{}'", rule.replace('\'', r"'\''"));
        match self.allow_rules().iter().map(quoted).collect::<Vec<_>>().join(" ") {
            _ if self.leaves_sandbox => "run with --sandbox off to allow it".to_owned(),
            none if none.is_empty() => "answer all questions with --yes to allow it".to_owned(),
            rules => format!("allow it with {rules} or answer all questions with --yes"),
        }
    }

    /// How the call can be allowed by the configuration, where nobody can be asked and no flag can be given.
    #[must_use]
    pub fn how_to_configure(&self) -> String {
        match self.allow_rules() {
            none if none.is_empty() => "no rule can allow it".to_owned(),
            rules => format!("`permissions.allow` of the configuration can: {}", rules.join(", ")),
        }
    }
}

/// The pattern that fits this key and no other; `None` where none can be written.
fn pattern_of(key: &PermissionKey) -> Option<String> {
    let pattern = match key {
        PermissionKey::Path { relative: Some(path), .. } | PermissionKey::Path { absolute: path, .. } => escape(path),
        PermissionKey::Command { text } => literal(text),
        PermissionKey::Host { host: name } | PermissionKey::Name { name } => literal(name),
        PermissionKey::UnsplitCommand { .. } => return None,
    };
    (!pattern.is_empty() && pattern.trim() == pattern && !pattern.contains(char::is_control)).then_some(pattern)
}

/// How long a yes holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantScope {
    /// For this call.
    Once,
    /// For calls with the same keys and no further effects, as long as the chat is open.
    Session,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may run.
    Allow(GrantScope),
    /// It may not run; the model is told the reason and goes on.
    Deny {
        /// Why.
        reason: String,
    },
    /// It may not run, and the run ends as denied.
    Abort {
        /// Why.
        reason: String,
    },
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is decided.
    Decided(Decision),
    /// It will be decided later: the run is put down as `waiting` and goes on when it is resumed with the answer.
    Later,
}

/// Answers questions. One that panics has denied.
#[async_trait]
pub trait Approver: Send + Sync + 'static {
    /// Answers one question.
    async fn ask(&self, request: &ApprovalRequest) -> Answer;

    /// Puts a question to the same person that is no leave for a call: what a workflow asks that runs as a part of this
    /// run. Nobody is there unless an approver says otherwise; then the question's fallback acts. Whoever says yes to
    /// all calls has not answered it.
    async fn question(&self, _: &Question) -> Reply {
        Reply::Nobody
    }
}

/// Where nobody can be asked: everything is denied, with a message that says how to allow it.
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyAll;

#[async_trait]
impl Approver for DenyAll {
    async fn ask(&self, request: &ApprovalRequest) -> Answer {
        let reason = format!("{}; nobody can be asked here: {}", request.reason, request.how_to_allow());
        Answer::Decided(Decision::Deny { reason })
    }
}

/// As [`DenyAll`] where no flag can be given either, as to a server: the message says what to write into the
/// configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyUnconfigured;

#[async_trait]
impl Approver for DenyUnconfigured {
    async fn ask(&self, request: &ApprovalRequest) -> Answer {
        let reason = format!("{}; nobody can be asked here: {}", request.reason, request.how_to_configure());
        Answer::Decided(Decision::Deny { reason })
    }
}

/// Says yes to every question (`--yes`), except to leave the sandbox.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

#[async_trait]
impl Approver for AllowAll {
    async fn ask(&self, request: &ApprovalRequest) -> Answer {
        if request.leaves_sandbox {
            return DenyAll.ask(request).await;
        }
        Answer::Decided(Decision::Allow(GrantScope::Once))
    }
}

#[async_trait]
impl Approver for AskLater {
    async fn ask(&self, _: &ApprovalRequest) -> Answer {
        Answer::Later
    }

    async fn question(&self, _: &Question) -> Reply {
        Reply::Later
    }
}
