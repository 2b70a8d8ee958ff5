//! Shows a run to a person: the answer on stdout, everything else on stderr.

use std::collections::HashMap;
use std::io::{self, Stdout};
use std::time::Duration;

use serde_json::Value;
use victor::event::{Event, EventKind, NodeStatus};
use victor::id::CallId;
use victor::message::{Block, text_of};
use victor::tool::Preview;

use super::answer::Answer;
use super::diff::diff;
use super::footer::{duration, grouped};
use super::spinner::Spinner;
use super::style::{Color, Style};
use super::tool_line::{Ended, ToolLine, summary};
use super::work_line::{self, NodeLine, Teams};
use super::wrap::{Span, wrap};
use crate::follow::View;
use crate::terminal::{Terminal, faint, harmless, harmless_line, note};

/// How much is told beside the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Detail {
    /// Denials and warnings.
    Needed,
    /// A line for each tool call too.
    Lines,
    /// Thinking and diffs too.
    Full,
}

/// Shows the events of runs, one run after the other.
pub(crate) struct Screen {
    terminal: Terminal,
    detail: Detail,
    answer: Answer<Stdout>,
    /// Whether the answer's text is shown; a run with an output schema prints its result at the end instead.
    shows_text: bool,
    spinner: Spinner,
    calls: HashMap<CallId, Call>,
    /// The kinds of nodes that began.
    kinds: HashMap<(Vec<String>, String), String>,
    teams: Teams,
    thinking: String,
}

impl View for Screen {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.shown(event)
    }

    fn stopping(&mut self) {
        self.spinner.hide();
        self.note("stopping; once more to leave at once");
    }

    fn settle(&mut self) {
        // Nobody is there to be told that stdout cannot be written; the next event tells it.
        let _ = self.at_rest();
    }
}

struct Call {
    arguments: Value,
    preview: Option<Preview>,
}

impl Screen {
    /// A screen that tells this much.
    pub(crate) fn new(terminal: Terminal, detail: Detail) -> Self {
        let answer = match terminal.stdout {
            true => Answer::rendered(io::stdout(), Terminal::width, terminal.paint),
            false => Answer::plain(io::stdout()),
        };
        let spinner = Spinner::new(terminal.stderr);
        let (calls, thinking) = (HashMap::new(), String::new());
        let (kinds, teams) = (HashMap::new(), Teams::default());
        Self { terminal, detail, answer, shows_text: true, spinner, calls, kinds, teams, thinking }
    }

    /// The same without the answer's text.
    pub(crate) fn without_text(mut self) -> Self {
        self.shows_text = false;
        self
    }

    /// Shows an event.
    fn shown(&mut self, event: &Event) -> io::Result<()> {
        let root = event.path.is_empty();
        match &event.kind {
            EventKind::Started { model, .. } => self.spinner.show(&format!("waiting for {model}")),
            EventKind::TurnStarted { .. } if root => self.spinner.show("thinking"),
            EventKind::Text { delta } if root && self.shows_text => return self.text(delta),
            EventKind::Thinking { delta } if root => self.think(delta),
            EventKind::ToolArgs { tool, .. } if root => {
                self.end_remark()?;
                self.spinner.show(&format!("preparing {tool}"));
            }
            EventKind::ToolCall { id, tool, arguments, preview } => {
                if root {
                    self.end_remark()?;
                }
                self.spinner.show(&summary(tool, arguments));
                self.calls.insert(id.clone(), Call { arguments: arguments.clone(), preview: preview.clone() });
            }
            EventKind::ToolProgress { text, .. } => {
                if let Some(line) = text.lines().rev().find(|l| !l.trim().is_empty()) {
                    self.spinner.show(line);
                }
            }
            EventKind::ToolResult { id, tool, success, output, duration_ms, denied, .. } => {
                let ended = match (denied, success) {
                    (true, _) => Ended::Denied,
                    (false, true) => Ended::Well,
                    (false, false) => Ended::Badly,
                };
                self.result(id, tool, ended, output, *duration_ms);
            }
            EventKind::Message { message } if root && message.tool_calls().next().is_some() => self.end_remark()?,
            EventKind::Message { .. } if root => self.end_text()?,
            EventKind::Retrying { delay_ms, error, fallback, .. } => {
                self.answer.again();
                self.retrying(*delay_ms, &error.to_string(), fallback.as_deref());
            }
            EventKind::Compacted { before, after } => {
                let shorter = format!("conversation shortened: {} to {} tokens", grouped(*before), grouped(*after));
                self.note(&shorter);
            }
            EventKind::Warning { message } => self.warn(message),
            EventKind::Node { node, status, kind, duration_ms, usage, cost, error, .. } => {
                let name = event.path.iter().skip(1).map(String::as_str).chain([&**node]).collect::<Vec<_>>().join("/");
                if *status == NodeStatus::Started {
                    self.spinner.show(&name);
                    self.kinds.insert((event.path.clone(), name), kind.as_deref().unwrap_or("node").to_owned());
                } else if self.detail >= Detail::Lines {
                    let kind = self.kinds.get(&(event.path.clone(), name.clone())).map_or("node", String::as_str);
                    let line = NodeLine {
                        status: *status,
                        name: &format!("{name} ({kind})"),
                        error: error.as_ref().map(|e| e.message.as_str()),
                        duration_ms: *duration_ms,
                        usage: *usage,
                        cost: *cost,
                    };
                    self.spinner.hide();
                    note(format!("  {}", line.show(self.terminal.paint_err)));
                }
            }
            EventKind::Answered { id, by, answer } if by != "person" => {
                self.spinner.hide();
                note(work_line::fallback(id, by, answer.as_ref()));
            }
            EventKind::Finished { .. } if root => {
                self.at_rest()?;
                self.answer.finish()?;
            }
            _ if self.detail >= Detail::Lines => {
                let width = self.terminal.stderr.then(|| Terminal::width().saturating_sub(2));
                if let Some(line) = self.teams.line(event, width, self.terminal.paint_err) {
                    self.spinner.hide();
                    note(format!("  {line}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Writes a line to stderr, out of the way of what else is shown.
    pub(crate) fn note(&mut self, line: &str) {
        self.spinner.hide();
        faint(&self.terminal, line);
    }

    /// Writes a warning to stderr.
    pub(crate) fn warn(&mut self, message: &str) {
        self.spinner.hide();
        let mark = self.terminal.paint_err.paint(Style::color(Color::Yellow), "warning:");
        note(format!("{mark} {}", harmless(message)));
    }

    /// Ends what is half shown, so that something else can be.
    fn at_rest(&mut self) -> io::Result<()> {
        self.end_thought();
        self.spinner.hide();
        self.answer.end()
    }

    fn text(&mut self, delta: &str) -> io::Result<()> {
        self.end_thought();
        self.spinner.hide();
        self.answer.push(delta)?;
        // Only rendered text waits for the end of a block; plain text would share the line with the spinner.
        if self.terminal.stdout {
            self.spinner.show("writing");
        }
        Ok(())
    }

    fn end_text(&mut self) -> io::Result<()> {
        self.end_thought();
        if self.answer.is_open() {
            self.spinner.hide();
            self.answer.end()?;
        }
        Ok(())
    }

    /// A tool call follows the text.
    fn end_remark(&mut self) -> io::Result<()> {
        self.end_thought();
        if self.answer.is_open() {
            self.spinner.hide();
            if let Some(remark) = self.answer.remark()?.filter(|_| self.detail >= Detail::Lines) {
                faint(&self.terminal, remark.trim_end());
            }
        }
        Ok(())
    }

    fn think(&mut self, delta: &str) {
        if self.detail < Detail::Full {
            return;
        }
        self.thinking.push_str(delta);
        while let Some(end) = self.thinking.find('\n') {
            let line: String = self.thinking.drain(..=end).collect();
            self.thought(line.trim_end());
        }
    }

    fn end_thought(&mut self) {
        let rest = std::mem::take(&mut self.thinking);
        if !rest.trim().is_empty() {
            self.thought(rest.trim_end());
        }
    }

    fn thought(&mut self, line: &str) {
        self.spinner.hide();
        let span = Span::new(harmless(line), Style { italic: true, ..Style::DIM });
        for line in wrap(&[span], Terminal::width(), self.terminal.paint_err) {
            note(line);
        }
        self.spinner.show("thinking");
    }

    fn result(&mut self, id: &CallId, tool: &str, ended: Ended, output: &[Block], duration_ms: u64) {
        self.spinner.hide();
        let call = self.calls.remove(id).unwrap_or(Call { arguments: Value::Null, preview: None });
        let (answer, paint) = (text_of(output), self.terminal.paint_err);
        if self.detail == Detail::Needed {
            if ended == Ended::Denied {
                let call = summary(tool, &call.arguments);
                note(format!("{call}: {}", harmless_line(&answer)));
            }
            return;
        }
        let width = if self.terminal.stderr { Terminal::width() } else { usize::MAX / 2 };
        let line = ToolLine { tool, arguments: &call.arguments, ended, duration_ms, answer: &answer };
        note(line.show(width, paint));
        if let Some(Preview::Diff { diff: change }) = call.preview.filter(|_| ended == Ended::Well)
            && self.detail == Detail::Full
        {
            for line in diff(&change, width, paint) {
                note(line);
            }
        }
        if self.terminal.stderr {
            self.spinner.show("thinking");
        }
    }

    fn retrying(&mut self, delay_ms: u64, error: &str, fallback: Option<&str>) {
        let wait = duration(Duration::from_millis(delay_ms));
        let next = match fallback {
            Some(model) => format!("going on with {model}"),
            None => format!("trying again in {wait}"),
        };
        self.warn(&format!("{error}; {next}"));
        self.spinner.show(&next);
    }
}
