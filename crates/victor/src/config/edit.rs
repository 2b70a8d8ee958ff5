//! Changes of `config.yaml` that leave comments, order and everything else as they are.
//!
//! A change is made in the text, and counts only if the changed text says exactly what it should.

use serde_json::Value;
use victor_core::error::ConfigurationError;

use super::document::{self, LIMIT};
use super::keys::{self, Path};
use super::schema::Config;
use super::tree::{self, Kind, Node, Style};
use crate::home::Home;
use crate::platform::{self, Content, Links};

/// Sets a key in the user's configuration file. Text is taken as it is where the key holds text, as YAML elsewhere.
///
/// # Errors
/// The key does not exist (with the nearest one), the value does not fit it, the file is wrong as it stands, or the
/// change cannot be made without a loss.
pub fn set(home: &Home, key: &str, text: &str) -> Result<(), ConfigurationError> {
    let path = keys::split(key)?;
    let value = keys::value(&path, text)?;
    put(home, &path, &value)
}

/// Sets a key in the user's configuration file to a value that fits it.
pub(crate) fn put(home: &Home, path: &Path, value: &Value) -> Result<(), ConfigurationError> {
    let wanted = |json: &mut Value| keys::put(json, path, value.clone());
    change(home, path, wanted, |text| with_value(text, path, value))
}

/// Removes a key from the user's configuration file. Tells whether it was there.
pub(crate) fn remove(home: &Home, path: &Path) -> Result<bool, ConfigurationError> {
    let mut found = false;
    let wanted = |json: &mut Value| {
        let parent = path
            .split_last()
            .and_then(|(last, above)| above.iter().try_fold(json, |v, k| v.get_mut(k))?.as_object_mut()?.remove(last));
        found = parent.is_some();
    };
    change(home, path, wanted, |text| without(text, path))?;
    Ok(found)
}

fn change(
    home: &Home,
    path: &Path,
    wanted: impl FnOnce(&mut Value),
    edit: impl FnOnce(&str) -> Option<String>,
) -> Result<(), ConfigurationError> {
    let _lock = home.lock()?;
    let file = home.config();
    let name = file.display().to_string();
    let fail = |why: String| ConfigurationError::new(format!("{name}: {why}"));
    let text = match platform::read_limited(&file, LIMIT, Links::Follow) {
        Ok(Content::Missing) => String::new(),
        Ok(Content::Bytes(bytes)) => String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8".to_owned()))?,
        Ok(Content::TooLong(_)) => return Err(fail(format!("it is longer than {LIMIT} bytes"))),
        Err(e) => return Err(fail(format!("it cannot be read: {e}"))),
    };
    let mut json = document::to_json(&document::parse(&name, &text)?.config);
    let before = json.clone();
    wanted(&mut json);
    if json == before {
        return Ok(());
    }
    let by_hand = || {
        fail(format!(
            "`{}` cannot be changed here without a loss of comments or form; edit it by hand",
            keys::joined(path)
        ))
    };
    let wanted: Config = serde_json::from_value(json).map_err(|e| fail(e.to_string()))?;
    let changed = edit(&text).ok_or_else(by_hand)?;
    match document::parse(&name, &changed) {
        Ok(after) if after.config == wanted => {}
        _ => return Err(by_hand()),
    }
    platform::replace_file(&file, changed.as_bytes()).map_err(|e| fail(format!("it cannot be written: {e}")))
}

/// The text with `value` at `path`; `None` where that cannot be written for certain.
fn with_value(text: &str, path: &[String], value: &Value) -> Option<String> {
    let root = tree::parse(text).filter(|n| !n.is_empty());
    let Some(root) = root else {
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return Some(format!("{text}{gap}{}\n", block(path, value, 0)));
    };
    let mut node = &root;
    for (i, part) in path.iter().enumerate() {
        let rest = &path[i + 1..];
        let Some((key, held)) = node.entry(part) else { return inserted(text, node, &path[i..], value) };
        match &held.kind {
            Kind::Mapping(..) if !rest.is_empty() => node = held,
            Kind::Scalar(s) if !rest.is_empty() && !matches!(s.as_str(), "" | "~" | "null") => return None,
            Kind::Sequence(..) | Kind::Alias if !rest.is_empty() => return None,
            _ => return replaced(text, key, held, &inline(&keys::nested(rest, value.clone()))),
        }
    }
    None
}

fn inserted(text: &str, mapping: &Node, path: &[String], value: &Value) -> Option<String> {
    let Kind::Mapping(style, entries) = &mapping.kind else { return None };
    let (key, rest) = path.split_first()?;
    let flow = || format!("{}: {}", scalar(key), inline(&keys::nested(rest, value.clone())));
    match (style, entries.last()) {
        (Style::Flow, None) => Some(spliced(text, mapping.start, mapping.end, &format!("{{{}}}", flow()))),
        (Style::Flow, Some((key, held))) => {
            let end = held.end.max(key.end);
            Some(spliced(text, end, end, &format!(", {}", flow())))
        }
        (Style::Block, None) => None,
        (Style::Block, Some((last, held))) => {
            let end = end_of_line(text, held.end.max(last.end));
            let gap = if text[..end].ends_with('\n') { "" } else { "\n" };
            let after = if gap.is_empty() { "\n" } else { "" };
            let indent = entries.first()?.0.column;
            Some(spliced(text, end, end, &format!("{gap}{}{after}", block(path, value, indent))))
        }
    }
}

fn replaced(text: &str, key: &Node, held: &Node, new: &str) -> Option<String> {
    let colon = key.end + text.get(key.end..)?.find(':')? + 1;
    if held.is_empty() {
        return Some(spliced(text, colon, colon, &format!(" {new}")));
    }
    let old = text.get(colon..held.end)?;
    let block_text = old.trim_start().starts_with(['|', '>']);
    let on_own_lines = matches!(&held.kind, Kind::Mapping(Style::Block, _) | Kind::Sequence(Style::Block, _));
    // What begins with `#` inside a block text belongs to it; elsewhere it is a comment that would be lost.
    let commented =
        if block_text { old.lines().next()?.contains('#') } else { old.contains('\n') && old.contains('#') };
    if commented {
        return None;
    }
    let newline = if old.ends_with('\n') { "\n" } else { "" };
    let start = if block_text || on_own_lines { colon } else { held.start };
    let gap = if start == colon { " " } else { "" };
    Some(spliced(text, start, held.end, &format!("{gap}{new}{newline}")))
}

/// The text without the key at `path`, and without what would be empty then.
fn without(text: &str, path: &[String]) -> Option<String> {
    let root = tree::parse(text)?;
    let (last, above) = path.split_last()?;
    let parent = above.iter().try_fold(&root, |node, key| node.entry(key).map(|(_, held)| held))?;
    let Kind::Mapping(style, entries) = &parent.kind else { return None };
    if entries.len() == 1 && !above.is_empty() {
        return without(text, above);
    }
    let at = entries.iter().position(|(k, _)| matches!(&k.kind, Kind::Scalar(s) if s == last))?;
    let (key, held) = &entries[at];
    let end = held.end.max(key.end);
    match style {
        Style::Flow => match (entries.get(at + 1), at.checked_sub(1).map(|i| &entries[i])) {
            (Some((next, _)), _) => Some(spliced(text, key.start, next.start, "")),
            (None, Some((_, before))) => Some(spliced(text, before.end, end, "")),
            (None, None) => Some(spliced(text, key.start, end, "")),
        },
        Style::Block => {
            let start = text[..key.start].rfind('\n').map_or(0, |i| i + 1);
            let blank = text[start..key.start].chars().all(|c| c == ' ');
            let end = end_of_line(text, end);
            let end = if text[..end].ends_with('\n') { end } else { (end + 1).min(text.len()) };
            blank.then(|| spliced(text, start, end, ""))
        }
    }
}

fn end_of_line(text: &str, from: usize) -> usize {
    if text[..from].ends_with('\n') {
        return from;
    }
    text[from..].find('\n').map_or(text.len(), |i| from + i)
}

fn spliced(text: &str, start: usize, end: usize, new: &str) -> String {
    format!("{}{new}{}", &text[..start], &text[end..])
}

/// `a:` and `b: value` on lines of their own; no newline at the end.
fn block(path: &[String], value: &Value, indent: usize) -> String {
    let lines = path.iter().enumerate().map(|(i, key)| {
        let last = if i + 1 == path.len() { format!(" {}", inline(value)) } else { String::new() };
        format!("{:width$}{}:{last}", "", scalar(key), width = indent + 2 * i)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A value on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::String(s) => scalar(s),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let fields = map.iter().map(|(k, v)| format!("{}: {}", scalar(k), inline(v)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A text without quotes where nothing could take it for something else.
fn scalar(text: &str) -> String {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
        && !words.contains(&text.to_lowercase().as_str());
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests;
