//! What every request passes before anything is done for it: request id and log, Host and Origin, CORS, key and rate.

mod auth;
mod cors;
mod id;
mod limit;
mod origin;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use victor_core::error::ConfigurationError;
use victor_core::id::Clock;
use victor_core::token::Principal;

use crate::config::Config;
use crate::door::Door;
use crate::endpoint::BASE;
use crate::error::ApiError;
use auth::Doorkeeper;
use limit::Limits;
use origin::OriginGuard;

pub(crate) use id::RequestId;

/// What the gate keeps between requests.
pub(crate) struct Gate {
    doorkeeper: Doorkeeper,
    limits: Limits,
    origins: OriginGuard,
}

impl Gate {
    /// The gate of this configuration.
    ///
    /// # Errors
    /// It would leave something open that it says is guarded.
    pub(crate) fn new(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, ConfigurationError> {
        let any = config.cors.iter().flat_map(|cors| &cors.origins).any(|origin| origin == "*");
        if any && !auth::is_certain(&config.auth) {
            let message = "`cors.origins: [\"*\"]` without authentication would let every web page call; set a key, or \
                           name the origins";
            return Err(ConfigurationError::new(message));
        }
        Ok(Self {
            doorkeeper: Doorkeeper::new(config)?,
            limits: Limits::new(config, clock)?,
            origins: OriginGuard::new(config),
        })
    }
}

/// Puts the gate before all routes, and before what no route serves.
pub(crate) fn before(router: Router<Door>, door: &Door) -> Router<Door> {
    let guarded = router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(door.config.max_body))
        .layer(from_fn_with_state(door.clone(), admit))
        .layer(from_fn_with_state(door.clone(), id::explain));
    match &door.cors {
        Some(cors) => guarded.layer(cors.clone()),
        None => guarded,
    }
    .layer(from_fn_with_state(door.clone(), guard))
    .layer(from_fn_with_state(door.clone(), id::give))
}

pub(crate) use cors::layer as cors_layer;

/// Nothing runs for a page that may not call.
async fn guard(State(door): State<Door>, request: Request, next: Next) -> Result<Response, ApiError> {
    door.gate.origins.check(request.uri(), request.headers())?;
    Ok(next.run(request).await)
}

/// Lets in whoever has a key, as often as they may.
async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let (gate, path) = (&door.gate, request.uri().path());
    if is_open(path) || (request.method() == Method::OPTIONS && door.cors.is_some()) {
        return Ok(next.run(request).await);
    }
    let caller = match gate.doorkeeper.caller(request.headers(), door.runtime.clock().now()).await {
        Ok(caller) => caller,
        Err(refused) => {
            // Guessing keys counts against where it comes from.
            gate.limits.count(&gate.limits.address(request.extensions(), request.headers()))?;
            return Err(refused);
        }
    };
    let left = match gate.limits.are_on() {
        true if *caller.owner == *"local" => {
            gate.limits.count(&gate.limits.address(request.extensions(), request.headers()))?
        }
        true => gate.limits.count(&caller.owner)?,
        false => None,
    };
    request.extensions_mut().insert(caller.clone());
    request.extensions_mut().insert(Principal { owner: caller.owner.clone(), scopes: caller.scopes.clone() });
    let mut response = next.run(request).await;
    response.headers_mut().extend(left.into_iter().flat_map(limit::Left::headers));
    response.extensions_mut().insert(caller);
    Ok(response)
}

/// Health is for whoever watches over the server.
pub(crate) fn is_open(path: &str) -> bool {
    let path = path.strip_prefix(BASE).unwrap_or(path);
    matches!(path, "/health" | "/health/live" | "/health/ready")
}

async fn no_such_path(request: Request) -> ApiError {
    ApiError::not_found(format!(
        "there is nothing at {}; `GET /openapi.json` lists what there is",
        request.uri().path()
    ))
}

async fn no_such_method(request: Request) -> ApiError {
    let message =
        format!("{} is no method of {}; the header Allow lists those", request.method(), request.uri().path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
}
