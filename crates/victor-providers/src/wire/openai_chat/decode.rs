//! The answer of `POST /chat/completions`, streamed or whole, as chunks.

use serde_json::Value;
use victor_core::error::{ProviderError, ProviderErrorKind};
use victor_core::provider::{Chunk, StopReason};
use victor_core::usage::Usage;

use super::tool_calls::Calls;
use crate::wire::{Decoder, Progress, failure, not_json, text_at, truncated};

/// Decodes one answer.
#[derive(Debug)]
pub(crate) struct ChatDecoder {
    provider: String,
    started: bool,
    open: Option<(Spoken, u32)>,
    next: u32,
    calls: Calls,
    refused: bool,
    finish_reason: Option<String>,
    done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Text,
    Thinking,
}

impl ChatDecoder {
    /// A decoder for one answer of the provider of this name.
    pub(crate) fn new(provider: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            started: false,
            open: None,
            next: 0,
            calls: Calls::default(),
            refused: false,
            finish_reason: None,
            done: false,
        }
    }

    fn chunk(&mut self, value: &Value) -> Result<Vec<Chunk>, ProviderError> {
        if value.get("error").is_some_and(|e| !e.is_null()) {
            return Err(failure::from_event(&self.provider, value));
        }
        let mut out = Vec::new();
        if !self.started && value.get("choices").is_some() {
            self.started = true;
            let text = |key| text_at(value, key).map(str::to_owned);
            out.push(Chunk::Start { id: text("id"), model: text("model") });
        }
        let choices = value.get("choices").and_then(Value::as_array);
        // Further choices were not asked for.
        let choice = choices.and_then(|c| c.iter().find(|c| c["index"].as_u64().is_none_or(|i| i == 0)));
        if let Some(choice) = choice {
            self.choice(choice, &mut out)?;
        }
        let usage = [value.get("usage"), value.pointer("/x_groq/usage")];
        if let Some(usage) = usage.into_iter().flatten().find(|u| u.is_object()) {
            out.push(Chunk::Usage(read_usage(usage)));
        }
        Ok(out)
    }

    fn choice(&mut self, choice: &Value, out: &mut Vec<Chunk>) -> Result<(), ProviderError> {
        let said = choice.get("delta").filter(|d| d.is_object()).or_else(|| choice.get("message"));
        if let Some(said) = said {
            self.delta(said, out);
        }
        let Some(reason) = text_at(choice, "finish_reason") else { return Ok(()) };
        if reason == "error" {
            let error = choice.get("error").unwrap_or(choice);
            return Err(failure::from_event(&self.provider, error));
        }
        self.finish_reason = Some(reason.to_owned());
        Ok(())
    }

    fn delta(&mut self, delta: &Value, out: &mut Vec<Chunk>) {
        let thought = ["reasoning_content", "reasoning", "thinking"].iter().find_map(|key| text_at(delta, key));
        if let Some(thought) = thought {
            let index = self.place(Spoken::Thinking);
            out.push(Chunk::Thinking { index, delta: thought.to_owned() });
        }
        self.content(delta.get("content").unwrap_or(&Value::Null), out);
        if let Some(refusal) = text_at(delta, "refusal") {
            self.refused = true;
            self.text(refusal, out);
        }
        for piece in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.open = None;
            self.calls.piece(piece, &mut self.next, out);
        }
        if let Some(function) = delta.get("function_call").filter(|f| f.is_object()) {
            self.open = None;
            self.calls.piece(&serde_json::json!({"index": 0, "function": function}), &mut self.next, out);
        }
    }

    /// Content is a string, or a list of parts on some servers.
    fn content(&mut self, content: &Value, out: &mut Vec<Chunk>) {
        match content {
            Value::String(text) => self.text(text, out),
            Value::Array(parts) => {
                for part in parts {
                    self.part(part, out);
                }
            }
            _ => {}
        }
    }

    fn part(&mut self, part: &Value, out: &mut Vec<Chunk>) {
        if let Some(thoughts) = part.get("thinking") {
            // Mistral's form: a list of text parts inside a part.
            let inner = thoughts.as_array().into_iter().flatten().filter_map(|t| text_at(t, "text"));
            let thought: String = inner.chain(thoughts.as_str()).collect();
            if !thought.is_empty() {
                let index = self.place(Spoken::Thinking);
                out.push(Chunk::Thinking { index, delta: thought });
            }
            return;
        }
        if let Some(text) = text_at(part, "text") {
            self.text(text, out);
        }
    }

    fn text(&mut self, text: &str, out: &mut Vec<Chunk>) {
        if !text.is_empty() {
            let index = self.place(Spoken::Text);
            out.push(Chunk::Text { index, delta: text.to_owned() });
        }
    }

    /// The place of the block that this continues, or of a new one.
    fn place(&mut self, kind: Spoken) -> u32 {
        if let Some((open, index)) = self.open
            && open == kind
        {
            return index;
        }
        let index = self.next;
        self.next += 1;
        self.open = Some((kind, index));
        index
    }

    fn said_something(&self) -> bool {
        self.next > 0 || !self.calls.is_empty()
    }

    fn stop_reason(&self) -> StopReason {
        let done = if self.calls.is_empty() { StopReason::EndTurn } else { StopReason::ToolUse };
        match self.finish_reason.as_deref() {
            _ if self.refused => StopReason::Refusal,
            None | Some("stop" | "tool_calls" | "function_call" | "eos" | "end_turn" | "STOP") => done,
            Some("length" | "max_tokens" | "model_length" | "MAX_TOKENS") => StopReason::MaxTokens,
            Some("content_filter" | "safety" | "SAFETY") => StopReason::Refusal,
            Some(other) => StopReason::Other(other.to_owned()),
        }
    }
}

impl Decoder for ChatDecoder {
    fn event(&mut self, event: Option<&str>, data: &str) -> Result<Vec<Chunk>, ProviderError> {
        let data = data.trim();
        if data == "[DONE]" {
            self.done = true;
            return Ok(Vec::new());
        }
        if data.is_empty() {
            return Ok(Vec::new());
        }
        let value: Value = serde_json::from_str(data).map_err(|_| not_json(&self.provider, data))?;
        if event == Some("error") {
            return Err(failure::from_event(&self.provider, &value));
        }
        self.chunk(&value)
    }

    fn whole(&mut self, body: &Value) -> Result<Vec<Chunk>, ProviderError> {
        let out = self.chunk(body)?;
        if body.get("choices").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            let message = "the answer holds no `choices`; is the base URL that of an OpenAI-compatible API?";
            return Err(ProviderError::new(ProviderErrorKind::Protocol, &self.provider, message));
        }
        self.done = true;
        Ok(out)
    }

    fn progress(&self) -> Progress {
        match (self.done, &self.finish_reason) {
            (true, _) => Progress::Ended,
            (false, Some(_)) => Progress::Whole,
            (false, None) => Progress::Running,
        }
    }

    fn finish(&mut self) -> Result<Vec<Chunk>, ProviderError> {
        let whole = self.finish_reason.is_some() || (self.done && self.said_something());
        if !whole {
            return Err(truncated(&self.provider));
        }
        let mut out = Vec::new();
        self.calls.finish(&mut self.next, &mut out);
        out.push(Chunk::Stop(self.stop_reason()));
        Ok(out)
    }
}

/// `prompt_tokens` counts cached tokens and `completion_tokens` counts thinking, as [`Usage`] wants it.
fn read_usage(usage: &Value) -> Usage {
    let number = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64);
    let reasoning = number("/completion_tokens_details/reasoning_tokens").unwrap_or(0);
    let input = number("/prompt_tokens").unwrap_or(0);
    let completion = number("/completion_tokens").unwrap_or(0);
    // xAI and Gemini count thinking beside the answer: their total is larger than the two parts.
    let beside = number("/total_tokens").is_some_and(|total| reasoning > 0 && total == input + completion + reasoning);
    Usage {
        input,
        output: if beside { completion + reasoning } else { completion },
        cache_read: number("/prompt_tokens_details/cached_tokens")
            .or_else(|| number("/prompt_cache_hit_tokens"))
            .unwrap_or(0),
        cache_write: number("/prompt_tokens_details/cache_write_tokens").unwrap_or(0),
        reasoning,
    }
}
