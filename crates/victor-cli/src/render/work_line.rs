//! Lines on what works within a run: nodes of workflows, and who says what to whom in a team.

use std::time::Duration;

use serde_json::Value;
use victor::event::{Event, EventKind, NodeStatus};
use victor::usage::{NanoUsd, Usage};

use super::footer::{duration, tokens};
use super::style::{Color, Paint, Style};
use super::wrap::cut;
use crate::terminal::harmless_line;

/// Columns of a line where there is no terminal to say it.
const COLUMNS: usize = 160;

/// A node that has come to its end, or is tried again.
pub(crate) struct NodeLine<'a> {
    pub(crate) status: NodeStatus,
    /// Its name, with what leads to it and its kind.
    pub(crate) name: &'a str,
    pub(crate) error: Option<&'a str>,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) usage: Option<Usage>,
    pub(crate) cost: Option<NanoUsd>,
}

impl NodeLine<'_> {
    /// The line: `✓ say (transform) 3 ms`.
    pub(crate) fn show(&self, paint: Paint) -> String {
        let (mark, color, word) = match self.status {
            NodeStatus::Completed => ("✓", Color::Green, ""),
            NodeStatus::Retrying => ("↻", Color::Yellow, ", trying again"),
            NodeStatus::Skipped => ("✗", Color::Yellow, ", going on"),
            NodeStatus::Cancelled => ("–", Color::Yellow, " stopped"),
            _ => ("✗", Color::Red, " failed"),
        };
        let error = self.error.map_or_else(String::new, |e| format!(": {}", harmless_line(e)));
        let (mark, figures) = (paint.paint(Style::color(color), mark), paint.dim(&self.figures()));
        format!("{mark} {}{word}{error} {figures}", harmless_line(self.name)).trim_end().to_owned()
    }

    /// `3.2 s · 1,234 in · 56 out · $0.0123`
    fn figures(&self) -> String {
        let time = self.duration_ms.map(|ms| duration(Duration::from_millis(ms)));
        let used = self.usage.filter(|u| u.total() > 0);
        let cost = used.and(self.cost).map(|c| c.to_string());
        [time, used.map(|u| tokens(&u)), cost].into_iter().flatten().collect::<Vec<_>>().join(" · ")
    }
}

/// That a question was answered by its fallback.
pub(crate) fn fallback(question: &str, by: &str, answer: Option<&Value>) -> String {
    let why = if by == "timeout" { "nobody answered in time" } else { "there is nobody to ask" };
    let what = answer.map_or_else(String::new, |a| format!(": {a}"));
    format!("{}: {why}; its fallback acts{}", harmless_line(question), harmless_line(&what))
}

/// The teams at work, as far as they were heard of.
#[derive(Default)]
pub(crate) struct Teams(Vec<Team>);

struct Team {
    path: Vec<String>,
    members: Vec<String>,
}

impl Teams {
    /// The line on an event of a team: who works, who is told what by whom, and what a member answers.
    pub(crate) fn line(&mut self, event: &Event, width: Option<usize>, paint: Paint) -> Option<String> {
        let (who, words) = match &event.kind {
            EventKind::TeamStarted { formation, members } => {
                self.0.retain(|team| team.path != event.path);
                self.0.push(Team { path: event.path.clone(), members: members.clone() });
                (named(&event.path, &[], &format!("team ({formation})")), members.join(", "))
            }
            EventKind::MemberMessage { from, text } => {
                let (to, path) = event.path.split_last()?;
                let said = from.last().and_then(|last| said_by(text, last).or_else(|| said_by(text, "Blackboard")));
                let said = said.unwrap_or(text);
                (named(path, from, to), said.to_owned())
            }
            EventKind::Finished { outcome } => {
                let member = self.member(&event.path)?;
                (named(&member.0, &[member.1], "team"), outcome.text.clone())
            }
            _ => return None,
        };
        let words = harmless_line(&words.split_whitespace().collect::<Vec<_>>().join(" "));
        let line = cut(&format!("{}: {words}", harmless_line(&who)), width.unwrap_or(COLUMNS).saturating_sub(2));
        Some(format!("{} {line}", paint.dim("»")))
    }

    /// The path of the team, and the name of the member whose path this is.
    fn member(&self, path: &[String]) -> Option<(Vec<String>, String)> {
        let (name, above) = path.split_last()?;
        let team = self.0.iter().rev().find(|team| above.starts_with(&team.path) && team.members.contains(name))?;
        Some((team.path.clone(), name.clone()))
    }
}

/// `plan: analyst → writer`
fn named(path: &[String], from: &[String], to: &str) -> String {
    let path = if path.is_empty() { String::new() } else { format!("{}: ", path.join("/")) };
    match from {
        [] => format!("{path}{to}"),
        from => format!("{path}{} → {to}", from.join(", ")),
    }
}

/// The words of one member in what another one is told.
fn said_by<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.rsplit_once(&format!("\n\n## {name}\n\n"))?;
    Some(rest.split_once("\n\n## ").map_or(rest, |(words, _)| words))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(path: &[&str], kind: serde_json::Value) -> Event {
        let mut all = json!({
            "v": 1, "seq": 0, "run_id": "01890000-0000-7000-8000-000000000000", "path": path,
            "at": "2026-01-01T00:00:00Z",
        });
        if let (Some(all), Some(kind)) = (all.as_object_mut(), kind.as_object()) {
            all.extend(kind.clone());
        }
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn a_team_at_work_reads_as_who_says_what_to_whom() {
        let mut teams = Teams::default();
        let mut line = |path: &[&str], kind| teams.line(&event(path, kind), Some(60), Paint::off());
        let started = json!({"type": "team_started", "formation": "sequential", "members": ["a", "b"]});
        assert_eq!(line(&["plan"], started).unwrap(), "» plan: team (sequential): a, b");
        let task = json!({"type": "member_message", "from": [], "text": "Build\nit"});
        assert_eq!(line(&["plan", "a"], task).unwrap(), "» plan: a: Build it");
        let told = json!({"type": "member_message", "from": ["a"], "text": "Build\n\nGo on.\n\n## a\n\nA red lid."});
        assert_eq!(line(&["plan", "b"], told).unwrap(), "» plan: a → b: A red lid.");
        let note = json!({"type": "member_message", "from": ["a"], "text": "\u{1b}[31mred ".repeat(30)});
        let note = line(&["plan", "blackboard"], note).unwrap();
        assert!(
            note.starts_with("» plan: a → blackboard: ") && note.ends_with('…') && !note.contains('\u{1b}'),
            "{note}"
        );
        assert!(line(&["plan"], json!({"type": "turn_started", "turn": 1})).is_none());
    }
}
