//! How a run of a workflow is begun or continued, and what it comes to.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use victor_core::agent::{Denial, DryRun, Failure};
use victor_core::id::{RunId, SessionId, Timestamp};
use victor_core::journal::RunStatus;
use victor_core::permission::{Approver, Mode};
use victor_core::question::{Interviewer, Question};
use victor_core::sandbox::SandboxMode;
use victor_core::usage::{Budget, NanoUsd, Usage};

/// Whether every node's end is written to the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checkpoints {
    /// It is.
    #[default]
    On,
    /// Nothing is kept: the run ends with its process, and cannot wait.
    Off,
}

/// What happens when a run goes on with a workflow that has changed since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Changed {
    /// It is an error that names what has changed.
    #[default]
    Refuse,
    /// The run goes on with the changed workflow, as far as its journal fits it.
    Accept,
}

/// Who takes a run up again when its process is gone, and has the time of its questions run out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keeper {
    /// Whoever began it, by resuming it.
    #[default]
    Caller,
    /// Any server that lives in its workspace.
    Server,
}

impl Keeper {
    /// Whether it is the caller.
    #[must_use]
    pub fn is_caller(&self) -> bool {
        *self == Self::Caller
    }
}

/// What becomes of a call that needs leave, in a run for which no approver is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leave {
    /// The runtime's approver is asked.
    #[default]
    Now,
    /// The run waits until it is resumed with the answer.
    Later,
    /// It is denied, whatever the runtime's approver would say.
    Never,
}

/// How a run is begun or continued. What is `None` follows the runtime. What a run may do (mode, sandbox, dry run,
/// budget, tools) is kept in its journal: where it is continued, this can only narrow it.
#[derive(Clone, Default)]
pub struct RunOptions {
    /// Its id, where the caller has one already.
    pub id: Option<RunId>,
    /// What its agents and tools may do at most.
    pub mode: Option<Mode>,
    /// How far programs may reach.
    pub sandbox: Option<SandboxMode>,
    /// Whether calls that change something are carried out.
    pub dry_run: DryRun,
    /// Who is asked about tool calls. A node whose call is answered later waits; see [`Leave`] for `None`.
    pub approver: Option<Arc<dyn Approver>>,
    /// What becomes of calls that need leave where `approver` is `None`, also when the run goes on later.
    pub leave: Leave,
    /// Who is asked what human nodes ask; `None` for nobody: then fallbacks act at once.
    pub interviewer: Option<Arc<dyn Interviewer>>,
    /// What all agents of the run may use together, over all its processes; and how long it may work, without the time
    /// in which it only waits for people.
    pub budget: Budget,
    /// The tools of the run by name or glob; `None` for all.
    pub tools: Option<Vec<String>>,
    /// The session that it belongs to.
    pub session: Option<SessionId>,
    /// Who it belongs to; `None` for the runtime's owner.
    pub owner: Option<String>,
    /// Who takes it up again.
    pub keeper: Keeper,
    /// The file that the workflow came from, where it is not found by its name alone.
    pub file: Option<String>,
    /// Whether it is journaled.
    pub checkpoints: Checkpoints,
    /// Nodes before which the run is put down, until it is resumed.
    pub pause_before: Vec<String>,
    /// Nodes after which the run is put down, until it is resumed.
    pub pause_after: Vec<String>,
    /// What happens when the workflow has changed since the run began.
    pub changed: Changed,
}

/// How a run ended, or stands.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowOutcome {
    /// The run.
    pub workflow_id: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// How it ended: completed, failed, cancelled or waiting.
    pub status: RunStatus,
    /// The outputs; `null` unless it was completed.
    pub result: Value,
    /// The last state.
    pub state: Value,
    /// What failed.
    pub error: Option<Failure>,
    /// What it waits for.
    pub waiting: Vec<Question>,
    /// Tokens of all its agents.
    pub usage: Usage,
    /// What they cost, where the prices are known.
    pub cost: Option<NanoUsd>,
    /// The calls that were denied.
    pub denied: Vec<Denial>,
    /// From start to end, of this part of the run.
    pub duration_ms: u64,
}

/// Where a run stands, for any process: the answer of `GET /workflows/{id}/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunState {
    /// The run.
    pub workflow_id: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// Where it stands.
    pub status: RunStatus,
    /// Nodes that were done, as a part of all: from 0 to 1.
    pub progress: f64,
    /// The node that works or waits now; of several the first.
    pub current_node: Option<String>,
    /// All nodes that work or wait now.
    pub current_nodes: Vec<String>,
    /// The nodes that were done, in the order in which they first were.
    pub completed_nodes: Vec<String>,
    /// The outputs, once it is completed.
    pub result: Option<Value>,
    /// What failed.
    pub error: Option<Failure>,
    /// What it waits for.
    #[serde(default)]
    pub waiting: Vec<Question>,
    /// The nodes that it was put down before or after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<String>,
    /// Whether its process is gone: it goes on when it is resumed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// Who takes it up again when its process is gone.
    #[serde(default, skip_serializing_if = "Keeper::is_caller")]
    pub keeper: Keeper,
    /// The file that its workflow came from, where it is not found by its name alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The folder that it was begun in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Who it belongs to.
    pub owner: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it was last written to.
    pub updated_at: Timestamp,
}

/// A point that a run can be taken up from again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Checkpoint {
    /// Its place in the journal.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What happened: `begun`, `done`, `failed`, `asked`, `answered`, ...
    pub what: String,
    /// The piece of work that it happened to.
    pub task: Option<String>,
    /// What changed in the state.
    pub update: Option<Value>,
}
