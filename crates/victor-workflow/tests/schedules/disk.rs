//! What outlives a server of these tests: a journal that can fail, and what is remembered of schedules.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Map;
use victor_core::id::{RunId, Timestamp};
use victor_core::journal::{
    Journal, JournalClaim, JournalError, JournalFilter, JournalInfo, NewJournal, NewRecord, StoredRecord, Summary,
};
use victor_core::memory_journal::MemoryJournal;
use victor_core::memory_schedules::MemorySchedules;
use victor_core::runtime::Runtime;
use victor_core::schedule::{DueStatus, DueTime, ScheduleKey, ScheduleStore as _};
use victor_workflow::Workflows;
use victor_workflow::graph::StateGraph;
use victor_workflow::human::HumanNode;
use victor_workflow::schedule::{Cron, Missed, Overlap, Places, Schedule, Scheduler, Schedules};

use crate::support::{self, runtime_with, seen};

/// What outlives a server.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) journal: MemoryJournal,
    pub(crate) schedules: MemorySchedules,
    pub(crate) faults: Arc<AtomicU8>,
}

pub(crate) const NONE: u8 = 0;
/// The store refuses new journals.
pub(crate) const FULL: u8 = 1;
/// The process ends before it has made a journal.
pub(crate) const ENDS_BEFORE: u8 = 2;
/// The process ends after it has made a journal.
pub(crate) const ENDS_AFTER: u8 = 3;
/// The process hangs before its first record, with the journal in its hands.
pub(crate) const HANGS: u8 = 4;

pub(crate) fn schedule(cron: &str) -> Schedule {
    Schedule {
        name: "tick".into(),
        cron: Cron::parse(cron, "UTC").unwrap(),
        workflow: "count".into(),
        input: Map::new(),
        missed: Missed::Skip,
        overlap: Overlap::Skip,
        enabled: true,
        places: Places { workflow: "config.yaml:3".into(), input: "config.yaml:4".into() },
    }
}

pub(crate) fn key() -> ScheduleKey {
    let workspace = support::runtime().workspace().root.to_string_lossy().into_owned();
    ScheduleKey { workspace, name: "tick".into() }
}

impl Disk {
    /// A server on this disk.
    pub(crate) fn server(&self, schedules: Vec<Schedule>) -> (Runtime, Scheduler) {
        let journal = Fragile { inner: self.journal.clone(), faults: Arc::clone(&self.faults) };
        let runtime = runtime_with(Arc::new(journal));
        let mut graph = StateGraph::new("count");
        seen(&mut graph, &["one"]);
        Workflows::of(&runtime).registry().add(graph.compile().unwrap());
        let mut graph = StateGraph::new("gate");
        graph.add("ok", HumanNode::approval("Go on?"));
        Workflows::of(&runtime).registry().add(graph.compile().unwrap());
        runtime.insert(Schedules { store: Arc::new(self.schedules.clone()), all: schedules });
        let scheduler = Scheduler::of(&runtime).unwrap();
        (runtime, scheduler)
    }

    /// The same disk, for a server whose faults are its own.
    pub(crate) fn of_a_server_with(&self, fault: u8) -> Self {
        Self { faults: Arc::new(AtomicU8::new(fault)), ..self.clone() }
    }

    /// A server that follows for so long and is then gone, without a word.
    pub(crate) async fn serve(&self, schedules: Vec<Schedule>, seconds: u64) {
        let (_runtime, scheduler) = self.server(schedules);
        let _ = tokio::time::timeout(Duration::from_secs(seconds), scheduler.follow()).await;
    }

    /// What came of the times, first to last.
    pub(crate) async fn came(&self) -> Vec<DueTime> {
        let mut all = self.schedules.due_times(&key(), usize::MAX).await.unwrap();
        all.reverse();
        all
    }

    pub(crate) async fn statuses(&self) -> Vec<(DueStatus, u64)> {
        self.came().await.iter().map(|d| (d.status, d.times)).collect()
    }

    pub(crate) async fn runs(&self) -> Vec<JournalInfo> {
        self.journal.list(&JournalFilter { limit: usize::MAX, ..JournalFilter::default() }).await.unwrap()
    }
}

/// A journal on a disk that fails, of a process that ends.
struct Fragile {
    inner: MemoryJournal,
    faults: Arc<AtomicU8>,
}

#[async_trait]
impl Journal for Fragile {
    async fn create(&self, new: NewJournal, holder: &str) -> Result<Box<dyn JournalClaim>, JournalError> {
        match self.faults.load(Ordering::Relaxed) {
            FULL => Err(JournalError::Storage("no space is left".into())),
            ENDS_BEFORE => std::future::pending().await,
            ENDS_AFTER => {
                drop(self.inner.create(new, holder).await?);
                std::future::pending().await
            }
            _ => self.inner.create(new, holder).await,
        }
    }

    async fn claim(&self, id: RunId, holder: &str) -> Result<Box<dyn JournalClaim>, JournalError> {
        self.inner.claim(id, holder).await
    }

    async fn append(
        &self,
        claim: &dyn JournalClaim,
        expected_seq: u64,
        at: Timestamp,
        records: Vec<NewRecord>,
        summary: Summary,
    ) -> Result<u64, JournalError> {
        if self.faults.load(Ordering::Relaxed) == HANGS {
            std::future::pending::<()>().await;
        }
        self.inner.append(claim, expected_seq, at, records, summary).await
    }

    async fn records(&self, id: RunId, after: u64, limit: usize) -> Result<Vec<StoredRecord>, JournalError> {
        self.inner.records(id, after, limit).await
    }

    async fn info(&self, id: RunId) -> Result<JournalInfo, JournalError> {
        self.inner.info(id).await
    }

    async fn list(&self, filter: &JournalFilter) -> Result<Vec<JournalInfo>, JournalError> {
        self.inner.list(filter).await
    }

    async fn request_cancel(&self, id: RunId) -> Result<(), JournalError> {
        self.inner.request_cancel(id).await
    }

    async fn delete(&self, id: RunId) -> Result<(), JournalError> {
        self.inner.delete(id).await
    }

    async fn prune(&self, before: Timestamp) -> Result<u64, JournalError> {
        self.inner.prune(before).await
    }
}
