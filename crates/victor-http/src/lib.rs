//! The HTTP door: a [`Router`] that an existing axum application nests, and a listener for it. It translates,
//! authorises and limits; what an agent may do is decided in core.
#![forbid(unsafe_code)]

mod answer;
mod approvals;
mod body;
mod caller;
mod config;
mod door;
mod endpoint;
mod error;
mod feeds;
mod gate;
mod idempotency;
pub mod listener;
mod meters;
mod openapi;
mod query;
mod routes;
mod runs;
mod sse;
mod talk;
mod turns;

use std::time::Duration;

use axum::Router;
use victor_core::error::ConfigurationError;
use victor_core::runtime::Runtime;

pub use config::{ApiKey, Auth, Config, Cors, Demand, HostGuard, RateLimit};

/// The HTTP API on one runtime. Cloning is cheap and gives the same door.
#[derive(Clone)]
pub struct HttpDoor {
    door: door::Door,
}

impl HttpDoor {
    /// A door to this runtime.
    ///
    /// # Errors
    /// The configuration would leave something open that it says is guarded.
    pub fn new(runtime: Runtime, config: Config) -> Result<Self, ConfigurationError> {
        Ok(Self { door: door::Door::new(runtime, config)? })
    }

    /// Its router, for an application with a state of its own.
    pub fn router<S>(&self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        self.door.router()
    }

    /// Takes no new work, lets what runs end within `grace`, cancels the rest and waits for it; tells whether all of it
    /// ended by itself.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        self.door.runtime.shutdown(grace).await
    }
}

impl std::fmt::Debug for HttpDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpDoor").field("config", &self.door.config).finish_non_exhaustive()
    }
}

/// The HTTP API as a router, to be nested under any path of an application with a state of its own.
///
/// # Errors
/// The configuration would leave something open that it says is guarded.
pub fn router<S>(runtime: Runtime, config: Config) -> Result<Router<S>, ConfigurationError>
where
    S: Clone + Send + Sync + 'static,
{
    Ok(HttpDoor::new(runtime, config)?.router())
}
