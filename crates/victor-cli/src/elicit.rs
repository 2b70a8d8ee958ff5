//! Servers that ask for input: a form at the terminal, field by field, or an address to visit.

use std::fmt;

use async_trait::async_trait;
use inquire::{Confirm, InquireError, MultiSelect, Select, Text};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use victor::mcp::{Elicitation, Elicited, Elicitor};

use crate::signal::{Ask, Signals};
use crate::terminal::{harmless, harmless_line, note};

/// Fields of a form at most.
const FIELDS: usize = 30;

type Asked = (Elicitation, oneshot::Sender<Elicited>);

/// Sends forms to whoever follows the run, who owns the terminal.
pub(crate) struct TerminalElicitor {
    forms: mpsc::Sender<Asked>,
}

#[async_trait]
impl Elicitor for TerminalElicitor {
    async fn ask(&self, question: Elicitation) -> Elicited {
        let (answer, answered) = oneshot::channel();
        if self.forms.send((question, answer)).await.is_err() {
            return Elicited::Cancelled;
        }
        answered.await.unwrap_or(Elicited::Cancelled)
    }
}

/// An elicitor, and where its forms come out.
pub(crate) fn channel() -> (TerminalElicitor, mpsc::Receiver<Asked>) {
    let (forms, asked) = mpsc::channel(1);
    (TerminalElicitor { forms }, asked)
}

/// A form that waits to be filled in.
pub(crate) struct Form(Asked);

impl Form {
    pub(crate) fn new(asked: Asked) -> Self {
        Self(asked)
    }

    /// Asks, and answers the server. Tells where the user wanted to leave instead.
    pub(crate) async fn put(self, signals: &mut Signals) -> Option<Ask> {
        let (question, answer) = self.0;
        note(format!("? the MCP server {} asks:", harmless_line(&question.server)));
        harmless(&question.message).lines().take(40).for_each(|line| note(format!("  {line}")));
        let state = rustix::termios::tcgetattr(std::io::stdin());
        let asked = tokio::task::spawn_blocking(move || ask(&question));
        let (elicited, leave) = tokio::select! {
            filled = asked => match filled {
                Ok(Ok(elicited)) => (elicited, None),
                Ok(Err(InquireError::OperationInterrupted)) => (Elicited::Cancelled, Some(Ask::Stop)),
                Ok(Err(_)) | Err(_) => (Elicited::Cancelled, None),
            },
            () = signals.end() => {
                // The form still reads the terminal and would leave it as it is now.
                if let Ok(state) = state {
                    let _ = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, &state);
                }
                (Elicited::Cancelled, Some(Ask::End))
            }
        };
        let _ = answer.send(elicited);
        leave
    }
}

fn ask(question: &Elicitation) -> Result<Elicited, InquireError> {
    // What was typed before the question was there is no answer to it.
    let _ = rustix::termios::tcflush(std::io::stdin(), rustix::termios::QueueSelector::IFlush);
    if let Some(url) = &question.url {
        note(format!("  {}", harmless_line(url)));
        let visited = Confirm::new("Have you done what it asks at this address?").with_default(false).prompt()?;
        return Ok(if visited { Elicited::Accepted(Value::Object(Map::new())) } else { Elicited::Declined });
    }
    if !Confirm::new("Answer it?").with_default(true).prompt()? {
        return Ok(Elicited::Declined);
    }
    let form = question.form.clone().unwrap_or_default();
    let required: Vec<&str> = form["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut filled = Map::new();
    for (name, field) in form["properties"].as_object().into_iter().flatten().take(FIELDS) {
        let needed = if required.contains(&name.as_str()) { Needed::Yes } else { Needed::No };
        if let Some(value) = fill(name, field, needed)? {
            filled.insert(name.clone(), value);
        }
    }
    Ok(Elicited::Accepted(Value::Object(filled)))
}

/// Whether a form makes no sense without a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needed {
    Yes,
    No,
}

/// One field; nothing where it was left empty and may be.
fn fill(name: &str, field: &Value, needed: Needed) -> Result<Option<Value>, InquireError> {
    let text = |key: &str| field[key].as_str().map(harmless_line);
    let label = format!("{}:", text("title").unwrap_or_else(|| harmless_line(name)));
    let help = text("description").unwrap_or_default();
    let kind = field["type"].as_str().unwrap_or("string");
    if kind == "boolean" {
        let begin = field["default"].as_bool().unwrap_or(false);
        return Confirm::new(&label).with_default(begin).with_help_message(&help).prompt().map(|b| Some(b.into()));
    }
    if kind == "array" {
        let chosen = MultiSelect::new(&label, choices(&field["items"])).with_help_message(&help).prompt()?;
        return Ok(Some(chosen.into_iter().map(|c| c.value).collect()));
    }
    let choices = choices(field);
    if !choices.is_empty() {
        let begin = field["default"].as_str().and_then(|d| choices.iter().position(|c| c.value == d)).unwrap_or(0);
        let select = Select::new(&label, choices).with_starting_cursor(begin).with_help_message(&help);
        return match needed {
            Needed::Yes => select.prompt().map(|c| Some(c.value.into())),
            Needed::No => Ok(select.prompt_skippable()?.map(|c| c.value.into())),
        };
    }
    loop {
        let begin = match &field["default"] {
            Value::Null => String::new(),
            Value::String(text) => harmless_line(text),
            other => other.to_string(),
        };
        let given = Text::new(&label).with_default(&begin).with_help_message(&help).prompt()?;
        match (typed(given.trim(), kind), needed) {
            (Some(value), _) => return Ok(Some(value)),
            (None, Needed::No) if given.trim().is_empty() => return Ok(None),
            (None, _) => note(format!("  a {kind} is expected")),
        }
    }
}

/// What can be chosen: shown by its title, in one line that steers no terminal, and answered as the server wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Choice {
    value: String,
    shown: String,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn choices(field: &Value) -> Vec<Choice> {
    let choice = |value: &str, shown: &str| Choice { value: value.to_owned(), shown: harmless_line(shown) };
    let plain = field["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|c| choice(c, c));
    let titled = ["oneOf", "anyOf"].into_iter().filter_map(|k| field[k].as_array()).flatten();
    let titled = titled.filter_map(|c| {
        let value = c["const"].as_str()?;
        Some(choice(value, c["title"].as_str().unwrap_or(value)))
    });
    plain.chain(titled).collect()
}

/// The text as a value of this type.
fn typed(text: &str, kind: &str) -> Option<Value> {
    match kind {
        _ if text.is_empty() => None,
        "integer" => text.parse::<i64>().ok().map(Value::from),
        "number" => text.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::from),
        _ => Some(Value::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_become_values_of_their_type() {
        assert_eq!(typed("7", "integer"), Some(json!(7)));
        assert_eq!(typed("7.5", "integer"), None);
        assert_eq!(typed("7.5", "number"), Some(json!(7.5)));
        assert_eq!(typed("inf", "number"), None);
        assert_eq!(typed("7", "string"), Some(json!("7")));
        assert_eq!(typed("", "string"), None);
    }

    #[test]
    fn choices_steer_no_terminal_and_are_answered_as_they_were_given() {
        let odd = "\u{1b}]0;title\u{7}yes\n";
        let found = choices(&json!({"enum": [odd], "oneOf": [{"const": "a", "title": "A\u{202e}"}]}));
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["]0;titleyes", "A\u{fffd}"]);
        assert_eq!((found[0].value.as_str(), found[1].value.as_str()), (odd, "a"));
    }
}
