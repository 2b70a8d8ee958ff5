//! Runs that clients began: each is driven by a task of the runtime, whoever follows it, and kept for a while after its
//! end.

mod live;
mod report;
mod tool;

pub(crate) use live::{Live, Snapshot, note};
pub(crate) use report::Report;
pub(crate) use tool::{RunAgent, RunStatus, SILENT, arguments, over, report_of, task};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use victor_core::id::RunId;
use victor_core::token::{Principal, Scope};

/// Runs that have ended and are kept at most.
const KEPT: usize = 64;
/// Runs under way at the same time at most.
const MOST: usize = 64;

/// The runs of one door, by id, and so by their begin.
pub(crate) struct Runs {
    all: Mutex<BTreeMap<RunId, Arc<Live>>>,
    room: Arc<Semaphore>,
}

impl Default for Runs {
    fn default() -> Self {
        Self { all: Mutex::default(), room: Arc::new(Semaphore::new(MOST)) }
    }
}

impl Runs {
    /// Room for another one, if there is some.
    pub(crate) fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    pub(crate) fn add(&self, live: &Arc<Live>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(live.id, Arc::clone(live));
        let over: Vec<RunId> = all.values().filter(|live| live.snapshot().is_over()).map(|live| live.id).collect();
        for id in over.iter().take(over.len().saturating_sub(KEPT)) {
            all.remove(id);
        }
    }

    /// The run of this id, if `principal` may see it.
    pub(crate) fn find(&self, id: &str, principal: &Principal) -> Option<Arc<Live>> {
        let id: RunId = id.parse().ok()?;
        let live = self.all.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()?;
        (live.owner == principal.owner || principal.may(Scope::Admin)).then_some(live)
    }
}
