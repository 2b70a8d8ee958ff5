//! One model's way from a source to its place: who is told of it, and the lock that others wait for.
//!
//! Work on threads of its own cannot be dropped with the future that waits for it. It keeps the lock until it has really
//! ended, and ends early when nobody wants it any more.

use std::io;
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::error::WeightsError;
use super::platform::Lock;
use super::progress::{Progress, Step};

/// What all steps of the work share.
#[derive(Clone)]
pub(super) struct Job {
    progress: Arc<dyn Progress>,
    stop: CancellationToken,
    _lock: Option<Arc<Lock>>,
}

impl Job {
    /// Work on a model that nobody else may change meanwhile; it is to end when the guard is dropped.
    pub(super) fn locked(progress: &Arc<dyn Progress>, lock: Lock) -> (Self, DropGuard) {
        let job = Self { _lock: Some(Arc::new(lock)), ..Self::reading(progress) };
        let guard = job.stop.clone().drop_guard();
        (job, guard)
    }

    /// Work that changes nothing.
    pub(super) fn reading(progress: &Arc<dyn Progress>) -> Self {
        Self { progress: Arc::clone(progress), stop: CancellationToken::new(), _lock: None }
    }

    /// Tells the next step.
    pub(super) fn tell(&self, step: Step) {
        self.progress.tell(step);
    }

    /// Tells how far it is.
    ///
    /// # Errors
    /// Nobody wants it any more.
    pub(super) fn at(&self, bytes: u64) -> io::Result<()> {
        if self.stop.is_cancelled() {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        self.progress.tell(Step::At(bytes));
        Ok(())
    }

    /// Is cancelled when nobody wants the work any more.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Does work that blocks on a thread of its own.
    ///
    /// # Errors
    /// The thread died.
    pub(super) async fn block<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, WeightsError> {
        let job = self.clone();
        let ended = tokio::task::spawn_blocking(move || work(&job)).await;
        ended.map_err(|e| WeightsError::Source(format!("the work ended early: {e}")))
    }
}
