//! A runtime's event bus: observers by topic, on threads of their own, that can neither slow nor break a run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};

use globset::{Glob, GlobMatcher};
use serde_json::Value;

use crate::error::ConfigurationError;
use crate::id::{RunId, Timestamp};

/// The topics that a runtime publishes.
pub const TOPICS: [&str; 8] = [
    "agent.start",
    "agent.complete",
    "agent.error",
    "tool.execution",
    "tool.error",
    "provider.request",
    "provider.response",
    "provider.error",
];

/// Events that wait for one subscriber at most; further ones are dropped and counted.
const QUEUE: usize = 1024;

/// One event on the bus.
#[derive(Clone, Debug, PartialEq)]
pub struct BusEvent {
    /// Its topic, one of [`TOPICS`].
    pub topic: &'static str,
    /// The run that it belongs to.
    pub run_id: RunId,
    /// When.
    pub at: Timestamp,
    /// What: an object whose fields depend on the topic.
    pub data: Value,
}

/// The event bus of one runtime.
#[derive(Clone, Default)]
pub struct EventBus {
    subscribers: Arc<RwLock<Vec<Subscriber>>>,
    next: Arc<AtomicU64>,
}

struct Subscriber {
    id: u64,
    topics: GlobMatcher,
    queue: SyncSender<Arc<BusEvent>>,
    dropped: Arc<AtomicU64>,
}

/// A subscription; it ends when dropped.
#[must_use = "the subscription ends when this is dropped"]
pub struct Subscription {
    id: u64,
    subscribers: Arc<RwLock<Vec<Subscriber>>>,
    dropped: Arc<AtomicU64>,
}

impl EventBus {
    /// Calls `callback` for every event whose topic fits the glob `topics` (`tool.*`, `*`), in order, on a thread of
    /// its own. A callback that is slow loses events beyond the queue; one that panics goes on with the next event.
    ///
    /// # Errors
    /// The glob is broken or fits none of [`TOPICS`]; no thread could be started.
    pub fn subscribe(
        &self,
        topics: &str,
        callback: impl Fn(&BusEvent) + Send + 'static,
    ) -> Result<Subscription, ConfigurationError> {
        let glob = Glob::new(topics)
            .map_err(|e| ConfigurationError::new(format!("`{topics}` is not a glob: {e}")))?
            .compile_matcher();
        if !TOPICS.iter().any(|t| glob.is_match(t)) {
            return Err(ConfigurationError::new(format!("`{topics}` fits no topic; there are {}", TOPICS.join(", "))));
        }
        let (queue, events) = sync_channel::<Arc<BusEvent>>(QUEUE);
        let deliver = move || {
            for event in events {
                let _ = catch_unwind(AssertUnwindSafe(|| callback(&event)));
            }
        };
        std::thread::Builder::new()
            .name("victor-events".to_owned())
            .spawn(deliver)
            .map_err(|e| ConfigurationError::new(format!("no thread for a subscriber: {e}")))?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let dropped = Arc::new(AtomicU64::new(0));
        let subscriber = Subscriber { id, topics: glob, queue, dropped: Arc::clone(&dropped) };
        self.subscribers.write().unwrap_or_else(PoisonError::into_inner).push(subscriber);
        Ok(Subscription { id, subscribers: Arc::clone(&self.subscribers), dropped })
    }

    /// Hands an event to all who want it. Never waits. `data` is made only if somebody listens.
    pub(crate) fn publish(&self, topic: &'static str, run_id: RunId, at: Timestamp, data: impl FnOnce() -> Value) {
        let subscribers = self.subscribers.read().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = subscribers.iter().filter(|s| s.topics.is_match(topic)).peekable();
        if wanted.peek().is_none() {
            return;
        }
        let event = Arc::new(BusEvent { topic, run_id, at, data: data() });
        for subscriber in wanted {
            if let Err(TrySendError::Full(_)) = subscriber.queue.try_send(Arc::clone(&event)) {
                subscriber.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Subscription {
    /// Events that this subscriber was too slow for.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut subscribers = self.subscribers.write().unwrap_or_else(PoisonError::into_inner);
        subscribers.retain(|s| s.id != self.id);
    }
}
