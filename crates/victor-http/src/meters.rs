//! What is counted for Prometheus and `GET /status`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use victor_core::event::Event;

/// The counters of one door.
#[derive(Default)]
pub(crate) struct Meters {
    requests: AtomicU64,
}

impl Meters {
    /// A request was answered. `route` is the path with its parameters' names, or `unmatched`.
    pub(crate) fn answered(&self, _method: &Method, _route: &str, _status: StatusCode, _took: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A run of this door tells something: tokens, tool calls, cost, its end.
    pub(crate) fn seen(&self, _event: &Event) {}
}
