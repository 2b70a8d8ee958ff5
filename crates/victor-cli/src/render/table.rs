//! Plain tables for lists: aligned columns, cut to the terminal's width only where there is a terminal.

use super::wrap::{columns, cut};
use crate::terminal::harmless;

/// Spaces between columns.
const GAP: usize = 2;

/// Lines of a table with these column titles. With a `width` the last column is cut so that lines fit.
pub(crate) fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]], width: Option<usize>) -> Vec<String> {
    let mut widths = titles.map(columns);
    // Cells hold what servers and files say of themselves.
    let clean = |row: &[String; N]| row.each_ref().map(|cell| harmless(cell).replace('\n', " "));
    let rows: Vec<[String; N]> = rows.iter().map(clean).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(columns(cell));
        }
    }
    let head = titles.map(str::to_uppercase);
    std::iter::once(&head).chain(&rows).map(|row| line(row, &widths, width)).collect()
}

fn line<const N: usize>(row: &[String; N], widths: &[usize; N], limit: Option<usize>) -> String {
    let mut text = String::new();
    for (i, cell) in row.iter().enumerate() {
        text.push_str(cell);
        if i + 1 < N {
            text.push_str(&" ".repeat(widths[i] - columns(cell) + GAP));
        }
    }
    let text = text.trim_end();
    limit.map_or_else(|| text.to_owned(), |limit| cut(text, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_and_cuts_only_on_a_terminal() {
        let rows = [["a".to_owned(), "a long text".to_owned()], ["日本".to_owned(), "x".to_owned()]];
        assert_eq!(table(["id", "text"], &rows, None), ["ID    TEXT", "a     a long text", "日本  x"]);
        assert_eq!(table(["id", "text"], &rows, Some(10))[1], "a     a l…");
        let rows = [["\u{1b}]0;x\u{7}a\u{9b}2J".to_owned(), "b\nc".to_owned()]];
        assert_eq!(table(["id", "text"], &rows, None)[1], "]0;xa2J  b c");
    }
}
