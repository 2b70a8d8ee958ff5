//! Sessions over HTTP belong to whoever opened them: a session's id ends in a seal of its owner, and another's request
//! with that id finds no session. Each takes one of its owner's places.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use rmcp::model::ProtocolVersion;
use rmcp::transport::streamable_http_server::SessionManager as _;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use victor_core::token::Principal;

use super::door::Door;
use super::places::{Full, PLACE, Place};

const HEADER: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// No session has this id: they are all UUIDs.
const NONE: HeaderValue = HeaderValue::from_static("none");

/// What requests are bound with.
#[derive(Clone)]
pub(crate) struct Binding {
    pub(crate) door: Arc<Door>,
    pub(crate) sessions: Arc<LocalSessionManager>,
}

/// Takes the seal off the id of a request, and puts it on the id of an answer. A request of no session needs a place.
pub(crate) async fn bind(State(binding): State<Binding>, mut request: Request, next: Next) -> Response {
    let door = &binding.door;
    let principal = request.extensions().get::<Principal>().cloned().unwrap_or_else(Principal::local);
    if request
        .headers()
        .get(&VERSION)
        .is_some_and(|v| v.as_bytes() >= ProtocolVersion::V_2026_07_28.as_str().as_bytes())
    {
        // From this version on requests belong to no session, whatever id they bring.
        request.headers_mut().remove(&HEADER);
    }
    let given = request.headers().get(&HEADER).cloned();
    let place = match &given {
        Some(given) => {
            let own = given.to_str().ok().and_then(|given| door.session_of(given, &principal));
            own.into_iter().for_each(|id| door.places.uses(id));
            let own = own.and_then(|id| HeaderValue::from_str(id).ok()).unwrap_or(NONE);
            request.headers_mut().insert(HEADER, own);
            None
        }
        None => match binding.place(&principal).await {
            Ok(place) => Some(place),
            Err(full) => return refusal(full),
        },
    };
    let mut response = PLACE.scope(place.clone(), next.run(request)).await;
    let opened = response.headers().get(&HEADER).and_then(|id| id.to_str().ok());
    if let (Some(id), Some(place)) = (opened, place) {
        place.belongs_to(id);
    }
    if let Some(sealed) = opened.and_then(|id| HeaderValue::from_str(&door.session_for(id, &principal)).ok()) {
        response.headers_mut().insert(HEADER, sealed);
    }
    response
}

impl Binding {
    /// A place for a request of its own, at the cost of a session of the same owner that nobody uses.
    async fn place(&self, principal: &Principal) -> Result<Arc<Place>, Full> {
        let (place, ends) = self.door.places.take(&principal.owner)?;
        if let Some(session) = ends
            && let Err(error) = self.sessions.close_session(&session).await
        {
            tracing::debug!(%error, "a session that had to make room was over already");
        }
        Ok(place)
    }
}

/// What whoever finds no place is told.
pub(crate) fn refusal(full: Full) -> Response {
    let (status, why) = match full {
        Full::All => (StatusCode::SERVICE_UNAVAILABLE, "there are too many clients; come back later"),
        Full::Own => {
            (StatusCode::TOO_MANY_REQUESTS, "too many sessions and requests of this caller are open; end one, or wait")
        }
    };
    (status, why).into_response()
}
