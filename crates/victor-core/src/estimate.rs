//! Estimates of tokens where no provider has counted yet: four bytes a token.

use crate::message::{Block, MediaSource, Message};

const MEDIA: u64 = 1500;
const FRAME: u64 = 4;

/// About how many tokens `text` is.
#[must_use]
pub fn text_tokens(text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

/// About how many tokens a message is.
#[must_use]
pub fn message_tokens(message: &Message) -> u64 {
    FRAME + message.content.iter().map(block_tokens).sum::<u64>()
}

fn block_tokens(block: &Block) -> u64 {
    match block {
        Block::Text { text } => text_tokens(text),
        Block::Thinking(thinking) => text_tokens(&thinking.text) + thinking.signature.as_deref().map_or(0, text_tokens),
        Block::Media(media) => match &media.source {
            MediaSource::Base64(data) if !media.media_type.starts_with("image/") => data.len() as u64 / 5,
            MediaSource::Base64(_) | MediaSource::Url(_) => MEDIA,
        },
        Block::ToolCall(call) => {
            let arguments = call.malformed.as_ref().map_or_else(|| call.arguments.to_string().len(), String::len);
            FRAME + (call.name.len() + arguments).div_ceil(4) as u64
        }
        Block::ToolResult(result) => FRAME + result.content.iter().map(block_tokens).sum::<u64>(),
        Block::Opaque { value, .. } => value.to_string().len().div_ceil(4) as u64,
    }
}
