//! Edits of a text: exact, unique, all or none, with an error that shows the nearest text where there is no match.

use victor_core::error::ToolError;

use super::edit::TextEdit;
use super::text::{Lines, decode, encode};

/// Lines of a file that are looked through for the nearest text.
const NEAR_LINES: usize = 20_000;

/// The file `old` with all `edits`, one after the other, and how many places were replaced.
pub(super) fn apply(shown: &str, old: &[u8], edits: &[TextEdit]) -> Result<(Vec<u8>, usize), ToolError> {
    let (encoding, mut text) = decode(old);
    let mut places = 0;
    for (n, edit) in edits.iter().enumerate() {
        let which = if edits.len() == 1 { String::new() } else { format!("edit {} of {}: ", n + 1, edits.len()) };
        let none = if edits.len() == 1 { "" } else { "; no edit was made" };
        let fail = |why: String| ToolError::model(format!("{which}{why}{none}"));
        let (next, count) = one(shown, &text, edit).map_err(fail)?;
        text = next;
        places += count;
    }
    let new = encode(encoding, &text).ok_or_else(|| {
        ToolError::model(format!("`{shown}` is no UTF-8 but one byte a character, and the new text does not fit that"))
    })?;
    Ok((new, places))
}

fn one(shown: &str, text: &str, edit: &TextEdit) -> Result<(String, usize), String> {
    if edit.old_string.is_empty() {
        return Err("old_string is empty; use write to make a file or to replace all of it".to_owned());
    }
    let lines = Lines::new(text);
    let wanted = edit.old_string.replace("\r\n", "\n");
    if wanted == edit.new_string.replace("\r\n", "\n") {
        return Err("old_string and new_string are the same".to_owned());
    }
    let found: Vec<_> = lines.plain.match_indices(&wanted).map(|(at, m)| at..at + m.len()).collect();
    match found.as_slice() {
        [] => Err(not_found(shown, &lines.plain, &wanted)),
        [_] => Ok((lines.replace(&found, &edit.new_string), 1)),
        many if edit.replace_all => Ok((lines.replace(many, &edit.new_string), many.len())),
        many => {
            let at: Vec<_> = many.iter().take(8).map(|r| line_of(&lines.plain, r.start).to_string()).collect();
            Err(format!(
                "old_string occurs {} times in `{shown}` (at line {}{}); add lines around it to make it unique, or set \
                 replace_all",
                many.len(),
                at.join(", "),
                if many.len() > 8 { ", ..." } else { "" }
            ))
        }
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn not_found(shown: &str, text: &str, wanted: &str) -> String {
    let base = format!("old_string was not found in `{shown}`");
    let Some(near) = nearest(text, wanted) else {
        return format!("{base}, nor anything like it; read the file again");
    };
    let hint = if near.only_space { " (it differs in white space only)" } else { "" };
    format!("{base}; the nearest text is at line {}{hint}:\n{}", near.line, near.text)
}

struct Near {
    line: usize,
    text: String,
    only_space: bool,
}

/// The lines of `text` that are most like `wanted`, if any are like it at all.
fn nearest(text: &str, wanted: &str) -> Option<Near> {
    let wanted: Vec<&str> = wanted.trim_matches('\n').split('\n').collect();
    let lines: Vec<&str> = text.split('\n').take(NEAR_LINES).collect();
    let pairs: Vec<_> = wanted.iter().take(12).map(|l| Pairs::of(l)).collect();
    let lines_pairs: Vec<_> = lines.iter().map(|l| Pairs::of(l)).collect();
    let score = |at: usize| {
        let both = lines_pairs[at..].iter().zip(&pairs);
        both.map(|(a, b)| a.likeness(b)).sum::<f64>() / pairs.len() as f64
    };
    let best = (0..lines.len()).map(|at| (score(at), at)).reduce(|a, b| if b.0 > a.0 { b } else { a })?;
    if best.0 < 0.4 {
        return None;
    }
    let window = &lines[best.1..lines.len().min(best.1 + wanted.len())];
    let squeezed = |l: &[&str]| l.iter().flat_map(|l| l.chars()).filter(|c| !c.is_whitespace()).collect::<String>();
    let shown: String = window.iter().take(30).map(|l| clipped(l)).collect::<Vec<_>>().join("\n");
    Some(Near { line: best.1 + 1, only_space: squeezed(window) == squeezed(&wanted), text: shown })
}

fn clipped(line: &str) -> String {
    line.chars().take(400).collect()
}

/// The pairs of neighbouring characters of a line, sorted.
struct Pairs(Vec<(char, char)>);

impl Pairs {
    fn of(line: &str) -> Self {
        let chars: Vec<char> = line.chars().filter(|c| !c.is_whitespace()).take(200).collect();
        let mut pairs: Vec<_> = match chars.as_slice() {
            [only] => vec![(*only, ' ')],
            more => more.windows(2).map(|w| (w[0], w[1])).collect(),
        };
        pairs.sort_unstable();
        Self(pairs)
    }

    /// From 0 to 1 (the Dice coefficient).
    fn likeness(&self, other: &Self) -> f64 {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = 0;
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            match x.cmp(y) {
                std::cmp::Ordering::Less => drop(a.next()),
                std::cmp::Ordering::Greater => drop(b.next()),
                std::cmp::Ordering::Equal => {
                    both += 1;
                    a.next();
                    b.next();
                }
            }
        }
        let all = self.0.len() + other.0.len();
        if all == 0 { 1.0 } else { 2.0 * f64::from(both) / all as f64 }
    }
}
