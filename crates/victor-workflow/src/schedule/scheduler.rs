//! Follows schedules: begins a run when one is due, once however many servers there are and wherever one ends.
//!
//! What is due is decided in one step of the store, with the id of the run that is to begin; then the run is begun
//! (`begin.rs`), and then that is noted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use victor_core::id::{RunId, Timestamp};
use victor_core::journal::{JournalError, RunStatus};
use victor_core::runtime::Runtime;
use victor_core::schedule::{DueStatus, DueTime, ScheduleKey, ScheduleMark, ScheduleStep};

use super::begin::Room;
use super::{Missed, Overlap, Schedule, Schedules, run_of, storage};
use crate::engine::Workflows;
use crate::error::WorkflowError;

/// What is later than this counts as missed: the machine slept, or the store did not answer.
const LATE: Duration = Duration::from_mins(1);
/// How long it is waited at the start, so that a server that works already decides on what is due just then.
const SETTLE: Duration = Duration::from_secs(1);
/// How soon it is tried again after the store failed.
const RETRY: Duration = Duration::from_secs(5);
/// How soon it is looked again for room.
pub(super) const CROWDED: Duration = Duration::from_secs(1);
/// How long it is waited at most until it is looked again: clocks can be set.
pub(super) const LOOK: Duration = Duration::from_mins(1);
/// How soon a shutdown is heard of.
const STEP: Duration = Duration::from_millis(500);
/// A schedule that was followed further into the future than this begins anew: the clock was wrong then.
pub(super) const AHEAD: Duration = Duration::from_hours(24);
/// Missed times that are counted one by one.
const COUNTED: u64 = 1000;
/// Entries of a schedule that are kept, with their runs.
pub const KEPT: usize = 100;

/// Follows the schedules of a runtime. Cloning is cheap.
#[derive(Clone)]
pub struct Scheduler {
    pub(super) workflows: Workflows,
    pub(super) runtime: Runtime,
    pub(super) schedules: Schedules,
    pub(super) workspace: String,
    pub(super) room: Option<Arc<dyn Room>>,
    seen: Arc<Mutex<Seen>>,
}

/// What this process knows beside the store.
#[derive(Default)]
struct Seen {
    /// How far it has seen each schedule followed. Another server, whose configuration is another, may have the store
    /// forget that.
    marks: BTreeMap<String, ScheduleMark>,
    /// The schedules for whose time there was no room.
    crowded: BTreeSet<String>,
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
            room: None,
            seen: Arc::default(),
        })
    }

    /// The same, with runs that take their place in a room: a time that finds none free waits.
    #[must_use]
    pub fn in_room(mut self, room: Arc<dyn Room>) -> Self {
        self.room = Some(room);
        self
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

    pub(super) fn now(&self) -> Timestamp {
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

    /// Does what is due of one schedule; tells when it is due next.
    async fn look_at(&self, schedule: &Schedule, since: Timestamp) -> Result<Option<Timestamp>, WorkflowError> {
        let (key, rule) = (schedule.key(&self.workspace), schedule.rule());
        loop {
            let now = self.now();
            let from = self.schedules.store.mark(&key).await.map_err(storage)?;
            let until = match &from {
                Some(mark) if mark.rule == rule && mark.until.since(now) < AHEAD => mark.until,
                _ => {
                    let to = self.first_mark(schedule, &rule);
                    self.step(&key, ScheduleStep { from, to, due: None, replaces: None }).await?;
                    continue;
                }
            };
            self.seen().marks.insert(schedule.name.clone(), ScheduleMark { until, rule: rule.clone() });
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
            let place = match begins.is_some().then(|| self.enter()) {
                Some(None) => {
                    self.seen().crowded.insert(schedule.name.clone());
                    return Ok(Some(later(now, CROWDED)));
                }
                Some(place) => place,
                None => None,
            };
            self.seen().crowded.remove(&schedule.name);
            let to = ScheduleMark { until: due.scheduled_at, rule: rule.clone() };
            let taken = self.step(&key, ScheduleStep { from, to, due: Some(due), replaces }).await?;
            if let (Some(due), Some(place), true) = (begins, place, taken) {
                self.begin(schedule, &due, place).await?;
            }
        }
    }

    /// How far a schedule counts as followed of which the store knows nothing that fits: new, changed, or followed by a
    /// clock that was wrong, it counts from now on; what another server had the store forget, from where it was.
    fn first_mark(&self, schedule: &Schedule, rule: &str) -> ScheduleMark {
        let now = self.now();
        let known = self.seen().marks.get(&schedule.name).cloned();
        let known = known.filter(|mark| mark.rule == rule && mark.until.since(now) < AHEAD);
        known.unwrap_or_else(|| ScheduleMark { until: now, rule: rule.to_owned() })
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
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
        let why = match self.seen().crowded.contains(&schedule.name) {
            true => "the server had no room for another run (`server.max_runs`)",
            false => "no server followed the schedule",
        };
        let told = match batch.times {
            1 => format!("it passed while {why}"),
            COUNTED => format!("{COUNTED} times or more passed while {why}"),
            n => format!("{n} times passed while {why}"),
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
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("schedules", &self.schedules).finish_non_exhaustive()
    }
}

/// How soon it is looked again after the store failed, which is logged.
pub(super) fn again(error: &WorkflowError) -> Duration {
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

fn later(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}

fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}
