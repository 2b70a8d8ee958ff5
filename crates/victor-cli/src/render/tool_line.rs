//! One line on a tool call: what it was, how it ended and how long it took.

use std::time::Duration;

use serde_json::Value;

use super::footer::duration;
use super::style::{Color, Paint, Style};
use super::wrap::{columns, cut};
use crate::terminal::harmless_line;

/// Arguments that say the most about a call, in this order.
const TELLING: [&str; 9] = ["command", "path", "pattern", "query", "url", "glob", "name", "task", "workflow"];

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Well,
    Badly,
    Denied,
}

/// A call that ended.
pub(crate) struct ToolLine<'a> {
    pub(crate) tool: &'a str,
    pub(crate) arguments: &'a Value,
    pub(crate) ended: Ended,
    pub(crate) duration_ms: u64,
    /// What the tool answered, for the reason of a failure.
    pub(crate) answer: &'a str,
}

impl ToolLine<'_> {
    /// The line, cut to `width` columns.
    pub(crate) fn show(&self, width: usize, paint: Paint) -> String {
        let (mark, style) = match self.ended {
            Ended::Well => ("●", Style::color(Color::Green)),
            Ended::Badly => ("✗", Style::color(Color::Red)),
            Ended::Denied => ("⊘", Style::color(Color::Yellow)),
        };
        let mut tail = match self.ended {
            Ended::Well => String::new(),
            Ended::Badly => format!(": {}", first_line(self.answer)),
            Ended::Denied => format!(" {}", first_line(self.answer)),
        };
        let time = format!(" ({})", duration(Duration::from_millis(self.duration_ms)));
        let room = width.saturating_sub(columns(&time) + 2);
        let call = summary(self.tool, self.arguments);
        let call = if tail.is_empty() { cut(&call, room) } else { cut(&call, room / 2) };
        tail = cut(&tail, room.saturating_sub(columns(&call)));
        format!("{} {}{tail}{}", paint.paint(style, mark), paint.bold(&call), paint.dim(&time))
    }
}

/// `bash cargo test`: the tool, and the argument that says the most.
pub(crate) fn summary(tool: &str, arguments: &Value) -> String {
    let told = TELLING.iter().find_map(|key| arguments.get(key).and_then(Value::as_str));
    let told = told.map(harmless_line).or_else(|| match arguments {
        Value::Object(map) if !map.is_empty() => Some(harmless_line(&arguments.to_string())),
        _ => None,
    });
    let tool = harmless_line(tool);
    told.map_or_else(|| tool.clone(), |told| format!("{tool} {told}"))
}

fn first_line(text: &str) -> String {
    harmless_line(text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_fits_and_tells_what_matters() {
        let arguments = json!({"timeout": 3, "command": "cargo\n  test"});
        let mut line =
            ToolLine { tool: "bash", arguments: &arguments, ended: Ended::Well, duration_ms: 1234, answer: "" };
        assert_eq!(line.show(80, Paint::off()), "● bash cargo test (1.2 s)");
        line.ended = Ended::Badly;
        line.answer = "\nexit status 101\nmore";
        assert_eq!(line.show(80, Paint::off()), "✗ bash cargo test: exit status 101 (1.2 s)");
        assert!(columns(&line.show(30, Paint::off())) <= 30);
        assert_eq!(summary("todo", &json!({})), "todo");
    }
}
