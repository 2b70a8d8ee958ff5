//! Media types by a file's first bytes; a file's name is believed only where its bytes fit.

use std::path::Path;

/// The media type of a file that a model can be shown as it is: PNG, JPEG, GIF, WebP, or PDF. `bytes` are at least
/// the first twelve. `None` for anything else, whatever its name says.
#[must_use]
pub fn media_type_of(bytes: &[u8], path: &Path) -> Option<&'static str> {
    let known = match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        [b'%', b'P', b'D', b'F', b'-', ..] if has_extension(path, "pdf") => "application/pdf",
        _ => return None,
    };
    Some(known)
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(wanted))
}
