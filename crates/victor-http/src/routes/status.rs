//! How the server is: health for whoever watches over it, status and metrics for whoever runs it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use victor_core::id::Timestamp;
use victor_core::provider::ProviderInfo;
use victor_core::token::Scope;

use crate::door::Door;
use crate::endpoint::{Access, BASE, Content, Endpoint};
use crate::error::ApiError;

/// How long a look at the store is believed: health may be asked without a key, and must not keep the disk busy.
const BELIEVED: Duration = Duration::from_secs(1);
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Health {
    /// All is well.
    Healthy,
    /// It serves, but something is wrong.
    Degraded,
}

/// The answer of `GET /health`.
#[derive(Debug, Serialize, JsonSchema)]
struct HealthBody {
    /// All checks together.
    status: Health,
    /// Victor's version.
    version: String,
    /// Since its start.
    uptime_seconds: u64,
    /// The checks.
    checks: Checks,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Checks {
    /// Whether conversations can be stored.
    database: Check,
    /// Whether a provider can be used, and the last calls succeeded.
    providers: Check,
    /// Whether new runs are taken.
    runs: Check,
}

/// One check.
#[derive(Debug, Serialize, JsonSchema)]
struct Check {
    /// How it is.
    status: Health,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The answer of `GET /health/live` and `GET /health/ready`.
#[derive(Debug, Serialize, JsonSchema)]
struct Probe {
    /// `ok`.
    status: String,
}

/// The answer of `GET /status`.
#[derive(Debug, Serialize, JsonSchema)]
struct StatusBody {
    /// Victor's version.
    version: String,
    /// Since its start.
    uptime_seconds: u64,
    /// Requests that were answered.
    requests_total: u64,
    /// Requests that are not answered yet, this one among them.
    requests_active: i64,
    /// The providers that can be used, by name.
    providers: BTreeMap<String, ProviderStatus>,
}

/// How a provider is.
#[derive(Debug, Serialize, JsonSchema)]
struct ProviderStatus {
    /// Whether its last call succeeded.
    healthy: bool,
    /// Calls so far.
    requests: u64,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What was seen of the store, and when.
#[derive(Default)]
pub(crate) struct Seen(Mutex<Option<(Timestamp, Result<(), String>)>>);

pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = vec![
        Endpoint::new(Method::GET, "/status", Scope::Admin, "status", status)
            .about("operations", "What the server has done")
            .answers::<StatusBody>(200, "The status."),
        Endpoint::at(Method::GET, "/metrics".to_owned(), Access::Scope(Scope::Admin), "metrics", metrics)
            .about("operations", "Counters for Prometheus")
            .answers_with(200, "The counters.", Content::Text(METRICS)),
    ];
    for (base, ids) in [("", ["health", "live", "ready"]), (BASE, ["api_health", "api_live", "api_ready"])] {
        let open = |path: &str| format!("{base}/health{path}");
        all.push(
            Endpoint::at(Method::GET, open(""), Access::Open, ids[0], health)
                .about("operations", "How the server is; 200 also when something is wrong")
                .answers::<HealthBody>(200, "The checks."),
        );
        all.push(
            Endpoint::at(Method::GET, open("/live"), Access::Open, ids[1], live)
                .about("operations", "Whether the process answers")
                .answers::<Probe>(200, "It does."),
        );
        all.push(
            Endpoint::at(Method::GET, open("/ready"), Access::Open, ids[2], ready)
                .about("operations", "Whether requests should be sent here")
                .answers::<Probe>(200, "They should.")
                .fails(&[503]),
        );
    }
    all
}

async fn health(State(door): State<Door>) -> Json<HealthBody> {
    let database = Check::of(store(&door).await.err());
    let providers = Check::of(providers(&door).err());
    let runs = Check::of(door.runtime.is_closed().then(|| "the server is shutting down".to_owned()));
    let all = [database.status, providers.status, runs.status];
    let status = if all.contains(&Health::Degraded) { Health::Degraded } else { Health::Healthy };
    let checks = Checks { database, providers, runs };
    Json(HealthBody { status, version: version(), uptime_seconds: uptime(&door).as_secs(), checks })
}

async fn live() -> Json<Probe> {
    Json(Probe { status: "ok".to_owned() })
}

async fn ready(State(door): State<Door>) -> Result<Json<Probe>, ApiError> {
    let unavailable = |code, message: &str| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
    if door.runtime.is_closed() {
        return Err(unavailable("SHUTTING_DOWN", "the server is shutting down"));
    }
    store(&door).await.map_err(|_| unavailable("INTERNAL", "conversations cannot be stored now"))?;
    Ok(Json(Probe { status: "ok".to_owned() }))
}

async fn status(State(door): State<Door>) -> Json<StatusBody> {
    let of = |p: ProviderInfo| {
        let (requests, error) = (p.health.requests, p.health.error);
        (p.name, ProviderStatus { healthy: error.is_none(), requests, error })
    };
    Json(StatusBody {
        version: version(),
        uptime_seconds: uptime(&door).as_secs(),
        requests_total: door.meters.requests_total(),
        requests_active: door.meters.requests_active(),
        providers: known(&door).into_iter().filter(|p| p.configured).map(of).collect(),
    })
}

async fn metrics(State(door): State<Door>) -> Result<Response, ApiError> {
    let text = door.meters.text(&known(&door), uptime(&door)).map_err(|e| ApiError::internal(&e))?;
    Ok(([(header::CONTENT_TYPE, METRICS)], text).into_response())
}

/// Whether the store can be written to.
async fn store(door: &Door) -> Result<(), String> {
    let now = door.runtime.clock().now();
    let seen = door.seen.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((at, result)) = seen
        && now.since(at) < BELIEVED
    {
        return result;
    }
    let result = door.runtime.sessions().check().await.map_err(|e| {
        tracing::error!(error = %e, "the store cannot be written to");
        "conversations cannot be stored now; the log says why".to_owned()
    });
    *door.seen.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, result.clone()));
    result
}

/// Whether at least one provider can be used, and none fails.
fn providers(door: &Door) -> Result<(), String> {
    let configured: Vec<ProviderInfo> = known(door).into_iter().filter(|p| p.configured).collect();
    let failing = configured.iter().filter(|p| p.health.error.is_some()).map(|p| p.name.as_str());
    let failing: Vec<&str> = failing.collect();
    match (configured.is_empty(), failing.is_empty()) {
        (true, _) => Err("no provider is configured".to_owned()),
        (false, true) => Ok(()),
        (false, false) => Err(format!("the last call failed: {}", failing.join(", "))),
    }
}

fn known(door: &Door) -> Vec<ProviderInfo> {
    door.runtime.providers().map(|p| p.providers()).unwrap_or_default()
}

fn uptime(door: &Door) -> Duration {
    door.runtime.clock().now().since(door.started)
}

fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

impl Check {
    fn of(error: Option<String>) -> Self {
        let status = if error.is_some() { Health::Degraded } else { Health::Healthy };
        Self { status, error }
    }
}
