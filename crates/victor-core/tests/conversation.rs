//! Whatever is appended, saved, cut off and read back: every call keeps exactly one result.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use victor_core::conversation::Conversation;
use victor_core::id::CallId;
use victor_core::message::{Block, Message, Role, ToolCall, ToolResult};

fn call(n: u64) -> ToolCall {
    ToolCall { id: CallId::nth(n), provider_id: None, name: "t".into(), arguments: json!({}), malformed: None }
}

fn assistant(first: u64, calls: u64) -> Message {
    let calls = (first..first + calls).map(|n| Block::ToolCall(call(n)));
    let content = std::iter::once(Block::text("hm")).chain(calls).collect();
    Message { role: Role::Assistant, content }
}

/// Panics unless every call has exactly one result right behind it and nothing else has any.
fn check(messages: &[Arc<Message>]) {
    let mut open: Vec<CallId> = Vec::new();
    for message in messages {
        match message.role {
            Role::Tool => {
                let mut answered: Vec<_> = message.tool_results().map(|r| r.call.clone()).collect();
                answered.sort();
                open.sort();
                assert_eq!(answered, open, "results do not answer the calls");
                open.clear();
            }
            Role::User | Role::Assistant => {
                assert!(open.is_empty(), "calls without results: {open:?}");
                open.extend(message.tool_calls().map(|c| c.id.clone()));
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    User,
    Assistant(u64),
    Results,
    HalfResults,
    Close,
    Reload { lose: usize },
    Compact(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        Just(Act::User),
        (0..4u64).prop_map(Act::Assistant),
        Just(Act::Results),
        Just(Act::HalfResults),
        Just(Act::Close),
        (0..3usize).prop_map(|lose| Act::Reload { lose }),
        (0..12usize).prop_map(Act::Compact),
    ];
    prop::collection::vec(act, 1..40)
}

fn results(conversation: &Conversation, keep: usize) -> Message {
    let content =
        conversation.open_calls().iter().take(keep).map(|c| Block::ToolResult(ToolResult::error(c, "done"))).collect();
    Message { role: Role::Tool, content }
}

proptest! {
    #[test]
    fn the_order_holds(acts in acts()) {
        let mut conversation = Conversation::default();
        for act in acts {
            match act {
                Act::User => drop(conversation.push(Arc::new(Message::user("go")))),
                Act::Assistant(calls) => {
                    drop(conversation.push(Arc::new(assistant(conversation.next_call(), calls))));
                }
                Act::Results if !conversation.open_calls().is_empty() => {
                    let all = conversation.open_calls().len();
                    prop_assert!(conversation.push(Arc::new(results(&conversation, all))).is_ok());
                }
                Act::HalfResults if conversation.open_calls().len() > 1 => {
                    let before = conversation.messages().len();
                    prop_assert!(conversation.push(Arc::new(results(&conversation, 1))).is_err());
                    prop_assert_eq!(conversation.messages().len(), before, "a refused message was appended");
                }
                Act::Results | Act::HalfResults => {}
                Act::Close => {
                    if let Some(message) = conversation.close_open("stopped") {
                        prop_assert!(conversation.push(Arc::new(message)).is_ok());
                    }
                }
                Act::Reload { lose } => {
                    let kept = conversation.messages().len().saturating_sub(lose);
                    let saved: Vec<_> = conversation.messages()[..kept].to_vec();
                    let text = serde_json::to_string(&saved).unwrap();
                    let read: Vec<Arc<Message>> = serde_json::from_str(&text).unwrap();
                    conversation = Conversation::restore(read);
                }
                Act::Compact(from) if conversation.open_calls().is_empty() => {
                    conversation.compact(Message::user("summary"), from);
                }
                Act::Compact(_) => {}
            }
            check(conversation.messages());
        }
    }

    /// A log that was cut anywhere, with any message missing, gives a history that a provider accepts.
    #[test]
    fn a_damaged_log_is_mended(turns in prop::collection::vec(0..4u64, 1..10), drop_at in 0..30usize) {
        let mut whole = Conversation::default();
        whole.push(Arc::new(Message::user("go"))).unwrap();
        for calls in turns {
            whole.push(Arc::new(assistant(whole.next_call(), calls))).unwrap();
            if let Some(message) = whole.close_open("x") {
                whole.push(Arc::new(message)).unwrap();
            }
        }
        let mut messages = whole.messages().to_vec();
        if drop_at < messages.len() {
            messages.remove(drop_at);
        }
        let mended = Conversation::restore(messages);
        check(mended.messages());
    }
}
