//! Idempotency keys: a request that is repeated with its key answers what it answered first, and runs nothing twice.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Response as HttpResponse, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::BytesMut;
use futures::StreamExt;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use victor_core::id::Timestamp;
use victor_core::idempotency::{IdempotencyKey, KeptAnswer, Known};

use crate::body;
use crate::caller::Caller;
use crate::door::Door;
use crate::error::ApiError;
use crate::gate::RequestId;

/// How long a key is kept, in microseconds: 24 hours.
const KEPT: i64 = 24 * 60 * 60 * 1_000_000;
/// Bytes of an answer that are kept at most.
const LARGEST: usize = 8 << 20;
/// Pieces of a body that wait for the client at most.
const QUEUE: usize = 64;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The requests with a key that are being served by one door; each ends its channel when it is done.
#[derive(Clone, Default)]
pub(crate) struct Repeats {
    served: Arc<Mutex<HashMap<IdempotencyKey, watch::Receiver<()>>>>,
}

/// Serves a request at most once, if it has a key.
pub(crate) async fn once(State(door): State<Door>, request: Request, next: Next) -> Result<Response, ApiError> {
    let Some(value) = request.headers().get(HEADER) else { return Ok(next.run(request).await) };
    let name = value.to_str().ok().filter(|k| (1..=255).contains(&k.len()) && k.bytes().all(|b| b.is_ascii_graphic()));
    let name = name.ok_or_else(|| ApiError::invalid("`Idempotency-Key` has 1 to 255 visible ASCII characters"))?;
    let caller = request.extensions().get::<Caller>().cloned().unwrap_or_else(Caller::local);
    let key = IdempotencyKey { owner: caller.owner.to_string(), key: name.to_owned() };
    let (parts, body) = request.into_parts();
    let mut whole = Request::new(body);
    // The limit of the body's size is an extension.
    whole.extensions_mut().clone_from(&parts.extensions);
    let body = body::read(whole, &door).await?;
    let hash = hash(parts.method.as_str(), &parts.uri.to_string(), &body);
    loop {
        let now = door.runtime.clock().now();
        let since = Timestamp::from_micros(now.as_micros() - KEPT);
        match door.config.answers.begin(&key, &hash, now, since).await? {
            Known::New => return serve(door, key, Request::from_parts(parts, Body::from(body)), next).await,
            Known::Answered(answer) => return Ok(replayed(answer)),
            Known::Other => return Err(ApiError::conflict("this `Idempotency-Key` belongs to another request")),
            Known::Begun => door.repeats.wait(&key).await?,
        }
    }
}

/// Serves the request to its end, whether its client stays or not, and keeps the answer.
async fn serve(door: Door, key: IdempotencyKey, request: Request, next: Next) -> Result<Response, ApiError> {
    let (head, response) = oneshot::channel();
    let (done, running) = watch::channel(());
    let id = request.extensions().get::<RequestId>().map(|id| Arc::clone(&id.0)).unwrap_or_default();
    let repeats = door.repeats.clone();
    repeats.lock().insert(key.clone(), running);
    door.runtime.clone().spawn(async move {
        let _served = Served { repeats, key: key.clone(), _done: done };
        let kept = pass_on(&door, &id, next.run(request).await, head).await;
        let stored = match kept {
            Passed::Answer(answer) => door.config.answers.answered(&key, answer).await,
            Passed::NothingRan => door.config.answers.give_back(&key).await,
            // The key stays taken: a part of an answer is none, and nothing may run twice.
            Passed::TooLarge => Ok(()),
        };
        if let Err(e) = stored {
            tracing::error!(error = %e, "the answer of a request with an idempotency key was not kept");
        }
    });
    response.await.map_err(|_| ApiError::internal(&"a request with an idempotency key was dropped"))
}

/// What was passed on to the client.
enum Passed {
    Answer(KeptAnswer),
    NothingRan,
    TooLarge,
}

/// Hands a response to the client as it comes, and collects it.
async fn pass_on(door: &Door, id: &str, response: Response, head: oneshot::Sender<Response>) -> Passed {
    let status = response.status();
    if !has_run(status) {
        drop(head.send(response));
        return Passed::NothingRan;
    }
    // An error is put into its envelope further out; here it has to be made now, to be kept.
    let response = match response.extensions().get::<ApiError>().cloned() {
        Some(error) => error.into_response_for(id),
        None => response,
    };
    let (parts, body) = response.into_parts();
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let content_type = content_type.to_owned();
    let (pieces, client) = mpsc::channel::<Result<Bytes, Infallible>>(QUEUE);
    drop(head.send(HttpResponse::from_parts(parts, Body::from_stream(ReceiverStream::new(client)))));
    let mut body = body.into_data_stream();
    let (mut kept, mut size, mut gone) = (BytesMut::new(), 0, false);
    while let Some(Ok(piece)) = body.next().await {
        size += piece.len();
        if size <= LARGEST {
            kept.extend_from_slice(&piece);
        }
        // A client that is gone, or that takes nothing while the server ends, misses the rest.
        gone = gone
            || tokio::select! {
                sent = pieces.send(Ok(piece)) => sent.is_err(),
                () = door.runtime.cancelled() => true,
            };
    }
    if size > LARGEST {
        return Passed::TooLarge;
    }
    Passed::Answer(KeptAnswer { status: status.as_u16(), content_type, body: kept.freeze() })
}

/// Whether something was run before this answer: all others say that nothing was, and may be tried again.
fn has_run(status: StatusCode) -> bool {
    status.is_success() || matches!(status.as_u16(), 422 | 500 | 502 | 504)
}

fn replayed(answer: KeptAnswer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    if let Ok(content_type) = HeaderValue::from_str(&answer.content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

impl Repeats {
    /// Waits for the first request with this key.
    async fn wait(&self, key: &IdempotencyKey) -> Result<(), ApiError> {
        let served = self.lock().get(key).cloned();
        let Some(mut served) = served else {
            let message = "a request with this `Idempotency-Key` was begun and has no answer to give again: the server \
                           ended while it ran, another one serves it, or its answer was too large to keep. Look at the \
                           conversation, and use a new key to run it again";
            return Err(ApiError::conflict(message));
        };
        // An error is the end of the one that is waited for.
        while served.changed().await.is_ok() {}
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IdempotencyKey, watch::Receiver<()>>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being served; those that wait for it go on when it is dropped.
struct Served {
    repeats: Repeats,
    key: IdempotencyKey,
    _done: watch::Sender<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.repeats.lock().remove(&self.key);
    }
}

fn hash(method: &str, uri: &str, body: &[u8]) -> String {
    let mut hasher = Sha256::new();
    for part in [method.as_bytes(), b"\0", uri.as_bytes(), b"\0", body] {
        hasher.update(part);
    }
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
