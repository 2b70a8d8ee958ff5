//! The blackboard of a flat team: a pair of tools over notes that all members see.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use victor_core::agent::RunScope;
use victor_core::error::ToolError;
use victor_core::event::EventKind;
use victor_core::tool::{DynTool, Effects, ToolOutput, tool_fn};

/// Where notes are told, as if it were a member.
const BLACKBOARD: &str = "blackboard";
/// Bytes of a note at most.
const NOTE: usize = 16 * 1024;
/// Bytes of all notes at most.
const BOARD: usize = 128 * 1024;

/// What the members of a team have written for each other.
#[derive(Default)]
pub(super) struct Board(Mutex<Vec<Note>>);

#[derive(Clone, Serialize)]
struct Note {
    by: String,
    text: String,
}

/// The arguments of `blackboard_write`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WriteArgs {
    /// What the others should know.
    text: String,
}

/// The arguments of `blackboard_read`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReadArgs {}

impl Board {
    /// The tools of the member `name`. What it writes is told in the team's `scope`.
    pub(super) fn tools(self: &Arc<Self>, name: &str, scope: &RunScope) -> Vec<Arc<dyn DynTool>> {
        let scope = scope.clone();
        let (read, write, by) = (Arc::clone(self), Arc::clone(self), name.to_owned());
        let read = tool_fn(
            "blackboard_read",
            "Reads what all members of the team have written on the blackboard so far.",
            Effects::NONE,
            move |_: ReadArgs, _| {
                let output = ToolOutput::text(read.text()).structured(read.notes());
                async move { Ok(output) }
            },
        );
        let write = tool_fn(
            "blackboard_write",
            "Writes a note on the blackboard, for all members of the team to read.",
            Effects::NONE,
            move |args: WriteArgs, _| {
                let written = write.write(&by, args.text.clone());
                let (scope, from) = (scope.clone(), vec![by.clone()]);
                async move {
                    let written = written?;
                    scope.emit_at(&[BLACKBOARD.to_owned()], EventKind::MemberMessage { from, text: args.text }).await;
                    Ok(written)
                }
            },
        );
        vec![read, write]
    }

    /// All notes, each under the name of its author.
    pub(super) fn text(&self) -> String {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.is_empty() {
            return "(nothing yet)".to_owned();
        }
        let mut text = String::new();
        for note in notes.iter() {
            let _ = writeln!(text, "{}: {}", note.by, note.text);
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn notes(&self) -> serde_json::Value {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::json!({ "notes": *notes })
    }

    fn write(&self, by: &str, text: String) -> Result<&'static str, ToolError> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if text.len() > NOTE {
            return Err(ToolError::model(format!("a note has {} KB at most: write less", NOTE / 1024)));
        }
        if notes.iter().map(|n| n.text.len()).sum::<usize>() + text.len() > BOARD {
            return Err(ToolError::model("the blackboard is full: go on with what stands on it"));
        }
        notes.push(Note { by: by.to_owned(), text });
        Ok("written")
    }
}
