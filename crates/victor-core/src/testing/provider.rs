//! A provider that says what its script says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;

use crate::conversation::History;
use crate::error::{ProviderError, ProviderErrorKind};
use crate::provider::{Chunk, ChunkStream, Model, ModelInfo, Provider, StopReason};
use crate::request::{CallCx, Request};
use crate::usage::Usage;

type Piece = Result<Chunk, ProviderError>;

/// Answers each call with the next part of its script, and keeps the histories that it was sent.
#[derive(Default)]
pub struct ScriptedProvider {
    script: Mutex<VecDeque<Vec<Piece>>>,
    seen: Mutex<Vec<History>>,
}

impl ScriptedProvider {
    /// Gives these answers in turn.
    #[must_use]
    pub fn new(script: impl IntoIterator<Item = Vec<Piece>>) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(script.into_iter().collect()), seen: Mutex::default() })
    }

    /// The provider with a model, for an agent's builder.
    #[must_use]
    pub fn model(self: &Arc<Self>) -> Model {
        Model { provider: Arc::clone(self) as Arc<dyn Provider>, info: Arc::new(info()) }
    }

    /// The histories of all calls so far.
    #[must_use]
    pub fn seen(&self) -> Vec<History> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An answer of one text.
#[must_use]
pub fn reply_text(text: &str) -> Vec<Piece> {
    let usage = Usage { input: 10, output: 2, ..Usage::default() };
    vec![
        Ok(Chunk::Text { index: 0, delta: text.to_owned() }),
        Ok(Chunk::Usage(usage)),
        Ok(Chunk::Stop(StopReason::EndTurn)),
    ]
}

/// An answer of these tool calls.
#[must_use]
pub fn reply_calls(calls: &[(&str, Value)]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (index, (name, args)) in (0..).zip(calls) {
        pieces.push(Ok(Chunk::ToolCall { index, id: Some(format!("p{index}")), name: (*name).to_owned() }));
        pieces.push(Ok(Chunk::ToolArgs { index, delta: args.to_string() }));
    }
    pieces.push(Ok(Chunk::Stop(StopReason::ToolUse)));
    pieces
}

#[async_trait]
impl Provider for ScriptedProvider {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn wire(&self) -> &'static str {
        "scripted"
    }

    async fn stream(&self, request: &Request, _: &CallCx) -> Result<ChunkStream, ProviderError> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&request.messages));
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = || ProviderError::new(ProviderErrorKind::InvalidRequest, "scripted", "the script has ended");
        match script.pop_front().ok_or_else(ended)? {
            mut only if only.len() == 1 && only[0].is_err() => match only.remove(0) {
                Err(e) => Err(e),
                Ok(chunk) => Ok(Box::pin(futures::stream::iter([Ok(chunk)]))),
            },
            pieces => Ok(Box::pin(futures::stream::iter(pieces))),
        }
    }

    async fn check(&self, _: &CallCx) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn list_models(&self, _: &CallCx) -> Result<Vec<ModelInfo>, ProviderError> {
        Ok(vec![info()])
    }
}

fn info() -> ModelInfo {
    ModelInfo { id: "scripted".into(), provider: "scripted".into(), ..ModelInfo::default() }
}
