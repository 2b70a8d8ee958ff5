//! What is remembered of schedules for as long as the process lives: for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::error::SessionError;
use crate::id::{RunId, Timestamp};
use crate::schedule::{DueStatus, DueTime, ScheduleKey, ScheduleMark, ScheduleStep, ScheduleStore};

/// What is remembered of schedules, for as long as this value lives.
#[derive(Clone, Debug, Default)]
pub struct MemorySchedules {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    marks: BTreeMap<ScheduleKey, ScheduleMark>,
    due: BTreeMap<ScheduleKey, BTreeMap<Timestamp, DueTime>>,
}

impl MemorySchedules {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ScheduleStore for MemorySchedules {
    async fn mark(&self, key: &ScheduleKey) -> Result<Option<ScheduleMark>, SessionError> {
        Ok(self.lock().marks.get(key).cloned())
    }

    async fn step(&self, key: &ScheduleKey, step: ScheduleStep) -> Result<bool, SessionError> {
        let mut kept = self.lock();
        if kept.marks.get(key) != step.from.as_ref() {
            return Ok(false);
        }
        kept.marks.insert(key.clone(), step.to);
        let due = kept.due.entry(key.clone()).or_default();
        if step.due.as_ref().is_some_and(|new| due.contains_key(&new.scheduled_at)) {
            return Ok(false);
        }
        if let Some(old) = step.replaces {
            due.remove(&old);
        }
        due.extend(step.due.map(|new| (new.scheduled_at, new)));
        Ok(true)
    }

    async fn settle(
        &self,
        key: &ScheduleKey,
        scheduled_at: Timestamp,
        status: DueStatus,
        at: Timestamp,
        reason: Option<String>,
    ) -> Result<(), SessionError> {
        let mut kept = self.lock();
        let due = kept.due.get_mut(key).and_then(|due| due.get_mut(&scheduled_at));
        if let Some(due) = due.filter(|due| due.status == DueStatus::Starting) {
            (due.status, due.at) = (status, at);
            due.reason = reason.or(due.reason.take());
        }
        Ok(())
    }

    async fn due_times(&self, key: &ScheduleKey, limit: usize) -> Result<Vec<DueTime>, SessionError> {
        let kept = self.lock();
        Ok(kept.due.get(key).into_iter().flat_map(|due| due.values().rev()).take(limit).cloned().collect())
    }

    async fn unsettled(&self, workspace: &str) -> Result<Vec<(String, DueTime)>, SessionError> {
        let kept = self.lock();
        let all = kept.due.iter().filter(|(key, _)| key.workspace == workspace);
        let open = all.flat_map(|(key, due)| due.values().map(|due| (key.name.clone(), due.clone())));
        Ok(open.filter(|(_, due)| due.status == DueStatus::Starting).collect())
    }

    async fn retain(&self, workspace: &str, names: &[String]) -> Result<(), SessionError> {
        self.lock().marks.retain(|key, _| key.workspace != workspace || names.contains(&key.name));
        Ok(())
    }

    async fn trim(&self, key: &ScheduleKey, keep: usize) -> Result<Vec<RunId>, SessionError> {
        let mut kept = self.lock();
        let Some(due) = kept.due.get_mut(key) else { return Ok(Vec::new()) };
        let latest = due.values().rev().find(|d| d.status == DueStatus::Started).map(|d| d.scheduled_at);
        let old: Vec<Timestamp> = due.keys().rev().skip(keep).filter(|at| Some(**at) != latest).copied().collect();
        let gone: Vec<DueTime> = old.iter().filter_map(|at| due.remove(at)).collect();
        Ok(gone.into_iter().filter(|d| d.status == DueStatus::Started).filter_map(|d| d.run).collect())
    }
}
