//! The client's own model for agents where none is configured: each call of it is a request to the client, which may
//! ask its person before. Clients of the newest revision lend none.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream;
use rmcp::ServiceError;
use rmcp::model::{
    ContentBlock, CreateMessageRequestParams, CreateMessageResult, JsonObject, Role, SamplingCapability,
    SamplingMessage, SamplingMessageContentBlock, Tool, ToolChoice, ToolChoiceMode, ToolResultContent,
};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use victor_core::error::{ProviderError, ProviderErrorKind};
use victor_core::message::{Block, Message, Role as Speaker, ToolResult, text_of};
use victor_core::provider::{Chunk, ChunkStream, Features, Model, ModelInfo, Provider, StopReason};
use victor_core::request::{CallCx, Request, ToolChoice as Choice};

use super::call::{Call, Era};
use crate::convert;

/// Its name as a provider, and as a model: which one answers is the client's own choice.
const NAME: &str = "client";
/// Tokens of an answer where nobody says how many.
const TOKENS: u32 = 8192;

/// A call of the client's model, on its way to whoever speaks with the client.
pub(crate) struct Wanted {
    params: CreateMessageRequestParams,
    reply: oneshot::Sender<Result<CreateMessageResult, ServiceError>>,
}

/// Calls of the client's model that wait for somebody who speaks with the client.
pub(crate) type Waiting = mpsc::Receiver<Wanted>;

impl Wanted {
    /// Has the client's model called. Nobody is answered if the client's request is over meanwhile, and nobody is waited
    /// for when the run wants no answer any more.
    pub(crate) async fn put(self, call: &Call<'_>) {
        let Self { params, mut reply } = self;
        let asking = call.cx.peer.create_message(params);
        let answer = tokio::select! {
            answer = call.waiting(asking, "the client's model is asked") => answer,
            () = reply.closed() => None,
        };
        if let Some(answer) = answer {
            // A run that is gone wants no answer.
            let _ = reply.send(answer);
        }
    }
}

/// What the client lends of its model, if it does.
fn lent(call: &Call<'_>) -> Option<SamplingCapability> {
    call.capabilities().sampling.filter(|_| call.era() == Era::Sessions)
}

/// Whether the client lends its model.
pub(crate) fn lends(call: &Call<'_>) -> bool {
    lent(call).is_some()
}

/// The client's model, if it lends one.
pub(crate) fn model(call: &Call<'_>) -> Option<(Model, Waiting)> {
    let lends = lent(call)?;
    let features = Features { tool_calling: lends.tools.is_some(), streaming: false, vision: false, thinking: false };
    let info = ModelInfo { id: NAME.to_owned(), provider: NAME.to_owned(), features, ..ModelInfo::default() };
    let (wanted, waiting) = mpsc::channel(16);
    let provider = ClientModel { wanted, patience: call.session.door.config.question_timeout };
    Some((Model { provider: Arc::new(provider), info: Arc::new(info) }, waiting))
}

/// The client as a provider.
struct ClientModel {
    wanted: mpsc::Sender<Wanted>,
    patience: Duration,
}

fn failed(kind: ProviderErrorKind, why: impl Into<String>) -> ProviderError {
    ProviderError::new(kind, NAME, why)
}

#[async_trait]
impl Provider for ClientModel {
    fn name(&self) -> &str {
        NAME
    }

    fn wire(&self) -> &str {
        "mcp_sampling"
    }

    async fn stream(&self, request: &Request, cx: &CallCx) -> Result<ChunkStream, ProviderError> {
        let (reply, answer) = oneshot::channel();
        let wanted = Wanted { params: params(request), reply };
        let gone = || failed(ProviderErrorKind::PermissionDenied, "nobody speaks with the client any more");
        self.wanted.send(wanted).await.map_err(|_| gone())?;
        let answered = tokio::time::timeout(self.patience, answer);
        let Some(answered) = cx.cancel.run_until_cancelled(answered).await else {
            return Err(failed(ProviderErrorKind::PermissionDenied, "the call was cancelled"));
        };
        // None of these is tried again: a person may have been asked.
        let late = format!("it did not answer within {} s", self.patience.as_secs());
        let answered = answered.map_err(|_| failed(ProviderErrorKind::PermissionDenied, late))?;
        let result = answered.map_err(|_| gone())?.map_err(|e| {
            failed(ProviderErrorKind::PermissionDenied, format!("the client did not lend its model: {e}"))
        })?;
        Ok(Box::pin(stream::iter(chunks(result).into_iter().map(Ok))))
    }

    async fn check(&self, _: &CallCx) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn list_models(&self, _: &CallCx) -> Result<Vec<ModelInfo>, ProviderError> {
        Ok(Vec::new())
    }
}

/// The request in the protocol's words. One without tools has messages of one text each, as older clients know them.
fn params(request: &Request) -> CreateMessageRequestParams {
    let messages = request.messages.iter().filter_map(|m| message(m)).collect();
    let mut params = CreateMessageRequestParams::new(messages, request.params.max_tokens.unwrap_or(TOKENS));
    if !request.system.is_empty() {
        params = params.with_system_prompt(&*request.system);
    }
    #[expect(clippy::cast_possible_truncation, reason = "a temperature needs few digits")]
    let temperature = request.params.temperature.map(|t| t as f32);
    params.temperature = temperature;
    params.stop_sequences = (!request.params.stop.is_empty()).then(|| request.params.stop.clone());
    if !request.tools.is_empty() {
        let tool = |t: &Arc<victor_core::tool::ToolSpec>| {
            let schema = t.parameters.as_object().cloned().unwrap_or_default();
            Tool::new(t.name.clone(), t.description.clone(), Arc::new(schema))
        };
        params = params.with_tools(request.tools.iter().map(tool).collect());
        params.tool_choice = match &request.tool_choice {
            Choice::Auto => None,
            Choice::None => Some(choice(ToolChoiceMode::None)),
            Choice::Required | Choice::Tool(_) => Some(choice(ToolChoiceMode::Required)),
        };
    }
    params
}

fn choice(mode: ToolChoiceMode) -> ToolChoice {
    let mut choice = ToolChoice::auto();
    choice.mode = Some(mode);
    choice
}

fn message(message: &Message) -> Option<SamplingMessage> {
    let role = if message.role == Speaker::Assistant { Role::Assistant } else { Role::User };
    let text = text_of(&message.content);
    let mut blocks: Vec<_> = message.content.iter().filter_map(block).collect();
    if !text.is_empty() {
        blocks.insert(0, SamplingMessageContentBlock::text(text));
    }
    match blocks.len() {
        0 => None,
        1 => Some(SamplingMessage::new(role, blocks.remove(0))),
        _ => Some(SamplingMessage::new_multiple(role, blocks)),
    }
}

/// A call of a tool, or its result; thoughts and blocks of other providers are of no use to the client's model.
fn block(block: &Block) -> Option<SamplingMessageContentBlock> {
    match block {
        Block::ToolCall(call) => {
            let input = call.arguments.as_object().cloned().unwrap_or_default();
            Some(SamplingMessageContentBlock::tool_use(call.wire_id(), call.name.clone(), input))
        }
        Block::ToolResult(result) => Some(SamplingMessageContentBlock::ToolResult(tool_result(result))),
        _ => None,
    }
}

fn tool_result(result: &ToolResult) -> ToolResultContent {
    let content: Vec<ContentBlock> = result.content.iter().filter_map(convert::block).collect();
    match result.is_error {
        true => ToolResultContent::error(result.wire_id(), content),
        false => ToolResultContent::new(result.wire_id(), content),
    }
}

/// The answer as a stream of pieces.
fn chunks(result: CreateMessageResult) -> Vec<Chunk> {
    let mut chunks = vec![Chunk::Start { id: None, model: Some(result.model) }];
    let mut calls = false;
    for (index, block) in (0..).zip(result.message.content.into_vec()) {
        match block {
            SamplingMessageContentBlock::Text(text) => chunks.push(Chunk::Text { index, delta: text.text }),
            SamplingMessageContentBlock::ToolUse(call) => {
                calls = true;
                let arguments = arguments(call.input);
                chunks.push(Chunk::ToolCall { index, id: Some(call.id), name: call.name });
                chunks.push(Chunk::ToolArgs { index, delta: arguments });
            }
            _ => {}
        }
    }
    let stop = match result.stop_reason.as_deref() {
        _ if calls => StopReason::ToolUse,
        None | Some(CreateMessageResult::STOP_REASON_END_TURN) => StopReason::EndTurn,
        Some(CreateMessageResult::STOP_REASON_END_MAX_TOKEN) => StopReason::MaxTokens,
        Some(CreateMessageResult::STOP_REASON_END_SEQUENCE) => StopReason::StopSequence,
        Some(other) => StopReason::Other(other.to_owned()),
    };
    chunks.push(Chunk::Stop(stop));
    chunks
}

fn arguments(input: JsonObject) -> String {
    Value::Object(input).to_string()
}
