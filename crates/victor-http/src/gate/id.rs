//! Request ids, the access log and the counters: taken from the caller or made, put into the log's span, errors and the
//! response.

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use crate::caller::Caller;
use crate::door::Door;
use crate::error::ApiError;

/// `X-Request-Id`, in requests and responses.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request that is being served.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| ApiError::internal(&"a request passed without an id"))
    }
}

/// Gives the request its id; counts and logs the response.
pub(super) async fn give(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let clock = door.runtime.clock();
    let begun = clock.now();
    let given = request.headers().get(&HEADER).and_then(|v| v.to_str().ok()).filter(|id| fits(id));
    let id: Arc<str> = match given {
        Some(id) => Arc::from(id),
        None => Arc::from(clock.uuid().to_string()),
    };
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| Arc::<str>::from(path.as_str()));
    let route = route.unwrap_or_else(|| Arc::from("unmatched"));
    let active = door.meters.request_begins();
    let span = tracing::info_span!("request", request_id = &*id);
    let mut response = in_envelope(next.run(request).instrument(span).await, &id);
    drop(active);
    let (status, took) = (response.status(), clock.now().since(begun));
    door.meters.answered(&method, &route, status, took);
    let owner = response.extensions().get::<Caller>().map_or("-", |caller| &*caller.owner);
    let (ms, status) = (u64::try_from(took.as_millis()).unwrap_or(u64::MAX), status.as_u16());
    tracing::info!(target: "victor_http::access", request_id = &*id, %method, route = &*route, status, ms, caller = owner, "request");
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HEADER, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Puts errors into their envelope, inside of CORS, so that a page can read them.
pub(super) async fn explain(RequestId(id): RequestId, request: Request, next: Next) -> Response {
    in_envelope(next.run(request).await, &id)
}

fn in_envelope(mut response: Response, id: &str) -> Response {
    let Some(error) = response.extensions_mut().remove::<ApiError>() else { return response };
    let mut headers = std::mem::take(response.headers_mut());
    headers.remove(header::CONTENT_LENGTH);
    let caller = response.extensions_mut().remove::<Caller>();
    response = error.into_response_for(id);
    response.headers_mut().extend(headers);
    if let Some(caller) = caller {
        response.extensions_mut().insert(caller);
    }
    response
}

/// An id of the caller's own is taken if it can stand in logs and headers as it is.
fn fits(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b))
}
