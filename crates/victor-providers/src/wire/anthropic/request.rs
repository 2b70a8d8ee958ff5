//! A request as the body of `POST /v1/messages`.
//!
//! Cache breakpoints stand on the system prompt, the last tool and the last two user messages: four, as many as the
//! API allows. They move with the conversation; apart from them a longer history has the shorter one's messages as
//! its first bytes (what is said in the same role as the last message is added to that one: roles must alternate).

use serde_json::{Map, Value, json};
use victor_core::message::{Block, Media, MediaSource, Message, Role, Thinking, ToolCall, ToolResult};
use victor_core::request::{Request, ThinkingEffort, ToolChoice};

use super::NAME;
use crate::wire::media::{self, Kind};
use crate::wire::{Dialect, ThinkingStyle, arguments, schema};

/// Tokens of an answer where neither the request nor the catalogue says.
const DEFAULT_MAX_TOKENS: u32 = 8192;
/// Tokens of an answer at most where only the catalogue says.
const MAX_DEFAULT_TOKENS: u32 = 32_000;
/// The smallest thinking budget that the API takes.
const MIN_BUDGET: u32 = 1024;

/// The request's body.
pub(crate) fn without_tools(request: &Request, dialect: &Dialect) -> Value {
    let max_tokens = max_tokens(request, dialect);
    let thinking = thinking(request, dialect, max_tokens);
    let mut body = Map::new();
    body.insert("model".into(), json!(*request.model));
    body.insert("max_tokens".into(), json!(max_tokens));
    if !request.system.trim().is_empty() {
        body.insert("system".into(), json!([{"type": "text", "text": *request.system, "cache_control": marker()}]));
    }
    if let Some(choice) = tool_choice(&request.tool_choice, dialect).filter(|_| !request.tools.is_empty()) {
        body.insert("tool_choice".into(), choice);
    }
    body.insert("messages".into(), messages(&request.messages));
    sampling(request, dialect, &thinking, &mut body);
    output_config(request, &thinking, &mut body);
    if let Some(field) = thinking.field {
        body.insert("thinking".into(), field);
    }
    body.insert("stream".into(), json!(true));
    Value::Object(body)
}

fn marker() -> Value {
    json!({"type": "ephemeral"})
}

fn max_tokens(request: &Request, dialect: &Dialect) -> u32 {
    let default = dialect.max_output.map_or(DEFAULT_MAX_TOKENS, |max| max.min(MAX_DEFAULT_TOKENS));
    request.params.max_tokens.unwrap_or(default).max(1)
}

/// What the request says about thinking.
struct ThinkingFields {
    field: Option<Value>,
    effort: Option<&'static str>,
    on: bool,
}

fn thinking(request: &Request, dialect: &Dialect, max_tokens: u32) -> ThinkingFields {
    let off = ThinkingFields { field: None, effort: None, on: false };
    // The API refuses thinking together with a forced tool; the forced tool is what the caller needs.
    let forced = !request.tools.is_empty() && matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Tool(_));
    let style = dialect.thinking;
    let wanted = request.params.thinking;
    match (style, wanted) {
        (ThinkingStyle::Always, effort) => ThinkingFields { effort: effort.map(effort_name), on: true, ..off },
        (ThinkingStyle::AdaptiveOn, effort) if forced || effort == Some(ThinkingEffort::Off) => {
            ThinkingFields { field: Some(json!({"type": "disabled"})), ..off }
        }
        (ThinkingStyle::AdaptiveOn, None) => ThinkingFields { on: true, ..off },
        (ThinkingStyle::Never, _) | (_, None | Some(ThinkingEffort::Off)) => off,
        (_, Some(_)) if forced => off,
        (ThinkingStyle::Budget, Some(effort)) => match budget(effort, max_tokens) {
            Some(n) => {
                ThinkingFields { field: Some(json!({"type": "enabled", "budget_tokens": n})), effort: None, on: true }
            }
            None => off,
        },
        (
            ThinkingStyle::Unknown
            | ThinkingStyle::Adaptive
            | ThinkingStyle::AdaptiveOn
            | ThinkingStyle::Effort
            | ThinkingStyle::EffortMinimal
            | ThinkingStyle::EffortNone,
            Some(effort),
        ) => {
            let field = Some(json!({"type": "adaptive"}));
            ThinkingFields { field, effort: Some(effort_name(effort)), on: true }
        }
    }
}

fn effort_name(effort: ThinkingEffort) -> &'static str {
    match effort {
        ThinkingEffort::Off | ThinkingEffort::Low => "low",
        ThinkingEffort::Medium => "medium",
        ThinkingEffort::High => "high",
    }
}

/// The budget must be smaller than the answer; where there is no room for the smallest one, there is no thinking.
fn budget(effort: ThinkingEffort, max_tokens: u32) -> Option<u32> {
    let wanted = match effort {
        ThinkingEffort::Off => return None,
        ThinkingEffort::Low => 2048,
        ThinkingEffort::Medium => 8192,
        ThinkingEffort::High => 16_384,
    };
    let room = max_tokens / 4 * 3;
    (room >= MIN_BUDGET).then(|| wanted.min(room))
}

fn sampling(request: &Request, dialect: &Dialect, thinking: &ThinkingFields, body: &mut Map<String, Value>) {
    let params = &request.params;
    if !dialect.fixed_sampling && !thinking.on {
        // Newer models take one of the two only.
        match (params.temperature, params.top_p) {
            (Some(temperature), _) => body.insert("temperature".into(), json!(temperature.clamp(0.0, 1.0))),
            (None, Some(top_p)) => body.insert("top_p".into(), json!(top_p)),
            (None, None) => None,
        };
    }
    let stop: Vec<&String> = params.stop.iter().filter(|s| !s.trim().is_empty()).collect();
    if !stop.is_empty() {
        body.insert("stop_sequences".into(), json!(stop));
    }
}

fn output_config(request: &Request, thinking: &ThinkingFields, body: &mut Map<String, Value>) {
    let mut config = Map::new();
    if let Some(effort) = thinking.effort {
        config.insert("effort".into(), json!(effort));
    }
    if let Some(output) = request.output_schema.as_deref() {
        let schema = schema::closed_without_limits(&output.schema);
        config.insert("format".into(), json!({"type": "json_schema", "schema": schema}));
    }
    if !config.is_empty() {
        body.insert("output_config".into(), Value::Object(config));
    }
}

/// The body's `tools`.
pub(crate) fn tools(request: &Request) -> Value {
    let mut tools: Vec<Value> = request
        .tools
        .iter()
        .map(|t| {
            let schema = schema::parameters(&t.parameters, schema::Style::Full);
            json!({"name": t.name, "description": t.description, "input_schema": schema})
        })
        .collect();
    if let Some(last) = tools.last_mut() {
        last["cache_control"] = marker();
    }
    Value::Array(tools)
}

fn tool_choice(choice: &ToolChoice, dialect: &Dialect) -> Option<Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!({"type": "none"})),
        // A model that always thinks cannot be forced.
        ToolChoice::Required | ToolChoice::Tool(_) if dialect.thinking == ThinkingStyle::Always => None,
        ToolChoice::Required => Some(json!({"type": "any"})),
        ToolChoice::Tool(name) => Some(json!({"type": "tool", "name": name})),
    }
}

/// Messages with alternating roles: what follows in the same role is merged, results stand first.
fn messages(history: &[std::sync::Arc<Message>]) -> Value {
    let mut out: Vec<(&'static str, Vec<Value>)> = Vec::with_capacity(history.len());
    for message in history {
        let (role, blocks) = match message.role {
            Role::User => ("user", message.content.iter().filter_map(user_block).collect()),
            Role::Assistant => ("assistant", message.content.iter().filter_map(assistant_block).collect()),
            Role::Tool => ("user", message.tool_results().map(tool_result).collect()),
        };
        let blocks: Vec<Value> = blocks;
        match out.last_mut() {
            _ if blocks.is_empty() => {}
            Some((last, before)) if *last == role => before.extend(blocks),
            _ => out.push((role, blocks)),
        }
    }
    let users = out.iter_mut().rev().filter(|(role, _)| *role == "user").take(2);
    for (_, blocks) in users {
        if let Some(last) = blocks.last_mut() {
            last["cache_control"] = marker();
        }
    }
    out.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

fn user_block(block: &Block) -> Option<Value> {
    match block {
        Block::Text { text } => text_block(text),
        Block::Media(media) => Some(media_block(media)),
        _ => None,
    }
}

/// The API refuses text of white space only.
fn text_block(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| json!({"type": "text", "text": text}))
}

fn assistant_block(block: &Block) -> Option<Value> {
    match block {
        Block::Text { text } => text_block(text),
        Block::Thinking(thinking) if thinking.wire == NAME => thinking_block(thinking),
        Block::ToolCall(call) => Some(tool_use(call)),
        Block::Opaque { wire, value } if wire == NAME => Some(value.clone()),
        _ => None,
    }
}

/// Thinking without its signature is refused, so it stays here.
fn thinking_block(thinking: &Thinking) -> Option<Value> {
    let signature = thinking.signature.as_deref().filter(|s| !s.is_empty())?;
    Some(match thinking.redacted {
        true => json!({"type": "redacted_thinking", "data": signature}),
        false => json!({"type": "thinking", "thinking": thinking.text, "signature": signature}),
    })
}

fn tool_use(call: &ToolCall) -> Value {
    json!({"type": "tool_use", "id": call_id(call.wire_id()), "name": call.name, "input": arguments(call)})
}

/// Ids of other wires may hold characters that this one refuses.
fn call_id(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect()
}

fn tool_result(result: &ToolResult) -> Value {
    let content: Vec<Value> = result.content.iter().filter_map(user_block).collect();
    let mut out = json!({"type": "tool_result", "tool_use_id": call_id(result.wire_id())});
    out["content"] = if content.is_empty() { json!("(no output)") } else { Value::Array(content) };
    if result.is_error {
        out["is_error"] = json!(true);
    }
    out
}

fn media_block(media: &Media) -> Value {
    let text = |text: String| json!({"type": "text", "text": text});
    let block =
        |kind: &str, source: &MediaSource| json!({"type": kind, "source": source_value(&media.media_type, source)});
    match media::kind(media) {
        Kind::Image(source) => block("image", source),
        Kind::Pdf(source) => {
            let mut document = block("document", source);
            if let Some(name) = &media.name {
                document["title"] = json!(name);
            }
            document
        }
        Kind::Audio(_) => text(media::left_out(media)),
        Kind::Text(shown) => text(shown),
    }
}

fn source_value(media_type: &str, source: &MediaSource) -> Value {
    match source {
        MediaSource::Base64(data) => json!({"type": "base64", "media_type": media_type, "data": **data}),
        MediaSource::Url(url) => json!({"type": "url", "url": url}),
    }
}
