//! Renders a reply as OpenAI Chat Completions, whole or streamed.

use serde_json::{Value, json};

use crate::reply::{Answer, pieces};

/// The body and its content type for an answer to `request`, the server's `number`-th.
pub(crate) fn render(answer: &Answer, request: &Value, number: usize) -> (String, Vec<u8>) {
    if request["stream"] == true {
        let include_usage = request["stream_options"]["include_usage"] == true;
        return ("text/event-stream".into(), stream(answer, number, include_usage).into_bytes());
    }
    ("application/json".into(), whole(answer, number).to_string().into_bytes())
}

/// The error body of a refused key.
pub(crate) fn unauthorized() -> String {
    json!({"error": {"message": "Incorrect API key provided.", "type": "invalid_request_error", "param": null,
        "code": "invalid_api_key"}})
    .to_string()
}

fn stop(answer: &Answer) -> &str {
    answer.stop.as_deref().unwrap_or(if answer.calls.is_empty() { "stop" } else { "tool_calls" })
}

fn usage(answer: &Answer) -> Value {
    let (input, output) = answer.usage.unwrap_or((10, 5));
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

fn call_id(number: usize, i: usize) -> String {
    format!("call_t{number}_{i}")
}

fn whole(answer: &Answer, number: usize) -> Value {
    let mut message = json!({"role": "assistant", "content": answer.text});
    if let Some(thought) = &answer.thinking {
        message["reasoning_content"] = json!(thought);
    }
    if !answer.calls.is_empty() {
        let calls = answer.calls.iter().enumerate().map(|(i, (name, args))| {
            json!({"id": call_id(number, i), "type": "function",
                "function": {"name": name, "arguments": args.to_string()}})
        });
        message["tool_calls"] = calls.collect();
    }
    json!({"id": format!("chatcmpl-{number}"), "object": "chat.completion", "created": 1_700_000_000,
        "model": "test-model", "usage": usage(answer),
        "choices": [{"index": 0, "message": message, "finish_reason": stop(answer)}]})
}

fn stream(answer: &Answer, number: usize, include_usage: bool) -> String {
    let mut out = String::new();
    let mut send = |choices: Value, usage: Value| {
        let event = json!({"id": format!("chatcmpl-{number}"), "object": "chat.completion.chunk",
            "created": 1_700_000_000, "model": "test-model", "choices": choices, "usage": usage});
        out.push_str(&format!("data: {event}\n\n"));
    };
    let delta = |delta: Value| json!([{"index": 0, "delta": delta, "finish_reason": null}]);
    send(delta(json!({"role": "assistant", "content": ""})), Value::Null);
    for piece in answer.thinking.iter().flat_map(|t| pieces(t)) {
        send(delta(json!({"reasoning_content": piece})), Value::Null);
    }
    for piece in answer.text.iter().flat_map(|t| pieces(t)) {
        send(delta(json!({"content": piece})), Value::Null);
    }
    for (i, (name, args)) in answer.calls.iter().enumerate() {
        let first = json!({"index": i, "id": call_id(number, i), "type": "function",
            "function": {"name": name, "arguments": ""}});
        send(delta(json!({"tool_calls": [first]})), Value::Null);
        for piece in pieces(&args.to_string()) {
            let more = json!({"index": i, "function": {"arguments": piece}});
            send(delta(json!({"tool_calls": [more]})), Value::Null);
        }
    }
    send(json!([{"index": 0, "delta": {}, "finish_reason": stop(answer)}]), Value::Null);
    if include_usage {
        send(json!([]), usage(answer));
    }
    out.push_str("data: [DONE]\n\n");
    out
}
