//! Text files as bytes: their encoding and line endings, so that an edit changes nothing but what it names.

use std::borrow::Cow;

/// How a file's characters stand in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf8Bom,
    Utf16Le,
    Utf16Be,
    /// One byte a character (ISO 8859-1); what is not UTF-8 and shows no sign of being it.
    Latin1,
    /// UTF-8 with stray bytes, each kept as a character of a private plane.
    Utf8Stray,
}

const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";
/// Stray byte `b` stands as `STRAY + b`, in a private plane (Unicode, plane 16).
const STRAY: u32 = 0x10_ff00;

/// Whether it looks like something else than text: a NUL byte early on, without the mark of UTF-16.
pub(super) fn is_binary(bytes: &[u8]) -> bool {
    let start = bytes.get(..8192).unwrap_or(bytes);
    !is_utf16(bytes) && start.contains(&0)
}

/// Whether it begins with the mark of UTF-16.
pub(super) fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")
}

/// The characters of a file, and how to turn them back.
pub(super) fn decode(bytes: &[u8]) -> (Encoding, String) {
    if let Some(rest) = bytes.strip_prefix(b"\xff\xfe")
        && let Some(text) = utf16(rest, u16::from_le_bytes)
    {
        return (Encoding::Utf16Le, text);
    }
    if let Some(rest) = bytes.strip_prefix(b"\xfe\xff")
        && let Some(text) = utf16(rest, u16::from_be_bytes)
    {
        return (Encoding::Utf16Be, text);
    }
    if let Some(rest) = bytes.strip_prefix(UTF8_BOM)
        && let Ok(text) = std::str::from_utf8(rest)
    {
        return (Encoding::Utf8Bom, text.to_owned());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => (Encoding::Utf8, text.to_owned()),
        Err(_) => one_byte(bytes),
    }
}

/// The bytes of `text`; `None` if the encoding has no place for one of its characters.
pub(super) fn encode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Utf8 => Some(text.as_bytes().to_vec()),
        Encoding::Utf8Bom => Some([UTF8_BOM, text.as_bytes()].concat()),
        Encoding::Utf16Le => Some(b"\xff\xfe".iter().copied().chain(units(text, u16::to_le_bytes)).collect()),
        Encoding::Utf16Be => Some(b"\xfe\xff".iter().copied().chain(units(text, u16::to_be_bytes)).collect()),
        Encoding::Latin1 => text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect(),
        Encoding::Utf8Stray => Some(unstray(text)),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let text = char::decode_utf16(pairs.iter().map(|p| unit(*p))).collect::<Result<String, _>>().ok();
    text.filter(|_| rest.is_empty())
}

fn units(text: &str, bytes: fn(u16) -> [u8; 2]) -> impl Iterator<Item = u8> {
    text.encode_utf16().flat_map(bytes)
}

fn one_byte(bytes: &[u8]) -> (Encoding, String) {
    let some_utf8 = bytes.utf8_chunks().any(|chunk| !chunk.valid().is_ascii());
    if !some_utf8 {
        return (Encoding::Latin1, bytes.iter().copied().map(char::from).collect());
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|b| char::from_u32(STRAY + u32::from(*b))));
    }
    (Encoding::Utf8Stray, text)
}

fn unstray(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c).checked_sub(STRAY).and_then(|b| u8::try_from(b).ok()) {
            Some(stray) => bytes.push(stray),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// A text with `\n` for every line's end, and the way back to the text that it was made from.
pub(super) struct Lines<'a> {
    original: &'a str,
    /// With `\n` only.
    pub(super) plain: Cow<'a, str>,
    /// The places in `plain` of the line ends that were `\r\n`.
    returns: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(original: &'a str) -> Self {
        let mut returns = Vec::new();
        for (at, _) in original.match_indices("\r\n") {
            returns.push(at - returns.len());
        }
        let plain =
            if returns.is_empty() { Cow::Borrowed(original) } else { Cow::Owned(original.replace("\r\n", "\n")) };
        Self { original, plain, returns }
    }

    /// Replaces `ranges` of the plain text (in order, apart from each other) by `new`, in which `\n` becomes the line
    /// end that the file mostly has. All else stays as it was.
    pub(super) fn replace(&self, ranges: &[std::ops::Range<usize>], new: &str) -> String {
        let ends = self.plain.matches('\n').count();
        let new = new.replace("\r\n", "\n");
        let new = if self.returns.len() * 2 > ends { new.replace('\n', "\r\n") } else { new };
        let mut text = String::with_capacity(self.original.len() + new.len());
        let mut from = 0;
        for range in ranges {
            text.push_str(&self.original[from..self.before(range.start)]);
            text.push_str(&new);
            from = self.before(range.end);
        }
        text.push_str(&self.original[from..]);
        text
    }

    fn before(&self, plain: usize) -> usize {
        plain + self.returns.partition_point(|at| *at < plain)
    }
}
