//! A request as the model's prompt: messages for its template, tools in few words, and what users wrote kept from being
//! read as special tokens.

use serde_json::{Value, json};
use victor_core::message::{Block, Message, Role, ToolResult, text_of};
use victor_core::request::{Request, ThinkingEffort, ToolChoice};
use victor_core::tool::ToolSpec;

use crate::error::EngineError;
use crate::template::{Context, Template, spaced};
use crate::tokenizer::{Specials, Tokenizer};

/// Marks a place where somebody's words hold the name of a special token: this, the token's number, [`CLOSE`].
const OPEN: char = '\u{F0000}';
const CLOSE: char = '\u{F0001}';
/// The longest description of a tool or an argument, in bytes: small models lose the thread in long ones.
const DESCRIPTION: usize = 160;

/// What begins and ends a tool call in the model's output.
pub(crate) const CALL: &str = "<tool_call>";
pub(crate) const CALL_END: &str = "</tool_call>";

/// A prompt in tokens.
pub(crate) struct Prompt {
    pub(crate) tokens: Vec<u32>,
    /// Whether the model begins with its thoughts.
    pub(crate) thinks: bool,
}

/// Writes the prompt of a request.
pub(crate) fn prompt(request: &Request, template: &Template, tokenizer: &Tokenizer) -> Result<Prompt, EngineError> {
    let writer = Writer { template, tokenizer, tools: tools(request) };
    let effort = request.params.thinking.unwrap_or(ThinkingEffort::Off);
    let thinks = template.thinks() && effort != ThinkingEffort::Off;
    let mut context = Context {
        messages: writer.messages(request),
        tools: (template.knows_tools() && !writer.tools.is_empty()).then(|| writer.tools.clone()),
        add_generation_prompt: true,
        enable_thinking: thinks,
        bos_token: &tokenizer.first_text,
        eos_token: &tokenizer.last_text,
    };
    let text = template.render(&context).or_else(|error| {
        context.messages = by_turns(std::mem::take(&mut context.messages));
        template.render(&context).map_err(|_| error)
    })?;
    let mut tokens: Vec<u32> = tokenizer.first.into_iter().collect();
    tokens.extend(encode(&text, tokenizer)?);
    if tokens.len() > 1 && tokenizer.first.is_some() && tokens[0] == tokens[1] {
        // The template wrote it too.
        tokens.remove(0);
    }
    Ok(Prompt { tokens, thinks })
}

struct Writer<'a> {
    template: &'a Template,
    tokenizer: &'a Tokenizer,
    tools: Vec<Value>,
}

impl Writer<'_> {
    fn messages(&self, request: &Request) -> Vec<Value> {
        let mut system = self.guarded(request.system.trim());
        if !self.tools.is_empty() && !self.template.knows_tools() {
            system = format!("{system}\n\n{}", self.guarded(&self.tool_prompt())).trim_start().to_owned();
        }
        let system = (!system.is_empty()).then(|| json!({"role": "system", "content": system}));
        system.into_iter().chain(request.messages.iter().flat_map(|m| self.message(m))).collect()
    }

    fn message(&self, message: &Message) -> Vec<Value> {
        match message.role {
            Role::User => vec![json!({"role": "user", "content": self.guarded(&readable(&message.content))})],
            Role::Assistant => vec![self.assistant(message)],
            Role::Tool => message.tool_results().map(|r| self.result(r)).collect(),
        }
    }

    fn assistant(&self, message: &Message) -> Value {
        let text = self.guarded(&message.text());
        let calls: Vec<_> = message.tool_calls().map(|c| json!({"name": c.name, "arguments": c.arguments})).collect();
        if calls.is_empty() {
            return json!({"role": "assistant", "content": text});
        }
        if self.template.knows_tools() {
            let calls: Vec<_> = calls.into_iter().map(|c| json!({"type": "function", "function": c})).collect();
            return json!({"role": "assistant", "content": text, "tool_calls": calls});
        }
        let calls = calls.iter().map(|c| format!("{CALL}\n{}\n{CALL_END}", self.guarded(&spaced(c))));
        let parts: Vec<_> = Some(text).filter(|t| !t.is_empty()).into_iter().chain(calls).collect();
        json!({"role": "assistant", "content": parts.join("\n")})
    }

    fn result(&self, result: &ToolResult) -> Value {
        let text = self.guarded(&readable(&result.content));
        match self.template.knows_tools() {
            true => json!({"role": "tool", "content": text}),
            false => json!({"role": "user", "content": format!("<tool_response>\n{text}\n</tool_response>")}),
        }
    }

    /// The tools in words, for templates that do not know any.
    fn tool_prompt(&self) -> String {
        let tools: Vec<_> = self.tools.iter().map(|t| spaced(&t["function"])).collect();
        format!(
            "You can use these tools:\n{}\nTo use one, answer with {CALL}\n{{\"name\": NAME, \"arguments\": \
             ARGUMENTS}}\n{CALL_END} and nothing else. Otherwise answer in plain words.",
            tools.join("\n")
        )
    }

    /// Words in which the names of special tokens are marked.
    fn guarded(&self, text: &str) -> String {
        let text = text.replace([OPEN, CLOSE], "\u{FFFD}");
        let mut guarded = String::with_capacity(text.len());
        let mut at = 0;
        for (name, id) in self.tokenizer.specials(&text) {
            guarded.push_str(&text[at..name.start]);
            guarded.extend([OPEN.to_string(), id.to_string(), CLOSE.to_string()]);
            at = name.end;
        }
        guarded + &text[at..]
    }
}

/// The messages for templates that know user and assistant alone, in turns (Gemma, Mistral): what the system says stands
/// before the user's first words, and messages that follow one of the same role are a part of it.
fn by_turns(messages: Vec<Value>) -> Vec<Value> {
    let mut turns: Vec<Value> = Vec::new();
    for mut message in messages {
        if message["role"] == "system" {
            message["role"] = json!("user");
        }
        match (turns.last_mut(), message["content"].as_str()) {
            (Some(last), Some(more)) if last["role"] == message["role"] && message.get("tool_calls").is_none() => {
                let text = last["content"].as_str().unwrap_or_default();
                last["content"] = json!(format!("{text}\n\n{more}"));
            }
            _ => turns.push(message),
        }
    }
    turns
}

/// The tools as the model sees them: in the common form, with short descriptions.
fn tools(request: &Request) -> Vec<Value> {
    let tools = request.tools.iter().filter(|t| match &request.tool_choice {
        ToolChoice::Auto | ToolChoice::Required => true,
        ToolChoice::None => false,
        ToolChoice::Tool(name) => t.name == *name,
    });
    tools.map(|t| short(t)).collect()
}

fn short(tool: &ToolSpec) -> Value {
    let mut parameters = tool.parameters.clone();
    trim(&mut parameters);
    let description = sentence(&tool.description);
    json!({"type": "function", "function": {"name": tool.name, "description": description, "parameters": parameters}})
}

/// Shortens descriptions and drops what says nothing to a model.
fn trim(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            for key in ["$schema", "title", "format", "default", "additionalProperties", "examples"] {
                map.shift_remove(key);
            }
            for (key, value) in map.iter_mut() {
                match (key.as_str(), value) {
                    ("description", Value::String(text)) => *text = sentence(text).to_owned(),
                    // Their keys are names, not words of the schema.
                    ("properties" | "$defs", Value::Object(named)) => named.values_mut().for_each(trim),
                    (_, value) => trim(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(trim),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The first sentence, cut where it is long.
fn sentence(text: &str) -> &str {
    let text = text.trim();
    let end = text.find(". ").map_or(text.len(), |i| i + 1).min(text.find('\n').unwrap_or(text.len()));
    let end = (0..=end.min(DESCRIPTION)).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    &text[..end]
}

/// What a model without eyes can read of a message.
fn readable(content: &[Block]) -> String {
    let mut text = text_of(content);
    let media = content.iter().filter(|b| matches!(b, Block::Media(_))).count();
    if media > 0 {
        text.push_str("\n(A file was attached that you cannot see.)");
    }
    text
}

/// Turns a template's text into tokens; what was marked becomes text again.
fn encode(text: &str, tokenizer: &Tokenizer) -> Result<Vec<u32>, EngineError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (id, after) = after.split_once(CLOSE).unwrap_or((after, ""));
        let name = id.parse().map(|id| tokenizer.name(id)).unwrap_or_default();
        parts.push((before, Specials::AsTokens));
        parts.push((std::str::from_utf8(name).unwrap_or_default(), Specials::AsText));
        rest = after;
    }
    parts.push((rest, Specials::AsTokens));
    tokenizer.encode_whole(&parts)
}

#[cfg(test)]
mod tests;
