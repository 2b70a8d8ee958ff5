//! Compaction: what makes a conversation shorter when it outgrows the model's window.

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;

use crate::assemble::Assembler;
use crate::conversation::Conversation;
use crate::error::{ProviderError, ProviderErrorKind};
use crate::estimate::message_tokens;
use crate::message::{Block, Message, Role, text_of};
use crate::provider::Model;
use crate::request::{CallCx, Params, Request, ToolChoice};
use crate::usage::Usage;

/// What a compactor gets.
#[derive(Debug)]
pub struct CompactRequest<'a> {
    /// The conversation as it is; no call waits for a result in it.
    pub conversation: &'a Conversation,
    /// The model that it has outgrown, or is about to.
    pub model: &'a Model,
    /// Cancellation and time-outs of calls.
    pub cx: CallCx,
}

/// What a compactor answers: all messages before `keep_from` are replaced by `summary`.
#[derive(Clone, Debug, PartialEq)]
pub struct Compaction {
    /// The message that stands in their place, a user message.
    pub summary: Message,
    /// The first message that is kept.
    pub keep_from: usize,
    /// What making it used.
    pub usage: Usage,
}

/// Makes conversations shorter.
#[async_trait]
pub trait Compactor: Send + Sync + 'static {
    /// Makes this one shorter.
    async fn compact(&self, request: CompactRequest<'_>) -> Compaction;
}

/// Keeps the latest messages and has the model itself summarise the rest; where it cannot, what was asked and done is
/// listed instead, so that there always is progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct SummaryCompactor;

/// The part of the window that the kept messages may fill: a fifth.
const KEEP: u64 = 5;
/// What a window is taken for when nobody knows it.
const WINDOW: u64 = 32_000;
/// Bytes of one message in the text to be summarised; what the user said has four times as much.
const EXCERPT: usize = 2_000;
/// How the message begins that stands in the place of those that were dropped. What follows this block in it is the
/// user's latest request, word for word, unless it was kept itself.
const HEAD: &str = "<summary of the conversation so far>";

const INSTRUCTION: &str = "Summarise the conversation above for the assistant that will go on with it and sees only \
your summary. Keep: what the user asked for, word for word where it matters; decisions and their reasons; files that \
were read or changed, with their paths; commands and their results; errors; what is still to be done. Leave out \
greetings and anything that later turned out wrong. Write plain text under 800 words.";

#[async_trait]
impl Compactor for SummaryCompactor {
    async fn compact(&self, request: CompactRequest<'_>) -> Compaction {
        let window = request.model.info.context_window.map_or(WINDOW, u64::from);
        let keep_from = keep_from(request.conversation, window / KEEP);
        let old = &request.conversation.messages()[..keep_from];
        let text = transcript(old, usize::try_from(window * 2).unwrap_or(usize::MAX));
        let (summary, usage) = match summarise(&request, text.clone()).await {
            Ok((summary, usage)) if !summary.trim().is_empty() => (summary, usage),
            Ok((_, usage)) => (listing(old), usage),
            Err(_) => (listing(old), Usage::default()),
        };
        let mut content = vec![Block::text(format!("{HEAD}\n{}\n</summary>\n\n", summary.trim()))];
        if request.conversation.messages()[keep_from..].iter().all(|m| m.role != Role::User) {
            content.extend(latest_request(old, window / KEEP));
        }
        Compaction { summary: Message { role: Role::User, content }, keep_from, usage }
    }
}

/// What the user asked for last, if it is no longer than `budget` tokens; an earlier compaction may have kept it.
fn latest_request(messages: &[Arc<Message>], budget: u64) -> Vec<Block> {
    let Some(message) = messages.iter().rev().find(|m| m.role == Role::User) else { return Vec::new() };
    let summary = matches!(message.content.first(), Some(Block::Text { text }) if text.starts_with(HEAD));
    let request = Message { role: Role::User, content: message.content[usize::from(summary)..].to_vec() };
    if message_tokens(&request) <= budget { request.content } else { Vec::new() }
}

/// The first of the latest messages that together have at most `budget` tokens and can stand without those before.
fn keep_from(conversation: &Conversation, budget: u64) -> usize {
    let messages = conversation.messages();
    let mut left = budget;
    let mut from = messages.len();
    for (i, message) in messages.iter().enumerate().rev() {
        let Some(rest) = left.checked_sub(message_tokens(message)) else { break };
        left = rest;
        from = i;
    }
    conversation.cut_at(from.max(1))
}

async fn summarise(request: &CompactRequest<'_>, text: String) -> Result<(String, Usage), ProviderError> {
    let ask = Request {
        model: Arc::from(request.model.info.id.as_str()),
        system: Arc::from("You summarise conversations between a user and an assistant that works with tools."),
        messages: Arc::new(vec![Arc::new(Message::user(format!("{text}\n\n{INSTRUCTION}")))]),
        tools: Arc::from([]),
        tool_choice: ToolChoice::None,
        params: Params { max_tokens: Some(2_000), ..Params::default() },
        output_schema: None,
    };
    let provider = &request.model.provider;
    let mut chunks = provider.stream(&ask, &request.cx).await?;
    let mut assembler = Assembler::new(provider.wire());
    while let Some(chunk) = chunks.next().await {
        assembler.push(chunk?);
    }
    let cut = || ProviderError::new(ProviderErrorKind::Truncated, provider.name(), "the summary was cut short");
    let done = assembler.finish(0).ok_or_else(cut)?;
    Ok((done.message.text(), done.usage))
}

/// The messages as text, each cut to an excerpt, the whole to `limit` bytes with the beginning and the end kept.
fn transcript(messages: &[Arc<Message>], limit: usize) -> String {
    let mut text = String::new();
    for message in messages {
        let (who, limit) = match message.role {
            Role::User => ("User", 4 * EXCERPT),
            Role::Assistant => ("Assistant", EXCERPT),
            Role::Tool => ("Tool", EXCERPT),
        };
        for block in &message.content {
            let said = match block {
                Block::Text { text } => text.clone(),
                Block::ToolCall(call) => format!("[calls {} {}]", call.name, call.arguments),
                Block::ToolResult(result) => text_of(&result.content),
                Block::Media(media) => format!("[{}]", media.media_type),
                Block::Thinking(_) | Block::Opaque { .. } => continue,
            };
            let _ = writeln!(text, "{who}: {}", middle_cut(&said, limit));
        }
    }
    middle_cut(&text, limit)
}

/// What was asked and which tools ran, without a model.
fn listing(messages: &[Arc<Message>]) -> String {
    let mut text = String::from("The earlier conversation was too long and was dropped. What was asked:\n");
    for message in messages.iter().filter(|m| m.role == Role::User) {
        let _ = writeln!(text, "- {}", middle_cut(&message.text(), 4_000));
    }
    text.push_str("Tools that were called:\n");
    let calls: Vec<_> = messages.iter().flat_map(|m| m.tool_calls()).collect();
    for call in calls.iter().rev().take(30).rev() {
        let _ = writeln!(text, "- {} {}", call.name, middle_cut(&call.arguments.to_string(), 200));
    }
    middle_cut(&text, 16_000)
}

/// `text` with its middle left out if it has more than `limit` bytes.
pub(crate) fn middle_cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(limit / 2);
    let tail = text.ceil_char_boundary(text.len() - limit / 2);
    format!("{}\n[... {} bytes left out ...]\n{}", &text[..head], tail - head, &text[tail..])
}
