//! A run of a workflow as lines: one for each node that ends, with its time, tokens and cost.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use victor::event::{Event, EventKind, NodeStatus};
use victor::message::text_of;
use victor::usage::{NanoUsd, Usage};
use victor::workflow::Question;

use crate::render::footer::{duration, tokens};
use crate::render::spinner::Spinner;
use crate::render::style::{Color, Style};
use crate::terminal::{Terminal, harmless, harmless_line, line, note};

/// Who is shown a run.
pub(super) enum View {
    /// A person, on stderr.
    Lines(Lines),
    /// A program, on stdout.
    Json,
}

/// Lines on stderr.
pub(super) struct Lines {
    terminal: Terminal,
    spinner: Spinner,
    /// The nodes that work.
    working: BTreeSet<String>,
    /// The kinds of the nodes that began.
    kinds: BTreeMap<String, String>,
}

impl View {
    pub(super) fn new(terminal: Terminal, json: bool) -> Self {
        if json {
            return Self::Json;
        }
        Self::Lines(Lines {
            terminal,
            spinner: Spinner::new(terminal.stderr),
            working: BTreeSet::new(),
            kinds: BTreeMap::new(),
        })
    }

    /// An event of the run, but not its last.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub(super) fn event(&mut self, event: &Event) -> io::Result<()> {
        match self {
            Self::Json => line(serde_json::to_string(event)?)?,
            Self::Lines(lines) => lines.event(event),
        }
        self.always(event);
        Ok(())
    }

    /// What a person has to know, whoever reads stdout.
    fn always(&mut self, event: &Event) {
        let text = match &event.kind {
            EventKind::ToolResult { tool, output, denied: true, .. } => {
                format!("{}: {}", harmless_line(tool), harmless_line(&text_of(output)))
            }
            EventKind::Warning { message } => format!("warning: {}", harmless(message)),
            EventKind::Answered { id, by, answer } if by != "person" => {
                let why = if by == "timeout" { "nobody answered in time" } else { "there is nobody to ask" };
                let what = answer.as_ref().map_or_else(String::new, |a| format!(": {a}"));
                format!("{}: {why}; its fallback acts{}", harmless_line(id), harmless_line(&what))
            }
            _ => return,
        };
        self.say(text);
    }

    /// Says something on stderr.
    pub(super) fn say(&mut self, text: impl AsRef<str>) {
        self.settle();
        note(text);
    }

    /// Something else is about to be shown.
    pub(super) fn settle(&mut self) {
        if let Self::Lines(lines) = self {
            lines.spinner.hide();
        }
    }
}

impl Lines {
    fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Node { node, status, kind, duration_ms, usage, cost, error, .. } => {
                let name = event.path.iter().map(String::as_str).chain([&**node]).collect::<Vec<_>>().join("/");
                if *status == NodeStatus::Started {
                    self.kinds.insert(name.clone(), format!(" ({})", kind.as_deref().unwrap_or("node")));
                    self.working.insert(name);
                } else {
                    self.working.remove(&name);
                    let kind = self.kinds.get(&name).map_or("", String::as_str);
                    let told = error.as_ref().map(|e| e.message.as_str());
                    let figures = figures(*duration_ms, *usage, *cost);
                    self.spinner.hide();
                    note(self.node(*status, &format!("{name}{kind}"), told, &figures));
                }
            }
            EventKind::Question { question } => {
                self.working.remove(&place(&event.path, question));
            }
            _ => return,
        }
        self.show_working();
    }

    fn node(&self, status: NodeStatus, name: &str, error: Option<&str>, figures: &str) -> String {
        let (mark, color, word) = match status {
            NodeStatus::Completed => ("✓", Color::Green, ""),
            NodeStatus::Retrying => ("↻", Color::Yellow, ", trying again"),
            NodeStatus::Skipped => ("✗", Color::Yellow, ", going on"),
            NodeStatus::Cancelled => ("–", Color::Yellow, " stopped"),
            _ => ("✗", Color::Red, " failed"),
        };
        let paint = self.terminal.paint_err;
        let error = error.map_or_else(String::new, |e| format!(": {}", harmless_line(e)));
        let mark = paint.paint(Style::color(color), mark);
        format!("{mark} {}{word}{error} {}", harmless_line(name), paint.dim(figures)).trim_end().to_owned()
    }

    fn show_working(&mut self) {
        if self.working.is_empty() {
            self.spinner.hide();
            return;
        }
        self.spinner.show(&self.working.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
    }
}

fn place(path: &[String], question: &Question) -> String {
    path.iter().map(String::as_str).chain([question.node.as_str()]).collect::<Vec<_>>().join("/")
}

/// `3.2 s · 1,234 in · 56 out · $0.0123`
fn figures(duration_ms: Option<u64>, usage: Option<Usage>, cost: Option<NanoUsd>) -> String {
    let time = duration_ms.map(|ms| duration(Duration::from_millis(ms)));
    let used = usage.filter(|u| u.total() > 0);
    let cost = used.and(cost).map(|c| c.to_string());
    [time, used.map(|u| tokens(&u)), cost].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}
