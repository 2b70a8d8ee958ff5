//! What a run says of itself beside its records, for readers that have neither its workflow nor its process.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use victor_core::agent::Failure;
use victor_core::id::Timestamp;
use victor_core::journal::{JournalInfo, RunStatus};
use victor_core::question::Question;
use victor_core::usage::{NanoUsd, Spent};

use crate::machine::{End, Machine};
use crate::options::{Keeper, RunState};
use crate::record::Begun;
use crate::workflow::Workflow;

/// The summary of a run in its journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RunSummary {
    pub(crate) progress: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) current: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) completed: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Failure>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) waiting: Vec<Question>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) paused: Vec<String>,
    pub(crate) spent: Spent,
    /// How long it has worked, in milliseconds.
    pub(crate) worked_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<NanoUsd>,
    pub(crate) next_event: u64,
    #[serde(skip_serializing_if = "Keeper::is_caller")]
    pub(crate) keeper: Keeper,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
}

impl RunSummary {
    /// What a machine comes to.
    pub(crate) fn of(machine: &Machine, workflow: &Workflow, begun: &Begun, used: Used) -> Self {
        let Used { spent, worked, cost, next_event } = used;
        let (result, error) = match machine.end() {
            Some(End::Completed) => (Some(workflow.0.result(&machine.state())), None),
            Some(End::Failed(failure)) => (None, Some(failure.clone())),
            Some(End::Cancelled) | None => (None, None),
        };
        let ended = machine.end().is_some();
        Self {
            progress: machine.progress_made(),
            current: machine.current(),
            completed: machine.completed().to_vec(),
            result,
            error,
            waiting: if ended { Vec::new() } else { machine.questions().map(|(_, q)| q).collect() },
            paused: if ended { Vec::new() } else { machine.paused() },
            spent,
            worked_ms: u64::try_from(worked.as_millis()).unwrap_or(u64::MAX),
            cost,
            next_event,
            keeper: begun.keeper,
            file: begun.file.clone(),
        }
    }

    /// What a journal says.
    pub(crate) fn read(info: &JournalInfo) -> Self {
        Self::deserialize(&info.summary).unwrap_or_default()
    }
}

/// What a run has used so far, and the place of its next event.
pub(crate) struct Used {
    pub(crate) spent: Spent,
    pub(crate) worked: Duration,
    pub(crate) cost: Option<NanoUsd>,
    pub(crate) next_event: u64,
}

/// Where a machine stands.
pub(crate) fn status_of(machine: &Machine) -> RunStatus {
    match machine.end() {
        Some(End::Completed) => RunStatus::Completed,
        Some(End::Failed(_)) => RunStatus::Failed,
        Some(End::Cancelled) => RunStatus::Cancelled,
        None if machine.is_at_rest() => RunStatus::Waiting,
        None => RunStatus::Running,
    }
}

impl RunState {
    /// What a journal says of its run, at `now`.
    pub(crate) fn of(info: &JournalInfo, here: Option<Timestamp>) -> Self {
        let summary = RunSummary::read(info);
        let interrupted = info.status == RunStatus::Running && info.holder.is_none() && here.is_none();
        Self {
            workflow_id: info.id,
            workflow: info.name.clone(),
            status: info.status,
            progress: summary.progress,
            current_node: summary.current.first().cloned(),
            current_nodes: summary.current,
            completed_nodes: summary.completed,
            result: summary.result,
            error: summary.error,
            waiting: summary.waiting,
            paused: summary.paused,
            interrupted,
            keeper: summary.keeper,
            file: summary.file,
            workspace: info.workspace.clone(),
            owner: info.owner.clone(),
            created_at: info.created_at,
            updated_at: info.updated_at,
        }
    }
}
