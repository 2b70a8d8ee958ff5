//! A run of a workflow as lines: one for each node that ends, with its time, tokens and cost, and for each word of a
//! member of a team to another.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use victor::event::{Event, EventKind, NodeStatus};
use victor::message::text_of;
use victor::workflow::Question;

use crate::render::spinner::Spinner;
use crate::render::work_line::{NodeLine, Teams, fallback};
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
    teams: Teams,
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
            teams: Teams::default(),
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
            EventKind::Answered { id, by, answer } if by != "person" => fallback(id, by, answer.as_ref()),
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
                    let line = NodeLine {
                        status: *status,
                        name: &format!("{name}{kind}"),
                        error: error.as_ref().map(|e| e.message.as_str()),
                        duration_ms: *duration_ms,
                        usage: *usage,
                        cost: *cost,
                    };
                    self.spinner.hide();
                    note(line.show(self.terminal.paint_err));
                }
            }
            EventKind::Question { question } => {
                self.working.remove(&place(&event.path, question));
            }
            _ => {
                let width = self.terminal.stderr.then(Terminal::width);
                let Some(line) = self.teams.line(event, width, self.terminal.paint_err) else { return };
                self.spinner.hide();
                note(line);
            }
        }
        self.show_working();
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
