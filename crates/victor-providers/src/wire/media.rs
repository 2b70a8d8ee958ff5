//! What a medium is to a model, whatever the wire: an image, a sound, a document, plain text, or nothing readable.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use victor_core::message::{Media, MediaSource};

/// A medium by what can be done with it.
pub(crate) enum Kind<'a> {
    Image(&'a MediaSource),
    Audio(&'a str),
    Pdf(&'a MediaSource),
    /// Shown to the model as text, named.
    Text(String),
}

/// What `media` is.
pub(crate) fn kind(media: &Media) -> Kind<'_> {
    let media_type = media.media_type.split(';').next().unwrap_or_default().trim();
    match &media.source {
        source if media_type.starts_with("image/") => Kind::Image(source),
        source if media_type == "application/pdf" => Kind::Pdf(source),
        MediaSource::Base64(data) if media_type.starts_with("audio/") => Kind::Audio(data),
        MediaSource::Base64(data) => Kind::Text(decode_text(media, data)),
        MediaSource::Url(url) => Kind::Text(format!("[file {}: {url}]", name(media))),
    }
}

/// The file's name, or its type where it has none.
pub(crate) fn name(media: &Media) -> &str {
    media.name.as_deref().unwrap_or(&media.media_type)
}

/// What stands in for a medium that the model cannot be shown.
pub(crate) fn left_out(media: &Media) -> String {
    format!("[attachment {} of type {} is left out: this model cannot read it]", name(media), media.media_type)
}

fn decode_text(media: &Media, data: &str) -> String {
    let text = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match text {
        Some(text) => format!("<file name=\"{}\">\n{text}\n</file>", name(media)),
        None => left_out(media),
    }
}
