//! The answer of `POST /v1/messages`, streamed or whole, as chunks.

use std::collections::BTreeMap;

use serde_json::Value;
use victor_core::error::{ProviderError, ProviderErrorKind};
use victor_core::provider::{Chunk, StopReason};
use victor_core::usage::Usage;

use crate::wire::{Decoder, Progress, failure, not_json, text_at, truncated};

/// Decodes one answer.
#[derive(Debug)]
pub(crate) struct MessagesDecoder {
    provider: String,
    open: BTreeMap<u32, Open>,
    counts: Counts,
    has_calls: bool,
    stop_reason: Option<String>,
    done: bool,
}

/// A block between its start and its stop.
#[derive(Debug)]
enum Open {
    Plain,
    /// A tool call, with the arguments that came with its start and are valid if no others come.
    Call(Option<Value>),
    /// A block without a neutral form, and the JSON text that streams into its `input`.
    Opaque(Value, String),
}

/// Token counts as the API reports them: the latest of each kind holds.
#[derive(Debug, Default)]
struct Counts {
    input: u64,
    cache_read: u64,
    cache_write: u64,
    output: u64,
    thinking: u64,
}

impl MessagesDecoder {
    /// A decoder for one answer of the provider of this name.
    pub(crate) fn new(provider: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            open: BTreeMap::new(),
            counts: Counts::default(),
            has_calls: false,
            stop_reason: None,
            done: false,
        }
    }

    fn start(&mut self, message: &Value) -> Vec<Chunk> {
        let text = |key| text_at(message, key).map(str::to_owned);
        let mut out = vec![Chunk::Start { id: text("id"), model: text("model") }];
        out.extend(self.usage(message.get("usage")));
        out
    }

    fn usage(&mut self, usage: Option<&Value>) -> Option<Chunk> {
        let usage = usage.filter(|u| u.is_object())?;
        let mut take = |pointer: &str, field: fn(&mut Counts) -> &mut u64| {
            if let Some(n) = usage.pointer(pointer).and_then(Value::as_u64) {
                *field(&mut self.counts) = n;
            }
        };
        take("/input_tokens", |c| &mut c.input);
        take("/cache_read_input_tokens", |c| &mut c.cache_read);
        take("/cache_creation_input_tokens", |c| &mut c.cache_write);
        take("/output_tokens", |c| &mut c.output);
        take("/output_tokens_details/thinking_tokens", |c| &mut c.thinking);
        let c = &self.counts;
        Some(Chunk::Usage(Usage {
            // `input_tokens` counts only what neither came from the cache nor went into it.
            input: c.input + c.cache_read + c.cache_write,
            output: c.output,
            cache_read: c.cache_read,
            cache_write: c.cache_write,
            reasoning: c.thinking,
        }))
    }

    fn block_start(&mut self, index: u32, block: &Value, out: &mut Vec<Chunk>) {
        let text = |key: &str| text_at(block, key).map(str::to_owned);
        let open = match text_at(block, "type").unwrap_or_default() {
            "text" => {
                out.extend(text("text").map(|delta| Chunk::Text { index, delta }));
                Open::Plain
            }
            "thinking" => {
                out.extend(text("thinking").map(|delta| Chunk::Thinking { index, delta }));
                let signature = text("signature");
                out.extend(signature.map(|delta| Chunk::ThinkingSignature { index, delta, redacted: false }));
                Open::Plain
            }
            "redacted_thinking" => {
                out.extend(text("data").map(|delta| Chunk::ThinkingSignature { index, delta, redacted: true }));
                Open::Plain
            }
            "tool_use" => {
                self.has_calls = true;
                out.push(Chunk::ToolCall { index, id: text("id"), name: text("name").unwrap_or_default() });
                let input = block.get("input").filter(|v| v.as_object().is_some_and(|m| !m.is_empty()));
                Open::Call(input.cloned())
            }
            _ => Open::Opaque(block.clone(), String::new()),
        };
        self.open.insert(index, open);
    }

    fn block_delta(&mut self, index: u32, delta: &Value, out: &mut Vec<Chunk>) {
        let text = |key: &str| text_at(delta, key).map(str::to_owned);
        match text_at(delta, "type").unwrap_or_default() {
            "text_delta" => out.extend(text("text").map(|delta| Chunk::Text { index, delta })),
            "thinking_delta" => out.extend(text("thinking").map(|delta| Chunk::Thinking { index, delta })),
            "signature_delta" => {
                let signature = text("signature");
                out.extend(signature.map(|delta| Chunk::ThinkingSignature { index, delta, redacted: false }));
            }
            "input_json_delta" => {
                let Some(delta) = text("partial_json") else { return };
                match self.open.get_mut(&index) {
                    Some(Open::Opaque(_, input)) => input.push_str(&delta),
                    Some(open @ Open::Call(_)) => {
                        *open = Open::Call(None);
                        out.push(Chunk::ToolArgs { index, delta });
                    }
                    Some(Open::Plain) | None => {}
                }
            }
            // Citations and what else may come: the answer stands without it.
            _ => {}
        }
    }

    fn block_stop(&mut self, index: u32, out: &mut Vec<Chunk>) {
        match self.open.remove(&index) {
            Some(Open::Call(Some(input))) => out.push(Chunk::ToolArgs { index, delta: input.to_string() }),
            Some(Open::Opaque(mut value, input)) => {
                if let Ok(input @ Value::Object(_)) = serde_json::from_str(&input) {
                    value["input"] = input;
                }
                out.push(Chunk::Opaque { index, value });
            }
            Some(Open::Plain | Open::Call(None)) | None => {}
        }
    }

    fn dispatch(&mut self, kind: &str, value: &Value) -> Result<Vec<Chunk>, ProviderError> {
        let index = || value.get("index").and_then(Value::as_u64).and_then(|i| u32::try_from(i).ok());
        let mut out = Vec::new();
        match kind {
            "message_start" => out = self.start(value.get("message").unwrap_or(&Value::Null)),
            "content_block_start" => {
                if let (Some(index), Some(block)) = (index(), value.get("content_block")) {
                    self.block_start(index, block, &mut out);
                }
            }
            "content_block_delta" => {
                if let (Some(index), Some(delta)) = (index(), value.get("delta")) {
                    self.block_delta(index, delta, &mut out);
                }
            }
            "content_block_stop" => {
                if let Some(index) = index() {
                    self.block_stop(index, &mut out);
                }
            }
            "message_delta" => {
                if let Some(reason) = value.get("delta").and_then(|d| text_at(d, "stop_reason")) {
                    self.stop_reason = Some(reason.to_owned());
                }
                out.extend(self.usage(value.get("usage")));
            }
            "message_stop" => self.done = true,
            "error" => return Err(failure::from_event(&self.provider, value)),
            // `ping` and events of later versions.
            _ => {}
        }
        Ok(out)
    }

    fn read_stop(&self) -> StopReason {
        match self.stop_reason.as_deref() {
            None | Some("end_turn") if self.has_calls => StopReason::ToolUse,
            None | Some("end_turn") => StopReason::EndTurn,
            Some("tool_use") => StopReason::ToolUse,
            Some("max_tokens" | "model_context_window_exceeded") => StopReason::MaxTokens,
            Some("stop_sequence") => StopReason::StopSequence,
            Some("refusal") => StopReason::Refusal,
            Some("pause_turn") => StopReason::Pause,
            Some(other) => StopReason::Other(other.to_owned()),
        }
    }
}

impl Decoder for MessagesDecoder {
    fn event(&mut self, event: Option<&str>, data: &str) -> Result<Vec<Chunk>, ProviderError> {
        let data = data.trim();
        if data.is_empty() || data == "[DONE]" {
            return Ok(Vec::new());
        }
        let value: Value = serde_json::from_str(data).map_err(|_| not_json(&self.provider, data))?;
        let kind = text_at(&value, "type").or(event).unwrap_or_default();
        self.dispatch(kind, &value)
    }

    fn whole(&mut self, body: &Value) -> Result<Vec<Chunk>, ProviderError> {
        if body.get("error").is_some_and(|e| !e.is_null()) {
            return Err(failure::from_event(&self.provider, body));
        }
        let Some(blocks) = body.get("content").and_then(Value::as_array) else {
            let message = "the answer holds no `content`; is the base URL that of an Anthropic-compatible API?";
            return Err(ProviderError::new(ProviderErrorKind::Protocol, &self.provider, message));
        };
        let mut out = self.start(body);
        for (index, block) in (0..).zip(blocks) {
            self.block_start(index, block, &mut out);
            self.block_stop(index, &mut out);
        }
        self.stop_reason = text_at(body, "stop_reason").map(str::to_owned);
        self.done = true;
        Ok(out)
    }

    fn progress(&self) -> Progress {
        match (self.done, &self.stop_reason) {
            (true, _) => Progress::Ended,
            (false, Some(_)) => Progress::Whole,
            (false, None) => Progress::Running,
        }
    }

    fn finish(&mut self) -> Result<Vec<Chunk>, ProviderError> {
        if self.stop_reason.is_none() && !self.done {
            return Err(truncated(&self.provider));
        }
        let mut out = Vec::new();
        let open: Vec<u32> = self.open.keys().copied().collect();
        for index in open {
            self.block_stop(index, &mut out);
        }
        out.push(Chunk::Stop(self.read_stop()));
        Ok(out)
    }
}
