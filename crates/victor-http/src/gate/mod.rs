//! What every request passes before anything is done for it: request id and log, Host and Origin, CORS, key and rate.

mod id;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use victor_core::error::ConfigurationError;

use crate::caller::Caller;
use crate::config::Config;
use crate::door::Door;
use crate::error::ApiError;

pub(crate) use id::RequestId;

/// What the gate keeps between requests.
pub(crate) struct Gate {}

impl Gate {
    /// The gate of this configuration.
    pub(crate) fn new(_config: &Config) -> Result<Self, ConfigurationError> {
        Ok(Self {})
    }
}

/// Puts the gate before all routes, and before what no route serves.
pub(crate) fn before(router: Router<Door>, door: &Door) -> Router<Door> {
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(door.config.max_body))
        .layer(from_fn_with_state(door.clone(), admit))
        .layer(from_fn_with_state(door.clone(), id::give))
}

async fn admit(State(_door): State<Door>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Caller::local());
    next.run(request).await
}

async fn no_such_path(request: Request) -> ApiError {
    ApiError::not_found(format!("there is nothing at {}; `GET /openapi.json` lists what there is", request.uri().path()))
}

async fn no_such_method(request: Request) -> ApiError {
    let message = format!("{} is no method of {}; the header Allow lists those", request.method(), request.uri().path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
}
