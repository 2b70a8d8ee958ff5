//! Sessions over HTTP belong to whoever opened them: a session's id ends in a seal of its owner, and another's request
//! with that id finds no session.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use victor_core::token::Principal;

use super::door::Door;

const HEADER: HeaderName = HeaderName::from_static("mcp-session-id");
/// No session has this id: they are all UUIDs.
const NONE: HeaderValue = HeaderValue::from_static("none");

/// Takes the seal off the id of a request, and puts it on the id of an answer.
pub(crate) async fn bind(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    let principal = request.extensions().get::<Principal>().cloned().unwrap_or_else(Principal::local);
    if let Some(given) = request.headers().get(&HEADER) {
        let own = given.to_str().ok().and_then(|given| door.session_of(given, &principal));
        let own = own.and_then(|id| HeaderValue::from_str(id).ok()).unwrap_or(NONE);
        request.headers_mut().insert(HEADER, own);
    }
    let mut response = next.run(request).await;
    let opened = response.headers().get(&HEADER).and_then(|id| id.to_str().ok());
    if let Some(sealed) = opened.and_then(|id| HeaderValue::from_str(&door.session_for(id, &principal)).ok()) {
        response.headers_mut().insert(HEADER, sealed);
    }
    response
}
