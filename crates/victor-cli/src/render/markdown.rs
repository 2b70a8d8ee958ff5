//! Markdown as it streams in: every piece that is finished (a paragraph, a list item, a line of code) is rendered at
//! once, what is not waits for its end.

#[cfg(test)]
mod tests;

use super::block::{block, code_line};
use super::style::Paint;

/// A text that is still being written.
pub(crate) struct Markdown {
    width: usize,
    paint: Paint,
    /// The beginning of a line whose end has not come.
    partial: String,
    /// Lines of a piece that is not finished.
    pending: String,
    kind: Kind,
    fence: Option<Fence>,
    /// An empty line is due before the next piece.
    gap: bool,
    started: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    List,
}

/// An open code fence: its character, its length, and whether it stands inside a list item.
#[derive(Clone, Copy)]
struct Fence {
    mark: char,
    length: usize,
    nested: bool,
}

impl Markdown {
    /// A text for a terminal of this width.
    pub(crate) fn new(width: usize, paint: Paint) -> Self {
        Self {
            width,
            paint,
            partial: String::new(),
            pending: String::new(),
            kind: Kind::Text,
            fence: None,
            gap: false,
            started: false,
        }
    }

    /// Adds text, and answers the lines that are ready.
    pub(crate) fn push(&mut self, text: &str) -> Vec<String> {
        let mut ready = Vec::new();
        self.partial.push_str(text);
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            self.line(line.trim_end_matches(['\n', '\r']), &mut ready);
        }
        ready
    }

    /// Ends the text, and answers what was left.
    pub(crate) fn finish(mut self) -> Vec<String> {
        let mut ready = Vec::new();
        let rest = std::mem::take(&mut self.partial);
        if !rest.is_empty() {
            self.line(&rest, &mut ready);
        }
        self.flush(&mut ready);
        ready
    }

    fn line(&mut self, line: &str, ready: &mut Vec<String>) {
        if self.in_fence(line, ready) {
            return;
        }
        let indented = line.starts_with("  ") || line.starts_with('\t');
        if line.trim().is_empty() {
            match self.kind {
                Kind::Text => {
                    self.flush(ready);
                    self.gap = true;
                }
                Kind::List => self.pending.push('\n'),
            }
        } else if let Some(fence) = opening(line, self.kind == Kind::List && indented) {
            self.open(fence, line, ready);
        } else if is_item(line) {
            self.begin_item(line, ready);
        } else if line.starts_with('#') {
            self.flush(ready);
            self.gap = true;
            self.add(line);
            self.flush(ready);
            self.gap = true;
        } else {
            // Text after a list and an empty line is no part of the list unless it is indented.
            if self.kind == Kind::List && !indented && self.pending.ends_with("\n\n") {
                self.flush(ready);
                self.gap = true;
            }
            self.add(line);
        }
    }

    fn in_fence(&mut self, line: &str, ready: &mut Vec<String>) -> bool {
        let Some(fence) = self.fence else { return false };
        let trimmed = line.trim();
        let closes = trimmed.len() >= fence.length && trimmed.chars().all(|c| c == fence.mark);
        if closes {
            self.fence = None;
        }
        if fence.nested {
            self.add(line);
        } else if closes {
            self.gap = true;
        } else {
            ready.push(code_line(line, self.paint));
        }
        true
    }

    fn open(&mut self, fence: Fence, line: &str, ready: &mut Vec<String>) {
        self.fence = Some(fence);
        if fence.nested {
            self.add(line);
            return;
        }
        self.flush(ready);
        self.gap = true;
        self.separate(ready);
    }

    fn begin_item(&mut self, line: &str, ready: &mut Vec<String>) {
        if self.kind == Kind::List {
            let loose = self.pending.ends_with("\n\n");
            self.flush(ready);
            self.gap = loose;
        } else {
            let follows_text = !self.pending.is_empty();
            self.flush(ready);
            self.gap |= follows_text;
        }
        self.kind = Kind::List;
        self.add(line);
    }

    fn add(&mut self, line: &str) {
        self.pending.push_str(line);
        self.pending.push('\n');
    }

    fn flush(&mut self, ready: &mut Vec<String>) {
        let pending = std::mem::take(&mut self.pending);
        self.kind = Kind::Text;
        if pending.trim().is_empty() {
            return;
        }
        self.separate(ready);
        ready.extend(block(&pending, self.width, self.paint));
    }

    fn separate(&mut self, ready: &mut Vec<String>) {
        if self.gap && self.started {
            ready.push(String::new());
        }
        self.gap = false;
        self.started = true;
    }
}

fn opening(line: &str, nested: bool) -> Option<Fence> {
    let trimmed = line.trim_start();
    if !nested && line.len() - trimmed.len() > 3 {
        return None;
    }
    let mark = trimmed.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = trimmed.chars().take_while(|c| *c == mark).count();
    let info = &trimmed[length..];
    (length >= 3 && !(mark == '`' && info.contains('`'))).then_some(Fence { mark, length, nested })
}

/// Whether a list item begins here, not inside of another one.
fn is_item(line: &str) -> bool {
    let trimmed = line.trim_start_matches(' ');
    if line.len() - trimmed.len() > 1 {
        return false;
    }
    let digits = trimmed.chars().take_while(char::is_ascii_digit).count();
    let after = match digits {
        0 => trimmed.strip_prefix(['-', '*', '+']),
        1..=9 => trimmed[digits..].strip_prefix(['.', ')']),
        _ => None,
    };
    after.is_some_and(|rest| rest.starts_with([' ', '\t']))
}
