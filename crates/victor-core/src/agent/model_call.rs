//! One call of a model: its pieces out as events while they come, the whole back as a completion.

use futures::StreamExt;

use crate::assemble::{Assembler, Completion};
use crate::error::{ProviderError, ProviderErrorKind};
use crate::event::EventKind;
use crate::provider::{Chunk, ChunkStream, Model};

use super::dispatch::RunScope;

/// Takes the answer in. What a failed call has used is booked all the same.
pub(super) async fn take_in(
    model: &Model,
    mut chunks: ChunkStream,
    scope: &RunScope,
    first_call: u64,
) -> Result<Completion, ProviderError> {
    let mut assembler = Assembler::new(model.provider.wire());
    let mut tools: Vec<(u32, String)> = Vec::new();
    loop {
        let chunk = tokio::select! {
            biased;
            () = scope.inner.cancel.cancelled() => {
                scope.inner.ledger.book(model, assembler.usage());
                return Err(error(model, "cancelled"));
            }
            chunk = chunks.next() => chunk,
        };
        match chunk {
            None => break,
            Some(Err(e)) => {
                scope.inner.ledger.book(model, assembler.usage());
                return Err(e);
            }
            Some(Ok(chunk)) => {
                if let Some(kind) = told(&chunk, &mut tools) {
                    scope.inner.emitter.emit(kind).await;
                }
                assembler.push(chunk);
            }
        }
    }
    let usage = assembler.usage();
    assembler.finish(first_call).ok_or_else(|| {
        scope.inner.ledger.book(model, usage);
        error(model, "the answer ended before it was complete")
    })
}

fn error(model: &Model, message: &str) -> ProviderError {
    ProviderError::new(ProviderErrorKind::Truncated, model.provider.name(), message)
}

/// What listeners are told of a piece.
fn told(chunk: &Chunk, tools: &mut Vec<(u32, String)>) -> Option<EventKind> {
    match chunk {
        Chunk::Text { delta, .. } if !delta.is_empty() => Some(EventKind::Text { delta: delta.clone() }),
        Chunk::Thinking { delta, .. } if !delta.is_empty() => Some(EventKind::Thinking { delta: delta.clone() }),
        Chunk::ToolCall { index, name, .. } => {
            tools.push((*index, name.clone()));
            None
        }
        Chunk::ToolArgs { index, delta } => {
            let tool = tools.iter().rev().find(|(i, _)| i == index).map(|(_, name)| name.clone())?;
            Some(EventKind::ToolArgs { tool, index: *index, delta: delta.clone() })
        }
        _ => None,
    }
}
