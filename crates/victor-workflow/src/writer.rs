//! Writes a run's records: those that come while some are being written are written together, next.

use std::borrow::Cow;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use victor_core::id::{Clock, RunId};
use victor_core::journal::{Journal, JournalClaim, JournalError, NewRecord, RunStatus, Summary};

use crate::error::WorkflowError;
use crate::machine::Machine;
use crate::record::{Begun, Entry, micros};

/// Bytes of records after which a snapshot is worth its size, where the state is small.
const SNAPSHOT_AFTER: usize = 256 * 1024;
/// How many times its own size a snapshot has to save.
const SNAPSHOT_WORTH: usize = 4;

type Flight = BoxFuture<'static, Result<u64, JournalError>>;

/// The records of one run on their way into its journal.
pub(crate) struct Writer {
    journal: Arc<dyn Journal>,
    claim: Arc<dyn JournalClaim>,
    clock: Arc<dyn Clock>,
    begun: Box<Begun>,
    queued: Vec<NewRecord>,
    /// The place of the last record that was queued.
    queued_to: u64,
    /// The place of the last record that is on its way.
    sent_to: u64,
    /// The place of the last record that is kept.
    kept_to: u64,
    flight: Option<Flight>,
    snapshot: u64,
    since_snapshot: usize,
    snapshot_size: usize,
    told: Option<RunStatus>,
}

/// A snapshot as it is written: the same form as the record, without a copy.
#[derive(Serialize)]
struct SnapshotEntry<'a> {
    #[serde(with = "micros")]
    at: victor_core::id::Timestamp,
    what: SnapshotRecord<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum SnapshotRecord<'a> {
    Snapshot { machine: &'a Machine, begun: &'a Begun },
}

impl Writer {
    /// A writer to a claimed journal, whose last snapshot stands at `snapshot`.
    pub(crate) fn new(
        journal: Arc<dyn Journal>,
        claim: Box<dyn JournalClaim>,
        clock: Arc<dyn Clock>,
        begun: Begun,
        snapshot: u64,
    ) -> Self {
        let last = claim.last_seq();
        Self {
            journal,
            claim: Arc::from(claim),
            clock,
            begun: Box::new(begun),
            queued: Vec::new(),
            queued_to: last,
            sent_to: last,
            kept_to: last,
            flight: None,
            snapshot,
            since_snapshot: 0,
            snapshot_size: 0,
            told: None,
        }
    }

    pub(crate) fn run(&self) -> RunId {
        self.claim.run()
    }

    pub(crate) fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }

    /// Queues a record.
    pub(crate) fn push(&mut self, entry: &Entry) -> Result<(), WorkflowError> {
        let json = serde_json::to_string(entry).map_err(unwritable)?;
        self.since_snapshot += json.len();
        self.queue(entry.what.kind(), json);
        Ok(())
    }

    /// Queues all of the machine as one record: what is read back begins there.
    pub(crate) fn push_snapshot(&mut self, machine: &Machine) -> Result<(), WorkflowError> {
        let what = SnapshotRecord::Snapshot { machine, begun: &self.begun };
        let json = serde_json::to_string(&SnapshotEntry { at: self.clock.now(), what }).map_err(unwritable)?;
        (self.since_snapshot, self.snapshot_size) = (0, json.len());
        self.queue("snapshot", json);
        self.snapshot = self.queued_to;
        Ok(())
    }

    fn queue(&mut self, kind: &'static str, json: String) {
        self.queued.push(NewRecord { kind: Cow::Borrowed(kind), json });
        self.queued_to += 1;
    }

    /// The place of the last record that was queued: what is told after it waits for it.
    pub(crate) fn queued_to(&self) -> u64 {
        self.queued_to
    }

    /// The place of the last record that is kept.
    pub(crate) fn kept_to(&self) -> u64 {
        self.kept_to
    }

    pub(crate) fn queued(&self) -> usize {
        self.queued.len()
    }

    /// Whether all records are kept.
    pub(crate) fn is_settled(&self) -> bool {
        self.queued.is_empty() && self.flight.is_none()
    }

    /// Whether the journal knows that the run stands there.
    pub(crate) fn has_told(&self, status: RunStatus) -> bool {
        self.told == Some(status)
    }

    /// Whether a snapshot would now save readers more than it costs.
    pub(crate) fn wants_snapshot(&self) -> bool {
        self.since_snapshot > SNAPSHOT_AFTER.max(self.snapshot_size * SNAPSHOT_WORTH)
    }

    pub(crate) fn is_in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Sends what is queued on its way, with what it makes of the run. Nothing may be on its way.
    pub(crate) fn send(&mut self, status: RunStatus, wake_at: Option<victor_core::id::Timestamp>, json: String) {
        let records = std::mem::take(&mut self.queued);
        let (journal, claim) = (Arc::clone(&self.journal), Arc::clone(&self.claim));
        let (expected, at) = (self.sent_to, self.clock.now());
        let summary = Summary { status, wake_at, snapshot: self.snapshot, json };
        self.sent_to = self.queued_to;
        self.told = Some(status);
        self.flight = Some(Box::pin(async move { journal.append(&*claim, expected, at, records, summary).await }));
    }

    /// Waits for what is on its way.
    pub(crate) async fn landed(&mut self) -> Result<(), WorkflowError> {
        let Some(flight) = &mut self.flight else { return Ok(()) };
        let landed = flight.await;
        self.land(landed)
    }

    /// Looks whether what is on its way has arrived.
    pub(crate) fn look(&mut self) -> Result<(), WorkflowError> {
        let Some(flight) = &mut self.flight else { return Ok(()) };
        match flight.now_or_never() {
            Some(landed) => self.land(landed),
            None => Ok(()),
        }
    }

    fn land(&mut self, landed: Result<u64, JournalError>) -> Result<(), WorkflowError> {
        self.flight = None;
        self.kept_to = landed?;
        Ok(())
    }
}

fn unwritable(e: serde_json::Error) -> WorkflowError {
    WorkflowError::State(format!("a record of the run has no JSON form: {e}"))
}
