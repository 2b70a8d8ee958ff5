//! `victor mcp test`: starts a server, and shows what it has and how long that took.

use serde_json::json;
use victor::SystemClock;
use victor::id::Clock as _;
use victor::mcp::Report;

use super::unknown;
use crate::app::App;
use crate::args::{AgentFlags, Format};
use crate::exit::{Exit, Failure};
use crate::terminal::{harmless, harmless_line, json, line, note};

/// Tries a server.
///
/// # Errors
/// There is none of this name, or it cannot be used.
pub(crate) async fn test(app: &App, name: &str, format: Format) -> Result<Exit, Failure> {
    let setup = app.setup(&AgentFlags::default())?;
    app.start_log(&setup);
    let servers = setup.mcp_servers();
    let begun = SystemClock.now();
    let tested = servers.test(name).await;
    let took = SystemClock.now().since(begun);
    let status = servers.status(name);
    servers.close().await;
    match tested {
        None => Err(unknown(name, &servers)),
        Some(Err(why)) => {
            if format.json {
                json(&json!({ "ok": false, "error": why, "server": status }))?;
                return Ok(Exit::Failed);
            }
            Err(Failure::failed(why))
        }
        Some(Ok(report)) => {
            let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            match format.json {
                true => json(&json!({ "ok": true, "duration_ms": took, "server": report }))?,
                false => show(&report, took)?,
            }
            Ok(Exit::Done)
        }
    }
}

fn show(report: &Report, took: u64) -> Result<(), Failure> {
    let status = &report.status;
    let own = status.server.as_deref().unwrap_or("(without a name of its own)");
    let protocol = status.protocol.as_deref().unwrap_or("?");
    line(format!("{}: {}, protocol {protocol}, ready in {took} ms", status.name, harmless_line(own)))?;
    if let Some(text) = &report.instructions {
        line(format!("\n{}", harmless(text.trim())))?;
    }
    let tools = report.tool_list.iter().map(|(name, about)| (name.as_str(), about.as_str()));
    section("tools", tools)?;
    let about = |text: &Option<String>| text.clone().unwrap_or_default();
    let prompts: Vec<_> = report.prompts.iter().map(|p| (p.name.as_str(), about(&p.description))).collect();
    section("prompts", prompts.iter().map(|(name, about)| (*name, about.as_str())))?;
    section("resources", report.resources.iter().map(|r| (r.uri.as_str(), r.name.as_str())))?;
    section("templates", report.templates.iter().map(|t| (t.uri_template.as_str(), t.name.as_str())))?;
    status.problems.iter().for_each(|problem| note(format!("warning: {}", harmless_line(problem))));
    Ok(())
}

fn section<'a>(title: &str, items: impl ExactSizeIterator<Item = (&'a str, &'a str)>) -> Result<(), Failure> {
    if items.len() == 0 {
        return Ok(());
    }
    line(format!("\n{title} ({}):", items.len()))?;
    for (name, about) in items {
        line(format!("  {}  {}", harmless_line(name), harmless_line(about)).trim_end())?;
    }
    Ok(())
}
