//! The runs of one door: what they told is kept for a while, so that a client that lost its stream can come back.

mod buffer;
mod follow;
mod live;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use victor_core::id::{Clock, RunId, SessionId, Timestamp};

use crate::sse::StreamEvent;
use buffer::{Buffer, Replay};

pub(crate) use follow::follow;
pub(crate) use live::{Asks, Detach, Holds, Live, Work};

/// How long the events of a run are kept after its end.
const KEPT_FOR: Duration = Duration::from_mins(5);
/// Bytes of events of ended runs that are kept at most, all together.
const KEPT_BYTES: usize = 4 << 20;

/// The runs that are under way, and those that ended lately.
pub(crate) struct Runs {
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    records: HashMap<RunId, Arc<Record>>,
    /// In the order of their end, with the bytes that each keeps.
    ended: VecDeque<(Timestamp, RunId, usize)>,
    bytes: usize,
}

/// What is kept of one run.
pub(crate) struct Record {
    pub(crate) run: RunId,
    /// Who may follow and cancel it.
    pub(crate) owner: Arc<str>,
    /// The conversation, where one is stored.
    pub(crate) conversation: Option<SessionId>,
    /// Cancels it.
    pub(crate) cancel: CancellationToken,
    buffer: Mutex<Buffer>,
    changed: Notify,
}

impl Runs {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, kept: Mutex::default() }
    }

    /// The run, if it is kept.
    pub(crate) fn get(&self, run: RunId) -> Option<Arc<Record>> {
        lock(&self.kept).records.get(&run).cloned()
    }

    fn begin(&self, record: Arc<Record>) {
        lock(&self.kept).records.insert(record.run, record);
    }

    /// A run has told its last event.
    fn end(&self, record: &Record) {
        let (now, bytes) = (self.clock.now(), lock(&record.buffer).close());
        record.changed.notify_waiters();
        let mut kept = lock(&self.kept);
        kept.ended.push_back((now, record.run, bytes));
        kept.bytes += bytes;
        while let Some((at, run, bytes)) = kept.ended.front().copied() {
            if now.since(at) < KEPT_FOR && kept.bytes <= KEPT_BYTES {
                break;
            }
            kept.ended.pop_front();
            kept.records.remove(&run);
            kept.bytes -= bytes;
        }
    }
}

impl Record {
    pub(crate) fn new(run: RunId, owner: Arc<str>, conversation: Option<SessionId>, cancel: CancellationToken) -> Self {
        Self { run, owner, conversation, cancel, buffer: Mutex::default(), changed: Notify::new() }
    }

    /// Whether its last event was told.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.buffer).is_closed()
    }

    /// The last event that was told.
    pub(crate) fn last(&self) -> Option<u64> {
        lock(&self.buffer).last()
    }

    fn push(&self, id: u64, event: &StreamEvent) {
        lock(&self.buffer).push(id, event);
        self.changed.notify_waiters();
    }

    /// A message of the run was stored: what was told before it can be read from the conversation.
    fn stored(&self, id: u64) {
        lock(&self.buffer).stored(id);
    }

    /// What was told after `after`, and whether that is all there will be.
    fn since(&self, after: Option<u64>) -> Replay {
        lock(&self.buffer).since(after)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
