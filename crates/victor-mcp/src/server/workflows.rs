//! `run_workflow` and `workflow_status`: a workflow as one call, its people asked in the client. No argument answers a
//! human node: a model must not be the person.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use rmcp::ErrorData;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, ElicitRequest, InputRequest, JsonObject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use victor_core::id::RunId;
use victor_core::journal::RunStatus;
use victor_core::permission::{AllowAll, Approver};
use victor_core::question::{AskLater, Nobody, Question, Reply};
use victor_core::runtime::Runtime;
use victor_core::token::Scope;
use victor_workflow::Workflows;
use victor_workflow::error::WorkflowError;
use victor_workflow::options::{RunOptions, RunState, WorkflowOutcome};
use victor_workflow::resume::Resumed;
use victor_workflow::run::WorkflowRun;

use super::ask::{self, Asked, Desk, Matter, Outcome, Said, State};
use super::call::{Call, Era, Retry};
use super::config::Questions;
use super::own::{Card, OwnTool};
use super::runs::{Patience, Room, Runs, SILENT, note, patience};
use crate::convert;

const CATEGORY: &str = "workflows";
const RUN: &str = "run_workflow";

/// The arguments of `run_workflow`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunArgs {
    /// The workflow's name; an unknown one is answered with those that there are.
    #[schemars(length(min = 1))]
    workflow: String,
    /// Its input, by name.
    #[serde(default)]
    input: Map<String, Value>,
    /// Seconds to wait for the end; then the run goes on, and `workflow_status` tells of it. If not given: to the end
    /// where the client takes progress, else 50.
    #[schemars(range(min = 0.0, max = 86400.0))]
    wait_seconds: Option<f64>,
}

/// The arguments of `workflow_status`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StatusArgs {
    /// The run, as `run_workflow` named it.
    workflow_id: String,
    /// Ends the run.
    #[serde(default)]
    cancel: bool,
}

/// How a run stands.
#[derive(Debug, Serialize, JsonSchema)]
struct Report {
    /// The run.
    workflow_id: String,
    /// `running`, `completed`, `failed`, `waiting` or `cancelled`.
    status: String,
    /// The outputs, once it is completed.
    result: Value,
    /// What failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What a person has to answer, and how.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<String>,
}

/// Runs a workflow.
pub(crate) struct RunWorkflow {
    runs: Arc<Runs>,
    card: Card,
}

/// Tells how a run of one stands.
pub(crate) struct WorkflowStatus(Card);

impl RunWorkflow {
    pub(crate) fn new(runs: Arc<Runs>) -> Self {
        let about = "Runs one of the workspace's workflows: agents, tools, conditions and people in a fixed order, saved \
                     at each step.";
        Self { runs, card: Card::of::<RunArgs, Report>(RUN, about, CATEGORY) }
    }
}

impl WorkflowStatus {
    pub(crate) fn new() -> Self {
        let about = "Tells how a run of `run_workflow` stands, and can end it.";
        Self(Card::of::<StatusArgs, Report>("workflow_status", about, CATEGORY))
    }
}

#[async_trait]
impl OwnTool for RunWorkflow {
    fn card(&self) -> &Card {
        &self.card
    }

    async fn call(&self, call: &Call<'_>, given: JsonObject, retry: Retry) -> Result<CallToolResponse, ErrorData> {
        let args: RunArgs = match self.card.arguments(given) {
            Ok(args) => args,
            Err(wrong) => return Ok((*wrong).into()),
        };
        let runtime = call.session.runtime(call.cx).await?;
        let wait = args.wait_seconds.map(Duration::from_secs_f64).or(call.progress_token().is_none().then_some(SILENT));
        let room = match self.runs.room() {
            Ok(room) => room,
            Err(full) => return Ok((*full).into()),
        };
        let desk = Counter { call, runtime: &runtime, workflows: Workflows::of(&runtime), room: Arc::new(room) };
        let answered = match &retry.state {
            Some(sealed) => desk.answered(sealed, &retry).await?,
            None => desk.begin(&args).await,
        };
        match answered {
            Ok(Some((run, questions))) => desk.follow(run, questions, patience(wait)).await,
            Ok(None) => Ok(convert::failure("the run works elsewhere: `workflow_status` tells of it").into()),
            Err(error) => Ok(convert::failure(error.to_string()).into()),
        }
    }
}

#[async_trait]
impl OwnTool for WorkflowStatus {
    fn card(&self) -> &Card {
        &self.0
    }

    async fn call(&self, call: &Call<'_>, given: JsonObject, _: Retry) -> Result<CallToolResponse, ErrorData> {
        let args: StatusArgs = match self.0.arguments(given) {
            Ok(args) => args,
            Err(wrong) => return Ok((*wrong).into()),
        };
        let runtime = call.session.runtime(call.cx).await?;
        let workflows = Workflows::of(&runtime);
        let Some(id) = own(call, &workflows, &args.workflow_id).await else {
            let message = format!("there is no run `{}` of a workflow", args.workflow_id);
            return Ok(convert::failure(message).into());
        };
        if args.cancel
            && let Err(error) = workflows.cancel(id).await
        {
            return Ok(convert::failure(error.to_string()).into());
        }
        Ok(match workflows.status(id).await {
            Ok(state) => Report::from(&state).told().into(),
            Err(error) => convert::failure(error.to_string()).into(),
        })
    }
}

/// The run of this id, if the caller may see it.
async fn own(call: &Call<'_>, workflows: &Workflows, id: &str) -> Option<RunId> {
    let id: RunId = id.parse().ok()?;
    let state = workflows.status(id).await.ok()?;
    let principal = call.principal();
    (*state.owner == *principal.owner || principal.may(Scope::Admin)).then_some(id)
}

/// A run with the questions of its tool calls.
type Begun = Option<(WorkflowRun, mpsc::Receiver<Asked>)>;

/// One call of `run_workflow`.
struct Counter<'a> {
    call: &'a Call<'a>,
    runtime: &'a Runtime,
    workflows: Workflows,
    /// Held for as long as the run works.
    room: Arc<Room>,
}

impl Counter<'_> {
    async fn begin(&self, args: &RunArgs) -> Result<Begun, WorkflowError> {
        let (options, questions) = self.options().await;
        let run = self.workflows.start_named(&args.workflow, &args.input, options).await?;
        Ok(Some((run, questions)))
    }

    /// Goes on with the run that the client's answer belongs to.
    async fn answered(&self, sealed: &str, retry: &Retry) -> Result<Result<Begun, WorkflowError>, ErrorData> {
        let state: State = self.call.session.door.open(sealed, &self.call.principal())?;
        let run = state.run.as_deref().filter(|_| state.tool == RUN).and_then(|run| run.parse().ok());
        let run = run.ok_or_else(|| ErrorData::invalid_params("requestState belongs to another request", None))?;
        let given = retry.responses.get(ask::QUESTION).and_then(|v| serde_json::from_value(v.clone()).ok());
        match given.as_ref().and_then(ask::answer) {
            Some(value) => Ok(self.resume(run, state.question, value).await),
            None => Err(ErrorData::invalid_params(
                format!("the question was not answered; the run waits: `victor workflow resume {run}`"),
                None,
            )),
        }
    }

    async fn resume(&self, run: RunId, question: String, value: Value) -> Result<Begun, WorkflowError> {
        let (options, questions) = self.options().await;
        Ok(match self.workflows.resume(run, vec![(question, value)], options).await? {
            Resumed::Run(run) => Some((run, questions)),
            Resumed::Delivered => None,
        })
    }

    /// What the run may do: no more than the server's configuration and the client's person allow.
    async fn options(&self) -> (RunOptions, mpsc::Receiver<Asked>) {
        let door = &self.call.session.door;
        let (desk, questions) = Desk::new(door.config.question_timeout, None);
        let approver: Arc<dyn Approver> = match door.config.questions {
            Questions::Client => Arc::new(desk),
            Questions::Yes => Arc::new(AllowAll),
        };
        let tools = match door.config.tools.is_open() {
            true => None,
            false => {
                let specs = self.runtime.tool_set().await.specs();
                Some(specs.iter().filter(|s| door.offers(s)).map(|s| s.name.clone()).collect())
            }
        };
        let options = RunOptions {
            approver: Some(approver),
            interviewer: Some(if self.call.can_elicit() { Arc::new(AskLater) } else { Arc::new(Nobody) }),
            dry_run: self.runtime.defaults().dry_run,
            budget: self.runtime.defaults().budget,
            owner: Some(self.call.principal().owner.to_string()),
            tools,
            ..RunOptions::default()
        };
        (options, questions)
    }

    /// To the end of the run, or of the patience with it; its people are asked in the client.
    async fn follow(
        &self,
        mut run: WorkflowRun,
        mut questions: mpsc::Receiver<Asked>,
        mut patience: Patience,
    ) -> Result<CallToolResponse, ErrorData> {
        loop {
            let id = run.id();
            let outcome = match self.work(run, questions, &mut patience).await {
                Some(Ok(outcome)) => outcome,
                Some(Err(error)) => return Ok(convert::failure(error.to_string()).into()),
                None => return Ok(Report::running(id).told().into()),
            };
            let waits = outcome.status == RunStatus::Waiting && self.call.can_elicit();
            let Some(question) = outcome.waiting.first().filter(|_| waits) else {
                return Ok(Report::from(&outcome).told().into());
            };
            let answered = match self.call.era() {
                Era::Requests => {
                    let state =
                        State { tool: RUN.to_owned(), question: question.id.clone(), run: Some(id.to_string()) };
                    let asks = InputRequest::Elicitation(ElicitRequest::new(ask::person_form(question)));
                    return Ok(ask::input_required(self.call, asks, &state).into());
                }
                Era::Sessions => ask::elicit_answer(self.call, question, &mut patience).await,
            };
            let Some(value) = answered else { return Ok(Report::from(&outcome).told().into()) };
            match self.resume(id, question.id.clone(), value).await {
                Ok(Some(begun)) => (run, questions) = begun,
                Ok(None) => return Ok(Report::running(id).told().into()),
                Err(error) => return Ok(convert::failure(error.to_string()).into()),
            }
        }
    }

    /// Until the run ends or waits; `None` if the client's patience ends first, and the run goes on.
    async fn work(
        &self,
        mut run: WorkflowRun,
        mut questions: mpsc::Receiver<Asked>,
        patience: &mut Patience,
    ) -> Option<Result<WorkflowOutcome, WorkflowError>> {
        let mut heartbeat = self.call.heartbeat();
        let mut gone = std::pin::pin!(self.call.gone());
        loop {
            let open = tokio::select! {
                event = run.next() => match event {
                    Some(event) => {
                        if let Some(note) = note(&event.kind) {
                            self.call.progress(&note).await;
                        }
                        continue;
                    }
                    None => return Some(run.taken()),
                },
                Some(asked) = questions.recv() => self.decide(asked, &mut *patience).await,
                _ = heartbeat.tick() => {
                    self.call.progress("the workflow goes on").await;
                    continue;
                }
                () = &mut *patience => Asking::Over,
                () = &mut gone => Asking::Over,
            };
            match open {
                Asking::Done => {}
                Asking::Over if self.call.is_given_up() => {
                    run.cancel();
                    return Some(run.outcome().await);
                }
                Asking::Over => {
                    let room = Arc::clone(&self.room);
                    self.runtime.spawn(async move {
                        tokio::select! {
                            // How it ended stands in the journal.
                            _ = run.outcome() => {}
                            () = put_off(questions) => {}
                        }
                        drop(room);
                    });
                    return None;
                }
            }
        }
    }

    /// A question of the run. Where asking means to end the request, or nobody has answered in time, a node waits for
    /// leave, and the run with it; a workflow within the run cannot.
    async fn decide(&self, asked: Asked, patience: &mut Patience) -> Asking {
        let put = ask::put(self.call, &asked.matter, patience).await;
        let asking = if matches!(put, Outcome::Open) { Asking::Over } else { Asking::Done };
        let said = match (put, &asked.matter) {
            (Outcome::Said(said), _) => said,
            (Outcome::Suspend(_) | Outcome::Open, Matter::Call(_)) => Said::Replied(Reply::Later),
            (Outcome::Suspend(_) | Outcome::Open, Matter::Person(_)) => Said::Replied(Reply::Nobody),
        };
        // A call that is gone wants no answer.
        let _ = asked.reply.send(said);
        asking
    }
}

/// Nobody is there to be asked any more: a call waits for leave, and the run with it.
async fn put_off(mut questions: mpsc::Receiver<Asked>) {
    while let Some(asked) = questions.recv().await {
        let reply = match asked.matter {
            Matter::Call(_) => Reply::Later,
            Matter::Person(_) => Reply::Nobody,
        };
        // A call that is gone wants no answer.
        let _ = asked.reply.send(Said::Replied(reply));
    }
    // The run may end without more questions.
    std::future::pending().await
}

/// What comes of waiting with the run.
enum Asking {
    /// It goes on.
    Done,
    /// Nobody waits any longer.
    Over,
}

impl Report {
    fn running(id: RunId) -> Self {
        let (status, result) = (RunStatus::Running.name().to_owned(), Value::Null);
        Self { workflow_id: id.to_string(), status, result, error: None, waiting: Vec::new() }
    }

    fn told(&self) -> CallToolResult {
        let value = serde_json::to_value(self).unwrap_or_default();
        let text = vec![ContentBlock::text(format!("{value:#}"))];
        let failed = self.error.is_some();
        let mut result = if failed { CallToolResult::error(text) } else { CallToolResult::success(text) };
        result.structured_content = Some(value);
        result
    }
}

/// What is told of questions that nobody has answered.
fn open(run: RunId, questions: &[Question]) -> Vec<String> {
    let how = |q: &Question| {
        format!("{}: a person answers with `victor workflow resume {run} --answer {}=..`", q.prompt, q.node)
    };
    questions.iter().map(how).collect()
}

impl From<&WorkflowOutcome> for Report {
    fn from(outcome: &WorkflowOutcome) -> Self {
        Self {
            workflow_id: outcome.workflow_id.to_string(),
            status: outcome.status.name().to_owned(),
            result: outcome.result.clone(),
            error: outcome.error.as_ref().map(|e| e.message.clone()),
            waiting: open(outcome.workflow_id, &outcome.waiting),
        }
    }
}

impl From<&RunState> for Report {
    fn from(state: &RunState) -> Self {
        Self {
            workflow_id: state.workflow_id.to_string(),
            status: state.status.name().to_owned(),
            result: state.result.clone().unwrap_or_default(),
            error: state.error.as_ref().map(|e| e.message.clone()),
            waiting: open(state.workflow_id, &state.waiting),
        }
    }
}
