//! A unified diff with colours, cut where it gets long.

use super::style::{Color, Paint, Style};
use super::wrap::cut;
use crate::terminal::harmless;

/// Lines of a diff that are shown.
const LINES: usize = 40;

/// The lines of a unified diff, indented, coloured and cut to `width` columns.
pub(crate) fn diff(diff: &str, width: usize, paint: Paint) -> Vec<String> {
    let all = diff.lines().count();
    let mut lines: Vec<String> = diff.lines().take(LINES).map(|line| one(line, width, paint)).collect();
    if all > LINES {
        lines.push(paint.dim(&format!("  … {} more lines", all - LINES)));
    }
    lines
}

fn one(line: &str, width: usize, paint: Paint) -> String {
    let style = match line.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => Style::BOLD,
        [b'+', ..] => Style::color(Color::Green),
        [b'-', ..] => Style::color(Color::Red),
        [b'@', ..] => Style::color(Color::Cyan),
        _ => Style::PLAIN,
    };
    let text = cut(&harmless(line), width.saturating_sub(2).max(1));
    format!("  {}", paint.paint(style, &text))
}
