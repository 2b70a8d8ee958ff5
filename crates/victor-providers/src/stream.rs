//! One answer as a stream of chunks: bytes, events, decoder, with the limits on silence and the cancellation.

use std::collections::VecDeque;
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::time::timeout;
use victor_core::error::{ProviderError, ProviderErrorKind};
use victor_core::provider::{Chunk, ChunkStream};
use victor_core::request::CallCx;

use crate::http::{self, Answer};
use crate::sse::{self, Broken, Events};
use crate::wire::{Decoder, Progress};

/// How long details may take after the answer itself is whole.
const AFTER_WHOLE: Duration = Duration::from_secs(2);
/// How long the end of the body may take after the protocol's end; the connection is kept if it comes.
const AFTER_END: Duration = Duration::from_millis(100);

struct Reading {
    provider: String,
    events: Events,
    decoder: Box<dyn Decoder>,
    cx: CallCx,
    ready: VecDeque<Chunk>,
    over: bool,
}

/// The chunks of an answer that streams, or of one whole JSON body from a server that does not.
///
/// # Errors
/// The whole body is no answer; what goes wrong in a stream is an item of it.
pub(crate) async fn chunks(
    provider: &str,
    answer: Answer,
    mut decoder: Box<dyn Decoder>,
    cx: &CallCx,
) -> Result<ChunkStream, ProviderError> {
    if !is_stream(&answer.content_type) {
        let body = answer.into_body(provider, cx).await?;
        if !looks_like_events(&body) {
            let chunks = whole(provider, &body, decoder.as_mut())?;
            return Ok(Box::pin(stream::iter(chunks.into_iter().map(Ok))));
        }
        let bytes = stream::iter([Ok(body.into())]);
        return Ok(read(provider, sse::events(bytes), decoder, cx));
    }
    Ok(read(provider, sse::events(answer.into_bytes()), decoder, cx))
}

/// Servers that name no type at all stream too.
fn is_stream(content_type: &str) -> bool {
    content_type.is_empty() || content_type.contains("event-stream")
}

/// Some servers stream under another name (`text/plain`, `application/octet-stream`).
fn looks_like_events(body: &[u8]) -> bool {
    let text = body.trim_ascii_start();
    [b"data:".as_slice(), b"event:", b":"].iter().any(|start| text.starts_with(start))
}

fn whole(provider: &str, body: &[u8], decoder: &mut dyn Decoder) -> Result<Vec<Chunk>, ProviderError> {
    let value = serde_json::from_slice(body).map_err(|_| {
        let shown: String = String::from_utf8_lossy(body).trim().chars().take(120).collect();
        let message = format!("the answer is neither JSON nor an event stream: {shown}; is the base URL right?");
        ProviderError::new(ProviderErrorKind::Protocol, provider, message)
    })?;
    let mut chunks = decoder.whole(&value)?;
    chunks.extend(decoder.finish()?);
    Ok(chunks)
}

fn read(provider: &str, events: Events, decoder: Box<dyn Decoder>, cx: &CallCx) -> ChunkStream {
    let provider = provider.to_owned();
    let reading = Reading { provider, events, decoder, cx: cx.clone(), ready: VecDeque::new(), over: false };
    Box::pin(stream::unfold(reading, |mut reading| async move {
        let item = reading.next().await?;
        reading.over |= item.is_err();
        Some((item, reading))
    }))
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Chunk, ProviderError>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            if self.over {
                return None;
            }
            match self.step().await {
                Ok(chunks) => self.ready.extend(chunks),
                Err(e) => return Some(Err(e)),
            }
        }
    }

    /// The chunks of the next event; at the end those that were held back.
    async fn step(&mut self) -> Result<Vec<Chunk>, ProviderError> {
        let progress = self.decoder.progress();
        let limit = match progress {
            Progress::Running => self.cx.idle_timeout,
            Progress::Whole => self.cx.idle_timeout.min(AFTER_WHOLE),
            Progress::Ended => AFTER_END,
        };
        let event = tokio::select! {
            biased;
            () = self.cx.cancel.cancelled() => return Err(http::cancelled(&self.provider)),
            event = timeout(limit, self.events.next()) => event,
        };
        match event {
            Ok(Some(Ok(_))) if progress == Progress::Ended => Ok(Vec::new()),
            Ok(Some(Ok(event))) => match event.data {
                Some(data) => self.decoder.event(event.event.as_deref(), &data),
                None => Ok(Vec::new()),
            },
            // Nothing that comes, or fails to come, after a whole answer makes it worse.
            _ if progress != Progress::Running => self.end(),
            Ok(None) => self.end(),
            Err(_) => Err(http::silent(&self.provider, limit)),
            Ok(Some(Err(Broken::Connection(cause)))) => Err(http::broken(&self.provider, &cause)),
            Ok(Some(Err(Broken::Protocol(cause)))) => {
                let message = format!("sent something that is no event stream: {cause}");
                Err(ProviderError::new(ProviderErrorKind::Protocol, &self.provider, message))
            }
        }
    }

    fn end(&mut self) -> Result<Vec<Chunk>, ProviderError> {
        self.over = true;
        self.decoder.finish()
    }
}
