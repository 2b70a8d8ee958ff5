//! `POST /chat` and `POST /chat/stream`.

use axum::body::Body as Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Deserialize;
use victor_core::token::Scope;

use crate::answer::ChatResponse;
use crate::body::Body;
use crate::caller::Caller;
use crate::door::Door;
use crate::endpoint::{Content, Endpoint};
use crate::error::ApiError;
use crate::gate::RequestId;
use crate::query::Query;
use crate::runs::Detach;
use crate::sse::{self, StreamEvent};
use crate::talk::{self, ChatRequest, Manner, Place};
use crate::turns::Patience;

/// What a run can fail with, beside what every request can.
pub(super) const RUN_FAILS: [u16; 5] = [404, 409, 502, 503, 504];

/// How a chat is served.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ChatQuery {
    wait: bool,
    detach: bool,
}

impl From<ChatQuery> for Manner {
    fn from(query: ChatQuery) -> Self {
        Self {
            patience: if query.wait { Patience::Wait } else { Patience::None },
            detach: if query.detach { Detach::GoOn } else { Detach::Cancel },
        }
    }
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let asked = |endpoint: Endpoint| {
        endpoint
            .takes::<ChatRequest>()
            .query::<bool>("wait", "Wait for the run that the conversation is busy with, instead of 409.")
            .query::<bool>("detach", "Let the run go on when the client goes away.")
            .fails(&RUN_FAILS)
            .once()
    };
    vec![
        asked(Endpoint::new(Method::POST, "/chat", Scope::Chat, "chat", chat))
            .about("chat", "Say something to an agent and wait for its answer")
            .answers::<ChatResponse>(200, "The run ended."),
        asked(Endpoint::new(Method::POST, "/chat/stream", Scope::Chat, "chat_stream", stream))
            .about("chat", "Say something to an agent and follow the run")
            .answers_with(200, "The run began.", Content::Events(SchemaGenerator::subschema_for::<StreamEvent>)),
    ]
}

async fn chat(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    RequestId(id): RequestId,
    Query(query): Query<ChatQuery>,
    Body(request): Body<ChatRequest>,
) -> Result<Json<ChatResponse>, ApiError> {
    if request.approvals.is_some() {
        return Err(ApiError::invalid("`approvals` needs a stream that tells the questions: use `POST /chat/stream`"));
    }
    let place = place(&door, &caller, &request).await?;
    let live = talk::begin(&door, &caller, id.clone(), request, place, query.into()).await?;
    Ok(Json(ChatResponse::new(live.finish().await?, &id)))
}

async fn stream(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    RequestId(id): RequestId,
    Query(query): Query<ChatQuery>,
    Body(request): Body<ChatRequest>,
) -> Result<Response, ApiError> {
    let place = place(&door, &caller, &request).await?;
    let live = talk::begin(&door, &caller, id, request, place, query.into()).await?;
    Ok(events(Bytes::from_stream(live)))
}

async fn place(door: &Door, caller: &Caller, request: &ChatRequest) -> Result<Place, ApiError> {
    match (&request.conversation_id, request.store.unwrap_or(true)) {
        (None, true) => Ok(Place::New(None)),
        (None, false) => Ok(Place::Unsaved),
        (Some(id), true) => Ok(Place::Saved(talk::saved(door, caller, id).await?)),
        (Some(_), false) => {
            Err(ApiError::invalid("`store: false` and `conversation_id` exclude each other: leave one of them out"))
        }
    }
}

/// A response of server-sent events.
pub(super) fn events(body: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, sse::MEDIA_TYPE),
        (header::CACHE_CONTROL, "no-cache, no-store"),
        // Proxies that would collect a stream before they pass it on.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (StatusCode::OK, headers, body).into_response()
}
