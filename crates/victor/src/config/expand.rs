//! `${NAME}` and `${NAME:-default}`: values from the environment, put in where a value is used.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use victor_core::error::ConfigurationError;

use crate::env::Env;

/// A text with its variables' values. `key` says where the text stands, for messages.
pub(crate) fn text(text: &str, key: &str, env: &Env) -> Result<String, ConfigurationError> {
    let fail = |why: String| ConfigurationError::new(format!("{key}: {why}"));
    let (mut result, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        let end = after.find('}').ok_or_else(|| fail("`${` without its `}`".to_owned()))?;
        result.push_str(before);
        result.push_str(&variable(&after[..end], env).map_err(fail)?);
        rest = &after[end + 1..];
    }
    result.push_str(rest);
    Ok(result)
}

fn variable(inner: &str, env: &Env) -> Result<String, String> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(format!("`${{{inner}}}` names no environment variable"));
    }
    match (env.var(name), default) {
        (Some(value), _) => Ok(value.to_owned()),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!("environment variable {name} is not set; set it, or write `${{{name}:-default}}`")),
    }
}

/// A part of the configuration with the variables' values in all its texts. `key` is the part's key.
pub(crate) fn part<T: Serialize + DeserializeOwned>(value: &T, key: &str, env: &Env) -> Result<T, ConfigurationError> {
    let fail = |e: serde_json::Error| ConfigurationError::new(format!("{key}: {e}"));
    let mut json = serde_json::to_value(value).map_err(fail)?;
    walk(&mut json, key, env)?;
    serde_json::from_value(json).map_err(fail)
}

fn walk(value: &mut Value, key: &str, env: &Env) -> Result<(), ConfigurationError> {
    match value {
        Value::String(s) => *s = text(s, key, env)?,
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                walk(item, &format!("{key}.{i}"), env)?;
            }
        }
        Value::Object(map) => {
            for (name, item) in map.iter_mut() {
                walk(item, &format!("{key}.{name}"), env)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        Env::new("/", [("HOST", "llm.example"), ("EMPTY", "")])
    }

    #[test]
    fn values_and_defaults_are_put_in() {
        let expanded = text("https://${HOST}:${PORT:-443}/${EMPTY:-v1}$", "providers.x.base_url", &env()).unwrap();
        assert_eq!(expanded, "https://llm.example:443/v1$");
    }

    #[test]
    fn what_is_not_set_is_an_error_that_names_key_and_variable() {
        let error = text("${MISSING}", "providers.x.api_key", &env()).unwrap_err().message;
        assert!(error.contains("providers.x.api_key") && error.contains("MISSING"), "{error}");
        assert!(text("${HOST", "k", &env()).is_err());
        assert!(text("${a b}", "k", &env()).is_err());
    }

    #[test]
    fn values_are_not_expanded_again() {
        let env = Env::new("/", [("A", "${B}"), ("B", "secret")]);
        assert_eq!(text("${A}", "k", &env).unwrap(), "${B}");
    }
}
