//! What a plain text of YAML means: YAML 1.2's core schema, without YAML 1.1's `yes` and `on`.

use serde_json::Number;

use super::tree::{Kind, Node, Style};

/// A value that is no list and no mapping.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    /// A text into which the environment was put: what is expected decides what it is.
    Expanded(String),
}

impl Scalar {
    /// The number that it is.
    pub(crate) fn number(self) -> Option<Number> {
        match self.resolved() {
            Self::Number(n) => Some(n),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::Expanded(_) => None,
        }
    }

    /// What a text with the environment put in is, read as if it were written so.
    pub(crate) fn resolved(self) -> Self {
        match self {
            Self::Expanded(text) => resolve(&text, Style::Plain),
            other => other,
        }
    }
}

/// What a text means.
pub(crate) fn resolve(text: &str, style: Style) -> Scalar {
    if style == Style::Quoted {
        return Scalar::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        _ => number(text).map_or_else(|| Scalar::Text(text.to_owned()), Scalar::Number),
    }
}

/// A key as a text: `True` is `true`, everything else as it stands.
pub(crate) fn key(text: &str, style: Style) -> String {
    match resolve(text, style) {
        Scalar::Bool(b) => b.to_string(),
        Scalar::Null | Scalar::Number(_) | Scalar::Text(_) | Scalar::Expanded(_) => text.to_owned(),
    }
}

fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(Number::from);
    }
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    if leading_zero {
        return None;
    }
    if let Ok(n) = text.parse::<i64>() {
        return Some(Number::from(n));
    }
    if let Ok(n) = text.parse::<u64>() {
        return Some(Number::from(n));
    }
    let float = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    if float { text.parse::<f64>().ok().and_then(Number::from_f64) } else { None }
}

/// A node for a person: what it is, and the value where that is short.
pub(crate) fn described(node: &Node) -> String {
    match &node.kind {
        Kind::List(_) => "a list".to_owned(),
        Kind::Mapping(_) => "a mapping".to_owned(),
        Kind::Scalar { text, style } => {
            let short: String = text.chars().take(40).collect();
            match resolve(text, *style) {
                Scalar::Null => "nothing".to_owned(),
                Scalar::Bool(b) => format!("the boolean {b}"),
                Scalar::Number(n) => format!("the number {n}"),
                Scalar::Text(_) | Scalar::Expanded(_) => {
                    let hint = match text.as_str() {
                        "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => " (write `true`)",
                        "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => " (write `false`)",
                        _ => "",
                    };
                    format!("the text `{short}`{hint}")
                }
            }
        }
    }
}

/// A tree as JSON.
pub(crate) fn json(node: &Node) -> serde_json::Value {
    use serde_json::Value;
    match &node.kind {
        Kind::List(items) => Value::Array(items.iter().map(json).collect()),
        Kind::Mapping(entries) => {
            let entry = |(k, v): &(Node, Node)| match &k.kind {
                Kind::Scalar { text, style } => (key(text, *style), json(v)),
                Kind::List(_) | Kind::Mapping(_) => (String::new(), json(v)),
            };
            Value::Object(entries.iter().map(entry).collect())
        }
        Kind::Scalar { text, style } => match resolve(text, *style) {
            Scalar::Null => Value::Null,
            Scalar::Bool(b) => Value::Bool(b),
            Scalar::Number(n) => Value::Number(n),
            Scalar::Text(text) | Scalar::Expanded(text) => Value::String(text),
        },
    }
}
