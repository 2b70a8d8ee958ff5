//! What servers answer, as blocks that a model can be shown, cut to a bearable size.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{CallToolResult, ContentBlock, PromptMessage, ResourceContents, Role as TheirRole};
use victor_core::message::{Block, Media, MediaSource, Message, Role};
use victor_core::tool::ToolOutput;

/// Bytes of text of one answer at most.
const TEXT: usize = 100 << 10;
/// Bytes of a structured result at most; a larger one is shown as text alone.
const STRUCTURED: usize = 1 << 20;
/// Bytes of an image at most, in base64.
const IMAGE: usize = 8 << 20;
/// Images of one answer at most.
const IMAGES: usize = 10;
/// What models are shown as images.
const KINDS: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// The answer of a tool of `server`.
pub(super) fn output(server: &str, result: CallToolResult) -> ToolOutput {
    let mut blocks = blocks(server, result.content);
    if blocks.is_empty() {
        let text = result.structured_content.as_ref().map_or("(no content)".to_owned(), ToString::to_string);
        blocks = vec![Block::text(cut(&text, TEXT))];
    }
    let is_error = result.is_error.unwrap_or(false);
    // It goes into the events and the log of the session, as it is.
    let structured = result.structured_content.filter(|value| value.to_string().len() <= STRUCTURED);
    ToolOutput { content: blocks, structured, is_error }
}

/// The messages of a prompt of `server`.
pub(super) fn messages(server: &str, messages: Vec<PromptMessage>) -> Vec<Message> {
    let message = |m: PromptMessage| Message {
        role: match m.role {
            TheirRole::Assistant => Role::Assistant,
            _ => Role::User,
        },
        content: blocks(server, vec![m.content]),
    };
    messages.into_iter().map(message).collect()
}

/// A text whose middle is left out where it is too long.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(limit / 2);
    let tail = text.ceil_char_boundary(text.len() - limit / 2);
    format!("{}\n[... {} bytes left out ...]\n{}", &text[..head], tail - head, &text[tail..])
}

fn blocks(server: &str, content: Vec<ContentBlock>) -> Vec<Block> {
    let (mut left, mut images) = (TEXT, IMAGES);
    let mut blocks = Vec::new();
    for part in content {
        let mut block = block(server, part);
        match &mut block {
            Block::Text { .. } if left == 0 => continue,
            Block::Text { text } => {
                *text = cut(text, left);
                // Parts are lines of their own, also where a wire joins them.
                if let Some(Block::Text { text: before }) = blocks.last()
                    && !before.ends_with('\n')
                    && !text.starts_with('\n')
                {
                    text.insert(0, '\n');
                }
                left = left.saturating_sub(text.len().max(1));
            }
            Block::Media(_) if images == 0 => continue,
            _ => images -= 1,
        }
        blocks.push(block);
    }
    blocks
}

fn block(server: &str, content: ContentBlock) -> Block {
    match content {
        ContentBlock::Text(text) => Block::text(text.text),
        ContentBlock::Image(image) => media(&image.mime_type, &image.data, None),
        ContentBlock::Audio(audio) => {
            Block::text(format!("[audio of type {}, {} bytes in base64]", audio.mime_type, audio.data.len()))
        }
        ContentBlock::ResourceLink(link) => {
            let about = link.description.map(|d| format!(": {d}")).unwrap_or_default();
            Block::text(format!("[resource {} ({}){about}; `@{server}:{}` shows it]", link.uri, link.name, link.uri))
        }
        ContentBlock::Resource(held) => resource(held.resource),
        _ => Block::text("[content of a kind that is not known here]"),
    }
}

fn resource(contents: ResourceContents) -> Block {
    match contents {
        ResourceContents::TextResourceContents { uri, text, .. } => Block::text_file(&uri, &cut(&text, TEXT)),
        ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
            media(mime_type.as_deref().unwrap_or("application/octet-stream"), &blob, Some(uri))
        }
        _ => Block::text("[a resource of a kind that is not known here]"),
    }
}

/// An image as such; anything else, and what is broken or too large, as a remark.
pub(super) fn media(media_type: &str, data: &str, name: Option<String>) -> Block {
    let shown = name.as_deref().unwrap_or("it");
    if !KINDS.contains(&media_type) {
        let about = format!("[{shown}: {media_type}, {} bytes in base64, not shown]", data.len());
        return Block::text(cut(&about, 1_000));
    }
    if data.len() > IMAGE {
        return Block::text(format!("[an image of {} bytes in base64 is left out; {IMAGE} are the most]", data.len()));
    }
    if STANDARD.decode(data).is_err() {
        return Block::text(format!("[an image of type {media_type} is left out: it is no base64]"));
    }
    Block::Media(Media { media_type: media_type.to_owned(), source: MediaSource::Base64(Arc::from(data)), name })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(result: Value) -> ToolOutput {
        output("s", serde_json::from_value(result).unwrap())
    }

    #[test]
    fn every_kind_of_content_has_a_form() {
        let output = shown(json!({"content": [
            {"type": "text", "text": "hello"},
            {"type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo="},
            {"type": "image", "mimeType": "image/png", "data": "no base64!"},
            {"type": "audio", "mimeType": "audio/wav", "data": "AAAA"},
            {"type": "resource_link", "uri": "x://y", "name": "y"},
            {"type": "resource", "resource": {"uri": "a://t", "text": "inside"}},
            {"type": "resource", "resource": {"uri": "a://b", "mimeType": "application/zip", "blob": "AAAA"}},
        ], "isError": true}));
        assert!(output.is_error && output.content.len() == 7);
        assert!(matches!(&output.content[1], Block::Media(m) if m.media_type == "image/png"));
        let text = victor_core::message::text_of(&output.content);
        for word in ["hello", "no base64", "audio/wav", "@s:x://y", "inside", "application/zip"] {
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn much_text_is_cut_and_structure_alone_is_shown() {
        let long = "ü".repeat(200_000);
        let output = shown(json!({"content": [{"type": "text", "text": long}, {"type": "text", "text": "last"}]}));
        assert!(output.content.len() <= 2);
        let text = victor_core::message::text_of(&output.content);
        assert!(text.len() < 110_000 && text.contains("bytes left out"));
        let output = shown(json!({"structuredContent": {"a": 1}}));
        assert_eq!(output.content, [Block::text(r#"{"a":1}"#)]);
        assert_eq!(output.structured, Some(json!({"a": 1})));
        let output = shown(json!({"structuredContent": {"a": "x".repeat(2 << 20)}}));
        assert!(output.structured.is_none() && victor_core::message::text_of(&output.content).len() < 110_000);
    }
}
