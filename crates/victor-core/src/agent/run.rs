//! A run under way: the receiving end of its events. Dropping it cancels the run.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::VictorError;
use crate::event::{Event, EventKind};

use super::outcome::{Outcome, Status};

/// The typed error of a failed run, beside the event that tells of it.
pub(crate) type ErrorSlot = Arc<Mutex<Option<VictorError>>>;

/// The events of a run, as they happen. The last one is [`EventKind::Finished`]. Dropping it cancels the run.
#[must_use = "a run that is dropped is cancelled"]
pub struct Run {
    events: mpsc::Receiver<Event>,
    guard: DropGuard,
    cancel: CancellationToken,
    error: ErrorSlot,
    over: bool,
}

impl Run {
    pub(crate) fn new(events: mpsc::Receiver<Event>, cancel: CancellationToken, error: ErrorSlot) -> Self {
        Self { events, guard: cancel.clone().drop_guard(), cancel, error, over: false }
    }

    /// A run that could not even begin: it has no events, and its outcome is the error.
    pub fn refused(error: VictorError) -> Self {
        let slot = ErrorSlot::default();
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        Self::new(mpsc::channel(1).1, CancellationToken::new(), slot)
    }

    /// Cancels the run; its last events still come.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// What cancels the run, to be kept apart from it.
    #[must_use]
    pub fn canceller(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// What made the run fail. A limit, a denial and a cancellation are outcomes, not errors.
    pub async fn outcome(mut self) -> Result<Outcome, VictorError> {
        let mut last = None;
        while let Some(event) = self.next().await {
            if let EventKind::Finished { outcome } = event.kind
                && event.path.is_empty()
            {
                last = Some(*outcome);
            }
        }
        self.close(last)
    }

    /// The text of the answer as it comes; an error as the last item if the run fails. Text of a model call that
    /// failed and was made again comes again.
    pub fn text(self) -> impl Stream<Item = Result<String, VictorError>> + Send + Unpin {
        Box::pin(futures::stream::unfold(Some(self), |run| async move {
            let mut run = run?;
            while let Some(event) = run.next().await {
                if !event.path.is_empty() {
                    continue;
                }
                match event.kind {
                    EventKind::Text { delta } => return Some((Ok(delta), Some(run))),
                    EventKind::Finished { outcome } if outcome.status == Status::Failed => {
                        let error = run.failure();
                        return Some((Err(error), None));
                    }
                    _ => {}
                }
            }
            None
        }))
    }

    fn close(self, last: Option<Outcome>) -> Result<Outcome, VictorError> {
        let _still_needed = &self.guard;
        match last {
            Some(outcome) if outcome.status != Status::Failed => Ok(outcome),
            _ => Err(self.failure()),
        }
    }

    fn failure(&self) -> VictorError {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        error.unwrap_or_else(|| VictorError::Internal("the run ended without an outcome".to_owned()))
    }
}

impl Stream for Run {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        // A tool may have kept the other end of the channel: the last event says that it is over, not the channel.
        if self.over {
            return Poll::Ready(None);
        }
        let event = self.events.poll_recv(cx);
        if let Poll::Ready(Some(Event { path, kind: EventKind::Finished { .. }, .. })) = &event {
            self.over = path.is_empty();
        }
        event
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("cancelled", &self.cancel.is_cancelled()).finish_non_exhaustive()
    }
}
