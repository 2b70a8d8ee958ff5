//! A run of a workflow under way: its events, and what it comes to. Dropping it cancels the run.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use victor_core::agent::Run;
use victor_core::event::Event;
use victor_core::id::RunId;
use victor_core::runtime::Runtime;

use crate::error::WorkflowError;
use crate::options::WorkflowOutcome;

/// Where a run leaves what it came to.
pub(crate) type Slot = Arc<Mutex<Option<Result<WorkflowOutcome, WorkflowError>>>>;

/// The events of a run of a workflow, as they happen. The last one is
/// [`EventKind::Finished`](victor_core::event::EventKind::Finished). Dropping it cancels the run.
#[must_use = "a run that is dropped is cancelled"]
pub struct WorkflowRun {
    id: RunId,
    events: Run,
    slot: Slot,
    runtime: Runtime,
    put_down: Arc<AtomicBool>,
}

impl WorkflowRun {
    pub(crate) fn new(id: RunId, events: Run, slot: Slot, runtime: Runtime, put_down: Arc<AtomicBool>) -> Self {
        Self { id, events, slot, runtime, put_down }
    }

    /// The run: `workflow_id` in the doors.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Cancels the run; its last events still come.
    pub fn cancel(&self) {
        self.events.cancel();
    }

    /// Puts the run down, to be resumed later: what works is stopped and is done again then. A run without a journal is
    /// cancelled. Its last events still come.
    pub fn interrupt(&self) {
        self.put_down.store(true, Ordering::Release);
        self.events.cancel();
    }

    /// What cancels the run, to be kept apart from it.
    #[must_use]
    pub fn canceller(&self) -> CancellationToken {
        self.events.canceller()
    }

    /// Waits for the end: completed, failed, cancelled or waiting.
    ///
    /// # Errors
    /// The run could not be driven on: its journal failed. A run that failed is an outcome.
    pub async fn outcome(mut self) -> Result<WorkflowOutcome, WorkflowError> {
        while self.events.next().await.is_some() {}
        self.taken()
    }

    /// What the run came to, after its last event.
    ///
    /// # Errors
    /// As [`outcome`](Self::outcome); it has not ended, or this was called before.
    pub fn taken(&self) -> Result<WorkflowOutcome, WorkflowError> {
        let outcome = self.slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        outcome.unwrap_or_else(|| Err(WorkflowError::State("the run has not ended".to_owned())))
    }

    /// Lets the run go on by itself; a shutdown of the runtime waits for it. Its status says how it stands.
    pub fn detach(self) {
        self.detach_with(());
    }

    /// As [`detach`](Self::detach), and has something held until this part of the run ends.
    pub(crate) fn detach_with(self, held: impl Send + 'static) {
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            // How it ended stands in the journal.
            let _ = self.outcome().await;
            drop(held);
        });
    }
}

impl Stream for WorkflowRun {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.poll_next_unpin(cx)
    }
}

impl std::fmt::Debug for WorkflowRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkflowRun").field("id", &self.id).finish_non_exhaustive()
    }
}
