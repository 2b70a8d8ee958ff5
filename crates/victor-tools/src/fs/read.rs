//! `read`: a file's lines, numbered, or an image.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read as _, Seek};

use base64::Engine;
use schemars::JsonSchema;
use serde::Deserialize;
use victor_core::error::{ToolError, nearest};
use victor_core::message::{Block, Media, MediaSource};
use victor_core::permission::Access;
use victor_core::tool::{Effects, Plan, Tool, ToolCx, ToolOutput};

use super::{Opened, media_type_of, plan_for, read_whole, text};
use crate::blocking;
use crate::path::{Place, Spot};

/// Lines that are shown unless the call says otherwise.
const LINES: u64 = 2000;
/// Bytes that are shown of one line, and of all lines together.
const LINE_BYTES: usize = 2000;
const TOTAL_BYTES: usize = 50_000;
/// The largest image, and the largest UTF-16 file, which has to be read as a whole.
const IMAGE_BYTES: u64 = 5 << 20;
const UTF16_BYTES: u64 = 16 << 20;

/// Reads files and images.
pub struct Read;

/// The arguments of `read`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadArgs {
    /// The file: relative to the workspace's root, or absolute.
    path: String,
    /// The first line to read, counted from 1.
    #[schemars(range(min = 1))]
    offset: Option<u64>,
    /// How many lines to read at most; 2000 if not given.
    #[schemars(range(min = 1))]
    limit: Option<u64>,
}

impl Tool for Read {
    const NAME: &'static str = "read";
    type Args = ReadArgs;

    fn description(&self) -> Cow<'static, str> {
        "Reads a text file and answers its lines with their numbers, as `cat -n` does: the number, a tab, the line. \
         The numbers are not part of the file. At most 2000 lines and 50 KB at once; use offset and limit to read on. \
         PNG, JPEG, GIF and WebP files are answered as images."
            .into()
    }

    fn category(&self) -> &'static str {
        "files"
    }

    fn effects(&self) -> Effects {
        Effects::READ
    }

    async fn plan(&self, args: ReadArgs, cx: &ToolCx) -> Result<Plan, ToolError> {
        let place = Place::resolve(&cx.workspace, &args.path, Access::Read)?;
        let opened = Opened::early(&place, open);
        let target = place.clone();
        Ok(plan_for(Effects::READ, &place, &[Access::Read], move |permit, _| {
            let place = target;
            blocking(move || match opened.get(&place, open)? {
                (Some(file), _) => answer(file, &place, &args),
                (None, spot) => Err(missing(&place, &spot, permit.paths())),
            })
        }))
    }
}

fn open(place: &Place) -> Result<(Option<File>, Spot), ToolError> {
    let spot = place.open()?;
    Ok((spot.read()?, spot))
}

fn missing(place: &Place, spot: &Spot, hidden: &victor_core::permission::PathRules) -> ToolError {
    let wanted = place.absolute.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let names: Vec<String> = spot.siblings();
    let shown = names.iter().map(String::as_str).filter(|name| {
        let absolute = place.absolute.with_file_name(name);
        let relative = place.relative.as_deref().map(|r| match r.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => (*name).to_owned(),
        });
        !hidden.hides("read", relative.as_deref(), &absolute.display().to_string())
    });
    let hint = match nearest(&wanted, shown) {
        near if near.is_empty() => "use find_files to look for it".to_owned(),
        near => format!("near it there is {}", near.join(", ")),
    };
    ToolError::model(format!("there is no file `{}`; {hint}", place.shown))
}

fn answer(mut file: File, place: &Place, args: &ReadArgs) -> Result<ToolOutput, ToolError> {
    let fail = |e: std::io::Error| ToolError::model(format!("`{}` cannot be read: {e}", place.shown));
    let mut start = Vec::new();
    (&mut file).take(8192).read_to_end(&mut start).map_err(fail)?;
    file.rewind().map_err(fail)?;
    if let Some(kind) = media_type_of(&start, &place.absolute).filter(|k| k.starts_with("image/")) {
        return image(file, place, kind);
    }
    if text::is_binary(&start) {
        let size = file.metadata().map_err(fail)?.len();
        return Err(ToolError::model(format!(
            "`{}` is a binary file of {size} bytes, which cannot be shown as text; a program run with bash may read it",
            place.shown
        )));
    }
    if start.is_empty() {
        return Ok(ToolOutput::text("(the file is empty)"));
    }
    let first = args.offset.unwrap_or(1).max(1);
    let most = args.limit.unwrap_or(LINES).max(1);
    let page = if text::is_utf16(&start) {
        let bytes = read_whole(&mut file, &place.shown, UTF16_BYTES)?;
        Page::read(&mut Cursor::new(text::decode(&bytes).1), first, most)
    } else {
        Page::read(&mut BufReader::with_capacity(1 << 16, file), first, most)
    };
    page.map_err(fail)?.render(place, first)
}

fn image(mut file: File, place: &Place, kind: &str) -> Result<ToolOutput, ToolError> {
    let bytes = read_whole(&mut file, &place.shown, IMAGE_BYTES)?;
    let note = format!("{} ({kind}, {} bytes)", place.shown, bytes.len());
    let data = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let name = place.absolute.file_name().map(|n| n.to_string_lossy().into_owned());
    let media = Media { media_type: kind.to_owned(), source: MediaSource::Base64(data.into()), name };
    Ok(ToolOutput { content: vec![Block::text(note), Block::Media(media)], ..ToolOutput::default() })
}

/// The lines of one answer.
#[derive(Default)]
struct Page {
    text: String,
    /// Lines that are shown.
    shown: u64,
    /// Lines that were passed to get to the first one, and those shown.
    seen: u64,
    /// Whether the file goes on behind the page.
    more: bool,
    /// Whether the bytes were full before the lines were.
    full: bool,
    cut_lines: u64,
    lossy: bool,
}

impl Page {
    fn read(from: &mut impl BufRead, first: u64, most: u64) -> std::io::Result<Self> {
        let mut page = Self::default();
        let mut line = Vec::new();
        loop {
            let wanted = page.seen + 1 >= first;
            let Some(length) = next_line(from, &mut line, if wanted { LINE_BYTES } else { 0 })? else {
                return Ok(page);
            };
            if wanted && (page.shown == most || page.text.len() + line.len() > TOTAL_BYTES) {
                page.more = true;
                page.full = page.shown < most;
                return Ok(page);
            }
            page.seen += 1;
            if wanted {
                page.push(&line, length);
            }
        }
    }

    fn push(&mut self, line: &[u8], length: usize) {
        use std::fmt::Write;
        let line = if self.seen == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let whole = length <= LINE_BYTES;
        let text = if whole { String::from_utf8_lossy(line) } else { cut(line) };
        self.lossy |= text.contains('\u{fffd}');
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{:>6}\t{text}", self.seen);
        if !whole {
            self.cut_lines += 1;
            let _ = write!(self.text, " [... {length} bytes in this line]");
        }
        self.text.push('\n');
        self.shown += 1;
    }

    fn render(mut self, place: &Place, first: u64) -> Result<ToolOutput, ToolError> {
        if self.shown == 0 {
            return Err(ToolError::model(format!(
                "`{}` has {} lines; line {first} is beyond its end",
                place.shown, self.seen
            )));
        }
        if self.more {
            let why = if self.full { "an answer holds 50 KB" } else { "there are more lines" };
            let next = self.seen + 1;
            self.text.push_str(&format!("[{why}; read on with offset {next}]\n"));
        }
        if self.cut_lines > 0 {
            self.text.push_str("[long lines were cut; grep or a program run with bash can show more of them]\n");
        }
        if self.lossy {
            self.text.push_str("[the file is not valid UTF-8; bytes that are none are shown as \u{fffd}]\n");
        }
        Ok(ToolOutput::text(self.text))
    }
}

/// The beginning of a line that was cut, without half a character at its end.
fn cut(line: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(line) {
        Err(e) if e.error_len().is_none() => String::from_utf8_lossy(&line[..e.valid_up_to()]),
        _ => String::from_utf8_lossy(line),
    }
}

/// Reads one line into `line`, at most `keep` bytes of it and without its end; answers its length, `None` at the end
/// of the file. A line without end costs no memory.
fn next_line(from: &mut impl BufRead, line: &mut Vec<u8>, keep: usize) -> std::io::Result<Option<usize>> {
    line.clear();
    let mut length = 0;
    loop {
        let piece = from.fill_buf()?;
        if piece.is_empty() {
            return Ok((length > 0).then_some(length));
        }
        let end = piece.iter().position(|b| *b == b'\n');
        let text = &piece[..end.unwrap_or(piece.len())];
        line.extend_from_slice(&text[..text.len().min(keep.saturating_sub(line.len()))]);
        length += text.len();
        let used = text.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            if length == line.len() && line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(Some(length));
        }
    }
}
