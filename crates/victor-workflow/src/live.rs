//! The runs that this process drives: how they are cancelled and answered from elsewhere in it.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use victor_core::id::RunId;

use crate::driver::Answer;

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
pub(crate) struct Live(Arc<Mutex<HashMap<RunId, LiveRun>>>);

/// Keeps a run in the list until dropped.
pub(crate) struct Listed {
    id: RunId,
    live: Live,
}

impl Live {
    pub(crate) fn list(&self, id: RunId, run: LiveRun) -> Listed {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, run);
        Listed { id, live: self.clone() }
    }

    pub(crate) fn get(&self, id: RunId) -> Option<LiveRun> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let run = self.live.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        if let Some(run) = run {
            run.changed.notify_waiters();
        }
    }
}
