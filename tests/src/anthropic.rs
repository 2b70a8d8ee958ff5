//! Renders a reply as Anthropic Messages, whole or streamed.

use serde_json::{Value, json};

use crate::reply::{Answer, pieces};

/// The body and its content type for an answer to `request`, the server's `number`-th.
pub(crate) fn render(answer: &Answer, request: &Value, number: usize) -> (String, Vec<u8>) {
    if request["stream"] == true {
        return ("text/event-stream".into(), stream(answer, number).into_bytes());
    }
    ("application/json".into(), whole(answer, number).to_string().into_bytes())
}

/// The error body of a refused key.
pub(crate) fn unauthorized() -> String {
    json!({"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}).to_string()
}

fn stop(answer: &Answer) -> &str {
    answer.stop.as_deref().unwrap_or(if answer.calls.is_empty() { "end_turn" } else { "tool_use" })
}

fn blocks(answer: &Answer, number: usize) -> Vec<Value> {
    let thinking = answer.thinking.iter().map(|t| json!({"type": "thinking", "thinking": t, "signature": "c2ln"}));
    let text = answer.text.iter().map(|t| json!({"type": "text", "text": t}));
    let calls = answer.calls.iter().enumerate().map(|(i, (name, args))| {
        json!({"type": "tool_use", "id": format!("toolu_t{number}_{i}"), "name": name, "input": args})
    });
    thinking.chain(text).chain(calls).collect()
}

fn whole(answer: &Answer, number: usize) -> Value {
    let (input, output) = answer.usage.unwrap_or((10, 5));
    json!({"id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": "test-model",
        "content": blocks(answer, number), "stop_reason": stop(answer), "stop_sequence": null,
        "usage": {"input_tokens": input, "output_tokens": output}})
}

fn stream(answer: &Answer, number: usize) -> String {
    let (input, output) = answer.usage.unwrap_or((10, 5));
    let mut out = String::new();
    let mut send = |data: Value| {
        let name = data["type"].as_str().unwrap_or_default();
        out.push_str(&format!("event: {name}\ndata: {data}\n\n"));
    };
    send(json!({"type": "message_start", "message": {"id": format!("msg_{number}"), "type": "message",
        "role": "assistant", "model": "test-model", "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": input, "output_tokens": 1}}}));
    send(json!({"type": "ping"}));
    for (index, block) in blocks(answer, number).into_iter().enumerate() {
        let (start, deltas) = split(&block);
        send(json!({"type": "content_block_start", "index": index, "content_block": start}));
        for delta in deltas {
            send(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        send(json!({"type": "content_block_stop", "index": index}));
    }
    send(json!({"type": "message_delta", "delta": {"stop_reason": stop(answer), "stop_sequence": null},
        "usage": {"output_tokens": output}}));
    send(json!({"type": "message_stop"}));
    out
}

/// A block as it begins, and the deltas that fill it.
fn split(block: &Value) -> (Value, Vec<Value>) {
    let mut start = block.clone();
    let deltas = match block["type"].as_str() {
        Some("thinking") => {
            start["thinking"] = json!("");
            start["signature"] = json!("");
            let text = block["thinking"].as_str().unwrap_or_default();
            let mut deltas: Vec<_> =
                pieces(text).into_iter().map(|p| json!({"type": "thinking_delta", "thinking": p})).collect();
            deltas.push(json!({"type": "signature_delta", "signature": block["signature"]}));
            deltas
        }
        Some("tool_use") => {
            start["input"] = json!({});
            let text = block["input"].to_string();
            pieces(&text).into_iter().map(|p| json!({"type": "input_json_delta", "partial_json": p})).collect()
        }
        _ => {
            start["text"] = json!("");
            let text = block["text"].as_str().unwrap_or_default();
            pieces(text).into_iter().map(|p| json!({"type": "text_delta", "text": p})).collect()
        }
    };
    (start, deltas)
}
