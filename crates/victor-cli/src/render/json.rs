//! A run as JSON Lines: every event on stdout, what a person needs to know on stderr too.

use std::io;

use victor::event::{Event, EventKind};
use victor::message::text_of;

use crate::follow::View;
use crate::terminal::{harmless, harmless_line, line, note};

/// Prints events, one a line.
pub(crate) struct JsonLines;

impl View for JsonLines {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::ToolResult { tool, output, denied: true, .. } => {
                note(format!("{}: {}", harmless_line(tool), harmless_line(&text_of(output))));
            }
            EventKind::Warning { message } => note(format!("warning: {}", harmless(message))),
            _ => {}
        }
        line(serde_json::to_string(event)?)
    }

    fn stopping(&mut self) {}

    fn settle(&mut self) {}
}
