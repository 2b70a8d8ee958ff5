//! From core's vocabulary to the protocol's: content, tools, resources, prompts, errors.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::ErrorData;
use rmcp::model::{
    CallToolResult, ContentBlock, JsonObject, Prompt, PromptArgument, PromptMessage, Resource, ResourceContents,
    ResourceTemplate, Role, Tool, ToolAnnotations,
};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use victor_core::message::{Block, Media, MediaSource, Message, Role as Speaker};
use victor_core::resource::{Body, Contents, SourceError};
use victor_core::tool::{Effects, ToolOutput, ToolSpec};

/// A tool as clients list it.
pub(crate) fn tool(spec: &ToolSpec) -> Tool {
    let input = object(&spec.parameters);
    let tool = Tool::new(spec.name.clone(), spec.description.clone(), input).with_title(title(&spec.name));
    let tool = match &spec.output {
        Some(schema) => tool.with_raw_output_schema(object(schema)),
        None => tool,
    };
    tool.with_annotations(annotations(spec.effects))
}

/// The schema of what a tool of the door answers: what may be left out of an answer is not demanded of it.
pub(crate) fn answer_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().into()
}

fn object(schema: &Value) -> Arc<JsonObject> {
    let mut schema = schema.clone();
    without_sizes(&mut schema);
    Arc::new(schema.as_object().cloned().unwrap_or_default())
}

/// Takes out formats such as `uint32`, which say how Rust holds a number, and which no validator knows.
fn without_sizes(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let sizes = ["uint", "int", "float", "double"];
            let is_size = |f: &Value| f.as_str().is_some_and(|f| sizes.iter().any(|size| f.starts_with(size)));
            if fields.get("format").is_some_and(is_size) {
                fields.remove("format");
            }
            fields.values_mut().for_each(without_sizes);
        }
        Value::Array(items) => items.iter_mut().for_each(without_sizes),
        _ => {}
    }
}

/// `git_status` becomes `Git status`.
fn title(name: &str) -> String {
    let words = name.replace(['_', '-'], " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What the effects of a tool say in the protocol's words. An agent may do what its own tools may.
fn annotations(effects: Effects) -> ToolAnnotations {
    let reads_only = effects.is_read_only() && !effects.contains(Effects::AGENT);
    let reaches_out = effects.intersects(Effects::NETWORK | Effects::UNSANDBOXED | Effects::AGENT);
    let said = ToolAnnotations::new().read_only(reads_only).open_world(reaches_out);
    if reads_only { said.destructive(false).idempotent(true) } else { said.destructive(true).idempotent(false) }
}

/// The answer of a call that was carried out.
pub(crate) fn output(output: ToolOutput) -> CallToolResult {
    let content = output.content.iter().filter_map(block).collect();
    let mut result = if output.is_error { CallToolResult::error(content) } else { CallToolResult::success(content) };
    result.structured_content = output.structured;
    result
}

/// A failure that the client's model is to see.
pub(crate) fn failure(message: impl Into<String>) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(message)])
}

/// A block, where the protocol has one for it.
pub(crate) fn block(block: &Block) -> Option<ContentBlock> {
    match block {
        Block::Text { text } => Some(ContentBlock::text(text.clone())),
        Block::Media(found) => Some(media(found)),
        _ => None,
    }
}

fn media(media: &Media) -> ContentBlock {
    let kind = media.media_type.as_str();
    match &media.source {
        MediaSource::Base64(data) if kind.starts_with("image/") => ContentBlock::image(data.to_string(), kind),
        MediaSource::Base64(data) if kind.starts_with("audio/") => ContentBlock::audio(data.to_string(), kind),
        MediaSource::Base64(data) => {
            let name = media.name.as_deref().unwrap_or("attachment");
            let uri = if name.contains("://") { name.to_owned() } else { format!("attachment:///{name}") };
            ContentBlock::resource(embedded(uri, kind, data))
        }
        MediaSource::Url(url) => {
            let name = media.name.clone().unwrap_or_else(|| url.clone());
            ContentBlock::resource_link(Resource::new(url.clone(), name).with_mime_type(kind))
        }
    }
}

fn embedded(uri: String, kind: &str, data: &str) -> ResourceContents {
    let is_text = kind.starts_with("text/") || kind.ends_with("json") || kind.ends_with("xml");
    let text = is_text.then(|| STANDARD.decode(data).ok().and_then(|b| String::from_utf8(b).ok())).flatten();
    match text {
        Some(text) => ResourceContents::text(text, uri).with_mime_type(kind),
        None => ResourceContents::blob(data, uri).with_mime_type(kind),
    }
}

/// What is said of a prompt.
pub(crate) fn prompt(prompt: victor_core::prompt::Prompt) -> Prompt {
    let arguments = prompt.arguments.into_iter().map(|argument| {
        let made = PromptArgument::new(argument.name).with_required(argument.required);
        match argument.description {
            Some(text) => made.with_description(text),
            None => made,
        }
    });
    let made = Prompt::new(prompt.name, prompt.description, Some(arguments.collect()));
    match prompt.title {
        Some(title) => made.with_title(title),
        None => made,
    }
}

/// The messages of a prompt: one for each block, as the protocol has it.
pub(crate) fn messages(messages: &[Message]) -> Vec<PromptMessage> {
    let role = |speaker| if speaker == Speaker::Assistant { Role::Assistant } else { Role::User };
    let of = |m: &Message| {
        let role = role(m.role);
        m.content.iter().filter_map(block).map(|b| PromptMessage::new(role.clone(), b)).collect::<Vec<_>>()
    };
    messages.iter().flat_map(of).collect()
}

/// What is said of a resource.
pub(crate) fn resource(resource: victor_core::resource::Resource) -> Resource {
    let mut made = Resource::new(resource.uri, resource.name);
    made.title = resource.title;
    made.description = resource.description;
    made.mime_type = resource.media_type;
    made.size = resource.size;
    made
}

/// A family of resources.
pub(crate) fn template(template: victor_core::resource::ResourceTemplate) -> ResourceTemplate {
    let mut made = ResourceTemplate::new(template.uri_template, template.name);
    made.title = template.title;
    made.description = template.description;
    made.mime_type = template.media_type;
    made
}

/// What was read.
pub(crate) fn contents(contents: Contents) -> ResourceContents {
    let made = match contents.body {
        Body::Text(text) => ResourceContents::text(text, contents.uri),
        Body::Blob(bytes) => ResourceContents::blob(STANDARD.encode(bytes), contents.uri),
    };
    match contents.media_type {
        Some(kind) => made.with_mime_type(kind),
        None => made,
    }
}

/// Why a resource or a prompt cannot be had.
pub(crate) fn source_error(error: SourceError) -> ErrorData {
    match error {
        SourceError::NotFound(why) => ErrorData::resource_not_found(why, None),
        SourceError::Invalid(why) => ErrorData::invalid_params(why, None),
        SourceError::Denied(why) => ErrorData::invalid_request(why, None),
        SourceError::Failed(why) => ErrorData::internal_error(why, None),
    }
}

/// The path of a `file://` URI of this machine.
pub(crate) fn path_of(uri: &str) -> Option<std::path::PathBuf> {
    url::Url::parse(uri).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}
