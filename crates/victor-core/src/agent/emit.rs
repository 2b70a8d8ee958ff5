//! The way out of a run: events in order, without gaps, through a bounded channel.

use std::sync::atomic::{AtomicBool, Ordering};
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
    run: RunId,
    path: Vec<String>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    events: mpsc::Sender<Event>,
    next: Mutex<u64>,
    cancel: CancellationToken,
    // A place for the last event, kept free: the end is told even to a reader that comes back late.
    last: Mutex<Option<mpsc::OwnedPermit<Event>>>,
    away: AtomicBool,
}

impl Emitter {
    pub(crate) fn new(
        run: RunId,
        clock: Arc<dyn Clock>,
        events: mpsc::Sender<Event>,
        cancel: CancellationToken,
    ) -> Self {
        let last = Mutex::new(events.clone().try_reserve_owned().ok());
        let shared = Shared { clock, events, next: Mutex::new(0), cancel, last, away: AtomicBool::new(false) };
        Self { shared: Arc::new(shared), run, path: Vec::new() }
    }

    /// The same way out for a run that goes on with its event `next`.
    pub(crate) fn resumed(&self, run: RunId, next: u64) -> Self {
        *self.shared.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Self { run, ..self.clone() }
    }

    /// The place of the next event.
    pub(crate) fn next(&self) -> u64 {
        *self.shared.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose events these are; empty for the root run itself.
    pub(crate) fn path(&self) -> &[String] {
        &self.path
    }

    /// The same stream, for the child `name`.
    pub(crate) fn child(&self, name: impl Into<String>) -> Self {
        let mut path = self.path.clone();
        path.push(name.into());
        Self { shared: Arc::clone(&self.shared), run: self.run, path }
    }

    /// The same stream, for the child at `path` below this one.
    pub(crate) fn below(&self, path: &[String]) -> Self {
        let path = self.path.iter().chain(path).cloned().collect();
        Self { shared: Arc::clone(&self.shared), run: self.run, path }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Sends an event and waits while the reader is behind; gives up, once for all, when nobody reads any more.
    pub(crate) async fn emit(&self, kind: EventKind) {
        if self.shared.away.load(Ordering::Relaxed) {
            return self.try_emit(kind);
        }
        let gone = async {
            self.shared.cancel.cancelled().await;
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::select! {
            biased;
            slot = self.shared.events.reserve() => if let Ok(slot) = slot { self.send(|e| slot.send(e), kind) },
            () = gone => self.shared.away.store(true, Ordering::Relaxed),
        }
    }

    /// Sends an event if there is room.
    pub(crate) fn try_emit(&self, kind: EventKind) {
        if let Ok(slot) = self.shared.events.try_reserve() {
            self.send(|e| slot.send(e), kind);
        }
    }

    /// Sends the last event of the root run. Never waits.
    pub(crate) fn finish(&self, kind: EventKind) {
        let place = self.shared.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(place) = place {
            self.send(|e| drop(place.send(e)), kind);
        }
    }

    fn send(&self, deliver: impl FnOnce(Event), kind: EventKind) {
        let mut next = self.shared.next.lock().unwrap_or_else(PoisonError::into_inner);
        deliver(Event {
            v: EVENT_VERSION,
            seq: *next,
            run_id: self.run,
            path: self.path.clone(),
            at: self.shared.clock.now(),
            kind,
        });
        *next += 1;
    }
}
