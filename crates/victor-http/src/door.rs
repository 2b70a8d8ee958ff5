//! The door itself: what all requests share, and the router made of the table of endpoints.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::middleware::from_fn_with_state;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tower_http::cors::CorsLayer;
use victor_core::error::ConfigurationError;
use victor_core::id::Timestamp;
use victor_core::runtime::Runtime;
use victor_workflow::schedule::{Place, Room};

use crate::approvals::Approvals;
use crate::config::Config;
use crate::endpoint::{Endpoint, behind};
use crate::feeds::Feeds;
use crate::gate::Gate;
use crate::idempotency::Repeats;
use crate::meters::Meters;
use crate::routes::Seen;
use crate::runs::Runs;
use crate::turns::Turns;
use crate::{Beside, Serves, gate, idempotency, routes};

/// What all requests share. Cloning is cheap and gives the same door.
#[derive(Clone)]
pub(crate) struct Door {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) runtime: Runtime,
    pub(crate) config: Config,
    pub(crate) gate: Gate,
    pub(crate) cors: Option<CorsLayer>,
    pub(crate) meters: Meters,
    pub(crate) runs: Runs,
    pub(crate) feeds: Feeds,
    pub(crate) approvals: Arc<Approvals>,
    pub(crate) repeats: Repeats,
    pub(crate) turns: Turns,
    /// Room for further runs.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) started: Timestamp,
    /// What was seen of the store lately.
    pub(crate) seen: Seen,
    /// The OpenAPI document, once it was asked for.
    pub(crate) document: OnceLock<Bytes>,
}

impl std::ops::Deref for Door {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl Room for Door {
    fn enter(&self) -> Option<Place> {
        let permit = Arc::clone(&self.room).try_acquire_owned().ok()?;
        Some(Box::new((permit, self.meters.run_begins())))
    }
}

impl Door {
    pub(crate) fn new(runtime: Runtime, config: Config) -> Result<Self, ConfigurationError> {
        let inner = Inner {
            gate: Gate::new(&config, runtime.clock())?,
            cors: config.cors.as_ref().map(gate::cors_layer).transpose()?,
            meters: Meters::default(),
            runs: Runs::new(Arc::clone(runtime.clock())),
            feeds: Feeds::default(),
            approvals: Arc::default(),
            repeats: Repeats::default(),
            turns: Turns::default(),
            room: Arc::new(Semaphore::new(config.max_runs)),
            started: runtime.clock().now(),
            seen: Seen::default(),
            document: OnceLock::new(),
            runtime,
            config,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(crate) fn router<S>(&self, serves: Serves, beside: &[Beside]) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let mut router = Router::new();
        let served = |e: &Endpoint| serves == Serves::Api || gate::is_open(&e.path);
        for endpoint in routes::table().into_iter().filter(served) {
            let route = match endpoint.repeats {
                false => endpoint.route,
                true => endpoint.route.layer(from_fn_with_state(self.clone(), idempotency::once)),
            };
            router = router.route(&endpoint.path, route);
        }
        for other in beside {
            router = router.merge(behind(other.scope, other.routes.clone()));
        }
        gate::before(router, self).with_state(self.clone())
    }
}
