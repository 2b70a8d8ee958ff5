//! Runs: following one again, cancelling it, and deciding its questions.

use std::sync::Arc;

use axum::body::Body as Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use victor_core::id::RunId;
use victor_core::permission::{Decision, GrantScope};
use victor_core::token::Scope;

use crate::body::Body;
use crate::caller::Caller;
use crate::door::Door;
use crate::endpoint::{Content, Endpoint};
use crate::error::ApiError;
use crate::path::Named;
use crate::routes::chat::events;
use crate::runs::{Record, follow};
use crate::sse::StreamEvent;

/// The answer of `POST /runs/{id}/cancel`.
#[derive(Debug, Serialize, JsonSchema)]
struct Cancelled {
    /// Always `true`.
    #[schemars(extend("const" = true))]
    success: bool,
    /// The run.
    run_id: RunId,
    /// Whether it still ran; its last event follows.
    cancelled: bool,
}

/// What becomes of a call, or the answer to what a workflow within the run asks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DecisionBody {
    /// The decision. To an approval or confirmation of a workflow, `allow` is a yes and `deny` a no.
    #[serde(default)]
    decision: Option<Word>,
    /// The answer to a `question` event.
    #[serde(default)]
    answer: Option<Value>,
    /// Why, for the agent to read where it is a no.
    #[serde(default)]
    reason: Option<String>,
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// It may run.
    Allow,
    /// It may run, and so may others like it in this conversation.
    AllowSession,
    /// It may not run.
    Deny,
}

/// The answer of `POST /approvals/{id}`.
#[derive(Debug, Serialize, JsonSchema)]
struct Decided {
    /// Always `true`.
    #[schemars(extend("const" = true))]
    success: bool,
    /// The question.
    id: String,
    /// What was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Word>,
    /// What was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/runs/{id}/events", Scope::Chat, "run_events", replay)
            .about("runs", "What a run told and tells, until its end; kept for 5 minutes after it")
            .header::<u64>("Last-Event-ID", "Only what came after this event.")
            .answers_with(200, "The run is known.", Content::Events(SchemaGenerator::subschema_for::<StreamEvent>))
            .fails(&[400, 404]),
        Endpoint::new(Method::POST, "/runs/{id}/cancel", Scope::Chat, "cancel_run", cancel)
            .about("runs", "Cancel a run")
            .answers::<Cancelled>(200, "It is cancelled, or had ended.")
            .fails(&[404]),
        Endpoint::new(Method::POST, "/approvals/{id}", Scope::Chat, "decide_approval", decide)
            .about("runs", "Decide whether a call may run, or answer what a workflow within the run asks")
            .takes::<DecisionBody>()
            .answers::<Decided>(200, "It is decided.")
            .fails(&[404, 409]),
    ]
}

async fn replay(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let record = run(&door, &caller, &id)?;
    let after = headers.get("last-event-id").map(|value| {
        let id = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
        let told = id.filter(|id| Some(*id) <= record.last());
        told.ok_or_else(|| ApiError::invalid("`Last-Event-ID` has to be the `id` of an event of this run, a number"))
    });
    Ok(events(Bytes::from_stream(follow(door, record, after.transpose()?))))
}

async fn cancel(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<Json<Cancelled>, ApiError> {
    let record = run(&door, &caller, &id)?;
    let cancelled = !record.is_over();
    record.cancel.cancel();
    Ok(Json(Cancelled { success: true, run_id: record.run, cancelled }))
}

async fn decide(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
    Body(body): Body<DecisionBody>,
) -> Result<Json<Decided>, ApiError> {
    if let (Some(answer), None) = (&body.answer, body.decision) {
        door.approvals.answer(&id, &caller, answer)?;
        return Ok(Json(Decided { success: true, id, decision: None, answer: body.answer }));
    }
    let word = match (body.decision, &body.answer) {
        (Some(word), None) => word,
        (Some(_), Some(_)) => return Err(ApiError::invalid("give `decision` or `answer`, not both")),
        (None, _) => {
            let provided: &[&str] = if body.reason.is_some() { &["reason"] } else { &[] };
            let error = ApiError::new(StatusCode::BAD_REQUEST, "MISSING_FIELD", "`decision` or `answer` is missing");
            return Err(error.with(json!({ "required_fields": ["decision"], "provided_fields": provided })));
        }
    };
    if door.approvals.asks_person(&id, &caller) {
        door.approvals.answer(&id, &caller, &Value::Bool(word != Word::Deny))?;
        return Ok(Json(Decided { success: true, id, decision: Some(word), answer: None }));
    }
    let decision = match word {
        Word::Allow => Decision::Allow(GrantScope::Once),
        Word::AllowSession => Decision::Allow(GrantScope::Session),
        Word::Deny => Decision::Deny { reason: body.reason.unwrap_or_else(|| "the user said no".to_owned()) },
    };
    door.approvals.decide(&id, &caller, decision)?;
    Ok(Json(Decided { success: true, id, decision: Some(word), answer: None }))
}

/// The run, if it is kept and the caller's.
fn run(door: &Door, caller: &Caller, id: &str) -> Result<Arc<Record>, ApiError> {
    let record = id.parse().ok().and_then(|run| door.runs.get(run)).filter(|record| caller.sees(&record.owner));
    let missing = || ApiError::not_found(format!("no run `{id}`; runs are kept for 5 minutes after their end"));
    record.ok_or_else(missing)
}
