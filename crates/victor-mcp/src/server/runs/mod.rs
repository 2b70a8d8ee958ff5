//! Runs that clients began: each is driven by a task of the runtime, whoever follows it, and kept for a while after its
//! end.

mod live;
mod report;
mod tool;

pub(crate) use live::{Live, Snapshot, note};
pub(crate) use report::Report;
pub(crate) use tool::{Patience, RunAgent, RunStatus, SILENT, patience, report_of, task};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::CallToolResult;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use victor_core::id::RunId;
use victor_core::token::{Principal, Scope};

use crate::convert;

/// Runs that have ended and are kept at most.
const KEPT: usize = 64;
/// Runs of agents and workflows under way at the same time at most.
const MOST: usize = 64;

/// A run's place among those under way.
pub(crate) type Room = OwnedSemaphorePermit;

/// The runs of one door, by id, and so by their begin. Those of workflows only have their place here: what they do stands
/// in the journal.
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
    /// Room for another one, or what a client is told where there is none.
    pub(crate) fn room(&self) -> Result<Room, Box<CallToolResult>> {
        Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            let why = format!(
                "too many runs are under way: {MOST} of agents and workflows are the most; wait until one has ended, or end \
                 one with `cancel` of `run_status` or `workflow_status`"
            );
            Box::new(convert::failure(why))
        })
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
