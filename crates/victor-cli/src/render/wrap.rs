//! Breaking styled text into lines of a terminal's width, counted in columns, not characters.

use unicode_width::UnicodeWidthChar;

use super::style::{Paint, Style};

/// A piece of text in one style. A `\n` in it ends the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) text: String,
    pub(crate) style: Style,
}

impl Span {
    pub(crate) fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

/// The columns that `text` takes.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

fn width_of(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// `text` cut to `width` columns, with `…` where something is missing.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        if used + width_of(c) >= width {
            break;
        }
        used += width_of(c);
        kept.push(c);
    }
    if width > 0 {
        kept.push('…');
    }
    kept
}

/// Breaks `spans` between words into painted lines of at most `width` columns. A word that is longer than a line is
/// broken anywhere.
pub(crate) fn wrap(spans: &[Span], width: usize, paint: Paint) -> Vec<String> {
    let mut filler = Filler { width: width.max(1), paint, lines: Vec::new(), line: Line::default() };
    let mut word = Line::default();
    for span in spans {
        for c in span.text.chars() {
            match c {
                '\n' => {
                    filler.word(std::mem::take(&mut word));
                    filler.end_line();
                }
                ' ' => {
                    filler.word(std::mem::take(&mut word));
                    filler.space(span.style);
                }
                c => word.push(c, span.style),
            }
        }
    }
    filler.word(word);
    if !filler.line.is_empty() || filler.lines.is_empty() {
        filler.end_line();
    }
    filler.lines
}

#[derive(Default)]
struct Line {
    spans: Vec<Span>,
    width: usize,
}

impl Line {
    fn push(&mut self, c: char, style: Style) {
        self.width += width_of(c);
        match self.spans.last_mut() {
            Some(last) if last.style == style => last.text.push(c),
            _ => self.spans.push(Span::new(c, style)),
        }
    }

    fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

struct Filler {
    width: usize,
    paint: Paint,
    lines: Vec<String>,
    line: Line,
}

impl Filler {
    fn word(&mut self, word: Line) {
        if word.is_empty() {
            return;
        }
        if self.line.width > 0 && self.line.width + word.width > self.width {
            self.end_line();
        }
        for span in word.spans {
            for c in span.text.chars() {
                if self.line.width > 0 && self.line.width + width_of(c) > self.width {
                    self.end_line();
                }
                self.line.push(c, span.style);
            }
        }
    }

    fn space(&mut self, style: Style) {
        if self.line.width < self.width {
            self.line.push(' ', style);
        }
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        if let Some(last) = line.spans.last_mut() {
            last.text.truncate(last.text.trim_end_matches(' ').len());
        }
        self.lines.push(line.spans.iter().map(|s| self.paint.paint(s.style, &s.text)).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str, width: usize) -> Vec<String> {
        wrap(&[Span::new(text, Style::PLAIN)], width, Paint::off())
    }

    #[test]
    fn breaks_between_words_by_columns() {
        assert_eq!(plain("one two three", 8), ["one two", "three"]);
        assert_eq!(plain("日本語 テスト", 6), ["日本語", "テスト"]);
        assert_eq!(plain("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(plain("a\nb", 10), ["a", "b"]);
    }

    #[test]
    fn cuts_to_columns() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 3), "abc");
    }
}
