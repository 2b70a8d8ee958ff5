//! How schedules stand, for the doors: when each is due next, and what came of its last times.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use victor_core::id::Timestamp;
use victor_core::journal::{JournalError, RunStatus};
use victor_core::schedule::DueTime;

use super::{Missed, Overlap, Schedule, Scheduler, storage};
use crate::error::WorkflowError;

/// How many of the next times are told.
const NEXT: usize = 5;

/// How a schedule stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleState {
    /// Its name.
    pub name: String,
    /// The workflow that it runs.
    pub workflow: String,
    /// When: a cron expression.
    pub cron: String,
    /// The time zone that the expression is read in.
    pub timezone: String,
    /// What happens to times that passed while no server ran.
    pub missed: Missed,
    /// What happens when the run of an earlier time has not ended.
    pub overlap: Overlap,
    /// Whether it is followed.
    pub enabled: bool,
    /// The next times, as long as a server runs; none where it is not followed.
    pub next: Vec<Timestamp>,
    /// What keeps it from being run as it is configured now.
    pub problem: Option<String>,
    /// What came of its last times, latest first.
    pub last: Vec<Came>,
}

/// What came of a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Came {
    /// The time, and what was decided.
    #[serde(flatten)]
    pub due: DueTime,
    /// Where its run stands, if that is still kept.
    pub run_status: Option<RunStatus>,
}

impl Scheduler {
    /// How all schedules stand, by name, each with its last `last` times.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list(&self, last: usize) -> Result<Vec<ScheduleState>, WorkflowError> {
        let mut states = Vec::with_capacity(self.schedules.all.len());
        for schedule in &self.schedules.all {
            states.push(self.state(schedule, last).await?);
        }
        Ok(states)
    }

    /// What keeps schedules from being run as they are configured, one line each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.followed().filter_map(|schedule| schedule.problem(&self.workflows)).collect()
    }

    /// The schedule that is due next, and when.
    #[must_use]
    pub fn next(&self) -> Option<(&Schedule, Timestamp)> {
        let now = self.runtime.clock().now();
        let due = self.followed().filter_map(|schedule| Some((schedule, schedule.cron.after(now)?)));
        due.min_by_key(|(_, at)| *at)
    }

    /// How many schedules are followed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.followed().count()
    }

    async fn state(&self, schedule: &Schedule, last: usize) -> Result<ScheduleState, WorkflowError> {
        let now = self.runtime.clock().now();
        let next = if schedule.enabled { NEXT } else { 0 };
        Ok(ScheduleState {
            name: schedule.name.clone(),
            workflow: schedule.workflow.clone(),
            cron: schedule.cron.expression().to_owned(),
            timezone: schedule.cron.zone().to_owned(),
            missed: schedule.missed,
            overlap: schedule.overlap,
            enabled: schedule.enabled,
            next: schedule.cron.times(now).take(next).collect(),
            problem: schedule.problem(&self.workflows),
            last: self.came(schedule, last).await?,
        })
    }

    async fn came(&self, schedule: &Schedule, last: usize) -> Result<Vec<Came>, WorkflowError> {
        let key = schedule.key(&self.workspace);
        let mut came = Vec::new();
        for due in self.schedules.store.due_times(&key, last).await.map_err(storage)? {
            let run_status = match due.run {
                None => None,
                Some(run) => match self.runtime.journal().info(run).await {
                    Ok(info) => Some(info.status),
                    Err(JournalError::NotFound(_)) => None,
                    Err(e) => return Err(e.into()),
                },
            };
            came.push(Came { due, run_status });
        }
        Ok(came)
    }
}
