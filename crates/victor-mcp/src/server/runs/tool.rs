//! `run_agent` and `run_status`: a whole task as one call, and a look at one that goes on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{BoxFuture, Fuse};
use futures::{FutureExt as _, StreamExt as _};
use globset::Glob;
use rmcp::ErrorData;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, CreateTaskResult, JsonObject, Task, TaskStatus};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::sleep;
use victor_core::agent::{Agent, AgentSpec};
use victor_core::error::VictorError;
use victor_core::event::EventKind;
use victor_core::permission::{AllowAll, Approver, Mode};
use victor_core::provider::Selector;
use victor_core::runtime::Runtime;
use victor_core::usage::{Budget, NanoUsd};

use super::{Live, Report, Room, Runs};
use crate::convert;
use crate::server::ask::{self, Desk, Outcome, State};
use crate::server::call::{Call, Retry};
use crate::server::config::Questions;
use crate::server::own::{Card, OwnTool};
use crate::server::sampling;

/// How long a call waits for its run where the client hears nothing meanwhile: less than clients usually wait.
pub(crate) const SILENT: Duration = Duration::from_secs(50);
/// How long a run that was cancelled may take to settle.
const SETTLE: Duration = Duration::from_secs(5);
const CATEGORY: &str = "agents";
/// The code of the error where no provider can serve.
const UNCONFIGURED: &str = "PROVIDER_NOT_CONFIGURED";

/// The arguments of `run_agent`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunAgentArgs {
    /// The task, complete in itself: the agent sees nothing else of this conversation.
    #[schemars(length(min = 1))]
    task: String,
    /// The provider, or `provider/model`; the configured one if not given.
    provider: Option<String>,
    /// The model.
    model: Option<String>,
    /// A saved profile.
    profile: Option<String>,
    /// What the agent is there for; it never may do more than the server's own mode.
    mode: Option<Mode>,
    /// The tools that it may use, by name or glob; all that are offered here if not given.
    tools: Option<Vec<String>>,
    /// Calls of the model at most.
    #[schemars(range(min = 1))]
    max_turns: Option<u32>,
    /// US dollars at most; needs a model whose price is known.
    #[schemars(range(min = 0.0))]
    max_cost: Option<f64>,
    /// Seconds to wait for the end; then the run goes on, and `run_status` tells of it. 0 does not wait. If not given:
    /// to the end where the client takes progress, else 50.
    #[schemars(range(min = 0.0, max = 86400.0))]
    wait_seconds: Option<f64>,
}

/// The arguments of `run_status`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunStatusArgs {
    /// The run, as `run_agent` named it.
    run_id: String,
    /// Seconds to wait for the end; 0 if not given.
    #[schemars(range(min = 0.0, max = 86400.0))]
    wait_seconds: Option<f64>,
    /// Ends the run.
    #[serde(default)]
    cancel: bool,
}

/// Does a whole task with an agent.
pub(crate) struct RunAgent {
    runs: Arc<Runs>,
    card: Card,
}

/// Tells how a run stands.
pub(crate) struct RunStatus {
    runs: Arc<Runs>,
    card: Card,
}

impl RunAgent {
    pub(crate) fn new(runs: Arc<Runs>) -> Self {
        let about = "Hands a whole task to an agent of Victor, which works on it with its own model and tools in this \
                     workspace, and answers its result. Long tasks go on when the wait is over: `run_status` tells of \
                     them.";
        Self { runs, card: Card::of::<RunAgentArgs, Report>("run_agent", about, CATEGORY) }
    }

    async fn begin(&self, call: &Call<'_>, args: &RunAgentArgs, room: Room) -> Result<Arc<Live>, VictorError> {
        let runtime = call.session.runtime(call.cx).await.map_err(|e| VictorError::Internal(e.message.to_string()))?;
        let (desk, questions) = Desk::new(call.session.door.config.question_timeout, None);
        let approver: Arc<dyn Approver> = match call.session.door.config.questions {
            Questions::Client => Arc::new(desk),
            Questions::Yes => Arc::new(AllowAll),
        };
        let (agent, samples) = agent(call, &runtime, args).await?;
        narrow(&runtime, &agent)?;
        let owner = call.principal().owner;
        let mut chat = agent.with_approver(approver).with_owner(Arc::clone(&owner)).chat(None);
        let mut run = chat.astream(args.task.as_str());
        loop {
            match run.next().await {
                Some(event) if matches!(event.kind, EventKind::Started { .. }) => {
                    let live = Live::drive(&runtime, &event, (run, chat, room), (questions, samples), owner);
                    self.runs.add(&live);
                    return Ok(live);
                }
                Some(event) if !matches!(event.kind, EventKind::Finished { .. }) => {}
                _ => {
                    run.outcome().await?;
                    return Err(VictorError::Internal("the run ended before it began".to_owned()));
                }
            }
        }
    }
}

/// The agent. The client's own model serves it where no other does and nobody asked for one.
async fn agent(
    call: &Call<'_>,
    runtime: &Runtime,
    args: &RunAgentArgs,
) -> Result<(Agent, Option<sampling::Waiting>), VictorError> {
    let spec = spec(call, runtime, args).await;
    let open = spec.selector == Selector::default() && spec.profile.is_none() && !call.session.door.host.has_choice();
    match Agent::create(runtime, spec.clone()).await {
        Err(VictorError::Configuration(error)) if open && error.code == UNCONFIGURED => {
            let Some((model, samples)) = sampling::model(call) else { return Err(error.into()) };
            let agent = Agent::builder().model(model).spec(spec).build(runtime).await?;
            Ok((agent, Some(samples)))
        }
        made => Ok((made?, None)),
    }
}

/// The agent that is asked for: of the tools that are offered here, none more.
async fn spec(call: &Call<'_>, runtime: &Runtime, args: &RunAgentArgs) -> AgentSpec {
    let door = &call.session.door;
    let tools = match door.config.tools.is_open() {
        true => args.tools.clone(),
        false => {
            let wanted = |name: &str| args.tools.as_ref().is_none_or(|globs| globs.iter().any(|g| fits(g, name)));
            let specs = runtime.tool_set().await.specs();
            Some(specs.iter().filter(|s| door.offers(s) && wanted(&s.name)).map(|s| s.name.clone()).collect())
        }
    };
    let (provider, model) = match args.provider.as_deref().and_then(|p| p.split_once('/')) {
        Some((provider, model)) if args.model.is_none() => (Some(provider.to_owned()), Some(model.to_owned())),
        _ => (args.provider.clone(), args.model.clone()),
    };
    let asked =
        Budget { max_turns: args.max_turns, max_cost: args.max_cost.map(NanoUsd::from_dollars), ..Budget::default() };
    AgentSpec {
        selector: Selector { provider, model },
        profile: args.profile.clone(),
        mode: args.mode,
        tools,
        // The server's own limits hold on top.
        budget: asked.within(&runtime.defaults().budget),
        ..AgentSpec::default()
    }
}

fn fits(glob: &str, name: &str) -> bool {
    Glob::new(glob).is_ok_and(|g| g.compile_matcher().is_match(name))
}

/// A client cannot widen what the server's own mode allows, nor can a profile that it names.
fn narrow(runtime: &Runtime, agent: &Agent) -> Result<(), VictorError> {
    let own = runtime.defaults().mode.unwrap_or_default();
    if own.permits(agent.mode().ceiling()) {
        return Ok(());
    }
    let (asked, own) = (agent.mode().name(), own.name());
    let message = format!("mode `{asked}` may do more than this server's mode `{own}`; ask for less");
    Err(victor_core::error::ConfigurationError::new(message).into())
}

#[async_trait]
impl OwnTool for RunAgent {
    fn card(&self) -> &Card {
        &self.card
    }

    async fn call(&self, call: &Call<'_>, given: JsonObject, retry: Retry) -> Result<CallToolResponse, ErrorData> {
        let args: RunAgentArgs = match self.card.arguments(given) {
            Ok(args) => args,
            Err(wrong) => return Ok((*wrong).into()),
        };
        let wait = args.wait_seconds.map(Duration::from_secs_f64).or(call.progress_token().is_none().then_some(SILENT));
        if let Some(live) = resumed(&self.runs, call, "run_agent", &retry)? {
            return follow(call, &live, wait, "run_agent").await;
        }
        let room = match self.runs.room() {
            Ok(room) => room,
            Err(full) => return Ok((*full).into()),
        };
        let live = match self.begin(call, &args, room).await {
            Ok(live) => live,
            Err(error) => return Ok(convert::failure(error.to_string()).into()),
        };
        // The client's model is only asked by whoever follows the run, and nobody follows a task.
        if call.capabilities().supports_tasks() && !live.borrows {
            return Ok(CreateTaskResult::new(task(&live)).into());
        }
        follow(call, &live, wait, "run_agent").await
    }
}

impl RunStatus {
    pub(crate) fn new(runs: Arc<Runs>) -> Self {
        let about = "Tells how a run of `run_agent` stands: what it does, or what it answered. Can wait for its end, and \
                     can end it.";
        Self { runs, card: Card::of::<RunStatusArgs, Report>("run_status", about, CATEGORY) }
    }
}

#[async_trait]
impl OwnTool for RunStatus {
    fn card(&self) -> &Card {
        &self.card
    }

    async fn call(&self, call: &Call<'_>, given: JsonObject, retry: Retry) -> Result<CallToolResponse, ErrorData> {
        let args: RunStatusArgs = match self.card.arguments(given) {
            Ok(args) => args,
            Err(wrong) => return Ok((*wrong).into()),
        };
        resumed(&self.runs, call, "run_status", &retry)?;
        let Some(live) = self.runs.find(&args.run_id, &call.principal()) else {
            let message = format!("there is no run `{}` here; ended ones are forgotten after a while", args.run_id);
            return Ok(convert::failure(message).into());
        };
        let wait = match args.cancel {
            true => {
                live.cancel();
                SETTLE
            }
            false => Duration::from_secs_f64(args.wait_seconds.unwrap_or(0.0)),
        };
        follow(call, &live, Some(wait), "run_status").await
    }
}

/// The run that the client's answer belongs to; it has the answer now.
fn resumed(runs: &Runs, call: &Call<'_>, tool: &str, retry: &Retry) -> Result<Option<Arc<Live>>, ErrorData> {
    let Some(sealed) = &retry.state else { return Ok(None) };
    let principal = call.principal();
    let state: State = call.session.door.open(sealed, &principal)?;
    let run = state.run.as_deref().filter(|_| state.tool == tool);
    let run = run.ok_or_else(|| ErrorData::invalid_params("requestState belongs to another request", None))?;
    let live = runs.find(run, &principal);
    let live = live.ok_or_else(|| ErrorData::invalid_params(format!("there is no run `{run}` any more"), None))?;
    if let Some(matter) = live.asked(&state.question)
        && let Some(said) = matter.said(&state, &retry.responses, true)
    {
        live.answer(&state.question, said);
    }
    Ok(Some(live))
}

/// Waits for the run's end, puts its questions to the client and tells of its progress.
async fn follow(
    call: &Call<'_>,
    live: &Arc<Live>,
    wait: Option<Duration>,
    tool: &str,
) -> Result<CallToolResponse, ErrorData> {
    let mut state = live.follow();
    let mut heartbeat = call.heartbeat();
    let mut patience = patience(wait);
    let (mut told, mut waits) = (0, wait != Some(Duration::ZERO));
    // Whoever else looks at the run may have no model to lend, or be somebody else.
    let lends = sampling::lends(call) && live.owner == call.principal().owner;
    loop {
        let now = state.borrow_and_update().clone();
        let (notes, count) = now.since(told);
        for note in notes {
            call.progress(note).await;
        }
        told = count;
        if now.is_over() || !waits {
            return Ok(report_of(live).into());
        }
        if let Some(question) = live.question() {
            match ask::put(call, &question, &mut patience).await {
                Outcome::Said(said) => live.answer(&question.id(), said),
                Outcome::Open if call.is_given_up() => return Ok(given_up(live, tool).await.into()),
                // The run goes on waiting for its answer; another call can ask again.
                Outcome::Open => waits = false,
                Outcome::Suspend(input) => {
                    let run = Some(live.id.to_string());
                    let state = State { tool: tool.to_owned(), question: question.id(), run };
                    return Ok(ask::input_required(call, *input, &state).into());
                }
            }
            continue;
        }
        tokio::select! {
            _ = state.changed() => {}
            wanted = live.wanted(), if lends => wanted.put(call).await,
            _ = heartbeat.tick() => call.progress(now.note()).await,
            () = &mut patience => waits = false,
            () = call.cx.ct.cancelled() => return Ok(given_up(live, tool).await.into()),
            () = call.session.closing.cancelled() => return Ok(given_up(live, tool).await.into()),
        }
    }
}

/// How long a call waits.
pub(crate) type Patience = Fuse<BoxFuture<'static, ()>>;

/// Ends when `wait` is over, once; never, if there is no limit.
pub(crate) fn patience(wait: Option<Duration>) -> Patience {
    match wait {
        Some(wait) => sleep(wait).boxed().fuse(),
        None => Fuse::terminated(),
    }
}

/// The client waits no longer: what it began ends; what it only looked at goes on.
async fn given_up(live: &Live, tool: &str) -> CallToolResult {
    if tool == "run_agent" {
        live.cancel();
        let mut state = live.follow();
        let settled = async { state.wait_for(super::Snapshot::is_over).await.is_ok() };
        // Whether it settled in time or not, its report says how it stands.
        let _ = tokio::time::timeout(SETTLE, settled).await;
    }
    report_of(live)
}

/// The run as a tool's answer.
pub(crate) fn report_of(live: &Live) -> CallToolResult {
    let report = Report::of(live);
    let text = vec![ContentBlock::text(report.as_text())];
    let mut result = if report.is_failure() { CallToolResult::error(text) } else { CallToolResult::success(text) };
    result.structured_content = serde_json::to_value(&report).ok();
    result
}

/// The run as a task of the protocol.
pub(crate) fn task(live: &Live) -> Task {
    let snapshot = live.snapshot();
    let status = match (snapshot.is_over(), live.question()) {
        (true, _) => TaskStatus::Completed,
        (false, Some(_)) => TaskStatus::InputRequired,
        (false, None) => TaskStatus::Working,
    };
    Task::new(live.id.to_string(), status, live.began.to_string(), snapshot.at.to_string())
        .with_status_message(snapshot.note())
        .with_poll_interval_ms(1000)
}
