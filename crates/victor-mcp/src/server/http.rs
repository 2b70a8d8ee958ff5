//! The door over HTTP: Streamable HTTP at `/mcp`, and the older SSE transport at `/sse`. Who may call is found out by
//! whoever serves the router.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};

use super::binding::{self, Binding};
use super::door::Door;
use super::places::PLACE;
use super::session::{Link, Session};
use super::sse;

/// What looks after Host and Origin of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// The door: it answers to loopback names and to no web page. The older transport is not served.
    #[default]
    Loopback,
    /// Something before the router.
    Outside,
}

pub(crate) fn router(door: &Arc<Door>) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_cancellation_token(door.closing.child_token())
        .with_max_request_body_bytes(door.config.max_message);
    let config = match door.config.guard {
        Guard::Loopback => config.enforce_origin_validation().with_allowed_origins([
            "http://localhost:*",
            "http://127.0.0.1:*",
            "http://[::1]:*",
        ]),
        Guard::Outside => config.disable_allowed_hosts().disable_allowed_origins(),
    };
    let served = Arc::clone(door);
    let session = move || {
        let place = PLACE.try_with(Clone::clone).ok().flatten();
        Ok(Session::new(Arc::clone(&served), Link::Http).at(place))
    };
    let sessions = Arc::<LocalSessionManager>::default();
    let service = StreamableHttpService::new(session, Arc::clone(&sessions), config);
    let bound = from_fn_with_state(Binding { door: Arc::clone(door), sessions }, binding::bind);
    let router = Router::new().route_service("/mcp", service).layer(bound);
    match door.config.guard {
        Guard::Loopback => router,
        Guard::Outside => router.merge(sse::router(door)),
    }
}
