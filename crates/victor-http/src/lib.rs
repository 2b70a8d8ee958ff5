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
mod path;
mod query;
mod routes;
mod runs;
mod sse;
mod talk;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;
use victor_core::error::ConfigurationError;
use victor_core::runtime::Runtime;
use victor_core::token::Scope;
use victor_workflow::schedule::Room;

pub use config::{ApiKey, Auth, Config, Cors, Demand, HostGuard, RateLimit};

/// The HTTP API on one runtime. Cloning is cheap and gives the same door.
#[derive(Clone)]
pub struct HttpDoor {
    door: door::Door,
    serves: Serves,
    beside: Vec<Beside>,
}

/// What a door serves by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serves {
    /// The whole API.
    #[default]
    Api,
    /// Only whether it lives (`/health`), beside the routes that it was given.
    Health,
}

/// Routes of another door behind the gate of this one.
#[derive(Clone)]
pub struct Beside {
    /// What a caller has to be allowed.
    pub scope: Scope,
    /// The routes. Their requests carry the caller as a [`Principal`](victor_core::token::Principal).
    pub routes: Router,
    /// Cancelled when all runs have ended at a shutdown, for streams that would stay open.
    pub ended: CancellationToken,
}

impl HttpDoor {
    /// A door to this runtime.
    ///
    /// # Errors
    /// The configuration would leave something open that it says is guarded.
    pub fn new(runtime: Runtime, config: Config) -> Result<Self, ConfigurationError> {
        Ok(Self { door: door::Door::new(runtime, config)?, serves: Serves::Api, beside: Vec::new() })
    }

    /// The same door with routes of another one behind its gate: keys, limits, Host and Origin hold for them too.
    #[must_use]
    pub fn beside(mut self, beside: Beside) -> Self {
        self.beside.push(beside);
        self
    }

    /// The room that all its runs share, for what else the server runs.
    #[must_use]
    pub fn room(&self) -> Arc<dyn Room> {
        Arc::new(self.door.clone())
    }

    /// The same door, serving this much by itself.
    #[must_use]
    pub fn serving(mut self, serves: Serves) -> Self {
        self.serves = serves;
        self
    }

    /// Its router, for an application with a state of its own.
    pub fn router<S>(&self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        self.door.router(self.serves, &self.beside)
    }

    /// Takes no new work, lets what runs end within `grace`, cancels the rest and waits for it; tells whether all of it
    /// ended by itself.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        let in_time = self.door.runtime.shutdown(grace).await;
        self.beside.iter().for_each(|beside| beside.ended.cancel());
        in_time
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
