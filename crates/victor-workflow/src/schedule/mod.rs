//! Workflows on a schedule: what is run when, and by whom; [`Scheduler`] is who follows it.

mod begin;
mod cron;
mod scheduler;
mod state;
mod zoned;

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use victor_core::blob::BlobId;
use victor_core::error::ConfigurationError;
use victor_core::id::{RunId, Timestamp};
use victor_core::schedule::{ScheduleKey, ScheduleStore};

pub use begin::{Place, Room};
pub use cron::{Cron, time_zone};
pub use scheduler::{KEPT, Scheduler};
pub use state::{Came, ScheduleState};

use crate::engine::Workflows;
use crate::error::WorkflowError;

/// Who scheduled runs belong to: this, and the schedule's name.
pub(crate) const OWNER: &str = "schedule:";

/// What happens to times that passed while nobody followed the schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are noted and nothing is run for them.
    #[default]
    Skip,
    /// One run makes up for all of them.
    RunOnce,
}

/// What happens when a time comes and the run of an earlier one has not ended: it works, waits, or was interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The time is noted and nothing is run for it.
    #[default]
    Skip,
    /// Both run.
    Allow,
}

/// A workflow that is run at certain times.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// When.
    pub cron: Cron,
    /// The workflow, by its name. It is looked up each time; one of a folder that is not trusted is not run.
    pub workflow: String,
    /// What it is given.
    pub input: Map<String, Value>,
    /// What happens to times that passed while nobody followed it.
    pub missed: Missed,
    /// What happens when the run of an earlier time has not ended.
    pub overlap: Overlap,
    /// Whether it is followed.
    pub enabled: bool,
    /// Where its workflow and its input are said, for messages: a file with the line.
    pub places: Places,
}

/// Where parts of a schedule are said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The workflow.
    pub workflow: String,
    /// The input.
    pub input: String,
}

/// The schedules of a runtime, with the store of what came of them: what a door finds in the runtime.
#[derive(Clone)]
pub struct Schedules {
    /// Where it is kept what came of them.
    pub store: Arc<dyn ScheduleStore>,
    /// The schedules, by name.
    pub all: Vec<Schedule>,
}

impl Schedule {
    /// What is wrong with it as the workflows are now: there is none of its name, it is not trusted, or the input does
    /// not fit.
    #[must_use]
    pub fn problem(&self, workflows: &Workflows) -> Option<String> {
        let place = |place: &str, what: &str| match place {
            "" => format!("schedules.{}.{what}", self.name),
            place => format!("{place}: schedules.{}.{what}", self.name),
        };
        match workflows.registry().get_trusted(&self.workflow) {
            Err(e) => Some(format!("{}: {e}", place(&self.places.workflow, "workflow"))),
            Ok(found) => {
                let fits = found.workflow.prepare(Value::Object(self.input.clone()));
                fits.err().map(|e| format!("{}: {e}", place(&self.places.input, "input")))
            }
        }
    }

    /// What says when it is due, for the store.
    fn rule(&self) -> String {
        format!("{} {}", self.cron.expression(), self.cron.zone())
    }

    fn key(&self, workspace: &str) -> ScheduleKey {
        ScheduleKey { workspace: workspace.to_owned(), name: self.name.clone() }
    }
}

impl fmt::Debug for Schedules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedules").field("all", &self.all).finish_non_exhaustive()
    }
}

/// Checks the name of a schedule: what a person can type and a table can show.
///
/// # Errors
/// It is none.
pub fn check_name(name: &str) -> Result<(), ConfigurationError> {
    let fits = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if (1..=64).contains(&name.chars().count()) && name.chars().all(fits) {
        return Ok(());
    }
    let text = format!("`{name}` is no name of a schedule: 1 to 64 letters, digits, `-`, `_` or `.`");
    Err(ConfigurationError::new(text))
}

/// The run of a time: the same for everybody who decides on it, so that the journal takes one only. It sorts by the
/// time, as the ids of all runs do.
fn run_of(key: &ScheduleKey, due: Timestamp) -> RunId {
    let text = format!("{}\0{}\0{}", key.workspace, key.name, due.as_micros());
    let hash = BlobId::of(text.as_bytes()).0;
    let mut random = [0; 10];
    for (byte, hex) in random.iter_mut().zip(hash.as_bytes().chunks_exact(2)) {
        *byte = std::str::from_utf8(hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or_default();
    }
    let millis = u64::try_from(due.as_micros() / 1000).unwrap_or_default();
    RunId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

/// A failure of the store, in the words of workflows.
fn storage(error: victor_core::error::SessionError) -> WorkflowError {
    WorkflowError::Journal(error.into())
}
