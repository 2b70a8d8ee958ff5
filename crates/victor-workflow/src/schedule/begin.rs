//! Begins the runs of times that are due. Who finds a decision without its run begins it; the journal takes a run's id
//! once, and only who holds its journal writes the first record.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use victor_core::error::ConfigurationError;
use victor_core::id::RunId;
use victor_core::journal::{JournalClaim, JournalError};
use victor_core::question::AskLater;
use victor_core::schedule::{DueStatus, DueTime, ScheduleKey};

use super::scheduler::{AHEAD, CROWDED, LOOK, again};
use super::{KEPT, OWNER, Schedule, Scheduler, storage};
use crate::error::WorkflowError;
use crate::options::{Keeper, Leave, RunOptions};

/// From which age on a decision counts as left behind by whoever made it.
const LEFT: Duration = Duration::from_secs(5);

/// Where so many runs have a place at once.
pub trait Room: Send + Sync + 'static {
    /// A place for one more run, until it is dropped; `None` where all are taken.
    fn enter(&self) -> Option<Place>;
}

/// A run's place.
pub type Place = Box<dyn Send>;

/// What has become of a run that was to begin.
pub(super) enum Begun {
    /// It has begun, here or elsewhere.
    Yes,
    /// Somebody holds its journal and has written nothing yet.
    Soon,
}

impl Scheduler {
    /// A place for one more run; `None` where all are taken.
    pub(super) fn enter(&self) -> Option<Place> {
        self.room.as_ref().map_or_else(|| Some(Box::new(()) as Place), |room| room.enter())
    }

    /// Begins the runs that were decided on and never begun; tells how long until it has to be looked again.
    pub(super) async fn begin_left(&self) -> Result<Duration, WorkflowError> {
        let mut pause = LOOK;
        for (name, due) in self.schedules.store.unsettled(&self.workspace).await.map_err(storage)? {
            let age = self.now().since(due.at);
            if age < LEFT {
                pause = pause.min(LEFT - age);
                continue;
            }
            match self.followed().find(|s| s.name == name) {
                Some(schedule) => {
                    let Some(place) = self.enter() else {
                        pause = pause.min(CROWDED);
                        continue;
                    };
                    match self.begin(schedule, &due, place).await {
                        Ok(Begun::Yes) => {}
                        Ok(Begun::Soon) => pause = pause.min(LEFT),
                        Err(e) => pause = pause.min(again(&e)),
                    }
                }
                // Another server may know it.
                None if age < AHEAD => {}
                None => {
                    let key = ScheduleKey { workspace: self.workspace.clone(), name };
                    let why = "the schedule is no more".to_owned();
                    self.settle(&key, &due, DueStatus::Failed, Some(why)).await?;
                    if let Some(run) = due.run {
                        self.clear(run).await?;
                    }
                }
            }
        }
        Ok(pause)
    }

    /// Begins the run of a decision, unless somebody has, and notes what came of it.
    pub(super) async fn begin(&self, schedule: &Schedule, due: &DueTime, place: Place) -> Result<Begun, WorkflowError> {
        let key = schedule.key(&self.workspace);
        let Some(run) = due.run else { return Ok(Begun::Yes) };
        let name = &schedule.name;
        match self.begun(schedule, run, place).await {
            Ok(Begun::Yes) => {
                tracing::info!(schedule = %name, %run, due = %due.scheduled_at, "a scheduled run began");
                self.settle(&key, due, DueStatus::Started, None).await?;
                self.trim(&key).await.map(|()| Begun::Yes)
            }
            // Not noted: whoever holds the journal does that, or ends before it.
            Ok(Begun::Soon) => Ok(Begun::Soon),
            // The next server begins it.
            Err(WorkflowError::ShuttingDown | WorkflowError::Interrupted) => Ok(Begun::Yes),
            // So does the next look.
            Err(e @ WorkflowError::Journal(_)) => Err(e),
            Err(e) => {
                tracing::error!(schedule = %name, due = %due.scheduled_at, error = %e, "a scheduled run cannot begin");
                self.settle(&key, due, DueStatus::Failed, Some(e.to_string())).await?;
                self.clear(run).await.map(|()| Begun::Yes)
            }
        }
    }

    async fn begun(&self, schedule: &Schedule, run: RunId, place: Place) -> Result<Begun, WorkflowError> {
        let journal = self.runtime.journal();
        let info = match journal.info(run).await {
            Err(JournalError::NotFound(_)) => None,
            info => Some(info?),
        };
        let claim = match info {
            Some(info) if info.last_seq > 0 => return Ok(Begun::Yes),
            None => None,
            // Its id was taken and nothing written: by somebody who is about to, or whose process ended before it.
            Some(info) => match journal.claim(run, self.runtime.holder()).await {
                Err(JournalError::Conflict { .. }) => return Ok(Begun::Soon),
                Ok(claim) if claim.last_seq() > 0 => return Ok(Begun::Yes),
                Ok(_) if info.name.replace('-', "_") != schedule.workflow.replace('-', "_") => {
                    let text = format!("the schedule named the workflow `{}` when this was due", info.name);
                    return Err(ConfigurationError::new(text).into());
                }
                claim => Some(claim?),
            },
        };
        match self.start(schedule, run, claim, place).await {
            // Somebody else was quicker.
            Err(WorkflowError::Journal(JournalError::Conflict { .. })) => Ok(Begun::Soon),
            started => started.map(|()| Begun::Yes),
        }
    }

    async fn start(
        &self,
        schedule: &Schedule,
        run: RunId,
        claim: Option<Box<dyn JournalClaim>>,
        place: Place,
    ) -> Result<(), WorkflowError> {
        let found = self.workflows.registry().get_trusted(&schedule.workflow)?;
        let options = RunOptions {
            id: Some(run),
            owner: Some(format!("{OWNER}{}", schedule.name)),
            keeper: Keeper::Server,
            // Nobody is there to be asked about tool calls, also when the run goes on later; what human nodes ask can be answered later.
            leave: Leave::Never,
            interviewer: Some(Arc::new(AskLater)),
            ..RunOptions::default()
        };
        let input = Value::Object(schedule.input.clone());
        let started = match claim {
            None => self.workflows.start(&found.workflow, input, options).await?,
            Some(claim) => self.workflows.start_claimed(&found.workflow, input, options, claim).await?,
        };
        started.detach_with(place);
        Ok(())
    }

    async fn settle(
        &self,
        key: &ScheduleKey,
        due: &DueTime,
        status: DueStatus,
        reason: Option<String>,
    ) -> Result<(), WorkflowError> {
        self.schedules.store.settle(key, due.scheduled_at, status, self.now(), reason).await.map_err(storage)
    }

    /// Deletes the journal of a run that begins no more, where its id was taken and nothing written: it would stay.
    async fn clear(&self, run: RunId) -> Result<(), WorkflowError> {
        let journal = self.runtime.journal();
        match journal.info(run).await {
            Ok(info) if info.last_seq == 0 && info.holder.is_none() => Ok(journal.delete(run).await?),
            Ok(_) | Err(JournalError::NotFound(_)) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Forgets what is too old to be kept, with the runs that have ended.
    async fn trim(&self, key: &ScheduleKey) -> Result<(), WorkflowError> {
        let journal = self.runtime.journal();
        for run in self.schedules.store.trim(key, KEPT).await.map_err(storage)? {
            match journal.info(run).await {
                Ok(info) if info.status.is_final() => journal.delete(run).await?,
                Ok(_) | Err(JournalError::NotFound(_)) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}
