//! What every request to a model must keep to, and what the requests of one conversation must keep between them.

use serde_json::Value;

use crate::server::Recorded;

/// The rules that this request breaks by itself.
pub(crate) fn request(request: &Recorded) -> Vec<String> {
    let mut broken = Vec::new();
    if !request.json.is_object() {
        return vec!["the body is no JSON object".into()];
    }
    if request.json["model"].as_str().is_none_or(str::is_empty) {
        broken.push("no model".into());
    }
    if request.messages().is_empty() {
        broken.push("no messages".into());
    }
    if request.header("authorization").is_some_and(|v| v.strip_prefix("Bearer ").is_none_or(str::is_empty)) {
        broken.push("an authorization header that is no bearer token".into());
    }
    if request.is_anthropic() {
        anthropic(request, &mut broken);
    } else {
        openai(request.messages(), &mut broken);
    }
    broken
}

/// The rules that this request breaks as the next of the conversation that `earlier` holds.
pub(crate) fn against(request: &Recorded, earlier: &[Recorded]) -> Vec<String> {
    let messages = spoken(request);
    let Some(first) = messages.first() else { return Vec::new() };
    let same: Vec<&Recorded> =
        earlier.iter().filter(|e| e.path == request.path && spoken(e).first() == Some(first)).collect();
    if same.is_empty() || messages.len() == 1 {
        return Vec::new();
    }
    let before = same.iter().filter(|e| continues(&messages, &spoken(e))).max_by_key(|e| spoken(e).len());
    let Some(before) = before else {
        return vec!["the earlier messages of the conversation are not the same bytes".into()];
    };
    let mut broken = Vec::new();
    let added = &messages[spoken(before).len()..];
    if added.iter().filter(|m| m.contains(r#""role":"assistant""#)).count() > 1 {
        broken.push("the earlier messages of the conversation are not the same bytes".into());
    }
    if system(before) != system(request) {
        broken.push("the system prompt changed within the conversation".into());
    }
    broken
}

/// Whether `messages` go on where `earlier` ended. A wire whose roles alternate may add blocks to the last message.
fn continues(messages: &[String], earlier: &[String]) -> bool {
    let Some((last, rest)) = earlier.split_last() else { return true };
    let Some(same) = messages.get(rest.len()) else { return false };
    let open = last.strip_suffix("]}").unwrap_or(last);
    messages.starts_with(rest) && (same == last || same.strip_prefix(open).is_some_and(|more| more.starts_with(',')))
}

/// The messages without system prompt and cache markers, each as its bytes.
fn spoken(request: &Recorded) -> Vec<String> {
    let said = request.messages().iter().filter(|m| !matches!(m["role"].as_str(), Some("system" | "developer")));
    said.map(|m| without_markers(m).to_string()).collect()
}

fn system(request: &Recorded) -> String {
    let in_messages = request.messages().iter().filter(|m| matches!(m["role"].as_str(), Some("system" | "developer")));
    let own = without_markers(&request.json["system"]).to_string();
    in_messages.map(Value::to_string).fold(own, |all, m| all + &m)
}

fn without_markers(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(k, _)| *k != "cache_control")
                .map(|(k, v)| (k.clone(), if k == "input" { v.clone() } else { without_markers(v) }))
                .collect(),
        ),
        Value::Array(items) => items.iter().map(without_markers).collect(),
        other => other.clone(),
    }
}

fn openai(messages: &[Value], broken: &mut Vec<String>) {
    let mut open: Vec<&str> = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if role != "tool" && !open.is_empty() {
            broken.push(format!("message {i} ({role}) comes before the results of {}", open.join(", ")));
            open.clear();
        }
        match role {
            "system" | "developer" if i == 0 => {}
            "user" if !is_empty(&message["content"]) => {}
            "assistant" => open = openai_calls(i, message, broken),
            "tool" => match open.iter().position(|id| message["tool_call_id"] == **id) {
                Some(at) => {
                    open.remove(at);
                }
                None => broken
                    .push(format!("message {i}: a result for {} that answers no open call", message["tool_call_id"])),
            },
            _ => broken.push(format!("message {i}: role `{role}` is not legal here, or it says nothing")),
        }
    }
    if !open.is_empty() {
        broken.push(format!("no results for {}", open.join(", ")));
    }
}

fn openai_calls<'a>(i: usize, message: &'a Value, broken: &mut Vec<String>) -> Vec<&'a str> {
    let calls = message["tool_calls"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    if calls.is_empty() && is_empty(&message["content"]) {
        broken.push(format!("message {i}: the assistant says nothing"));
    }
    let mut ids = Vec::new();
    for call in calls {
        let id = call["id"].as_str().unwrap_or_default();
        if id.is_empty() || ids.contains(&id) {
            broken.push(format!("message {i}: a tool call without an id of its own"));
        }
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        if serde_json::from_str::<Value>(arguments).is_err() {
            broken.push(format!("message {i}: arguments that are no JSON: {arguments}"));
        }
        ids.push(id);
    }
    ids
}

fn anthropic(request: &Recorded, broken: &mut Vec<String>) {
    if request.header("anthropic-version").is_none() {
        broken.push("no anthropic-version header".into());
    }
    if request.json["max_tokens"].as_u64().is_none_or(|n| n == 0) {
        broken.push("no max_tokens".into());
    }
    if request.json.to_string().matches(r#""cache_control":"#).count() > 4 {
        broken.push("more than four cache breakpoints".into());
    }
    let mut open: Vec<&str> = Vec::new();
    for (i, message) in request.messages().iter().enumerate() {
        let expected = if i % 2 == 0 { "user" } else { "assistant" };
        if message["role"] != expected {
            broken.push(format!("message {i} has the role {} instead of {expected}", message["role"]));
        }
        if is_empty(&message["content"]) {
            broken.push(format!("message {i} says nothing, or holds an empty text"));
        }
        let blocks = message["content"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        let results: Vec<&str> = of_type(blocks, "tool_result").filter_map(|b| b["tool_use_id"].as_str()).collect();
        if !same_set(&open, &results) {
            broken.push(format!("message {i} answers [{}], asked was [{}]", results.join(", "), open.join(", ")));
        }
        if blocks.iter().take(results.len()).any(|b| b["type"] != "tool_result") {
            broken.push(format!("message {i}: tool results do not stand first"));
        }
        open = of_type(blocks, "tool_use").filter_map(|b| b["id"].as_str()).collect();
    }
    if !open.is_empty() {
        broken.push(format!("no results for {}", open.join(", ")));
    }
}

fn of_type<'a>(blocks: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    blocks.iter().filter(move |b| b["type"] == kind)
}

fn same_set(a: &[&str], b: &[&str]) -> bool {
    let (mut a, mut b) = (a.to_vec(), b.to_vec());
    a.sort_unstable();
    b.sort_unstable();
    a == b
}

fn is_empty(content: &Value) -> bool {
    match content {
        Value::String(text) => text.is_empty(),
        Value::Array(blocks) => blocks.is_empty() || blocks.iter().any(|b| b["type"] == "text" && b["text"] == ""),
        _ => true,
    }
}
