//! `victor run`: one task, no questions; the exit code tells how it ended.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use victor::agent::{Agent, AgentSpec, Chat, Outcome, Status};
use victor::message::Block;
use victor::permission::{AllowAll, Approver, DenyAll};
use victor::request::OutputSchema;
use victor::runtime::Runtime;

use crate::app::{App, Opened};
use crate::args::{AgentFlags, RunArgs};
use crate::attach::Attacher;
use crate::exit::{Exit, Failure};
use crate::follow::{Ended, View, follow};
use crate::pull::Consent;
use crate::render::footer::footer;
use crate::render::json::JsonLines;
use crate::render::screen::{Detail, Screen};
use crate::signal::Signals;
use crate::terminal::{faint, harmless, line, note};
use crate::{pull, session, stdin};

/// Runs the task to its end.
///
/// # Errors
/// It could not be begun, or failed.
pub(crate) async fn run(app: &App, args: RunArgs, before: AgentFlags) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let flags = args.agent.over(before);
    let schema = args.output_schema.as_deref().map(schema).transpose()?;
    let task = tokio::select! {
        task = stdin::task(args.task, &app.terminal) => task?,
        _ = signals.next() => return Ok(Exit::Interrupted),
    };
    let Opened { runtime, spec, setup } = app.open(&flags)?;
    let input = input(app, &runtime, &flags, task)?;
    let spec = AgentSpec { output_schema: schema, ..spec };
    let shows_text = spec.output_schema.is_none();
    let approver: Arc<dyn Approver> = if flags.call.yes { Arc::new(AllowAll) } else { Arc::new(DenyAll) };
    let consent = Consent::of(app, &flags);
    let agent = pull::agent(app, (&setup, &runtime), spec, consent, &mut signals).await?.with_approver(approver);
    tokio::select! {
        () = app.ready_servers(&runtime) => {}
        _ = signals.next() => return Ok(Exit::Interrupted),
    }
    let mut chat = chat(&runtime, &agent, args.session.as_deref(), &flags).await?;

    let mut view: Box<dyn View> = match (args.json, shows_text) {
        (true, _) => Box::new(JsonLines),
        (false, true) => Box::new(Screen::new(app.terminal, detail(app, &flags))),
        (false, false) => Box::new(Screen::new(app.terminal, detail(app, &flags)).without_text()),
    };
    let ended = follow(chat.astream(input), view.as_mut(), &mut signals, None).await;
    drop(view);
    app.close(&runtime).await;
    let ended = ended?;
    if !args.json {
        conclude(app, &ended.outcome, shows_text)?;
    }
    told(ended)
}

/// The task with what is attached to it.
fn input(app: &App, runtime: &Runtime, flags: &AgentFlags, task: String) -> Result<Vec<Block>, Failure> {
    let rules = runtime.rules();
    let attacher = Attacher { workspace: runtime.workspace(), rules: &rules, cwd: app.env.current_dir() };
    let mut blocks = vec![Block::text(task)];
    for path in &flags.attach {
        blocks.push(attacher.named(path)?);
    }
    Ok(blocks)
}

async fn chat(runtime: &Runtime, agent: &Agent, id: Option<&str>, flags: &AgentFlags) -> Result<Chat, Failure> {
    let Some(id) = id else {
        return Ok(if flags.no_save { agent.unsaved_chat() } else { agent.chat(None) });
    };
    let id = session::find(runtime, id).await?;
    session::reopen(agent, id, flags).await
}

fn detail(app: &App, flags: &AgentFlags) -> Detail {
    match (app.terminal.stderr, app.global.verbose) {
        // What would be changed is all that a dry run has to say.
        _ if flags.call.dry_run => Detail::Full,
        (true, 0) | (false, 1) => Detail::Lines,
        (false, 0) => Detail::Needed,
        _ => Detail::Full,
    }
}

/// What is left to say when the run has ended.
fn conclude(app: &App, outcome: &Outcome, shows_text: bool) -> Result<(), Failure> {
    if !shows_text && let Some(value) = &outcome.structured {
        line(value.to_string())?;
    }
    if app.terminal.stderr || app.global.verbose > 0 {
        faint(&app.terminal, &footer(outcome));
    }
    Ok(())
}

/// Says on stderr why a run did not complete.
pub(crate) fn told(ended: Ended) -> Result<Exit, Failure> {
    let exit = ended.exit();
    if let Some(error) = ended.error {
        return Err(Failure { exit, ..Failure::from(error) });
    }
    let outcome = &ended.outcome;
    match outcome.status {
        Status::Completed => {}
        Status::Limit => {
            let limit = outcome.limit.map_or_else(|| "a limit".to_owned(), |l| l.to_string());
            let turns = if outcome.turns == 1 { "turn" } else { "turns" };
            note(format!("stopped: {limit} was reached after {} {turns}", outcome.turns));
        }
        Status::Denied => {
            let mut reasons: Vec<_> = outcome.denied.iter().map(|d| format!("{}: {}", d.tool, d.reason)).collect();
            reasons.dedup();
            note(format!("denied: {}", harmless(&reasons.join("; "))));
        }
        Status::Cancelled => note("interrupted"),
        Status::Waiting => note("the run waits for an answer; `victor chat --continue` goes on with it"),
        Status::Failed | _ => {
            let message = outcome.error.as_ref().map_or("the run failed", |e| e.message.as_str());
            return Err(Failure::new(exit, message));
        }
    }
    Ok(exit)
}

fn schema(path: &Path) -> Result<Arc<OutputSchema>, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|e| Failure::usage(format!("{shown} cannot be read: {e}")))?;
    let schema: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| Failure::usage(format!("{shown} is no JSON: {e}")))?;
    if !schema.is_object() {
        return Err(Failure::usage(format!("{shown} holds no JSON Schema of an object")));
    }
    let name = path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).take(64).collect();
    if name.is_empty() {
        "answer".clone_into(&mut name);
    }
    Ok(Arc::new(OutputSchema { name, schema }))
}
