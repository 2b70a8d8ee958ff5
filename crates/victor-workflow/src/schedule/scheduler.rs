//! Follows schedules: begins a run when one is due, once however many servers there are and wherever one ends.
//!
//! What is due is decided in one step of the store, with the id of the run that is to begin; then the run is begun, and
//! then that is noted. Who finds a decision without its run begins it; the journal takes a run's id once.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use victor_core::error::ConfigurationError;
use victor_core::id::{RunId, Timestamp};
use victor_core::journal::{JournalError, JournalInfo, RunStatus};
use victor_core::question::AskLater;
use victor_core::runtime::Runtime;
use victor_core::schedule::{DueStatus, DueTime, ScheduleKey, ScheduleMark, ScheduleStep};

use super::{Missed, Overlap, Schedule, Schedules, run_of, storage};
use crate::engine::Workflows;
use crate::error::WorkflowError;
use crate::options::{Keeper, Leave, RunOptions};

/// What is later than this counts as missed: the machine slept, or the store did not answer.
const LATE: Duration = Duration::from_mins(1);
/// How long it is waited at the start, so that a server that works already decides on what is due just then.
const SETTLE: Duration = Duration::from_secs(1);
/// How soon it is tried again after the store failed.
const RETRY: Duration = Duration::from_secs(5);
/// From which age on a decision counts as left behind by whoever made it.
const LEFT: Duration = Duration::from_secs(5);
/// How long it is waited at most until it is looked again: clocks can be set.
const LOOK: Duration = Duration::from_mins(1);
/// How soon a shutdown is heard of.
const STEP: Duration = Duration::from_millis(500);
/// A schedule that was followed further into the future than this begins anew: the clock was wrong then.
const AHEAD: Duration = Duration::from_hours(24);
/// Missed times that are counted one by one.
const COUNTED: u64 = 1000;
/// Entries of a schedule that are kept, with their runs.
pub const KEPT: usize = 100;

/// Follows the schedules of a runtime. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Scheduler {
    pub(super) workflows: Workflows,
    pub(super) runtime: Runtime,
    pub(super) schedules: Schedules,
    pub(super) workspace: String,
}

/// Times that were due one after another and have one fate.
struct Batch {
    first: Timestamp,
    last: Timestamp,
    times: u64,
}

impl Scheduler {
    /// Who follows the schedules that were put into the runtime; `None` where there are none to follow or to show.
    #[must_use]
    pub fn of(runtime: &Runtime) -> Option<Self> {
        let schedules = runtime.get::<Schedules>()?;
        Some(Self {
            workflows: Workflows::of(runtime),
            runtime: runtime.clone(),
            schedules: Schedules::clone(&schedules),
            workspace: runtime.workspace().root.to_string_lossy().into_owned(),
        })
    }

    /// Follows the schedules until the runtime shuts down. For a server, as long as it lives.
    pub async fn follow(&self) {
        let since = self.now();
        if !self.wait(SETTLE).await {
            return;
        }
        let names: Vec<String> = self.followed().map(|s| s.name.clone()).collect();
        while let Err(e) = self.schedules.store.retain(&self.workspace, &names).await {
            tracing::error!(error = %e, "schedules cannot be followed now; it is tried again");
            if !self.wait(RETRY).await {
                return;
            }
        }
        if names.is_empty() {
            return;
        }
        loop {
            let pause = self.look(since).await;
            if !self.wait(pause).await {
                return;
            }
        }
    }

    /// Does what is due, once; tells how long until it has to be looked again. What was due before `since` counts as
    /// missed. What cannot be done, because the store failed, is logged and done at a later look; other schedules do not
    /// wait for it.
    pub async fn look(&self, since: Timestamp) -> Duration {
        let mut pause = self.begin_left().await.unwrap_or_else(|e| again(&e));
        for schedule in self.followed() {
            let next = match self.look_at(schedule, since).await {
                Ok(next) => next.map_or(LOOK, |next| next.since(self.now())),
                Err(e) => again(&e),
            };
            pause = pause.min(next);
        }
        pause
    }

    fn now(&self) -> Timestamp {
        self.runtime.clock().now()
    }

    pub(super) fn followed(&self) -> impl Iterator<Item = &Schedule> {
        self.schedules.all.iter().filter(|s| s.enabled)
    }

    /// Waits; tells whether the runtime is still open.
    async fn wait(&self, pause: Duration) -> bool {
        let until = later(self.now(), pause);
        loop {
            if self.runtime.is_closed() {
                return false;
            }
            let rest = until.since(self.now());
            if rest.is_zero() {
                return true;
            }
            tokio::time::sleep(rest.min(STEP)).await;
        }
    }

    /// Begins the runs that were decided on and never begun.
    async fn begin_left(&self) -> Result<Duration, WorkflowError> {
        let mut pause = LOOK;
        for (name, due) in self.schedules.store.unsettled(&self.workspace).await.map_err(storage)? {
            let age = self.now().since(due.at);
            if age < LEFT {
                pause = pause.min(LEFT - age);
                continue;
            }
            match self.followed().find(|s| s.name == name) {
                Some(schedule) => match self.begin(schedule, &due).await {
                    Ok(()) => {}
                    Err(e) => pause = pause.min(again(&e)),
                },
                // Another server may know it.
                None if age < AHEAD => {}
                None => {
                    let key = ScheduleKey { workspace: self.workspace.clone(), name };
                    let why = "the schedule is no more".to_owned();
                    self.settle(&key, &due, DueStatus::Failed, Some(why)).await?;
                }
            }
        }
        Ok(pause)
    }

    /// Does what is due of one schedule; tells when it is due next.
    async fn look_at(&self, schedule: &Schedule, since: Timestamp) -> Result<Option<Timestamp>, WorkflowError> {
        let (key, rule) = (schedule.key(&self.workspace), schedule.rule());
        loop {
            let now = self.now();
            let from = self.schedules.store.mark(&key).await.map_err(storage)?;
            let until = match &from {
                Some(mark) if mark.rule == rule && mark.until.since(now) < AHEAD => mark.until,
                _ => {
                    // New, changed, or followed by a clock that was wrong: it counts from now on.
                    let to = ScheduleMark { until: now, rule: rule.clone() };
                    self.step(&key, ScheduleStep { from, to, due: None, replaces: None }).await?;
                    continue;
                }
            };
            let Some(first) = schedule.cron.after(until) else { return Ok(None) };
            if first > now || self.runtime.is_closed() {
                return Ok(Some(first));
            }
            let on_time = since.max(earlier(now, LATE));
            let step = match first < on_time {
                true => self.missed(schedule, &key, missed(schedule, first, on_time)).await?,
                false => self.due(schedule, &key, &Batch { first, last: first, times: 1 }, None).await?,
            };
            let (due, replaces) = step;
            let begins = (due.status == DueStatus::Starting).then(|| due.clone());
            let to = ScheduleMark { until: due.scheduled_at, rule: rule.clone() };
            let taken = self.step(&key, ScheduleStep { from, to, due: Some(due), replaces }).await?;
            if let Some(due) = begins.filter(|_| taken) {
                self.begin(schedule, &due).await?;
            }
        }
    }

    async fn step(&self, key: &ScheduleKey, step: ScheduleStep) -> Result<bool, WorkflowError> {
        self.schedules.store.step(key, step).await.map_err(storage)
    }

    /// What comes of times that nobody followed.
    async fn missed(
        &self,
        schedule: &Schedule,
        key: &ScheduleKey,
        batch: Batch,
    ) -> Result<(DueTime, Option<Timestamp>), WorkflowError> {
        let told = match batch.times {
            1 => "it passed while no server followed the schedule".to_owned(),
            COUNTED => format!("{COUNTED} times or more passed while no server followed the schedule"),
            n => format!("{n} times passed while no server followed the schedule"),
        };
        match schedule.missed {
            Missed::Skip => Ok((self.entry(&batch, DueStatus::Missed, None, Some(told)), None)),
            Missed::RunOnce => {
                let why = format!("{told}; this run makes up for it");
                self.due(schedule, key, &batch, Some(why)).await
            }
        }
    }

    /// What comes of a time that is due, and the entry that it takes the place of.
    async fn due(
        &self,
        schedule: &Schedule,
        key: &ScheduleKey,
        batch: &Batch,
        reason: Option<String>,
    ) -> Result<(DueTime, Option<Timestamp>), WorkflowError> {
        let begins = || self.entry(batch, DueStatus::Starting, Some(run_of(key, batch.last)), reason);
        if schedule.overlap == Overlap::Allow {
            return Ok((begins(), None));
        }
        let past = self.schedules.store.due_times(key, KEPT + 1).await.map_err(storage)?;
        let before = past.iter().find(|d| matches!(d.status, DueStatus::Started | DueStatus::Starting));
        let Some(why) = self.in_the_way(before).await? else { return Ok((begins(), None)) };
        let run = before.and_then(|d| d.run);
        let mut skipped = self.entry(batch, DueStatus::Skipped, run, Some(why));
        // What is skipped again and again for the same run is one entry.
        let last = past.first().filter(|d| d.status == DueStatus::Skipped && d.run == run);
        if let Some(last) = last {
            (skipped.since, skipped.times) = (last.since, last.times + batch.times);
        }
        Ok((skipped, last.map(|d| d.scheduled_at)))
    }

    fn entry(&self, batch: &Batch, status: DueStatus, run: Option<RunId>, reason: Option<String>) -> DueTime {
        let Batch { first, last, times } = *batch;
        DueTime { scheduled_at: last, since: first, times, status, at: self.now(), run, reason }
    }

    /// Why the run of an earlier time keeps the next from beginning; `None` if it does not.
    async fn in_the_way(&self, before: Option<&DueTime>) -> Result<Option<String>, WorkflowError> {
        let Some((before, run)) = before.and_then(|d| Some((d, d.run?))) else { return Ok(None) };
        let info = match self.runtime.journal().info(run).await {
            Ok(info) => info,
            Err(JournalError::NotFound(_)) if before.status == DueStatus::Starting => {
                return Ok(Some(format!("run {run}, of the time before, has not begun yet")));
            }
            Err(JournalError::NotFound(_)) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        Ok(match info.status {
            status if status.is_final() => None,
            RunStatus::Waiting => Some(format!("run {run}, of an earlier time, waits for an answer")),
            _ if info.holder.is_none() => Some(format!(
                "run {run}, of an earlier time, was interrupted and has not gone on; `victor workflow resume` and \
                 `cancel` take its id"
            )),
            _ => Some(format!("run {run}, of an earlier time, still works")),
        })
    }

    /// Begins the run of a decision, unless somebody has, and notes what came of it.
    async fn begin(&self, schedule: &Schedule, due: &DueTime) -> Result<(), WorkflowError> {
        let key = schedule.key(&self.workspace);
        let Some(run) = due.run else { return Ok(()) };
        let begun = match self.start(schedule, run).await {
            Err(WorkflowError::Journal(JournalError::Conflict { .. })) => {
                match self.runtime.journal().info(run).await {
                    Ok(info) if was_left_empty(&info) => {
                        // Its process ended after it took the id and before it wrote anything.
                        self.runtime.journal().delete(run).await?;
                        self.start(schedule, run).await
                    }
                    Ok(_) => Ok(()),
                    Err(e) => Err(e.into()),
                }
            }
            other => other,
        };
        let name = &schedule.name;
        match begun {
            Ok(()) => {
                tracing::info!(schedule = %name, %run, due = %due.scheduled_at, "a scheduled run began");
                self.settle(&key, due, DueStatus::Started, None).await?;
                self.trim(&key).await
            }
            // The next server begins it.
            Err(WorkflowError::ShuttingDown | WorkflowError::Interrupted) => Ok(()),
            // So does the next look.
            Err(e @ WorkflowError::Journal(_)) => Err(e),
            Err(e) => {
                tracing::error!(schedule = %name, due = %due.scheduled_at, error = %e, "a scheduled run cannot begin");
                self.settle(&key, due, DueStatus::Failed, Some(e.to_string())).await
            }
        }
    }

    async fn start(&self, schedule: &Schedule, run: RunId) -> Result<(), WorkflowError> {
        if let Some(why) = schedule.withheld(&self.workflows) {
            return Err(ConfigurationError::new(why).into());
        }
        let options = RunOptions {
            id: Some(run),
            owner: Some(format!("schedule:{}", schedule.name)),
            keeper: Keeper::Server,
            // Nobody is there to be asked about tool calls, also when the run goes on later; what human nodes ask can be answered later.
            leave: Leave::Never,
            interviewer: Some(Arc::new(AskLater)),
            ..RunOptions::default()
        };
        let input = Value::Object(schedule.input.clone());
        self.workflows.start_named(&schedule.workflow, input, options).await.map(crate::run::WorkflowRun::detach)
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

/// How soon it is looked again after the store failed, which is logged.
fn again(error: &WorkflowError) -> Duration {
    tracing::error!(%error, "a schedule cannot be followed now; it is tried again");
    RETRY
}

/// The times from `first` on that were missed: all before `on_time`.
fn missed(schedule: &Schedule, first: Timestamp, on_time: Timestamp) -> Batch {
    let mut batch = Batch { first, last: first, times: 1 };
    for next in schedule.cron.times(first).take_while(|next| *next < on_time) {
        if batch.times == COUNTED {
            let last = schedule.cron.until(Timestamp::from_micros(on_time.as_micros() - 1));
            batch.last = batch.last.max(last.unwrap_or(next));
            return batch;
        }
        (batch.last, batch.times) = (next, batch.times + 1);
    }
    batch
}

/// Whether a journal has an id and nothing else, and nobody writes to it.
fn was_left_empty(info: &JournalInfo) -> bool {
    info.last_seq == 0 && info.holder.is_none()
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}

fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}
