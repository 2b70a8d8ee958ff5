//! The model's text as it comes, taken apart: thoughts, answer, tool calls, and texts that end it.

use serde_json::Value;
use victor_core::provider::Chunk;

use crate::prompt::{CALL, CALL_END};
use crate::template::spaced;

const THINK: &str = "<think>";
const THINK_END: &str = "</think>";

/// Takes bytes in and gives chunks out.
pub(crate) struct Output {
    bytes: Vec<u8>,
    text: String,
    part: Part,
    index: u32,
    /// Whether the block at `index` has begun.
    begun: bool,
    stops: Vec<String>,
    calls: bool,
    chunks: Vec<Chunk>,
    called: u32,
}

/// What is being said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Nothing yet: thoughts or an answer.
    Start,
    Thought,
    Answer,
    Call,
    /// A call is complete.
    Between,
}

/// What the latest piece brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing that matters to the engine.
    None,
    /// A tool call begins; the piece held this text behind its mark.
    Call { tail: String },
    /// One of the texts that end an answer.
    Stop,
}

impl Output {
    /// An answer in which `stops` end it, and tool calls may stand where `calls` says so.
    pub(crate) fn new(stops: &[String], calls: bool) -> Self {
        Self {
            bytes: Vec::new(),
            text: String::new(),
            part: Part::Start,
            index: 0,
            begun: false,
            stops: stops.iter().filter(|s| !s.is_empty()).cloned().collect(),
            calls,
            chunks: Vec::new(),
            called: 0,
        }
    }

    /// Takes the bytes of a token.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Turn {
        self.bytes.extend_from_slice(bytes);
        let mut text = String::new();
        let mut kept = 0;
        for chunk in self.bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            let bad = chunk.invalid();
            let open = bad.len() < 4 && self.bytes.ends_with(bad) && unfinished(bad);
            match bad {
                [] => {}
                _ if open => kept = bad.len(),
                _ => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        self.bytes.drain(..self.bytes.len() - kept);
        self.text.push_str(&text);
        self.advance()
    }

    /// Says that nothing more comes, and tells what was held back.
    pub(crate) fn finish(&mut self) {
        if !self.bytes.is_empty() {
            self.bytes.clear();
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
        while self.advance() != Turn::None {}
        let rest = std::mem::take(&mut self.text);
        match self.part {
            Part::Start | Part::Answer => self.answer(&rest),
            Part::Thought => self.thought(&rest),
            Part::Call => self.cut_off_call(&rest),
            Part::Between => {}
        }
    }

    /// The chunks since this was last asked.
    pub(crate) fn take(&mut self) -> Vec<Chunk> {
        std::mem::take(&mut self.chunks)
    }

    /// The number of tool calls so far.
    pub(crate) fn called(&self) -> u32 {
        self.called
    }

    /// Whether a call is being said, or may follow the one that was.
    pub(crate) fn calling(&self) -> bool {
        self.part == Part::Call || (self.part == Part::Between && self.called > 0)
    }

    /// Forgets what came behind a call's mark.
    pub(crate) fn drop_tail(&mut self) {
        self.text.clear();
    }

    /// Whether the model is thinking.
    pub(crate) fn thinking(&self) -> bool {
        self.part == Part::Thought
    }

    fn advance(&mut self) -> Turn {
        loop {
            let before = (self.part, self.text.len());
            let turn = match self.part {
                Part::Start => self.start(),
                Part::Thought => self.think(),
                Part::Answer | Part::Between => self.say(),
                Part::Call => self.call(),
            };
            if turn != Turn::None || (self.part, self.text.len()) == before {
                return turn;
            }
        }
    }

    fn start(&mut self) -> Turn {
        let text = self.text.trim_start();
        if let Some(rest) = text.strip_prefix(THINK) {
            (self.text, self.part) = (rest.trim_start().to_owned(), Part::Thought);
        } else if !THINK.starts_with(text) {
            self.part = Part::Answer;
        }
        Turn::None
    }

    fn think(&mut self) -> Turn {
        match self.text.split_once(THINK_END) {
            Some((thought, rest)) => {
                let (thought, rest) = (thought.trim_end().to_owned(), rest.trim_start().to_owned());
                self.thought(&thought);
                (self.text, self.part) = (rest, Part::Answer);
                self.next_block();
            }
            None => {
                let end = self.text.len() - held(&self.text, &[THINK_END]);
                // Spaces before the end mark are no part of the thought.
                let end = self.text[..end].trim_end().len();
                let thought: String = self.text.drain(..end).collect();
                self.thought(&thought);
            }
        }
        Turn::None
    }

    fn say(&mut self) -> Turn {
        let marks: Vec<&str> =
            self.calls.then_some(CALL).into_iter().chain(self.stops.iter().map(String::as_str)).collect();
        let found = marks.iter().filter_map(|m| Some((self.text.find(m)?, *m))).min();
        let Some((at, mark)) = found else {
            let end = self.text.len() - held(&self.text, &marks);
            // Spaces before a tool call are no part of the answer.
            let end = if self.calls { self.text[..end].trim_end().len() } else { end };
            let said: String = self.text.drain(..end).collect();
            self.answer(&said);
            return Turn::None;
        };
        let (is_call, len) = (self.calls && mark == CALL, mark.len());
        let said = self.text[..at].to_owned();
        let tail = self.text[at + len..].to_owned();
        if !is_call {
            self.answer(&said);
            (self.text, self.part) = (String::new(), Part::Between);
            return Turn::Stop;
        }
        self.answer(said.trim_end());
        (self.text, self.part) = (tail.clone(), Part::Call);
        Turn::Call { tail }
    }

    fn call(&mut self) -> Turn {
        if let Some((call, rest)) = self.text.split_once(CALL_END) {
            let (call, rest) = (call.to_owned(), rest.to_owned());
            let value: Value = serde_json::from_str(call.trim()).unwrap_or_default();
            let name = value["name"].as_str().unwrap_or_default().to_owned();
            let args = value.get("arguments").map(spaced).unwrap_or_default();
            self.tell_call(name, args);
            (self.text, self.part) = (rest, Part::Between);
        }
        Turn::None
    }

    /// A call that the length limit cut: what there is of it, so that the reader is told.
    fn cut_off_call(&mut self, text: &str) {
        let Some((_, rest)) = text.split_once("\"name\": \"") else { return };
        let Some((name, rest)) = rest.split_once('"') else { return };
        let args = rest.split_once("\"arguments\": ").map_or("", |(_, args)| args);
        self.tell_call(name.to_owned(), args.to_owned());
    }

    fn tell_call(&mut self, name: String, args: String) {
        self.next_block();
        let id = Some(format!("call_{}", self.called));
        self.called += 1;
        self.chunks.push(Chunk::ToolCall { index: self.index, id, name });
        self.chunks.push(Chunk::ToolArgs { index: self.index, delta: args });
        self.begun = true;
    }

    fn answer(&mut self, text: &str) {
        let text = if self.begun { text } else { text.trim_start() };
        if text.is_empty() || self.part == Part::Between {
            return;
        }
        self.begun = true;
        self.chunks.push(Chunk::Text { index: self.index, delta: text.to_owned() });
    }

    fn thought(&mut self, text: &str) {
        let text = if self.begun { text } else { text.trim_start() };
        if !text.is_empty() {
            self.begun = true;
            self.chunks.push(Chunk::Thinking { index: self.index, delta: text.to_owned() });
        }
    }

    fn next_block(&mut self) {
        if self.begun {
            self.index += 1;
            self.begun = false;
        }
    }
}

/// The bytes at the end of `text` that may be the beginning of one of `marks`.
fn held(text: &str, marks: &[&str]) -> usize {
    let longest = |mark: &&str| (1..mark.len()).rev().find(|n| text.as_bytes().ends_with(&mark.as_bytes()[..*n]));
    marks.iter().filter_map(longest).max().unwrap_or(0)
}

/// Whether bytes are the beginning of a character whose rest may come.
fn unfinished(bytes: &[u8]) -> bool {
    let length = match bytes.first() {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        _ => return false,
    };
    bytes.len() < length
}

#[cfg(test)]
mod tests;
