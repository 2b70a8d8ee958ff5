//! Workflows on a schedule, listed.

use serde_json::json;
use victor::workflow::{Came, Cron, DueStatus, ScheduleState};

use crate::app::App;
use crate::args::{AgentFlags, Format};
use crate::exit::{Exit, Failure};
use crate::render::table::table;
use crate::terminal::{Terminal, harmless_line, json, line, note};

pub(super) async fn list(app: &App, last: usize, format: Format) -> Result<Exit, Failure> {
    let setup = app.setup(&AgentFlags::default())?;
    let runtime = setup.runtime()?;
    let schedules = setup.scheduler(&runtime)?.list(last).await?;
    if format.json {
        json(&json!({ "schedules": schedules }))?;
        return Ok(Exit::Done);
    }
    if schedules.is_empty() {
        note("no schedules; they stand under `schedules` in the configuration, and `victor serve` follows them");
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 5]> = schedules.iter().map(row).collect();
    let width = app.terminal.stdout.then(Terminal::width);
    table(["schedule", "workflow", "when", "next", "last"], &rows, width).iter().try_for_each(line)?;
    schedules.iter().filter_map(|s| s.problem.as_deref()).for_each(|problem| note(harmless_line(problem)));
    Ok(Exit::Done)
}

fn row(schedule: &ScheduleState) -> [String; 5] {
    let ScheduleState { name, workflow, cron, timezone, .. } = schedule;
    let zone = Cron::parse(cron, timezone).ok();
    let local = |at| zone.as_ref().map_or_else(String::new, |zone| zone.local(at));
    let next = match (schedule.enabled, schedule.next.first()) {
        (false, _) => "off".to_owned(),
        (true, None) => "never".to_owned(),
        (true, Some(at)) => local(*at),
    };
    let last = schedule.last.first().map(|came| format!("{} {}", outcome(came), local(came.due.scheduled_at)));
    [name.clone(), harmless_line(workflow), format!("{cron} ({timezone})"), next, last.unwrap_or_default()]
}

/// What came of a time, in a word.
fn outcome(came: &Came) -> String {
    let word = match (came.due.status, came.run_status) {
        (DueStatus::Started, Some(status)) => status.name(),
        (status, _) => status.name(),
    };
    match (came.due.status, came.due.times) {
        (DueStatus::Skipped | DueStatus::Missed, times @ 2..) => format!("{word} ({times} times)"),
        _ => word.to_owned(),
    }
}
