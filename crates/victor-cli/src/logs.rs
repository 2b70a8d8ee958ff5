//! `victor logs`: what Victor wrote down, of every door.

use std::time::Duration;

use victor::log::{Follower, LogLine, tail};

use crate::app::App;
use crate::args::LogsArgs;
use crate::exit::{Exit, Failure};
use crate::render::style::{Color, Style};
use crate::signal::Signals;
use crate::terminal::{harmless_line, line};

/// How often a followed log is looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// Prints the end of the log, and what is added where that is wanted.
///
/// # Errors
/// The log cannot be read.
pub(crate) async fn logs(app: &App, args: LogsArgs) -> Result<Exit, Failure> {
    let home = app.home()?;
    // Before the tail is read, so that nothing falls between the two; a line may come twice at most.
    let mut follower = if args.follow { Some(Follower::new(&home)?) } else { None };
    for entry in tail(&home, args.tail)? {
        line(shown(app, &entry, args.format.json))?;
    }
    let Some(follower) = &mut follower else { return Ok(Exit::Done) };
    let mut signals = Signals::new()?;
    loop {
        for entry in follower.poll()? {
            line(shown(app, &entry, args.format.json))?;
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = signals.next() => return Ok(Exit::Interrupted),
        }
    }
}

fn shown(app: &App, entry: &LogLine, json: bool) -> String {
    let event = match &entry.event {
        Some(event) if !json => event,
        Some(_) => return entry.raw.clone(),
        None if json => return serde_json::json!({ "broken": entry.raw }).to_string(),
        None => return harmless_line(&entry.raw),
    };
    let paint = app.terminal.paint;
    let style = match event.level.as_str() {
        "ERROR" => Style::color(Color::Red),
        "WARN" => Style::color(Color::Yellow),
        _ => Style::DIM,
    };
    let fields: Vec<String> = event.fields.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let time = event.time.get(..19).unwrap_or(&event.time);
    let text = harmless_line(&format!("{} {}", event.message, fields.join(" ")));
    format!("{} {} {text}", paint.dim(time), paint.paint(style, &format!("{:5}", event.level)))
}
