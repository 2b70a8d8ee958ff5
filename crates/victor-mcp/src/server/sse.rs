//! The older HTTP transport (2024-11-05): one stream of events to the client, and posts from it. The stream is the
//! session; when it breaks off, the session is over.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{OriginalUri, Query, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures::Stream as Events;
use futures::future::BoxFuture;
use futures::stream::unfold;
use rmcp::model::{ClientJsonRpcMessage, GetExtensions as _, JsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::{RoleServer, ServiceExt as _};
use serde::Deserialize;
use tokio::sync::mpsc;
use victor_core::token::Principal;

use super::binding::refusal;
use super::door::Door;
use super::places::Full;
use super::session::{Link, Session};
use super::stdio::begins;

/// Clients at the same time at most.
const CLIENTS: usize = 256;
/// Those of one owner.
const OWN: usize = 64;
/// Messages that wait for each side.
const WAITING: usize = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Clone)]
struct Shared {
    door: Arc<Door>,
    clients: Arc<Clients>,
}

type Inbox = mpsc::Sender<ClientJsonRpcMessage>;

/// Whoever has a stream: their inbox, and who opened it.
#[derive(Default)]
struct Clients(Mutex<HashMap<String, (Inbox, Arc<str>)>>);

pub(crate) fn router(door: &Arc<Door>) -> Router {
    let shared = Shared { door: Arc::clone(door), clients: Arc::default() };
    Router::new().route("/sse", get(open)).route("/messages", post(message)).with_state(shared)
}

/// A new client: told where to post, then all that the server says.
async fn open(State(shared): State<Shared>, OriginalUri(uri): OriginalUri, request: Request) -> Response {
    let runtime = match shared.door.host.runtime().await {
        Ok(runtime) => runtime,
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    };
    let id = runtime.clock().uuid().simple().to_string();
    let owner = request.extensions().get::<Principal>().map_or_else(|| Arc::from("local"), |p| Arc::clone(&p.owner));
    let (inbox, from) = mpsc::channel(WAITING);
    let (to, outbox) = mpsc::channel(WAITING);
    let place = match Place::take(&shared.clients, &id, inbox, owner) {
        Ok(place) => place,
        Err(full) => return refusal(full),
    };
    let base = uri.path().strip_suffix("/sse").unwrap_or_default();
    let first = Event::default().event("endpoint").data(format!("{base}/messages?sessionId={id}"));
    let session = Session::new(Arc::clone(&shared.door), Link::Connection);
    let serving = Box::pin(serve(session, Channel { from, to, begun: false }));
    let stream = events(Stream { first: Some(first), serving: Some(serving), outbox, _place: place });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

async fn serve(session: Session, channel: Channel) {
    match Box::pin(session.serve(channel)).await {
        Ok(running) => drop(running.waiting().await),
        Err(error) => tracing::debug!(%error, "a client could not be served"),
    }
}

struct Stream {
    first: Option<Event>,
    serving: Option<BoxFuture<'static, ()>>,
    outbox: mpsc::Receiver<ServerJsonRpcMessage>,
    _place: Place,
}

/// What the client is told; the session is served for as long as somebody takes it.
fn events(stream: Stream) -> impl Events<Item = Result<Event, Infallible>> {
    unfold(stream, |mut stream| async move {
        if let Some(first) = stream.first.take() {
            return Some((Ok(first), stream));
        }
        loop {
            let served = async {
                match &mut stream.serving {
                    Some(serving) => serving.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = stream.outbox.recv() => {
                    let data = serde_json::to_string(&message?).ok()?;
                    return Some((Ok(Event::default().event("message").data(data)), stream));
                }
                () = served => stream.serving = None,
            }
        }
    })
}

#[derive(Deserialize)]
struct To {
    #[serde(rename = "sessionId")]
    session: String,
}

/// A message of a client.
async fn message(State(shared): State<Shared>, Query(to): Query<To>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let principal = parts.extensions.get::<Principal>().cloned().unwrap_or_else(Principal::local);
    let Some(inbox) = shared.clients.find(&to.session, &principal) else {
        return (StatusCode::NOT_FOUND, "there is no such session; open `/sse` first").into_response();
    };
    let Ok(bytes) = to_bytes(body, shared.door.config.max_message).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "the message is too large, or broke off").into_response();
    };
    let Ok(mut message) = serde_json::from_slice::<ClientJsonRpcMessage>(&bytes) else {
        return (StatusCode::BAD_REQUEST, "this is no message of the protocol").into_response();
    };
    with_parts(&mut message, parts);
    match inbox.send(message).await {
        Ok(()) => (StatusCode::ACCEPTED, "Accepted").into_response(),
        Err(_) => (StatusCode::NOT_FOUND, "the session is over").into_response(),
    }
}

/// Tools ask who called.
fn with_parts(message: &mut ClientJsonRpcMessage, parts: Parts) {
    if let JsonRpcMessage::Request(request) = message {
        request.request.extensions_mut().insert(parts);
    }
}

impl Clients {
    fn find(&self, id: &str, principal: &Principal) -> Option<Inbox> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(id).filter(|(_, owner)| *owner == principal.owner).map(|(inbox, _)| inbox.clone())
    }
}

/// A client's place among all, until dropped.
struct Place {
    clients: Arc<Clients>,
    id: String,
}

impl Place {
    fn take(clients: &Arc<Clients>, id: &str, inbox: Inbox, owner: Arc<str>) -> Result<Self, Full> {
        let mut all = clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.values().filter(|(_, other)| *other == owner).count();
        if own >= OWN {
            return Err(Full::Own);
        }
        if all.len() >= CLIENTS {
            return Err(Full::All);
        }
        all.insert(id.to_owned(), (inbox, owner));
        Ok(Self { clients: Arc::clone(clients), id: id.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clients.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// The two directions of a session.
struct Channel {
    from: mpsc::Receiver<ClientJsonRpcMessage>,
    to: mpsc::Sender<ServerJsonRpcMessage>,
    begun: bool,
}

impl Transport<RoleServer> for Channel {
    type Error = io::Error;

    fn send(&mut self, item: ServerJsonRpcMessage) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let to = self.to.clone();
        async move { to.send(item).await.map_err(|_| io::ErrorKind::BrokenPipe.into()) }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            let message = self.from.recv().await?;
            if let JsonRpcMessage::Request(request) = &message {
                self.begun = self.begun || begins(&request.request);
                return Some(message);
            }
            // Before the protocol has begun nothing but requests counts.
            if self.begun {
                return Some(message);
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}
