//! `POST /tools/{name}/execute`: one call of a tool, without an agent, on the same permission path.

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use victor_core::agent::Agent;
use victor_core::error::{ConfigurationError, ToolError};
use victor_core::message::text_of;
use victor_core::permission::DenyUnconfigured;
use victor_core::runtime::CallOptions;
use victor_core::token::Scope;
use victor_core::tool::{Effects, ToolOutput};

use crate::body::Body;
use crate::caller::Caller;
use crate::door::Door;
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::gate::RequestId;
use crate::path::Named;
use crate::talk;
use crate::turns::Patience;

/// A call of a tool.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CallRequest {
    /// Its arguments, as the tool's `parameters` say.
    #[schemars(extend("type" = "object"))]
    arguments: Value,
    /// A conversation of the caller's whose agent is to know of the call and what came of it.
    #[serde(default)]
    conversation_id: Option<String>,
}

/// What a call gave.
#[derive(Debug, Serialize, JsonSchema)]
struct CallResponse {
    /// Always `true`.
    #[schemars(extend("const" = true))]
    success: bool,
    /// The tool.
    tool: String,
    /// What an agent would get to see.
    output: String,
    /// The same for programs, where the tool has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    structured: Option<Value>,
    /// How long it took.
    duration_ms: u64,
    /// The request, as in the header `X-Request-Id`.
    request_id: String,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::POST, "/tools/{name}/execute", Scope::Tools, "execute_tool", execute)
            .about("tools", "Call a tool")
            .takes::<CallRequest>()
            .answers::<CallResponse>(200, "It did what it was asked to do.")
            .fails(&[404, 409, 422, 503])
            .once(),
    ]
}

async fn execute(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    RequestId(request_id): RequestId,
    Named(name): Named,
    Body(request): Body<CallRequest>,
) -> Result<Json<CallResponse>, ApiError> {
    let effects = known(&door, &name, &request.arguments).await?;
    if effects.contains(Effects::AGENT) {
        // Whoever may not chat may not have agents work by way of a tool either.
        caller.need(Scope::Chat)?;
    }
    if door.runtime.is_closed() {
        return Err(shutting_down());
    }
    let session = match &request.conversation_id {
        Some(id) => Some(talk::saved(&door, &caller, id).await?),
        None => None,
    };
    // The conversation is taken before anything runs: what came of the call is not lost.
    let mut noted = None;
    if let Some(session) = session {
        let turn = door.turns.take(&session, Patience::None).await?;
        let mut chat = Agent::create(&door.runtime, ()).await?.chat(Some(session));
        chat.load().await?;
        noted = Some((chat, turn));
    }
    let clock = door.runtime.clock();
    let (begun, cancel) = (clock.now(), CancellationToken::new());
    let _gone = cancel.clone().drop_guard();
    let options = CallOptions {
        approver: Some(std::sync::Arc::new(DenyUnconfigured)),
        cancel,
        owner: Some(caller.owner.to_string()),
        ..CallOptions::default()
    };
    let done = door.runtime.call_tool(&name, request.arguments.clone(), options).await;
    let took = clock.now().since(begun);
    if let (Some((chat, _)), Ok(output)) = (&mut noted, &done) {
        chat.note(told(&name, &request.arguments, output)).await?;
    }
    drop(noted);
    let output = done?;
    let text = text_of(&output.content);
    if output.is_error {
        let message = format!("the tool `{name}` failed: {}", text.lines().next().unwrap_or_default());
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "TOOL_EXECUTION_FAILED", message)
            .with(json!({"tool": name, "output": text, "structured": output.structured})));
    }
    Ok(Json(CallResponse {
        success: true,
        tool: name,
        output: text,
        structured: output.structured,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        request_id: request_id.to_string(),
    }))
}

/// What a tool can do at most, if there is one of this name and the arguments fit it.
async fn known(door: &Door, name: &str, arguments: &Value) -> Result<Effects, ApiError> {
    let tools = door.runtime.tool_set().await;
    let Some(tool) = tools.get(name) else {
        let names = tools.tools().iter().map(|t| t.spec().name.as_str());
        return Err(ConfigurationError::unknown("tool", "TOOL_NOT_FOUND", name, names).into());
    };
    tool.spec().validate(arguments).map_err(|e| match e {
        ToolError::Model(text) => ApiError::invalid(text),
        other => other.into(),
    })?;
    Ok(tool.spec().effects)
}

/// What the agent of the conversation is told of a call that somebody else made.
fn told(name: &str, arguments: &Value, output: &ToolOutput) -> String {
    format!("The tool `{name}` was called for the user with {arguments}. It answered:\n\n{}", text_of(&output.content))
}

fn shutting_down() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "SHUTTING_DOWN", "the server is shutting down")
}
