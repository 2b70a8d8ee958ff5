//! Requests and answers that the tests of both wires share.

use std::sync::Arc;

use serde_json::{Value, json};
use victor_core::assemble::{Assembler, Completion};
use victor_core::error::ProviderError;
use victor_core::id::CallId;
use victor_core::message::{Block, Media, MediaSource, Message, Role, Thinking, ToolCall, ToolResult};
use victor_core::request::{Params, Request, ToolChoice};
use victor_core::tool::{Effects, ToolSpec};

use super::{Decoder, Dialect};
use crate::settings::Wire;

/// A request with these messages and one tool.
pub(crate) fn request(messages: Vec<Message>) -> Request {
    let schema =
        json!({"$schema": "x", "type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]});
    let tool = ToolSpec::new("read", "Reads a file.", "files", schema, Effects::READ);
    Request {
        model: "m".into(),
        system: "Be brief.".into(),
        messages: Arc::new(messages.into_iter().map(Arc::new).collect()),
        tools: Arc::from([Arc::new(tool)]),
        tool_choice: ToolChoice::Auto,
        params: Params::default(),
        output_schema: None,
    }
}

/// A conversation with thinking, parallel calls (one malformed), results (one failed, one with an image) and an answer.
pub(crate) fn conversation(wire: &str) -> Vec<Message> {
    let call = |n: u64, id: &str, arguments: Value, malformed: Option<&str>| ToolCall {
        id: CallId::nth(n),
        provider_id: Some(id.to_owned()),
        name: "read".into(),
        arguments,
        malformed: malformed.map(str::to_owned),
    };
    let calls = [call(0, "a.1", json!({"path": "x"}), None), call(1, "b_2", Value::Null, Some("{oops"))];
    let image = Media {
        media_type: "image/png".into(),
        source: MediaSource::Base64("iVBORw==".into()),
        name: Some("shot.png".into()),
    };
    let mut fine = ToolResult::error(&calls[0], "content of x");
    fine.is_error = false;
    fine.content.push(Block::Media(image));
    let failed = ToolResult::error(&calls[1], "no such file");
    let thought = Thinking { text: "hm".into(), signature: Some("sig".into()), redacted: false, wire: wire.into() };
    let foreign =
        Thinking { text: "theirs".into(), signature: Some("s".into()), redacted: false, wire: "other".into() };
    let [first, second] = calls;
    vec![
        Message::user("look"),
        Message {
            role: Role::Assistant,
            content: vec![
                Block::Thinking(thought),
                Block::Thinking(foreign),
                Block::text(""),
                Block::ToolCall(first),
                Block::ToolCall(second),
            ],
        },
        Message { role: Role::Tool, content: vec![Block::ToolResult(fine), Block::ToolResult(failed)] },
        Message::assistant("done"),
        Message::user("thanks"),
    ]
}

/// The body for this request.
pub(crate) fn body(wire: Wire, request: &Request, dialect: &Dialect) -> Value {
    wire.body(request, dialect)
}

/// What a decoder makes of these events.
pub(crate) fn decode(wire: Wire, events: &[&str]) -> Result<Completion, ProviderError> {
    let mut decoder = wire.decoder("p");
    let mut assembler = Assembler::new(wire.name());
    for data in events {
        for chunk in decoder.event(None, data)? {
            assembler.push(chunk);
        }
    }
    finish(decoder, assembler)
}

/// What a decoder makes of a whole answer.
pub(crate) fn decode_whole(wire: Wire, body: &Value) -> Result<Completion, ProviderError> {
    let mut decoder = wire.decoder("p");
    let mut assembler = Assembler::new(wire.name());
    for chunk in decoder.whole(body)? {
        assembler.push(chunk);
    }
    finish(decoder, assembler)
}

fn finish(mut decoder: Box<dyn Decoder>, mut assembler: Assembler) -> Result<Completion, ProviderError> {
    for chunk in decoder.finish()? {
        assembler.push(chunk);
    }
    Ok(assembler.finish(0).unwrap())
}

/// Each call as provider's id, name and arguments.
pub(crate) fn calls(completion: &Completion) -> Vec<(Option<&str>, &str, String)> {
    let calls = completion.message.tool_calls();
    calls.map(|c| (c.provider_id.as_deref(), c.name.as_str(), c.arguments.to_string())).collect()
}

/// The messages with cache markers taken out.
pub(crate) fn without_markers(mut body: Value) -> Vec<String> {
    let messages = body["messages"].as_array_mut().unwrap();
    for block in messages.iter_mut().filter_map(|m| m["content"].as_array_mut()).flatten() {
        block.as_object_mut().unwrap().shift_remove("cache_control");
    }
    messages.iter().map(Value::to_string).collect()
}

/// Any prefix of the conversation gives a prefix of the messages, and the same request the same bytes.
pub(crate) fn check_prefix(wire: Wire) {
    let all = conversation(wire.name());
    let longest = without_markers(wire.body(&request(all.clone()), &Dialect::default()));
    for n in 1..=all.len() {
        let request = request(all[..n].to_vec());
        let body = wire.body(&request, &Dialect::default());
        assert_eq!(body.to_string(), wire.body(&request, &Dialect::default()).to_string());
        let messages = without_markers(body);
        assert_eq!(messages[..], longest[..messages.len()], "{n} messages");
    }
}
