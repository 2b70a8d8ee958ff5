//! What a run is given on the command line: its input, single values, and answers to its questions.

use serde_json::{Map, Value};
use victor::workflow::{Question, QuestionKind};

use crate::exit::Failure;
use crate::stdin;

/// The input of a run: `--input`, with the values of `--set` over it. `schema` is that of the workflow's inputs.
///
/// # Errors
/// A text is no JSON object, or a value has no name.
pub(super) async fn input(json: Option<String>, set: &[String], schema: Option<&Value>) -> Result<Value, Failure> {
    let mut input = match json {
        None => Map::new(),
        Some(text) => object(text).await?,
    };
    for pair in set {
        let (key, text) = pair
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| Failure::usage(format!("`--set {pair}` is not of the form KEY=VALUE")))?;
        input.insert(key.to_owned(), value(text, kind(schema, key)));
    }
    Ok(Value::Object(input))
}

async fn object(text: String) -> Result<Map<String, Value>, Failure> {
    let (text, place) = match text.strip_prefix('@') {
        _ if text == "-" => (stdin::everything().await?, "stdin".to_owned()),
        Some(path) => {
            let read = std::fs::read_to_string(path);
            (read.map_err(|e| Failure::usage(format!("{path} cannot be read: {e}")))?, path.to_owned())
        }
        None => (text, "--input".to_owned()),
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Failure::usage(format!("{place} holds no JSON object of names and values"))),
        Err(e) => Err(Failure::usage(format!("{place} is no JSON: {e}"))),
    }
}

/// The declared kind of an input, `-` and `_` alike.
fn kind<'a>(schema: Option<&'a Value>, key: &str) -> Option<&'a str> {
    let properties = schema?.get("properties")?.as_object()?;
    let (_, property) = properties.iter().find(|(name, _)| name.replace('-', "_") == key.replace('-', "_"))?;
    property.get("type")?.as_str()
}

/// A text stays one where a text is wanted; else it is JSON where it can be.
fn value(text: &str, kind: Option<&str>) -> Value {
    let as_text = || Value::String(text.to_owned());
    if kind == Some("string") { as_text() } else { serde_json::from_str(text).unwrap_or_else(|_| as_text()) }
}

/// Answers that were given before anything was asked: by the question's id or its node.
///
/// # Errors
/// One is not of the form `NODE=ANSWER`.
pub(super) fn answers(given: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let pair = |text: &String| {
        let (node, answer) = text.split_once('=').filter(|(node, _)| !node.is_empty())?;
        Some((node.to_owned(), answer.to_owned()))
    };
    let usage = |text: &String| Failure::usage(format!("`--answer {text}` is not of the form NODE=ANSWER"));
    given.iter().map(|text| pair(text).ok_or_else(|| usage(text))).collect()
}

/// Whether an answer is meant for a question.
pub(super) fn is_for(node: &str, question: &Question) -> bool {
    let same = |a: &str| a.replace('-', "_") == node.replace('-', "_");
    same(&question.id) || same(&question.node)
}

/// What a person typed as an answer.
pub(super) fn typed(question: &Question, text: &str) -> Value {
    let text = text.trim();
    if question.kind == QuestionKind::Choice
        && let Ok(n) = text.parse::<usize>()
        && !question.options.iter().any(|o| o == text)
        && let Some(option) = n.checked_sub(1).and_then(|n| question.options.get(n))
    {
        return Value::String(option.clone());
    }
    Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_follows_the_declared_kind() {
        let schema = json!({"properties": {"issue_id": {"type": "string"}, "n": {"type": "integer"}}});
        assert_eq!(value("12", kind(Some(&schema), "issue-id")), json!("12"));
        assert_eq!(value("12", kind(Some(&schema), "n")), json!(12));
        assert_eq!(value("plain words", kind(Some(&schema), "n")), json!("plain words"));
        assert_eq!(value("[1]", kind(None, "n")), json!([1]));
        assert_eq!(answers(&["ok=a=b".to_owned()]).unwrap(), [("ok".to_owned(), "a=b".to_owned())]);
        assert!(answers(&["=x".to_owned()]).is_err());
    }
}
