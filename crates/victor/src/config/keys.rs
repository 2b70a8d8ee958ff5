//! The keys that exist: paths looked up in the schema, and text turned into a value of a key's type.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};
use victor_core::error::ConfigurationError;

use super::document::{plain, strict};
use super::schema::{self, Config};

/// The path of a key, such as `providers.local.base_url`.
pub(crate) type Path = Vec<String>;

/// Splits `a.b."c.d"`: a part in quotes may hold dots.
pub(crate) fn split(key: &str) -> Result<Path, ConfigurationError> {
    let fail = || ConfigurationError::new(format!("`{key}` is not a key; write it as in `providers.local.base_url`"));
    let (mut path, mut rest) = (Vec::new(), key.trim());
    loop {
        let part;
        if let Some(quoted) = rest.strip_prefix('"') {
            let (inner, after) = quoted.split_once('"').ok_or_else(fail)?;
            part = inner;
            rest = after;
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            (part, rest) = rest.split_at(end);
        }
        if part.is_empty() {
            return Err(fail());
        }
        path.push(part.to_owned());
        match rest.strip_prefix('.') {
            Some(more) => rest = more,
            None if rest.is_empty() => return Ok(path),
            None => return Err(fail()),
        }
    }
}

/// A path as text, the other way round.
pub(crate) fn joined(path: &[String]) -> String {
    let quoted = |part: &String| if part.contains('.') { format!("\"{part}\"") } else { part.clone() };
    path.iter().map(quoted).collect::<Vec<_>>().join(".")
}

/// Checks that a key exists.
pub(crate) fn check(path: &[String]) -> Result<(), ConfigurationError> {
    find(path).map(drop)
}

/// The value of a key from its text: texts as they are, everything else as YAML. Lists and mappings can be JSON.
pub(crate) fn value(path: &[String], text: &str) -> Result<Value, ConfigurationError> {
    let schema = find(path)?;
    let name = joined(path);
    let value = if takes_text(schema) { unquoted(text) } else { strict::<Value>(&name, text)? };
    let document = nested(path, value.clone());
    let checked = match serde_json::from_value::<Config>(document) {
        Ok(config) => config.check().into_iter().next().map_or(Ok(()), |(_, why)| Err(why)),
        Err(e) => Err(plain(&e.to_string())),
    };
    checked.map(|()| value).map_err(|e| ConfigurationError::new(format!("{name}: `{text}` does not fit: {e}")))
}

/// `{a: {b: value}}` for the path `a.b`.
pub(crate) fn nested(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |value, key| Value::Object(Map::from_iter([(key.clone(), value)])))
}

/// Sets the value at a path; what is no mapping on the way becomes one.
pub(crate) fn put(root: &mut Value, path: &[String], value: Value) {
    let Some((key, rest)) = path.split_first() else {
        *root = value;
        return;
    };
    if !root.is_object() {
        *root = Value::Object(Map::new());
    }
    put(&mut root[key.as_str()], rest, value);
}

/// The value at a path.
pub(crate) fn at<'a>(root: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(root, |value, key| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    })
}

/// The path that `SERVER__PORT` names: each part fits a key whatever the case, with `_` for `-` and `.`. A part that
/// names an entry of the user's own is one of `existing` where it fits, else it is taken in lower case.
pub(crate) fn from_variable(parts: &[&str], existing: &Value) -> Result<Path, ConfigurationError> {
    let mut schema = schema_root();
    let (mut here, mut path) = (Some(existing), Vec::new());
    for part in parts {
        let names: Vec<&str> = properties(schema).keys().map(String::as_str).collect();
        let key = match names.iter().find(|n| fits(n, part)) {
            Some(name) => (*name).to_owned(),
            None if entries(schema).is_some() => own_name(part, here),
            None => return Err(unknown(part, &names)),
        };
        schema = child(schema, &key).ok_or_else(|| unknown(part, &names))?;
        here = here.and_then(|h| h.get(&key));
        path.push(key);
    }
    Ok(path)
}

fn own_name(part: &str, existing: Option<&Value>) -> String {
    let known = existing.and_then(Value::as_object);
    let found = known.and_then(|map| map.keys().find(|k| fits(k, part)));
    found.cloned().unwrap_or_else(|| part.to_lowercase())
}

fn fits(key: &str, part: &str) -> bool {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    key.chars().map(plain).eq(part.chars().map(plain))
}

fn unknown(part: &str, names: &[&str]) -> ConfigurationError {
    let part = part.to_lowercase();
    let error = ConfigurationError::unknown("key", "INVALID_VALUE", &part, names.iter().copied());
    if error.message.contains("did you mean") || names.is_empty() {
        return error;
    }
    ConfigurationError::new(format!("{error}; the keys here are {}", names.join(", ")))
}

/// The names of the keys at the top.
pub(crate) fn top() -> Vec<&'static str> {
    properties(schema_root()).keys().map(String::as_str).collect()
}

fn find(path: &[String]) -> Result<&'static Value, ConfigurationError> {
    path.iter().try_fold(schema_root(), |schema, key| {
        child(schema, key).ok_or_else(|| {
            let names: Vec<&str> = properties(schema).keys().map(String::as_str).collect();
            let ConfigurationError { message, code, .. } = unknown(key, &names);
            ConfigurationError::with_code(code, format!("{}: {message}", joined(path)))
        })
    })
}

fn schema_root() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(schema::inlined)
}

fn child<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    variants(schema).find_map(|s| {
        s.get("properties").and_then(|p| p.get(key)).or_else(|| s.get("additionalProperties").filter(|a| a.is_object()))
    })
}

fn entries(schema: &Value) -> Option<&Value> {
    variants(schema).find_map(|s| s.get("additionalProperties").filter(|a| a.is_object()))
}

fn properties(schema: &'static Value) -> &'static Map<String, Value> {
    static NONE: OnceLock<Map<String, Value>> = OnceLock::new();
    let found = variants(schema).find_map(|s| s.get("properties").and_then(Value::as_object));
    found.unwrap_or_else(|| NONE.get_or_init(Map::new))
}

/// A schema and the alternatives that it offers (`anyOf`, for what may be left out).
fn variants(schema: &Value) -> impl Iterator<Item = &Value> {
    let alternatives = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|k| schema.get(k)?.as_array()).flatten();
    std::iter::once(schema).chain(alternatives)
}

fn takes_text(schema: &Value) -> bool {
    let text = |s: &Value| match s.get("type") {
        Some(Value::String(t)) => t == "string",
        Some(Value::Array(types)) => types.contains(&json!("string")),
        _ => s.get("enum").is_some() || s.get("const").is_some(),
    };
    variants(schema).any(text)
}

/// A text in quotes means what stands in them.
fn unquoted(text: &str) -> Value {
    let quoted = text.len() > 1 && (text.starts_with('"') && text.ends_with('"'));
    match quoted.then(|| serde_json::from_str::<String>(text)) {
        Some(Ok(inner)) => Value::String(inner),
        _ => Value::String(text.to_owned()),
    }
}
