//! `victor tools`: what the agent can use, and a way to use it by hand.

use std::sync::Arc;

use serde_json::{Value, json};
use victor::agent::DryRun;
use victor::error::ConfigurationError;
use victor::message::{Block, text_of};
use victor::permission::{AllowAll, Approver, DenyAll};
use victor::runtime::{CallOptions, Runtime};
use victor::tool::{ToolOutput, ToolSpec};

use crate::allow;
use crate::app::{App, Opened};
use crate::approve::Questions;
use crate::args::{AgentFlags, CallFlags, Format, ToolsCommand};
use crate::exit::{Exit, Failure};
use crate::render::table::table;
use crate::signal::{Ask, Signals};
use crate::stdin;
use crate::terminal::{Terminal, harmless, json, line};

/// Carries out a `victor tools` command.
///
/// # Errors
/// There is no such tool; the call was denied or failed.
pub(crate) async fn tools(app: &App, command: ToolsCommand, before: AgentFlags) -> Result<Exit, Failure> {
    match command {
        ToolsCommand::List(format) => list(app, format).await,
        ToolsCommand::Show { name, format } => show(app, &name, format).await,
        ToolsCommand::Call { name, arguments, format, call } => {
            let call = call.over(before.call.clone());
            let arguments = read_arguments(arguments).await?;
            call_tool(app, &name, arguments, AgentFlags { call, ..before }, format).await
        }
    }
}

async fn list(app: &App, format: Format) -> Result<Exit, Failure> {
    let runtime = app.runtime()?;
    app.ready_servers(&runtime).await;
    let specs = runtime.tool_set().await.specs();
    app.close(&runtime).await;
    if format.json {
        let all: Vec<&ToolSpec> = specs.iter().map(AsRef::as_ref).collect();
        json(&all)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 4]> = specs
        .iter()
        .map(|t| {
            let effects = t.effects.names().collect::<Vec<_>>().join(",");
            let about = t.description.lines().next().unwrap_or_default().to_owned();
            [t.name.clone(), t.category.clone(), effects, about]
        })
        .collect();
    let width = app.terminal.stdout.then(Terminal::width);
    table(["tool", "category", "effects", "about"], &rows, width).iter().try_for_each(line)?;
    Ok(Exit::Done)
}

async fn show(app: &App, name: &str, format: Format) -> Result<Exit, Failure> {
    let runtime = app.runtime()?;
    let spec = known(app, &runtime, name).await;
    app.close(&runtime).await;
    let spec = spec?;
    if format.json {
        json(&*spec)?;
        return Ok(Exit::Done);
    }
    let paint = app.terminal.paint;
    line(format!("{} ({})", paint.bold(&spec.name), harmless(&spec.category)))?;
    line(format!("effects: {}", spec.effects.names().collect::<Vec<_>>().join(", ")))?;
    line(format!("\n{}\n", harmless(spec.description.trim_end())))?;
    json(&spec.parameters)?;
    if let Some(output) = &spec.output {
        line("\nits structured answer:\n")?;
        json(output)?;
    }
    Ok(Exit::Done)
}

async fn known(app: &App, runtime: &Runtime, name: &str) -> Result<Arc<ToolSpec>, Failure> {
    app.ready_servers(runtime).await;
    let set = runtime.tool_set().await;
    if let Some(tool) = set.get(name) {
        return Ok(Arc::clone(tool.spec()));
    }
    let specs = set.specs();
    let error = ConfigurationError::unknown("tool", "TOOL_NOT_FOUND", name, specs.iter().map(|t| t.name.as_str()));
    Err(Failure::failed(error.to_string()))
}

async fn read_arguments(text: String) -> Result<Value, Failure> {
    let text = match text.as_str() {
        "-" => stdin::everything().await?,
        other => match other.strip_prefix('@') {
            Some(path) => {
                std::fs::read_to_string(path).map_err(|e| Failure::usage(format!("{path} cannot be read: {e}")))?
            }
            None => text,
        },
    };
    let value: Value = serde_json::from_str(&text)
        .map_err(|e| Failure::usage(format!("the arguments are no JSON ({e}); write `'{{\"path\": \"x\"}}'`")))?;
    if value.is_object() { Ok(value) } else { Err(Failure::usage("the arguments are no JSON object")) }
}

async fn call_tool(
    app: &App,
    name: &str,
    arguments: Value,
    flags: AgentFlags,
    format: Format,
) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let Opened { runtime, .. } = app.open(&flags)?;
    known(app, &runtime, name).await?;
    let (approver, mut questions) = approver(app, &runtime, &flags);
    let options = options(&flags.call, approver);
    let cancel = options.cancel.clone();
    let called = runtime.call_tool(name, arguments, options);
    tokio::pin!(called);
    let (mut stopped, mut leave) = (false, None);
    let output = loop {
        tokio::select! {
            output = &mut called => break output,
            ask = signals.next() => {
                if stopped {
                    return Ok(Exit::Interrupted);
                }
                stopped = true;
                leave = Some(ask);
                cancel.cancel();
            }
            question = questions.next() => {
                if let Some(ask) = question.put(&mut signals).await {
                    stopped = true;
                    leave = Some(ask);
                    cancel.cancel();
                }
            }
        }
    };
    app.close(&runtime).await;
    if matches!(leave, Some(Ask::Stop | Ask::End)) {
        return Ok(Exit::Interrupted);
    }
    answer(app, name, &output?, format)
}

/// Who is asked about calls, and where the questions come out.
pub(crate) fn approver(app: &App, runtime: &Runtime, flags: &AgentFlags) -> (Arc<dyn Approver>, Questions) {
    let (rules, yes) = (runtime.clone(), flags.call.yes);
    let (asking, questions) =
        Questions::new(app.terminal, yes, Arc::new(move || rules.rules()), allow::saver(app.options(flags), runtime));
    match (app.terminal.can_ask(), yes) {
        (true, _) => (asking, questions),
        (false, true) => (Arc::new(AllowAll), questions),
        (false, false) => (Arc::new(DenyAll), questions),
    }
}

fn options(flags: &CallFlags, approver: Arc<dyn Approver>) -> CallOptions {
    CallOptions {
        mode: flags.mode,
        approver: Some(approver),
        dry_run: if flags.dry_run { DryRun::On } else { DryRun::Off },
        sandbox: flags.sandbox.map(Into::into),
        ..CallOptions::default()
    }
}

fn answer(app: &App, name: &str, output: &ToolOutput, format: Format) -> Result<Exit, Failure> {
    if format.json {
        json(&json!({
            "tool": name, "success": !output.is_error, "output": output.content, "structured": output.structured,
        }))?;
    } else {
        let text = text_of(&output.content);
        let text = if app.terminal.stdout { harmless(&text) } else { text };
        line(text.trim_end_matches('\n'))?;
        for block in &output.content {
            if let Block::Media(media) = block {
                line(format!("[{}; --json prints it]", media.media_type))?;
            }
        }
    }
    Ok(if output.is_error { Exit::Failed } else { Exit::Done })
}
