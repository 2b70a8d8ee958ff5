//! The runs that this process drives: how they are cancelled and answered from elsewhere in it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use victor_core::id::RunId;

use crate::answers::Answer;

/// One run that this process drives.
#[derive(Clone)]
pub(crate) struct LiveRun {
    pub(crate) cancel: CancellationToken,
    pub(crate) answers: mpsc::Sender<Answer>,
    /// Woken after something was written.
    pub(crate) changed: Arc<Notify>,
    /// Whether a stop means that the run goes on later.
    pub(crate) put_down: Arc<AtomicBool>,
}

/// The runs that this process drives.
#[derive(Clone, Default)]
pub(crate) struct Live {
    runs: Arc<Mutex<HashMap<RunId, LiveRun>>>,
    /// Woken when one is not driven any more.
    put_down: Arc<Notify>,
}

/// Keeps a run in the list until dropped.
pub(crate) struct Listed {
    id: RunId,
    live: Live,
}

impl Live {
    /// Lists a run; `None` where one of this id works already.
    pub(crate) fn list(&self, id: RunId, run: LiveRun) -> Option<Listed> {
        match self.runs.lock().unwrap_or_else(PoisonError::into_inner).entry(id) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(place) => drop(place.insert(run)),
        }
        Some(Listed { id, live: self.clone() })
    }

    /// Waits until this very run is not driven any more.
    pub(crate) async fn gone(&self, id: RunId, run: &LiveRun) {
        loop {
            // Made before it is looked, so that no change is missed.
            let changed = run.changed.notified();
            match self.get(id) {
                Some(listed) if Arc::ptr_eq(&listed.changed, &run.changed) => changed.await,
                Some(_) | None => return,
            }
        }
    }

    /// Waits until one that was driven is not any more: it has ended, or waits.
    pub(crate) async fn put_down(&self) {
        self.put_down.notified().await;
    }

    pub(crate) fn get(&self, id: RunId) -> Option<LiveRun> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let run = self.live.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        if let Some(run) = run {
            run.changed.notify_waiters();
        }
        self.live.put_down.notify_one();
    }
}
