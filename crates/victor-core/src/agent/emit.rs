//! The way out of a run: events in order, without gaps, through a bounded channel.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::event::{EVENT_VERSION, Event, EventKind};
use crate::id::{Clock, RunId, Timestamp};

/// How long a cancelled run still waits for somebody to take its last events.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sends the events of one run, or of a child of it under its path.
#[derive(Clone)]
pub(crate) struct Emitter {
    shared: Arc<Shared>,
    path: Vec<String>,
}

struct Shared {
    run: RunId,
    clock: Arc<dyn Clock>,
    events: mpsc::Sender<Event>,
    next: Mutex<u64>,
    cancel: CancellationToken,
}

impl Emitter {
    pub(crate) fn new(
        run: RunId,
        clock: Arc<dyn Clock>,
        events: mpsc::Sender<Event>,
        cancel: CancellationToken,
    ) -> Self {
        let shared = Shared { run, clock, events, next: Mutex::new(0), cancel };
        Self { shared: Arc::new(shared), path: Vec::new() }
    }

    /// The same stream, for the child `name`.
    pub(crate) fn child(&self, name: impl Into<String>) -> Self {
        let mut path = self.path.clone();
        path.push(name.into());
        Self { shared: Arc::clone(&self.shared), path }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Sends an event and waits while the reader is behind; gives up when nobody reads any more.
    pub(crate) async fn emit(&self, kind: EventKind) {
        let gone = async {
            self.shared.cancel.cancelled().await;
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::select! {
            biased;
            slot = self.shared.events.reserve() => if let Ok(slot) = slot { self.send(slot, kind) },
            () = gone => {}
        }
    }

    /// Sends an event if there is room.
    pub(crate) fn try_emit(&self, kind: EventKind) {
        if let Ok(slot) = self.shared.events.try_reserve() {
            self.send(slot, kind);
        }
    }

    fn send(&self, slot: mpsc::Permit<'_, Event>, kind: EventKind) {
        let mut next = self.shared.next.lock().unwrap_or_else(PoisonError::into_inner);
        slot.send(Event {
            v: EVENT_VERSION,
            seq: *next,
            run_id: self.shared.run,
            path: self.path.clone(),
            at: self.shared.clock.now(),
            kind,
        });
        *next += 1;
    }
}
