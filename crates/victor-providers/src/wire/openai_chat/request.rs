//! A request as the body of `POST /chat/completions`. Messages are mapped one by one, so a longer history has the
//! shorter one's messages as its first bytes.

use serde_json::{Map, Value, json};
use victor_core::message::{Block, Media, MediaSource, Message, Role, ToolCall, ToolResult};
use victor_core::request::{OutputSchema, Request, ThinkingEffort, ToolChoice};

use super::{CALL_EXTRA, NAME};
use crate::settings::LengthField;
use crate::wire::media::{self, Kind};
use crate::wire::{Dialect, OutputStyle, ThinkingStyle, arguments, schema};

/// The request's body without its tools.
pub(crate) fn without_tools(request: &Request, dialect: &Dialect) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(*request.model));
    body.insert("messages".into(), messages(request, dialect));
    if let Some(choice) = tool_choice(&request.tool_choice).filter(|_| !request.tools.is_empty()) {
        body.insert("tool_choice".into(), choice);
    }
    if let Some(format) = request.output_schema.as_deref().map(|o| response_format(o, dialect)) {
        body.insert("response_format".into(), format);
    }
    params(request, dialect, &mut body);
    body.insert("stream".into(), json!(true));
    if !dialect.usage_unasked {
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    Value::Object(body)
}

/// The body's `tools`.
pub(crate) fn tools(request: &Request, dialect: &Dialect) -> Value {
    request.tools.iter().map(|t| tool(t, dialect)).collect()
}

fn params(request: &Request, dialect: &Dialect, body: &mut Map<String, Value>) {
    let params = &request.params;
    if let Some(n) = params.max_tokens {
        let field = match dialect.length_field {
            LengthField::MaxTokens => "max_tokens",
            LengthField::MaxCompletionTokens => "max_completion_tokens",
        };
        body.insert(field.into(), json!(n));
    }
    if !dialect.fixed_sampling {
        for (key, value) in [("temperature", params.temperature), ("top_p", params.top_p)] {
            if let Some(value) = value {
                body.insert(key.into(), json!(value));
            }
        }
    }
    if !params.stop.is_empty() {
        body.insert("stop".into(), json!(params.stop));
    }
    if let Some(effort) = params.thinking.and_then(|t| reasoning_effort(t, dialect.thinking)) {
        body.insert("reasoning_effort".into(), json!(effort));
    }
}

fn reasoning_effort(effort: ThinkingEffort, style: ThinkingStyle) -> Option<&'static str> {
    match (style, effort) {
        (ThinkingStyle::Never, _) | (ThinkingStyle::Unknown, ThinkingEffort::Off) => None,
        (ThinkingStyle::EffortNone, ThinkingEffort::Off) => Some("none"),
        (ThinkingStyle::EffortMinimal, ThinkingEffort::Off) => Some("minimal"),
        (_, ThinkingEffort::Off | ThinkingEffort::Low) => Some("low"),
        (_, ThinkingEffort::Medium) => Some("medium"),
        (_, ThinkingEffort::High) => Some("high"),
    }
}

fn tool(spec: &victor_core::tool::ToolSpec, dialect: &Dialect) -> Value {
    json!({"type": "function", "function": {
        "name": spec.name,
        "description": spec.description,
        "parameters": schema::parameters(&spec.parameters, dialect.schema),
    }})
}

fn tool_choice(choice: &ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!("none")),
        ToolChoice::Required => Some(json!("required")),
        ToolChoice::Tool(name) => Some(json!({"type": "function", "function": {"name": name}})),
    }
}

fn response_format(output: &OutputSchema, dialect: &Dialect) -> Value {
    match dialect.output {
        OutputStyle::JsonObject => json!({"type": "json_object"}),
        OutputStyle::JsonSchema => {
            // Strict mode wants every property required; where the schema has optional ones it guides only.
            let (closed, strict) = schema::closed(&output.schema);
            let schema = if strict { closed } else { output.schema.clone() };
            json!({"type": "json_schema", "json_schema": {"name": output.name, "schema": schema, "strict": strict}})
        }
    }
}

fn messages(request: &Request, dialect: &Dialect) -> Value {
    let mut out = Vec::with_capacity(request.messages.len() + 1);
    let mut system = request.system.to_string();
    if let (OutputStyle::JsonObject, Some(output)) = (dialect.output, request.output_schema.as_deref()) {
        system.push_str(&format!("\n\nAnswer with one JSON object that fits this JSON Schema:\n{}", output.schema));
    }
    if !system.is_empty() {
        out.push(json!({"role": "system", "content": system.trim_start()}));
    }
    for message in request.messages.iter() {
        match message.role {
            Role::User => out.extend(user(&message.content)),
            Role::Assistant => out.extend(assistant(message, dialect)),
            Role::Tool => tool_results(message, dialect, &mut out),
        }
    }
    Value::Array(out)
}

/// A user message: one string where there is only text, parts otherwise.
fn user(content: &[Block]) -> Option<Value> {
    let parts: Vec<Value> = content.iter().filter_map(part).collect();
    let content = match parts.as_slice() {
        [] => return None,
        [only] if only["type"] == "text" => only["text"].clone(),
        _ => Value::Array(parts),
    };
    Some(json!({"role": "user", "content": content}))
}

fn part(block: &Block) -> Option<Value> {
    match block {
        Block::Text { text } if text.is_empty() => None,
        Block::Text { text } => Some(json!({"type": "text", "text": text})),
        Block::Media(media) => Some(media_part(media)),
        _ => None,
    }
}

fn media_part(media: &Media) -> Value {
    let text = |text: String| json!({"type": "text", "text": text});
    match media::kind(media) {
        Kind::Image(source) => json!({"type": "image_url", "image_url": {"url": url(&media.media_type, source)}}),
        Kind::Audio(data) => match media.media_type.as_str() {
            "audio/wav" | "audio/x-wav" => {
                json!({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})
            }
            "audio/mpeg" | "audio/mp3" => {
                json!({"type": "input_audio", "input_audio": {"data": data, "format": "mp3"}})
            }
            _ => text(media::left_out(media)),
        },
        Kind::Pdf(MediaSource::Url(url)) => text(format!("[file {}: {url}]", media::name(media))),
        Kind::Pdf(source) => {
            let name = media.name.as_deref().unwrap_or("document.pdf");
            json!({"type": "file", "file": {"filename": name, "file_data": url(&media.media_type, source)}})
        }
        Kind::Text(shown) => text(shown),
    }
}

fn url(media_type: &str, source: &MediaSource) -> String {
    match source {
        MediaSource::Base64(data) => format!("data:{media_type};base64,{data}"),
        MediaSource::Url(url) => url.clone(),
    }
}

/// An assistant message; `None` where nothing of it can be said on this wire.
fn assistant(message: &Message, dialect: &Dialect) -> Option<Value> {
    let text = message.text();
    let calls: Vec<Value> = message.tool_calls().map(|c| tool_call(c, message, dialect)).collect();
    if text.is_empty() && calls.is_empty() {
        return None;
    }
    let mut out = Map::new();
    out.insert("role".into(), json!("assistant"));
    out.insert("content".into(), if text.is_empty() { Value::Null } else { json!(text) });
    if dialect.replay_reasoning {
        let thoughts: String = message.content.iter().filter_map(own_thought).collect();
        if !thoughts.is_empty() {
            out.insert("reasoning_content".into(), json!(thoughts));
        }
    }
    if !calls.is_empty() {
        out.insert("tool_calls".into(), Value::Array(calls));
    }
    Some(Value::Object(out))
}

fn own_thought(block: &Block) -> Option<&str> {
    match block {
        Block::Thinking(thinking) if thinking.wire == NAME => Some(&thinking.text),
        _ => None,
    }
}

fn tool_call(call: &ToolCall, message: &Message, dialect: &Dialect) -> Value {
    let mut out = json!({
        "id": call_id(call.wire_id(), dialect),
        "type": "function",
        "function": {"name": call.name, "arguments": arguments(call).to_string()},
    });
    let extra = message.content.iter().find_map(|b| match b {
        Block::Opaque { wire, value }
            if wire == NAME && value["type"] == CALL_EXTRA && value["id"] == *call.wire_id() =>
        {
            Some(&value["extra_content"])
        }
        _ => None,
    });
    if let Some(extra) = extra {
        out["extra_content"] = extra.clone();
    }
    out
}

/// The call's id, or nine letters and digits made from it where the server takes nothing else.
fn call_id(id: &str, dialect: &Dialect) -> String {
    let fits = id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if fits || !dialect.short_call_ids {
        return id.to_owned();
    }
    // FNV-1a, so that the same id always gives the same nine characters.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{:09x}", hash & 0xf_ffff_ffff)
}

/// One message for each result. These take text only, so media follow in a user message after the last of them.
fn tool_results(message: &Message, dialect: &Dialect, out: &mut Vec<Value>) {
    let mut media = Vec::new();
    for result in message.tool_results() {
        let shown: Vec<&Media> = result.content.iter().filter_map(as_media).collect();
        let content = result_text(result, shown.len());
        out.push(json!({"role": "tool", "tool_call_id": call_id(result.wire_id(), dialect), "content": content}));
        if !shown.is_empty() {
            media.push(json!({"type": "text", "text": format!("Attached by the tool {}:", result.name)}));
            media.extend(shown.into_iter().map(media_part));
        }
    }
    if !media.is_empty() {
        out.push(json!({"role": "user", "content": media}));
    }
}

fn as_media(block: &Block) -> Option<&Media> {
    match block {
        Block::Media(media) => Some(media),
        _ => None,
    }
}

fn result_text(result: &ToolResult, attached: usize) -> String {
    let text = victor_core::message::text_of(&result.content);
    let text = match (text.is_empty(), attached) {
        (false, _) => text,
        (true, 0) => "(no output)".to_owned(),
        (true, n) => format!("({n} attachments follow)"),
    };
    // This wire has no field that marks a failure.
    let marked = text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("error"));
    if result.is_error && !marked { format!("error: {text}") } else { text }
}
