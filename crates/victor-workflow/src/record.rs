//! What the journal keeps of a run: every input that changed the machine, in order. Played back, they give the same
//! machine; a node's update stands in them as the keys that it changed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use victor_core::agent::{DryRun, Failure};
use victor_core::id::{RunId, SessionId, Timestamp};
use victor_core::permission::Mode;
use victor_core::sandbox::SandboxMode;
use victor_core::usage::Budget;

use crate::error::NodeError;
use crate::machine::Machine;
use crate::node::{Answered, Ask};
use crate::options::{Keeper, Leave};
use crate::route::Send;
use crate::state::Update;
use crate::task::TaskId;

/// One record with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it happened.
    #[serde(with = "micros")]
    pub at: Timestamp,
    /// What happened.
    pub what: Record,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// The run began.
    Begun(Box<Begun>),
    /// A piece of work was done.
    Done {
        /// It.
        task: TaskId,
        /// Its node.
        node: Arc<str>,
        /// What it changed; empty for a subgraph, whose nodes said it already.
        #[serde(default, skip_serializing_if = "Update::is_empty")]
        update: Update,
        /// Where the run goes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        next: Vec<Send>,
    },
    /// A piece of work failed.
    Failed {
        /// It.
        task: TaskId,
        /// Its node.
        node: Arc<str>,
        /// Which try, counted from 1.
        attempt: u32,
        /// How.
        error: NodeError,
        /// What follows.
        then: Then,
    },
    /// A node asks a person.
    Asked {
        /// The piece of work.
        task: TaskId,
        /// Its node.
        node: Arc<str>,
        /// The question's id.
        question: String,
        /// The question.
        ask: Box<Ask>,
    },
    /// A question was answered.
    Answered {
        /// The piece of work.
        task: TaskId,
        /// Its node.
        node: Arc<str>,
        /// The question's id.
        question: String,
        /// The answer.
        answer: Answered,
    },
    /// A subgraph that had failed begins anew.
    Woken {
        /// The piece of work.
        task: TaskId,
        /// Its node.
        node: Arc<str>,
    },
    /// What was paused goes on.
    Continued,
    /// The run was cancelled.
    Cancelled,
    /// The run has used up what it may.
    Limited {
        /// How it failed.
        failure: Failure,
    },
    /// All of the machine: what is read back begins here.
    Snapshot {
        /// It.
        machine: Box<Machine>,
        /// How the run was begun.
        begun: Box<Begun>,
    },
}

/// How a run was begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// The workflow's name.
    pub workflow: String,
    /// Its hash.
    pub hash: String,
    /// What its nodes are made of, in short.
    pub prints: BTreeMap<String, String>,
    /// The first state.
    pub input: Update,
    /// Nodes before which it is put down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pause_before: Vec<String>,
    /// Nodes after which it is put down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pause_after: Vec<String>,
    /// What it may do, kept for when it goes on.
    #[serde(default)]
    pub settings: Settings,
    /// Who takes it up again when its process is gone.
    #[serde(default, skip_serializing_if = "Keeper::is_caller")]
    pub keeper: Keeper,
    /// The file that the workflow came from, where it is not found by its name alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The run and the place in its journal that it was taken up from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<(RunId, u64)>,
}

/// What a run may do, defaults of the runtime among it: a resumed run may do no more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// How far programs may reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxMode>,
    /// Whether calls that change something are carried out.
    pub dry_run: DryRun,
    /// What all agents may use together.
    pub budget: Budget,
    /// The tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// What becomes of calls that need leave where no approver is named.
    pub leave: Leave,
    /// The workflows that it was begun inside of, from the outside in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<String>,
}

/// What follows a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// It is tried again.
    Retry {
        /// When.
        #[serde(with = "micros")]
        at: Timestamp,
    },
    /// The run goes on there, with the failure in the state.
    Go(Vec<Send>),
    /// What it is a part of fails.
    Fail,
}

impl Record {
    /// What kind of record, in a word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Begun(_) => "begun",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Asked { .. } => "asked",
            Self::Answered { .. } => "answered",
            Self::Woken { .. } => "woken",
            Self::Continued => "continued",
            Self::Cancelled => "cancelled",
            Self::Limited { .. } => "limited",
            Self::Snapshot { .. } => "snapshot",
        }
    }

    /// The piece of work that it is about, and its node.
    #[must_use]
    pub fn task(&self) -> Option<(TaskId, &Arc<str>)> {
        match self {
            Self::Done { task, node, .. }
            | Self::Failed { task, node, .. }
            | Self::Asked { task, node, .. }
            | Self::Answered { task, node, .. }
            | Self::Woken { task, node } => Some((*task, node)),
            Self::Begun(_) | Self::Continued | Self::Cancelled | Self::Limited { .. } | Self::Snapshot { .. } => None,
        }
    }
}

/// The state that a failure leaves behind, for the nodes after it.
pub(crate) fn failure_update(node: &str, attempt: u32, error: &NodeError) -> Update {
    let mut update = Update::new();
    let NodeError { code, message, again: _ } = error;
    let code: &Cow<'static, str> = code;
    update.insert(
        "error".to_owned(),
        serde_json::json!({ "node": node, "code": code, "message": message, "attempts": attempt }),
    );
    update
}

/// Times as whole microseconds: shorter and faster than text.
pub(crate) mod micros {
    use serde::{Deserialize, Deserializer, Serializer};
    use victor_core::id::Timestamp;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `with` passes a reference")]
    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_i64(at.as_micros())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(d).map(Timestamp::from_micros)
    }

    /// The same for times that may be missing.
    pub(crate) mod option {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};
        use victor_core::id::Timestamp;

        #[expect(clippy::ref_option, reason = "serde's `with` passes a reference")]
        pub(crate) fn serialize<S: Serializer>(at: &Option<Timestamp>, s: S) -> Result<S::Ok, S::Error> {
            at.map(Timestamp::as_micros).serialize(s)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Timestamp>, D::Error> {
            Ok(Option::<i64>::deserialize(d)?.map(Timestamp::from_micros))
        }
    }
}
