//! Pieces to a whole: folds the chunks of one answer into a message.

use serde_json::Value;

use crate::id::CallId;
use crate::message::{Block, Message, Role, Thinking, ToolCall};
use crate::provider::{Chunk, StopReason};
use crate::usage::Usage;

/// What stands for the arguments of a call that the length limit cut off before them; no JSON, so it never runs.
const CUT_OFF: &str = "(cut off by the length limit)";

/// A whole answer of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The assistant's message.
    pub message: Message,
    /// Why it ended.
    pub stop: StopReason,
    /// Its tokens.
    pub usage: Usage,
    /// The model that answered, as the provider names it.
    pub model: Option<String>,
    /// The provider's id of the answer.
    pub id: Option<String>,
}

/// Folds chunks into a [`Completion`].
#[derive(Debug)]
pub struct Assembler {
    wire: String,
    parts: Vec<(u32, Part)>,
    stop: Option<StopReason>,
    usage: Usage,
    model: Option<String>,
    id: Option<String>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Thinking(Thinking),
    Call { id: Option<String>, name: String, args: String },
    Opaque(Value),
}

impl Assembler {
    /// An empty answer of the provider whose wire is `wire`.
    #[must_use]
    pub fn new(wire: impl Into<String>) -> Self {
        Self { wire: wire.into(), parts: Vec::new(), stop: None, usage: Usage::default(), model: None, id: None }
    }

    /// Adds the next piece.
    pub fn push(&mut self, chunk: Chunk) {
        match chunk {
            Chunk::Start { id, model } => {
                self.id = id.or(self.id.take());
                self.model = model.or(self.model.take());
            }
            Chunk::Text { index, delta } => self.text(index, &delta),
            Chunk::Thinking { index, delta } => self.thinking(index).text.push_str(&delta),
            Chunk::ThinkingSignature { index, delta, redacted } => {
                let thinking = self.thinking(index);
                thinking.redacted |= redacted;
                thinking.signature.get_or_insert_default().push_str(&delta);
            }
            Chunk::ToolCall { index, id, name } => {
                self.parts.push((index, Part::Call { id, name, args: String::new() }));
            }
            Chunk::ToolArgs { index, delta } => self.args(index, &delta),
            Chunk::Opaque { index, value } => self.parts.push((index, Part::Opaque(value))),
            Chunk::Usage(usage) => self.usage = usage,
            Chunk::Stop(stop) => self.stop = Some(stop),
        }
    }

    /// The tokens that the provider has told of so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// The whole answer; `None` while no [`Chunk::Stop`] has come. `first_call` is the number of the conversation's
    /// next tool call.
    #[must_use]
    pub fn finish(mut self, first_call: u64) -> Option<Completion> {
        let stop = self.stop.take()?;
        self.parts.sort_by_key(|(index, _)| *index);
        if stop == StopReason::MaxTokens
            && let Some((_, Part::Call { args, .. })) = self.parts.last_mut()
            && args.trim().is_empty()
        {
            // Cut off before its arguments came: not a call without any.
            CUT_OFF.clone_into(args);
        }
        let mut next = first_call;
        let content = self.parts.into_iter().filter_map(|(_, part)| block(part, &self.wire, &mut next)).collect();
        Some(Completion {
            message: Message { role: Role::Assistant, content },
            stop,
            usage: self.usage,
            model: self.model,
            id: self.id,
        })
    }

    fn text(&mut self, index: u32, delta: &str) {
        match self.at(index) {
            Some(Part::Text(text)) => text.push_str(delta),
            _ => self.parts.push((index, Part::Text(delta.to_owned()))),
        }
    }

    fn thinking(&mut self, index: u32) -> &mut Thinking {
        if !matches!(self.at(index), Some(Part::Thinking(_))) {
            let thinking = Thinking { wire: self.wire.clone(), ..Thinking::default() };
            self.parts.push((index, Part::Thinking(thinking)));
        }
        match self.parts.iter_mut().rev().find(|(i, _)| *i == index) {
            Some((_, Part::Thinking(thinking))) => thinking,
            _ => unreachable!("the part was made a thinking part above"),
        }
    }

    fn args(&mut self, index: u32, delta: &str) {
        if let Some(Part::Call { args, .. }) = self.at(index) {
            args.push_str(delta);
        }
    }

    fn at(&mut self, index: u32) -> Option<&mut Part> {
        self.parts.iter_mut().rev().find(|(i, _)| *i == index).map(|(_, part)| part)
    }
}

fn block(part: Part, wire: &str, next: &mut u64) -> Option<Block> {
    Some(match part {
        Part::Text(text) if text.is_empty() => return None,
        Part::Text(text) => Block::Text { text },
        Part::Thinking(thinking) if thinking.text.is_empty() && thinking.signature.is_none() => return None,
        Part::Thinking(thinking) => Block::Thinking(thinking),
        Part::Call { id, name, args } => {
            let (arguments, malformed) = arguments(args);
            let call = ToolCall { id: CallId::nth(*next), provider_id: id, name, arguments, malformed };
            *next += 1;
            Block::ToolCall(call)
        }
        Part::Opaque(value) => Block::Opaque { wire: wire.to_owned(), value },
    })
}

/// Reads a call's arguments. No text at all is a call without arguments; anything but an object is kept as text.
fn arguments(text: String) -> (Value, Option<String>) {
    if text.trim().is_empty() {
        return (Value::Object(serde_json::Map::new()), None);
    }
    match serde_json::from_str(&text) {
        Ok(value @ Value::Object(_)) => (value, None),
        _ => (Value::Null, Some(text)),
    }
}
