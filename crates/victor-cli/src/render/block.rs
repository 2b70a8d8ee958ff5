//! Renders one finished piece of Markdown (a paragraph, a list item, a table, ...) into lines of a terminal.

use pulldown_cmark::{Alignment, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::style::{Color, Paint, Style};
use super::wrap::{Span, columns, wrap};
use crate::terminal::harmless;

/// The lines of `source`, at most `width` columns wide; code is never broken.
pub(crate) fn block(source: &str, width: usize, paint: Paint) -> Vec<String> {
    let mut renderer = Renderer::new(width, paint);
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    for event in Parser::new_ext(source, options) {
        renderer.event(event);
    }
    renderer.flush();
    renderer.lines
}

/// What stands before the lines of a container: a bullet before the first, spaces before the others.
struct Prefix {
    first: Option<String>,
    rest: String,
}

struct Renderer {
    width: usize,
    paint: Paint,
    lines: Vec<String>,
    prefixes: Vec<Prefix>,
    styles: Vec<Style>,
    spans: Vec<Span>,
    lists: Vec<Option<u64>>,
    links: Vec<(String, usize)>,
    code: Option<String>,
    table: Option<Table>,
    blank: bool,
}

#[derive(Default)]
struct Table {
    alignments: Vec<Alignment>,
    rows: Vec<Vec<String>>,
}

impl Renderer {
    fn new(width: usize, paint: Paint) -> Self {
        Self {
            width,
            paint,
            lines: Vec::new(),
            prefixes: Vec::new(),
            styles: vec![Style::PLAIN],
            spans: Vec::new(),
            lists: Vec::new(),
            links: Vec::new(),
            code: None,
            table: None,
            blank: false,
        }
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text),
            Event::Code(text) => {
                let style = Style { color: Some(Color::Cyan), ..self.style() };
                self.span(&text, style);
            }
            Event::Html(text) | Event::InlineHtml(text) => self.text(&text),
            Event::InlineMath(text) | Event::DisplayMath(text) => self.text(&text),
            Event::FootnoteReference(name) => self.text(&format!("[^{name}]")),
            Event::SoftBreak => self.text(" "),
            Event::HardBreak => self.text("\n"),
            Event::Rule => {
                self.separate();
                let room = self.room();
                self.line(&self.paint.dim(&"─".repeat(room.min(40))));
                self.blank = true;
            }
            Event::TaskListMarker(done) => self.text(if done { "[x] " } else { "[ ] " }),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.separate(),
            Tag::Heading { level, .. } => {
                self.separate();
                let underline = level == HeadingLevel::H1;
                self.push(|s| Style { bold: true, underline, color: Some(Color::Magenta), ..s });
            }
            Tag::BlockQuote(_) => {
                self.separate();
                let bar = self.paint.dim("│ ");
                self.prefixes.push(Prefix { first: None, rest: bar });
            }
            Tag::CodeBlock(_) => {
                self.separate();
                self.code = Some(String::new());
            }
            Tag::List(start) => {
                if !self.spans.is_empty() {
                    self.flush();
                } else if self.lists.is_empty() {
                    self.separate();
                }
                self.lists.push(start);
            }
            Tag::Item => self.item(),
            Tag::Emphasis => self.push(|s| Style { italic: true, ..s }),
            Tag::Strong => self.push(|s| Style { bold: true, ..s }),
            Tag::Strikethrough => self.push(|s| Style { strike: true, ..s }),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.links.push((dest_url.into_string(), self.spans.len()));
                self.push(|s| Style { underline: true, color: Some(Color::Blue), ..s });
            }
            Tag::Table(alignments) => {
                self.separate();
                self.table = Some(Table { alignments, rows: Vec::new() });
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.rows.push(Vec::new());
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => {
                self.flush();
                self.blank = true;
            }
            TagEnd::Heading(_) => {
                self.flush();
                self.styles.pop();
                self.blank = true;
            }
            TagEnd::BlockQuote(_) => {
                self.prefixes.pop();
                self.blank = true;
            }
            TagEnd::CodeBlock => self.end_code(),
            TagEnd::List(_) => {
                self.lists.pop();
                self.blank = self.lists.is_empty();
            }
            TagEnd::Item => {
                self.flush();
                self.prefixes.pop();
            }
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => {
                self.styles.pop();
            }
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::TableCell => {
                let cell: String = self.spans.drain(..).map(|s| s.text).collect();
                if let Some(row) = self.table.as_mut().and_then(|t| t.rows.last_mut()) {
                    row.push(cell);
                }
            }
            TagEnd::Table => self.end_table(),
            _ => {}
        }
    }

    fn item(&mut self) {
        let bullet = match self.lists.last_mut() {
            Some(Some(number)) => {
                let bullet = format!("{number}. ");
                *number += 1;
                bullet
            }
            _ => "• ".to_owned(),
        };
        if self.blank {
            self.separate();
        }
        let rest = " ".repeat(columns(&bullet));
        self.prefixes.push(Prefix { first: Some(bullet), rest });
    }

    fn end_link(&mut self) {
        self.styles.pop();
        let Some((url, from)) = self.links.pop() else { return };
        let text: String = self.spans[from.min(self.spans.len())..].iter().map(|s| s.text.as_str()).collect();
        if !url.is_empty() && text != url && format!("mailto:{text}") != url {
            self.span(&format!(" ({url})"), Style::DIM);
        }
    }

    fn end_code(&mut self) {
        let code = self.code.take().unwrap_or_default();
        for line in code.lines() {
            self.line(&code_line(line, self.paint));
        }
        self.blank = true;
    }

    fn end_table(&mut self) {
        let Some(table) = self.table.take() else { return };
        let room = self.room();
        for line in table.show(room, self.paint) {
            self.line(&line);
        }
        self.blank = true;
    }

    fn text(&mut self, text: &str) {
        match &mut self.code {
            Some(code) => code.push_str(text),
            None => self.span(text, self.style()),
        }
    }

    fn span(&mut self, text: &str, style: Style) {
        self.spans.push(Span::new(harmless(text), style));
    }

    fn style(&self) -> Style {
        self.styles.last().copied().unwrap_or_default()
    }

    fn push(&mut self, change: impl FnOnce(Style) -> Style) {
        self.styles.push(change(self.style()));
    }

    /// Writes what text there is, wrapped.
    fn flush(&mut self) {
        if self.spans.is_empty() {
            return;
        }
        let spans = std::mem::take(&mut self.spans);
        for line in wrap(&spans, self.room(), self.paint) {
            self.line(&line);
        }
    }

    /// The columns that the containers leave.
    fn room(&self) -> usize {
        let used: usize = self.prefixes.iter().map(|p| p.first.as_ref().map_or(2, |f| columns(f))).sum();
        self.width.saturating_sub(used.min(self.width / 2)).max(8)
    }

    /// An empty line between this block and the one before.
    fn separate(&mut self) {
        self.flush();
        if self.blank && !self.lines.is_empty() {
            let prefix: String = self.prefixes.iter().map(|p| p.rest.as_str()).collect();
            self.lines.push(prefix.trim_end().to_owned());
        }
        self.blank = false;
    }

    fn line(&mut self, text: &str) {
        let mut line = String::new();
        for prefix in &mut self.prefixes {
            line.push_str(prefix.first.take().as_deref().unwrap_or(&prefix.rest));
        }
        line.push_str(text);
        self.lines.push(line);
    }
}

/// A line of a code block, as it is.
pub(crate) fn code_line(line: &str, paint: Paint) -> String {
    format!("  {}", paint.paint(Style::color(Color::Cyan), &harmless(line)))
}

impl Table {
    fn show(&self, width: usize, paint: Paint) -> Vec<String> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let column = |i: usize| self.rows.iter().filter_map(|r| r.get(i)).map(|c| columns(c)).max().unwrap_or(0);
        let widths: Vec<usize> = (0..count).map(column).collect();
        let total: usize = widths.iter().sum::<usize>() + 3 * count.saturating_sub(1);
        if total > width {
            return self.records(width, paint);
        }
        let mut lines: Vec<String> = self.rows.iter().map(|r| self.row(r, &widths)).collect();
        if let Some(head) = lines.first_mut() {
            *head = paint.bold(head);
        }
        let rule: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
        lines.insert(1.min(lines.len()), paint.dim(&rule.join("─┼─")));
        lines
    }

    fn row(&self, row: &[String], widths: &[usize]) -> String {
        let cell = |i: usize| {
            let text = row.get(i).map_or("", String::as_str);
            let space = widths[i] - columns(text);
            let before = match self.alignments.get(i) {
                Some(Alignment::Right) => space,
                Some(Alignment::Center) => space / 2,
                _ => 0,
            };
            format!("{}{text}{}", " ".repeat(before), " ".repeat(space - before))
        };
        let cells: Vec<String> = (0..widths.len()).map(cell).collect();
        cells.join(" │ ").trim_end().to_owned()
    }

    /// A table that is too wide: one line a cell, under its column's title.
    fn records(&self, width: usize, paint: Paint) -> Vec<String> {
        let Some((head, rows)) = self.rows.split_first() else { return Vec::new() };
        let mut lines = Vec::new();
        for row in rows {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            for (i, cell) in row.iter().enumerate() {
                let title = head.get(i).map_or("", String::as_str);
                let spans = [Span::new(format!("{title}: "), Style::BOLD), Span::new(cell.clone(), Style::PLAIN)];
                lines.extend(wrap(&spans, width, paint));
            }
        }
        lines
    }
}
