//! What is counted, for Prometheus and `GET /status`. Labels have few values: routes, not paths; names of models only as
//! far as there are not too many.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use victor_core::event::{Event, EventKind};
use victor_core::provider::ProviderInfo;

use crate::answer::dollars;

/// Names of one kind that are told apart; further ones are `other`.
const NAMES: usize = 200;
/// Upper bounds of the durations that are told apart, in seconds.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Served {
    method: &'static str,
    route: Arc<str>,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Spent {
    provider: String,
    model: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Used {
    provider: String,
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Called {
    tool: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    provider: String,
}

#[derive(Clone)]
struct Durations;

impl MetricConstructor<Histogram> for Durations {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

/// The counters of one door.
pub(crate) struct Meters {
    registry: Registry,
    total: AtomicU64,
    requests: Family<Served, Counter>,
    durations: Family<Route, Histogram, Durations>,
    active: Gauge,
    runs_active: Gauge,
    runs: Family<Ended, Counter>,
    tokens: Family<Spent, Counter>,
    cost: Family<Used, Counter<f64, AtomicU64>>,
    tools: Family<Called, Counter>,
    provider_requests: Family<Of, Gauge>,
    provider_failures: Family<Of, Gauge>,
    provider_healthy: Family<Of, Gauge>,
    uptime: Gauge,
    known: Mutex<HashSet<String>>,
}

impl Default for Meters {
    fn default() -> Self {
        let mut meters = Self {
            registry: Registry::default(),
            total: AtomicU64::new(0),
            requests: Family::default(),
            durations: Family::new_with_constructor(Durations),
            active: Gauge::default(),
            runs_active: Gauge::default(),
            runs: Family::default(),
            tokens: Family::default(),
            cost: Family::default(),
            tools: Family::default(),
            provider_requests: Family::default(),
            provider_failures: Family::default(),
            provider_healthy: Family::default(),
            uptime: Gauge::default(),
            known: Mutex::default(),
        };
        meters.register();
        meters
    }
}

/// One request or run under way, until dropped.
#[must_use]
pub(crate) struct Active(Gauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Meters {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("victor_requests", "Requests that were answered", self.requests.clone());
        registry.register_with_unit(
            "victor_request_duration",
            "Time until a request was answered; for streams, until they began",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("victor_requests_active", "Requests that are not answered yet", self.active.clone());
        registry.register("victor_runs_active", "Runs that have not ended", self.runs_active.clone());
        registry.register("victor_runs", "Runs that ended, by how", self.runs.clone());
        registry.register("victor_tokens", "Tokens of ended runs", self.tokens.clone());
        registry.register("victor_cost_dollars", "US dollars of ended runs, where prices are known", self.cost.clone());
        registry.register("victor_tool_calls", "Tool calls of runs, by what came of them", self.tools.clone());
        registry.register("victor_provider_requests", "Calls of a provider so far", self.provider_requests.clone());
        registry.register(
            "victor_provider_failures",
            "Failed calls of a provider so far",
            self.provider_failures.clone(),
        );
        registry.register(
            "victor_provider_healthy",
            "Whether a configured provider answered its last call",
            self.provider_healthy.clone(),
        );
        registry.register_with_unit("victor_uptime", "Time since the start", Unit::Seconds, self.uptime.clone());
    }

    /// A request has come.
    pub(crate) fn request_begins(&self) -> Active {
        self.active.inc();
        Active(self.active.clone())
    }

    /// A run has begun.
    pub(crate) fn run_begins(&self) -> Active {
        self.runs_active.inc();
        Active(self.runs_active.clone())
    }

    /// A request was answered. `route` is the path with its parameters' names, or `unmatched`.
    pub(crate) fn answered(&self, method: &Method, route: &Arc<str>, status: StatusCode, took: Duration) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let (method, route) = (method_name(method), Arc::clone(route));
        let served = Served { method, route: Arc::clone(&route), status: status.as_u16() };
        self.requests.get_or_create(&served).inc();
        self.durations.get_or_create(&Route { method, route }).observe(took.as_secs_f64());
    }

    /// Requests that were answered so far.
    pub(crate) fn requests_total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Requests that are not answered yet.
    pub(crate) fn requests_active(&self) -> i64 {
        self.active.get()
    }

    /// A run of this door tells something.
    pub(crate) fn seen(&self, event: &Event) {
        match &event.kind {
            EventKind::ToolResult { tool, success, denied, .. } => {
                let outcome = match (success, denied) {
                    (_, true) => "denied",
                    (true, false) => "ok",
                    (false, false) => "failed",
                };
                self.tools.get_or_create(&Called { tool: self.name(tool), outcome }).inc();
            }
            EventKind::Finished { outcome } if event.path.is_empty() => {
                self.runs.get_or_create(&Ended { status: outcome.status.name() }).inc();
                let (provider, model) = (self.name(&outcome.provider), self.name(&outcome.model));
                for (kind, count) in [("input", outcome.usage.input), ("output", outcome.usage.output)] {
                    let spent = Spent { provider: provider.clone(), model: model.clone(), kind };
                    self.tokens.get_or_create(&spent).inc_by(count);
                }
                if let Some(cost) = outcome.cost {
                    self.cost.get_or_create(&Used { provider, model }).inc_by(dollars(cost));
                }
            }
            _ => {}
        }
    }

    /// All of it as text, in the OpenMetrics format.
    ///
    /// # Errors
    /// Something could not be written as text.
    pub(crate) fn text(&self, providers: &[ProviderInfo], uptime: Duration) -> Result<String, std::fmt::Error> {
        self.uptime.set(i64::try_from(uptime.as_secs()).unwrap_or(i64::MAX));
        for provider in providers.iter().filter(|p| p.configured) {
            let (of, health) = (Of { provider: provider.name.clone() }, &provider.health);
            self.provider_requests.get_or_create(&of).set(i64::try_from(health.requests).unwrap_or(i64::MAX));
            self.provider_failures.get_or_create(&of).set(i64::try_from(health.failures).unwrap_or(i64::MAX));
            self.provider_healthy.get_or_create(&of).set(i64::from(health.error.is_none()));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// A name as a label.
    fn name(&self, name: &str) -> String {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < NAMES && !known.contains(name) {
            known.insert(name.to_owned());
        }
        if known.contains(name) { name.to_owned() } else { "other".to_owned() }
    }
}

/// Clients can send any method; few are told apart.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
