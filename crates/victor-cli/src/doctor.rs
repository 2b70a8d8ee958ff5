//! `victor doctor`: what works on this machine, and what to do about what does not.

use victor::doctor::{Check, CheckStatus, Online, check};

use crate::app::App;
use crate::args::{AgentFlags, DoctorArgs};
use crate::exit::{Exit, Failure};
use crate::render::style::{Color, Style};
use crate::render::wrap::{Span, wrap};
use crate::terminal::{Terminal, json, line};

/// Checks everything, and says what to do.
///
/// # Errors
/// stdout cannot be written.
pub(crate) async fn doctor(app: &App, args: DoctorArgs, before: AgentFlags) -> Result<Exit, Failure> {
    let choice = args.choice.over(before.choice.clone());
    let online = if args.online { Online::Yes } else { Online::No };
    let checks = check(app.options(&AgentFlags { choice, ..before }), online).await;
    if args.format.json {
        json(&checks)?;
    } else {
        checks.iter().try_for_each(|check| show(app, check))?;
    }
    let failed = checks.iter().any(|c| c.status == CheckStatus::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

fn show(app: &App, check: &Check) -> std::io::Result<()> {
    let paint = app.terminal.paint;
    let (mark, color) = match check.status {
        CheckStatus::Ok => ("ok  ", Color::Green),
        CheckStatus::Warn => ("warn", Color::Yellow),
        CheckStatus::Fail => ("FAIL", Color::Red),
    };
    let width = if app.terminal.stdout { Terminal::width().saturating_sub(5) } else { usize::MAX / 2 };
    let told = [Span::new(check.name, Style::BOLD), Span::new(format!(": {}", check.detail), Style::PLAIN)];
    for (i, told) in wrap(&told, width, paint).iter().enumerate() {
        match i {
            0 => line(format!("{} {told}", paint.paint(Style::color(color), mark)))?,
            _ => line(format!("     {told}"))?,
        }
    }
    let Some(fix) = &check.fix else { return Ok(()) };
    let fix = wrap(&[Span::new(fix.as_str(), Style::PLAIN)], width, paint);
    fix.iter().try_for_each(|fix| line(format!("     {fix}")))
}
