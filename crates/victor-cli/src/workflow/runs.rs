//! Runs of workflows: listed, looked at, and ended.

use serde_json::json;
use victor::error::nearest;
use victor::id::{RunId, Timestamp};
use victor::workflow::{JournalFilter, RunState, RunStatus, Workflows};

use super::workflows;
use crate::app::App;
use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::render::table::table;
use crate::terminal::{Terminal, harmless, harmless_line, json, line, note};

/// Runs that are looked through.
const SEARCHED: usize = 10_000;

/// The run whose id is `text` or begins with it.
///
/// # Errors
/// There is none, or several.
pub(super) async fn find(workflows: &Workflows, text: &str) -> Result<RunId, Failure> {
    if let Ok(id) = text.parse::<RunId>() {
        return Ok(id);
    }
    let all = workflows.list(&JournalFilter { limit: SEARCHED, ..JournalFilter::default() }).await?;
    let ids: Vec<(RunId, String)> = all.iter().map(|r| (r.workflow_id, r.workflow_id.to_string())).collect();
    let mut fitting = ids.iter().filter(|(_, id)| !text.is_empty() && id.starts_with(text));
    match (fitting.next(), fitting.next()) {
        (Some((id, _)), None) => Ok(*id),
        (Some(_), Some(_)) => Err(Failure::failed(format!("several runs begin with `{text}`; say more of the id"))),
        (None, _) => {
            let near = nearest(text, ids.iter().map(|(_, id)| id.as_str()));
            let hint = near.first().map_or_else(String::new, |n| format!("; did you mean {n}?"));
            Err(Failure::failed(format!("no run `{text}`; `victor workflow list --runs` shows the kept ones{hint}")))
        }
    }
}

pub(super) async fn list(app: &App, all: bool, limit: usize, format: Format) -> Result<Exit, Failure> {
    let runtime = app.runtime()?;
    let here = runtime.workspace().root.to_string_lossy().into_owned();
    let filter = JournalFilter { workspace: (!all).then_some(here), limit, ..JournalFilter::default() };
    let found = Workflows::of(&runtime).list(&filter).await?;
    if format.json {
        json(&json!({ "runs": found }))?;
        return Ok(Exit::Done);
    }
    if found.is_empty() {
        note("no runs of this folder; --all shows those of others");
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 5]> = found
        .iter()
        .map(|run| {
            let at = run.current_node.clone().unwrap_or_default();
            let id = run.workflow_id.to_string();
            [id, run.workflow.clone(), status_word(run).to_owned(), when(run.updated_at), harmless_line(&at)]
        })
        .collect();
    let width = app.terminal.stdout.then(Terminal::width);
    table(["run", "workflow", "status", "changed", "node"], &rows, width).iter().try_for_each(line)?;
    Ok(Exit::Done)
}

pub(super) async fn status(app: &App, id: &str, format: Format) -> Result<Exit, Failure> {
    let workflows = workflows(app)?;
    let run = workflows.status(find(&workflows, id).await?).await?;
    if format.json {
        json(&run)?;
        return Ok(Exit::Done);
    }
    let id = run.workflow_id;
    line(format!("{id}: {}, {}", harmless_line(&run.workflow), status_word(&run)))?;
    let done = run.completed_nodes.iter().map(|n| harmless_line(n)).collect::<Vec<_>>().join(", ");
    line(format!("done: {} ({:.0} %)", if done.is_empty() { "nothing yet" } else { &done }, run.progress * 100.0))?;
    if !run.current_nodes.is_empty() {
        line(format!("now: {}", run.current_nodes.iter().map(|n| harmless_line(n)).collect::<Vec<_>>().join(", ")))?;
    }
    for question in &run.waiting {
        line(format!("{} waits: {}", harmless_line(&question.id), harmless(&question.prompt)))?;
        if let Some(until) = question.expires_at {
            line(format!("  until {until}; then its fallback acts"))?;
        }
        line(format!("  victor workflow resume {id} --answer {}=..", harmless_line(&question.id)))?;
    }
    if run.interrupted || !run.paused.is_empty() {
        line(format!("it goes on with `victor workflow resume {id}`"))?;
    }
    if let Some(error) = &run.error {
        line(format!("error: {}", harmless(&error.message)))?;
    }
    if let Some(result) = &run.result {
        json(result)?;
    }
    Ok(Exit::Done)
}

pub(super) async fn cancel(app: &App, id: &str, format: Format) -> Result<Exit, Failure> {
    let workflows = workflows(app)?;
    let id = find(&workflows, id).await?;
    workflows.cancel(id).await?;
    match format.json {
        true => json(&json!({ "workflow_id": id, "cancelled": true }))?,
        false => note(format!("{id} is cancelled")),
    }
    Ok(Exit::Done)
}

fn status_word(run: &RunState) -> &'static str {
    match run.status {
        RunStatus::Running if run.interrupted => "interrupted",
        status => status.name(),
    }
}

/// `2025-01-31 12:34`, in UTC.
fn when(at: Timestamp) -> String {
    at.to_string().chars().take(16).collect::<String>().replace('T', " ")
}
