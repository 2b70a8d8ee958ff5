//! `victor workflow run` and `resume`: the run's lines on stderr, its result on stdout, its end as the exit code.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use victor::agent::DryRun;
use victor::id::RunId;
use victor::usage::{Budget, NanoUsd};
use victor::workflow::{
    ABORTED, AskLater, Changed, Leave, Question, Resumed, RunOptions, RunState, RunStatus, WorkflowError,
    WorkflowOutcome, WorkflowRun, Workflows,
};

use super::ask::{Desk, Otherwise, Typed};
use super::follow::{Asks, Ended, follow};
use super::lines::View;
use super::{find, input, runs};
use crate::app::{App, Opened};
use crate::args::{FollowArgs, WorkflowResumeArgs, WorkflowRunArgs};
use crate::exit::{Exit, Failure};
use crate::render::footer::{cost, duration, tokens};
use crate::signal::Signals;
use crate::terminal::{faint, harmless, harmless_line, line, note};
use crate::tool;

/// A run that can be begun: the runtime, and what its options come to.
struct Ready {
    runtime: victor::Runtime,
    workflows: Workflows,
    options: RunOptions,
    desk: Arc<Desk>,
    asks: Asks,
}

/// Runs a workflow to its end.
///
/// # Errors
/// There is no such workflow, it has mistakes, its input does not fit, or it failed.
pub(super) async fn run(app: &App, args: WorkflowRunArgs) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let ready = ready(app, &args.follow)?;
    let (registered, file) = find(app, ready.workflows.registry(), &args.which)?;
    let given = input::input(args.input, &args.set, registered.inputs.as_ref()).await?;
    let options = RunOptions { file, ..ready.options.clone() };
    let run = ready.workflows.start(&registered.workflow, given, options).await?;
    to_end(app, ready, run, &args.follow, &mut signals).await
}

/// Goes on with a run.
///
/// # Errors
/// There is no such run, it is in no state for this, an answer does not fit, or it failed.
pub(super) async fn resume(app: &App, args: WorkflowResumeArgs) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let mut ready = ready(app, &args.follow)?;
    let id = runs::find(&ready.workflows, &args.id).await?;
    let state = ready.workflows.status(id).await?;
    let Some(answers) = answers(app, &ready, &state, &mut signals).await? else { return Ok(Exit::Interrupted) };
    if state.status == RunStatus::Waiting && ready.asks.people.is_none() {
        // A run that waits was begun so, and waits for its next answers too.
        ready.desk = Arc::new(ready.desk.later());
        ready.options.interviewer = Some(Arc::clone(&ready.desk) as _);
    }
    let changed = if args.accept_changes { Changed::Accept } else { Changed::Refuse };
    let options = RunOptions { changed, ..ready.options.clone() };
    match ready.workflows.resume(id, answers, options).await.map_err(|e| explained(e, &state))? {
        Resumed::Run(run) => to_end(app, ready, run, &args.follow, &mut signals).await,
        Resumed::Delivered => Ok(Exit::Done),
    }
}

fn ready(app: &App, args: &FollowArgs) -> Result<Ready, Failure> {
    let flags = args.agent();
    let given = input::answers(&args.answer)?;
    let Opened { runtime, .. } = app.open(&flags)?;
    let (approver, calls) = tool::approver(app, &runtime, &flags);
    // Without anybody to ask the run's own leave holds: denied at once, or left waiting where it was begun so.
    let approver = match (flags.call.yes, args.wait, app.terminal.can_ask()) {
        (true, ..) | (false, false, true) => Some(approver),
        (false, true, _) => Some(Arc::new(AskLater) as _),
        (false, false, false) => None,
    };
    let (otherwise, people) = match (args.wait, app.terminal.can_ask()) {
        (true, _) => (Otherwise::Later, None),
        (false, false) => (Otherwise::Nobody, None),
        (false, true) => {
            let (sender, people) = mpsc::channel(1);
            (Otherwise::Ask(sender), Some(people))
        }
    };
    let desk = Arc::new(Desk::new(given, otherwise));
    let options = RunOptions {
        mode: args.call.mode,
        sandbox: args.call.sandbox.map(Into::into),
        dry_run: if args.call.dry_run { DryRun::On } else { DryRun::Off },
        approver,
        leave: if args.wait { Leave::Later } else { Leave::Now },
        interviewer: Some(Arc::clone(&desk) as _),
        budget: Budget {
            max_turns: args.max_turns,
            max_cost: args.max_cost.map(NanoUsd::from_dollars),
            ..Budget::default()
        },
        tools: args.tools.clone(),
        ..RunOptions::default()
    };
    let workflows = Workflows::of(&runtime);
    Ok(Ready { workflows, options, desk, asks: Asks { terminal: app.terminal, calls, people }, runtime })
}

/// The answers to what a run waits for: those of the command line, else those of the person at the terminal.
async fn answers(
    app: &App,
    ready: &Ready,
    state: &RunState,
    signals: &mut Signals,
) -> Result<Option<Vec<(String, Value)>>, Failure> {
    let mut answers = Vec::new();
    let mut open: Vec<&Question> = Vec::new();
    for question in &state.waiting {
        match ready.desk.before(question) {
            Some(answer) => answers.push((question.id.clone(), answer)),
            None => open.push(question),
        }
    }
    if ready.asks.people.is_none() || !answers.is_empty() {
        return Ok(Some(answers));
    }
    let mut typed = Typed::new();
    for question in open {
        let (answer, answered) = tokio::sync::oneshot::channel();
        tokio::select! {
            () = typed.put(app.terminal, (question.clone(), answer)) => {}
            _ = signals.next() => return Ok(None),
        }
        if let Ok(victor::workflow::Reply::Answer(value)) = answered.await {
            answers.push((question.id.clone(), value));
        }
    }
    Ok(Some(answers))
}

/// An error of a resumption, with what the command line offers against it.
fn explained(error: WorkflowError, state: &RunState) -> Failure {
    match &error {
        WorkflowError::Configuration(e) if e.code == "MISSING_FIELD" => {
            let node = state.waiting.first().map_or("NODE", |q| q.id.as_str());
            Failure::usage(format!("{error}; answer with --answer {}=..", harmless_line(node)))
        }
        WorkflowError::Changed(_) => Failure::failed(format!("{error} with --accept-changes")),
        _ => error.into(),
    }
}

async fn to_end(
    app: &App,
    ready: Ready,
    run: WorkflowRun,
    args: &FollowArgs,
    signals: &mut Signals,
) -> Result<Exit, Failure> {
    let id = run.id();
    let mut view = View::new(app.terminal, args.json);
    if app.terminal.stderr || app.global.verbose > 0 {
        faint(&app.terminal, &format!("run {id}"));
    }
    let ended = follow(run, &mut view, signals, ready.asks).await;
    app.close(&ready.runtime).await;
    for node in ready.desk.unused() {
        note(format!("`--answer {}=..` was used for nothing: no node of this name has asked", harmless_line(&node)));
    }
    let ended = ended?;
    if args.json {
        line(last_line(id, &ended).to_string())?;
    }
    told(app, id, ended.outcome, args)
}

/// The last line of `--json`.
fn last_line(id: RunId, ended: &Ended) -> Value {
    let mut fields = json!({ "type": "finished", "workflow_id": id });
    if let Some(event) = &ended.last {
        let victor::event::Event { v, seq, run_id, path, at, .. } = event;
        fields = json!({"v": v, "seq": seq, "run_id": run_id, "path": path, "at": at, "type": "finished", "workflow_id": id});
    }
    let more = match &ended.outcome {
        Ok(o) => json!({
            "workflow": o.workflow, "status": o.status, "result": o.result, "error": o.error, "waiting": o.waiting,
            "usage": o.usage, "cost": o.cost, "denied": o.denied, "duration_ms": o.duration_ms,
        }),
        Err(WorkflowError::Interrupted | WorkflowError::ShuttingDown) => {
            json!({"status": RunStatus::Running, "interrupted": true, "result": null, "error": null})
        }
        Err(e) => json!({
            "status": RunStatus::Failed, "result": null, "error": {"code": e.code(), "message": e.to_string()},
        }),
    };
    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
        fields.extend(more);
    }
    fields
}

/// Prints the result and says how the run ended.
fn told(
    app: &App,
    id: RunId,
    outcome: Result<WorkflowOutcome, WorkflowError>,
    args: &FollowArgs,
) -> Result<Exit, Failure> {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(WorkflowError::Interrupted | WorkflowError::ShuttingDown) => {
            note(format!(
                "interrupted; `victor workflow resume {id}` goes on, `victor workflow cancel {id}` ends it for good"
            ));
            return Ok(Exit::Interrupted);
        }
        Err(e) => return Err(e.into()),
    };
    if app.terminal.stderr || app.global.verbose > 0 {
        let time = duration(Duration::from_millis(outcome.duration_ms));
        let mut parts = vec![outcome.status.name().to_owned(), time];
        if outcome.usage.total() > 0 {
            parts.extend([tokens(&outcome.usage), cost(outcome.cost)]);
        }
        faint(&app.terminal, &parts.join(" · "));
    }
    match outcome.status {
        RunStatus::Completed => {
            if !args.json {
                crate::terminal::json(&outcome.result)?;
            }
            Ok(Exit::Done)
        }
        RunStatus::Waiting => {
            for question in &outcome.waiting {
                note(format!("{} waits: {}", harmless_line(&question.id), harmless(&question.prompt)));
                note(format!("  victor workflow resume {id} --answer {}=..", harmless_line(&question.id)));
            }
            Ok(Exit::Denied)
        }
        RunStatus::Cancelled | RunStatus::Running => {
            note("cancelled");
            Ok(Exit::Interrupted)
        }
        RunStatus::Failed => {
            let failure = outcome.error.as_ref();
            let message = failure.map_or("the run failed", |f| f.message.as_str());
            Err(Failure::new(exit(failure.map_or("", |f| f.code.as_str())), harmless(message)))
        }
    }
}

/// How a run that failed like this ends the program.
fn exit(code: &str) -> Exit {
    match code {
        ABORTED | "PERMISSION_DENIED" | "DENIED" => Exit::Denied,
        "LIMIT_EXCEEDED" => Exit::Limit,
        "PROVIDER_NOT_CONFIGURED" | "PROVIDER_NOT_FOUND" | "MODEL_NOT_FOUND" => Exit::Configuration,
        _ => Exit::Failed,
    }
}
