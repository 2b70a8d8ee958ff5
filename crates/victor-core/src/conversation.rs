//! The history of a conversation and the only way to append to it: every tool call has exactly one result before
//! anything else is said.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::message::{Block, Message, Role, ToolCall, ToolResult};

/// Messages in order, shared: a request holds the same list, and appending copies nothing once the request is gone.
pub type History = Arc<Vec<Arc<Message>>>;

/// What a result says that stands in for one that never came.
pub const INTERRUPTED: &str = "interrupted: the call was cut short and may have been carried out in part or not at all";

/// A message that must not be appended here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// Results are missing for these calls.
    #[error("tool calls without a result: {0}")]
    OpenCalls(String),
    /// A result answers no open call, or one twice.
    #[error("a result for `{0}` that answers no open call")]
    StrayResult(String),
    /// Two calls have the same id.
    #[error("two tool calls have the id `{0}`")]
    DuplicateCall(String),
    /// A block stands in a message of a role that cannot hold it.
    #[error("a {0:?} message with a block that does not belong there")]
    WrongRole(Role),
}

/// A conversation that keeps its own rules.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Conversation {
    messages: History,
    open: Vec<ToolCall>,
    calls: u64,
}

impl Conversation {
    /// Takes saved messages as they are and mends what a crash left open: missing results are filled in with
    /// [`INTERRUPTED`], stray and second ones are dropped.
    #[must_use]
    pub fn restore(messages: impl IntoIterator<Item = Arc<Message>>) -> Self {
        let mut conversation = Self::default();
        for message in messages {
            conversation.restore_push(message);
        }
        conversation
    }

    /// All messages, shared.
    #[must_use]
    pub fn history(&self) -> History {
        Arc::clone(&self.messages)
    }

    /// All messages.
    #[must_use]
    pub fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    /// The calls that wait for a result, in order.
    #[must_use]
    pub fn open_calls(&self) -> &[ToolCall] {
        &self.open
    }

    /// The number of the next tool call.
    #[must_use]
    pub fn next_call(&self) -> u64 {
        self.calls
    }

    /// Appends any message by the rules of its role.
    ///
    /// # Errors
    /// The message would break the order; nothing was appended.
    pub fn push(&mut self, message: Arc<Message>) -> Result<(), OrderError> {
        match message.role {
            Role::User | Role::Assistant => self.push_turn(message),
            Role::Tool => self.push_results(message),
        }
    }

    /// Replaces all messages before `keep_from` by one message, and keeps the rest. `keep_from` is moved on to the
    /// next place where a conversation can begin if it points between a call and its result.
    pub fn compact(&mut self, summary: Message, keep_from: usize) {
        let keep_from = self.cut_at(keep_from);
        let mut messages = Vec::with_capacity(self.messages.len() - keep_from + 1);
        messages.push(Arc::new(summary));
        messages.extend(self.messages[keep_from..].iter().cloned());
        self.messages = Arc::new(messages);
    }

    /// The first place at or after `at` where the rest needs nothing before it: no result stands there.
    #[must_use]
    pub fn cut_at(&self, at: usize) -> usize {
        let at = at.min(self.messages.len());
        let skip = self.messages[at..].iter().take_while(|m| m.role == Role::Tool).count();
        at + skip
    }

    /// One result with `text` for every call that waits for one, as a message; `None` if no call does.
    #[must_use]
    pub fn close_open(&self, text: &str) -> Option<Message> {
        let results = self.open.iter().map(|c| Block::ToolResult(ToolResult::error(c, text)));
        (!self.open.is_empty()).then(|| Message { role: Role::Tool, content: results.collect() })
    }

    fn push_turn(&mut self, message: Arc<Message>) -> Result<(), OrderError> {
        if !self.open.is_empty() {
            let ids: Vec<_> = self.open.iter().map(|c| c.id.as_str()).collect();
            return Err(OrderError::OpenCalls(ids.join(", ")));
        }
        let misplaced = match message.role {
            Role::Assistant => message.tool_results().next().is_some(),
            Role::User | Role::Tool => message.tool_results().next().is_some() || message.tool_calls().next().is_some(),
        };
        if misplaced {
            return Err(OrderError::WrongRole(message.role));
        }
        let calls: Vec<_> = message.tool_calls().cloned().collect();
        for (i, call) in calls.iter().enumerate() {
            if calls[..i].iter().any(|c| c.id == call.id) {
                return Err(OrderError::DuplicateCall(call.id.to_string()));
            }
        }
        self.calls += calls.len() as u64;
        self.open = calls;
        Arc::make_mut(&mut self.messages).push(message);
        Ok(())
    }

    fn push_results(&mut self, message: Arc<Message>) -> Result<(), OrderError> {
        if message.content.iter().any(|b| !matches!(b, Block::ToolResult(_))) {
            return Err(OrderError::WrongRole(Role::Tool));
        }
        let mut open = self.open.clone();
        for result in message.tool_results() {
            let Some(at) = open.iter().position(|c| c.id == result.call) else {
                return Err(OrderError::StrayResult(result.call.to_string()));
            };
            open.remove(at);
        }
        if !open.is_empty() {
            let ids: Vec<_> = open.iter().map(|c| c.id.as_str()).collect();
            return Err(OrderError::OpenCalls(ids.join(", ")));
        }
        self.open = open;
        Arc::make_mut(&mut self.messages).push(message);
        Ok(())
    }

    /// Appends a saved message and mends what would break the order.
    pub(crate) fn restore_push(&mut self, message: Arc<Message>) {
        if message.role == Role::Tool {
            if let Some(mended) = self.mend_results(&message) {
                let _ = self.push(mended);
            }
            return;
        }
        if let Some(closing) = self.close_open(INTERRUPTED) {
            let _ = self.push(Arc::new(closing));
        }
        let _ = self.push(message);
    }

    /// The message with one result for every open call: its own, or [`INTERRUPTED`]. `None` if no call is open.
    fn mend_results(&self, message: &Arc<Message>) -> Option<Arc<Message>> {
        if self.open.is_empty() {
            return None;
        }
        let content = self.open.iter().map(|call| {
            let own = message.tool_results().find(|r| r.call == call.id).cloned();
            Block::ToolResult(own.unwrap_or_else(|| ToolResult::error(call, INTERRUPTED)))
        });
        Some(Arc::new(Message { role: Role::Tool, content: content.collect() }))
    }
}
