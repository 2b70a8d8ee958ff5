//! Journals that live as long as the process: for tests, and for runs that nobody needs afterwards.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::Value;

use crate::id::{RunId, Timestamp};
use crate::journal::{
    Journal, JournalClaim, JournalError, JournalFilter, JournalInfo, NewJournal, NewRecord, RunStatus, StoredRecord,
    Summary,
};

/// Journals that live as long as this value.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal {
    runs: Arc<Mutex<BTreeMap<RunId, Kept>>>,
}

#[derive(Debug)]
struct Kept {
    info: JournalInfo,
    summary: String,
    claims: u64,
    records: Vec<StoredRecord>,
}

struct MemoryClaim {
    run: RunId,
    last_seq: u64,
    number: u64,
    runs: Arc<Mutex<BTreeMap<RunId, Kept>>>,
}

impl JournalClaim for MemoryClaim {
    fn run(&self) -> RunId {
        self.run
    }

    fn last_seq(&self) -> u64 {
        self.last_seq
    }
}

impl Drop for MemoryClaim {
    fn drop(&mut self) {
        if let Some(kept) = lock(&self.runs).get_mut(&self.run)
            && kept.claims == self.number
        {
            kept.info.holder = None;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn missing(id: RunId) -> JournalError {
    JournalError::NotFound(id.to_string())
}

fn conflict(id: RunId, holder: impl Into<String>) -> JournalError {
    JournalError::Conflict { run: id.to_string(), holder: holder.into() }
}

impl Kept {
    fn new(new: NewJournal) -> Self {
        let info = JournalInfo {
            id: new.id,
            name: new.name,
            owner: new.owner,
            workspace: new.workspace,
            created_at: new.at,
            updated_at: new.at,
            last_seq: 0,
            status: RunStatus::Running,
            wake_at: None,
            snapshot: 0,
            summary: Value::Null,
            holder: None,
            cancel_requested: false,
        };
        Self { info, summary: String::new(), claims: 0, records: Vec::new() }
    }

    fn info(&self) -> JournalInfo {
        JournalInfo { summary: serde_json::from_str(&self.summary).unwrap_or_default(), ..self.info.clone() }
    }

    fn fits(&self, filter: &JournalFilter) -> bool {
        let info = &self.info;
        filter.owner.as_ref().is_none_or(|o| *o == info.owner)
            && filter.name.as_ref().is_none_or(|n| *n == info.name)
            && filter.workspace.as_ref().is_none_or(|w| Some(w) == info.workspace.as_ref())
            && (filter.status.is_empty() || filter.status.contains(&info.status))
            && filter.before.is_none_or(|before| (info.updated_at, info.id) < before)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn create(&self, new: NewJournal, holder: &str) -> Result<Box<dyn JournalClaim>, JournalError> {
        let id = new.id;
        {
            let mut runs = lock(&self.runs);
            if runs.contains_key(&id) {
                return Err(conflict(id, "another run that has this id"));
            }
            runs.insert(id, Kept::new(new));
        }
        self.claim(id, holder).await
    }

    async fn claim(&self, id: RunId, holder: &str) -> Result<Box<dyn JournalClaim>, JournalError> {
        let mut runs = lock(&self.runs);
        let kept = runs.get_mut(&id).ok_or_else(|| missing(id))?;
        if let Some(holder) = &kept.info.holder {
            return Err(conflict(id, holder.clone()));
        }
        kept.claims += 1;
        kept.info.holder = Some(holder.to_owned());
        let (last_seq, number) = (kept.info.last_seq, kept.claims);
        Ok(Box::new(MemoryClaim { run: id, last_seq, number, runs: Arc::clone(&self.runs) }))
    }

    async fn append(
        &self,
        claim: &dyn JournalClaim,
        expected_seq: u64,
        at: Timestamp,
        records: Vec<NewRecord>,
        summary: Summary,
    ) -> Result<u64, JournalError> {
        let mut runs = lock(&self.runs);
        let kept = runs.get_mut(&claim.run()).ok_or_else(|| missing(claim.run()))?;
        if kept.info.last_seq != expected_seq {
            return Err(conflict(claim.run(), "a writer that has gone on in the meantime"));
        }
        for record in records {
            kept.info.last_seq += 1;
            let (seq, kind) = (kept.info.last_seq, record.kind.into_owned());
            kept.records.push(StoredRecord { seq, at, kind, json: record.json });
        }
        kept.info.updated_at = kept.info.updated_at.max(at);
        kept.info.status = summary.status;
        kept.info.wake_at = summary.wake_at;
        kept.info.snapshot = summary.snapshot;
        kept.summary = summary.json;
        Ok(kept.info.last_seq)
    }

    async fn records(&self, id: RunId, after: u64, limit: usize) -> Result<Vec<StoredRecord>, JournalError> {
        let runs = lock(&self.runs);
        let kept = runs.get(&id).ok_or_else(|| missing(id))?;
        let from = usize::try_from(after).unwrap_or(usize::MAX);
        Ok(kept.records.iter().skip(from).take(limit).cloned().collect())
    }

    async fn info(&self, id: RunId) -> Result<JournalInfo, JournalError> {
        lock(&self.runs).get(&id).map(Kept::info).ok_or_else(|| missing(id))
    }

    async fn list(&self, filter: &JournalFilter) -> Result<Vec<JournalInfo>, JournalError> {
        let runs = lock(&self.runs);
        let mut found: Vec<_> = runs.values().filter(|k| k.fits(filter)).map(Kept::info).collect();
        found.sort_by_key(|info| std::cmp::Reverse((info.updated_at, info.id)));
        found.truncate(filter.limit);
        Ok(found)
    }

    async fn request_cancel(&self, id: RunId) -> Result<(), JournalError> {
        let mut runs = lock(&self.runs);
        runs.get_mut(&id).ok_or_else(|| missing(id))?.info.cancel_requested = true;
        Ok(())
    }

    async fn delete(&self, id: RunId) -> Result<(), JournalError> {
        let mut runs = lock(&self.runs);
        if let Some(holder) = &runs.get(&id).ok_or_else(|| missing(id))?.info.holder {
            return Err(conflict(id, holder.clone()));
        }
        runs.remove(&id);
        Ok(())
    }

    async fn prune(&self, before: Timestamp) -> Result<u64, JournalError> {
        let mut runs = lock(&self.runs);
        let count = runs.len();
        runs.retain(|_, k| k.info.updated_at >= before || k.info.holder.is_some() || !k.info.status.is_final());
        Ok((count - runs.len()) as u64)
    }
}
