//! `victor mcp list`: how the servers stand, and where they are configured. Nothing is started.

use victor::mcp::Status;

use crate::app::App;
use crate::args::{AgentFlags, Format};
use crate::exit::{Exit, Failure};
use crate::render::table::table;
use crate::terminal::{Terminal, harmless_line, json, line, note};

/// Lists the servers.
///
/// # Errors
/// The configuration is wrong.
pub(crate) fn list(app: &App, format: Format) -> Result<Exit, Failure> {
    let statuses = app.setup(&AgentFlags::default())?.mcp_servers().statuses();
    if format.json {
        json(&statuses)?;
    } else if statuses.is_empty() {
        note("there are no MCP servers; `victor mcp add NAME -- COMMAND` adds one");
    } else {
        lines(app, &statuses).iter().try_for_each(line)?;
    }
    Ok(Exit::Done)
}

/// A line for each server, and what is to be said about it.
pub(crate) fn lines(app: &App, statuses: &[Status]) -> Vec<String> {
    let rows: Vec<[String; 5]> = statuses.iter().map(row).collect();
    let width = app.terminal.stdout.then(Terminal::width);
    let mut lines = table(["server", "state", "tools", "from", "what"], &rows, width);
    for status in statuses {
        let reason = status.state.reason().map(ToOwned::to_owned);
        for said in reason.iter().chain(&status.problems) {
            lines.push(harmless_line(&format!("{}: {said}", status.name)));
        }
    }
    lines
}

fn row(status: &Status) -> [String; 5] {
    let tools = status.tools.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let what = [status.transport.as_str(), &status.target].join(" ");
    [status.name.clone(), status.state.name().to_owned(), tools, status.place.clone(), harmless_line(what.trim())]
}
