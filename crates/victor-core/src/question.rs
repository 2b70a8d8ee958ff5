//! Questions that a run puts to a person, and who answers them. Leave for a tool call is asked elsewhere, by an
//! [`Approver`](crate::permission::Approver), and becomes a question here where it is given later.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{RunId, Timestamp};

/// What kind of answer a question wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// A yes or a no that lets something happen or not: `true` or `false`.
    Approval,
    /// Anything, mostly a text.
    Input,
    /// One of the options.
    Choice,
    /// A yes or a no: `true` or `false`.
    Confirmation,
    /// Leave for a tool's call, given later: `allow`, `allow_session` or `deny`, or `{"decision": .., "reason": ..}`.
    Permission,
}

impl QuestionKind {
    /// The kind in a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Input => "input",
            Self::Choice => "choice",
            Self::Confirmation => "confirmation",
            Self::Permission => "permission",
        }
    }
}

/// A question to a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// What it is answered by: the same as long as it is open, in every process.
    pub id: String,
    /// The run that asks.
    pub run_id: RunId,
    /// The node that asks.
    pub node: String,
    /// What kind of answer it wants.
    pub kind: QuestionKind,
    /// What the person reads.
    pub prompt: String,
    /// What a choice is made among.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// More for the person to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// Until when an answer counts; then the fallback acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// What a person, or nobody, says to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The answer: `true` or `false`, the chosen option, or anything for an input.
    Answer(Value),
    /// It will be answered later: the run is put down as `waiting`.
    Later,
    /// There is nobody to ask: the question's fallback acts.
    Nobody,
}

/// Puts questions to a person. One that panics has found nobody.
#[async_trait]
pub trait Interviewer: Send + Sync + 'static {
    /// Puts one question. Dropped when the question's time is up or the run ends.
    async fn ask(&self, question: &Question) -> Reply;
}

/// Where nobody can be asked: every question's fallback acts at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

#[async_trait]
impl Interviewer for Nobody {
    async fn ask(&self, _: &Question) -> Reply {
        Reply::Nobody
    }
}

/// Leaves every question open: the run waits until it is resumed with the answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct AskLater;

#[async_trait]
impl Interviewer for AskLater {
    async fn ask(&self, _: &Question) -> Reply {
        Reply::Later
    }
}
