//! Workflows: which there are, running them, following their runs, answering what they ask, ending them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use victor_core::id::{RunId, Timestamp};
use victor_core::journal::{JournalError, RunStatus};
use victor_core::question::{AskLater, Question};
use victor_core::token::Scope;
use victor_workflow::Workflows;
use victor_workflow::error::WorkflowError;
use victor_workflow::options::{Changed, Keeper, Leave, RunOptions, RunState, WorkflowOutcome};
use victor_workflow::registry::{Reach, Registered};
use victor_workflow::resume::Resumed;
use victor_workflow::run::WorkflowRun;

use crate::body::Body;
use crate::caller::Caller;
use crate::door::Door;
use crate::endpoint::{BASE, Content, Endpoint};
use crate::error::ApiError;
use crate::feeds::{self, WorkflowEvent, drive};
use crate::path::Named;
use crate::routes::chat::events;
use crate::talk::overloaded;

/// Seconds that a request waits for a run where nothing is said.
const WAIT: u64 = 300;
/// Seconds that a request waits at most.
const LONGEST_WAIT: u64 = 3600;

/// A workflow to be run.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunBody {
    /// Its name, or a file of the workspace's `.victor/workflows`.
    workflow: String,
    /// What it is given.
    #[serde(default)]
    input: Map<String, Value>,
    /// More of it; what `input` names too is `input`'s.
    #[serde(default)]
    parameters: Map<String, Value>,
    /// Whether the answer comes when the run has ended; `true` unless said otherwise.
    #[serde(default)]
    wait: Option<bool>,
    /// Seconds that are waited at most, 1 to 3600; 300 unless said otherwise. The run goes on.
    #[serde(default)]
    #[schemars(range(min = 1, max = 3600))]
    wait_timeout: Option<u64>,
    /// What becomes of tool calls that need a yes; without it they are denied.
    #[serde(default)]
    approvals: Option<Approving>,
}

/// Who says yes to tool calls.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Approving {
    /// The run waits with a question of the kind `permission`, until it is resumed with the answer.
    Ask,
}

/// Answers to what a run waits for; none for a run that was interrupted.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ResumeBody {
    /// The answer, where one question is open.
    answer: Option<Value>,
    /// The answers, by the ids of their questions.
    answers: Map<String, Value>,
    /// Whether it goes on although the workflow has changed since.
    accept_changes: bool,
    /// Whether the answer comes when the run has ended or waits again; `false` unless said otherwise.
    wait: bool,
    /// Seconds that are waited at most, 1 to 3600; 300 unless said otherwise. The run goes on.
    #[schemars(range(min = 1, max = 3600))]
    wait_timeout: Option<u64>,
}

/// How a run stands for whoever began it or went on with it.
#[derive(Debug, Serialize, JsonSchema)]
struct Answer {
    /// Whether it did, or may still do, what it should.
    success: bool,
    /// The run.
    workflow_id: RunId,
    /// Where it stands.
    status: RunStatus,
    /// The outputs, once it is completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    /// What failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// A stable name of the kind of error.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<String>,
    /// What it waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<Question>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_time_ms: Option<u64>,
    /// Where its state can be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_url: Option<String>,
}

/// Where a run stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct WorkflowStatus {
    /// The run.
    pub(crate) workflow_id: RunId,
    /// The workflow's name.
    workflow: String,
    /// Where it stands.
    pub(crate) status: RunStatus,
    /// Nodes that were done, as a part of all: from 0 to 1.
    progress: f64,
    /// The node that works or waits now; of several the first.
    current_node: Option<String>,
    /// All nodes that work or wait now.
    current_nodes: Vec<String>,
    /// The nodes that were done, in the order in which they first were.
    pub(crate) completed_nodes: Vec<String>,
    /// The outputs, once it is completed.
    result: Option<Value>,
    /// What failed.
    error: Option<String>,
    /// A stable name of the kind of error.
    error_code: Option<String>,
    /// What it waits for.
    waiting: Vec<Question>,
    /// Whether its process is gone: it goes on when it is resumed.
    interrupted: bool,
    /// When it was begun.
    created_at: Timestamp,
    /// When it last changed.
    updated_at: Timestamp,
}

/// The workflows that can be run.
#[derive(Debug, Serialize, JsonSchema)]
struct List {
    /// They, by name.
    workflows: Vec<About>,
    /// What is wrong with files whose workflows cannot be run.
    broken: Vec<Wrong>,
}

/// A workflow.
#[derive(Debug, Serialize, JsonSchema)]
struct About {
    /// Its name.
    name: String,
    /// What it is for.
    description: String,
    /// Its file, `bundled`, or `application`.
    source: String,
    /// The JSON Schema of its inputs; `null` where it takes any.
    inputs: Option<Value>,
}

/// A mistake of a file.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Wrong {
    /// The file.
    file: String,
    /// The line, counted from 1; 0 for the whole file.
    line: u32,
    /// The column, counted from 1.
    column: u32,
    /// What is wrong, and what would be right.
    message: String,
}

/// The answer of `POST /workflows/{id}/cancel`.
#[derive(Debug, Serialize, JsonSchema)]
struct Cancelled {
    /// Always `true`.
    #[schemars(extend("const" = true))]
    success: bool,
    /// The run.
    workflow_id: RunId,
    /// Whether it had not ended.
    cancelled: bool,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let tag = "workflows";
    vec![
        Endpoint::new(Method::GET, "/workflows", Scope::Chat, "list_workflows", list)
            .about(tag, "The workflows that can be run")
            .answers::<List>(200, "They."),
        Endpoint::new(Method::POST, "/workflows/run", Scope::Chat, "run_workflow", run)
            .about(tag, "Run a workflow. It goes on when the client goes away, and after a crash of the server")
            .takes::<RunBody>()
            .answers::<Answer>(200, "The run ended.")
            .answers::<Answer>(202, "The run works or waits; `status_url` says where it stands.")
            .fails(&[404, 409, 503])
            .once(),
        Endpoint::new(Method::GET, "/workflows/{id}/status", Scope::Chat, "workflow_status", status)
            .about(tag, "Where a run stands")
            .answers::<WorkflowStatus>(200, "There.")
            .fails(&[404]),
        Endpoint::new(Method::GET, "/workflows/{id}/events", Scope::Chat, "workflow_events", replay)
            .about(tag, "What a run told and tells, until its end, also while it waits")
            .header::<u64>("Last-Event-ID", "Only what came after this event.")
            .answers_with(200, "The run is known.", Content::Events(SchemaGenerator::subschema_for::<WorkflowEvent>))
            .fails(&[400, 404]),
        Endpoint::new(Method::POST, "/workflows/{id}/resume", Scope::Chat, "resume_workflow", resume)
            .about(tag, "Answer what a run waits for, or go on with one that was interrupted")
            .takes::<ResumeBody>()
            .answers::<Answer>(200, "It ended, where that was waited for.")
            .answers::<Answer>(202, "It goes on, or waits again.")
            .fails(&[404, 409, 503])
            .once(),
        Endpoint::new(Method::POST, "/workflows/{id}/cancel", Scope::Chat, "cancel_workflow", cancel)
            .about(tag, "End a run for good")
            .answers::<Cancelled>(200, "It is cancelled, or had ended.")
            .fails(&[404]),
    ]
}

async fn list(State(door): State<Door>) -> Json<List> {
    let listing = Workflows::of(&door.runtime).registry().list();
    let about = |r: &Registered| About {
        name: r.workflow.name().to_owned(),
        description: r.workflow.description().to_owned(),
        source: r.source.clone(),
        inputs: r.inputs.clone(),
    };
    let broken = listing.broken.iter().flat_map(|m| &m.0).map(Wrong::from).collect();
    Json(List { workflows: listing.workflows.iter().map(about).collect(), broken })
}

async fn run(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<RunBody>,
) -> Result<Response, ApiError> {
    let limit = wait(body.wait_timeout)?;
    let workflows = Workflows::of(&door.runtime);
    let registry = workflows.registry();
    let is_file = body.workflow.contains('/') || body.workflow.ends_with(".yaml") || body.workflow.ends_with(".yml");
    let found = match is_file {
        true => registry.open(&body.workflow, None, Reach::Folder)?,
        false => registry.get(&body.workflow)?,
    };
    let mut input = body.parameters;
    input.extend(body.input);
    let file = is_file.then(|| found.source.clone());
    let leave = match body.approvals {
        Some(Approving::Ask) => Leave::Later,
        None => Leave::Now,
    };
    let options = RunOptions { owner: Some(caller.owner.to_string()), file, leave, ..options() };
    let permit = Arc::clone(&door.room).try_acquire_owned().map_err(|_| overloaded(&door))?;
    let run = workflows.start(&found.workflow, Value::Object(input), options).await?;
    let limit = body.wait.unwrap_or(true).then_some(limit);
    finish(&door, run, permit, limit).await
}

/// What nobody has to ask for: a server keeps its runs, and people answer later.
fn options() -> RunOptions {
    RunOptions { keeper: Keeper::Server, interviewer: Some(Arc::new(AskLater)), ..RunOptions::default() }
}

fn wait(seconds: Option<u64>) -> Result<Duration, ApiError> {
    match seconds.unwrap_or(WAIT) {
        seconds @ 1..=LONGEST_WAIT => Ok(Duration::from_secs(seconds)),
        other => Err(ApiError::invalid(format!("`wait_timeout` is {other}; it is 1 to {LONGEST_WAIT} seconds"))),
    }
}

/// Has the run work, and answers when it has ended, or after `limit`; at once without one.
async fn finish(
    door: &Door,
    run: WorkflowRun,
    permit: tokio::sync::OwnedSemaphorePermit,
    limit: Option<Duration>,
) -> Result<Response, ApiError> {
    let id = run.id();
    let ended = drive(door, run, (permit, door.meters.run_begins()));
    let Some(limit) = limit else { return Ok(running(id)) };
    match tokio::time::timeout(limit, ended).await {
        Err(_) => Ok(running(id)),
        Ok(Ok(Ok(outcome))) => Ok(Answer::of(outcome).into_response()),
        Ok(Ok(Err(e))) => Err(e.into()),
        Ok(Err(_)) => Err(ApiError::internal(&"a run of a workflow was dropped")),
    }
}

fn running(id: RunId) -> Response {
    let answer = Answer {
        success: true,
        workflow_id: id,
        status: RunStatus::Running,
        result: None,
        error: None,
        error_code: None,
        waiting: Vec::new(),
        execution_time_ms: None,
        status_url: Some(status_url(id)),
    };
    (StatusCode::ACCEPTED, Json(answer)).into_response()
}

fn status_url(id: RunId) -> String {
    format!("{BASE}/workflows/{id}/status")
}

impl Answer {
    fn of(outcome: WorkflowOutcome) -> Self {
        let WorkflowOutcome { workflow_id, status, result, error, waiting, duration_ms, .. } = outcome;
        let (error, error_code) = error.as_ref().map(ApiError::told).unzip();
        Self {
            success: matches!(status, RunStatus::Completed | RunStatus::Waiting),
            workflow_id,
            status,
            result: (status == RunStatus::Completed).then_some(result),
            error,
            error_code,
            waiting,
            execution_time_ms: Some(duration_ms),
            status_url: (!status.is_final()).then(|| status_url(workflow_id)),
        }
    }

    fn into_response(self) -> Response {
        let code = if self.status.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
        (code, Json(self)).into_response()
    }
}

async fn status(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<Json<WorkflowStatus>, ApiError> {
    Ok(Json(own(&door, &caller, &id).await?.into()))
}

/// The run, if it is the caller's; else as if there were none.
async fn own(door: &Door, caller: &Caller, id: &str) -> Result<RunState, ApiError> {
    let missing = || ApiError::not_found(format!("no run `{id}` of a workflow")).with(json!({"workflow_id": id}));
    let run: RunId = id.parse().map_err(|_| missing())?;
    match Workflows::of(&door.runtime).status(run).await {
        Ok(state) if caller.sees(&state.owner) => Ok(state),
        Ok(_) | Err(WorkflowError::Journal(JournalError::NotFound(_))) => Err(missing()),
        Err(e) => Err(e.into()),
    }
}

async fn replay(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let run = own(&door, &caller, &id).await?.workflow_id;
    let after = headers.get("last-event-id").map(|value| {
        let id = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
        id.ok_or_else(|| ApiError::invalid("`Last-Event-ID` has to be the `id` of an event of this run, a number"))
    });
    Ok(events(Bytes::from_stream(feeds::follow(door, run, after.transpose()?))))
}

async fn resume(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
    Body(body): Body<ResumeBody>,
) -> Result<Response, ApiError> {
    let state = own(&door, &caller, &id).await?;
    let limit = wait(body.wait_timeout)?;
    let mut answers: Vec<(String, Value)> = body.answers.into_iter().collect();
    if let Some(answer) = body.answer {
        match state.waiting.as_slice() {
            [only] => answers.push((only.id.clone(), answer)),
            [] => return Err(ApiError::conflict("the run waits for no answer")),
            several => {
                let ids: Vec<&str> = several.iter().map(|q| q.id.as_str()).collect();
                let text = format!("several questions are open, say in `answers` which is meant: {}", ids.join(", "));
                return Err(ApiError::invalid(text).with(json!({ "questions": ids })));
            }
        }
    }
    let changed = if body.accept_changes { Changed::Accept } else { Changed::Refuse };
    let permit = Arc::clone(&door.room).try_acquire_owned().map_err(|_| overloaded(&door))?;
    let options = RunOptions { changed, ..options() };
    match Workflows::of(&door.runtime).resume(state.workflow_id, answers, options).await? {
        Resumed::Run(run) => finish(&door, run, permit, body.wait.then_some(limit)).await,
        Resumed::Delivered => Ok(running(state.workflow_id)),
    }
}

async fn cancel(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<Json<Cancelled>, ApiError> {
    let state = own(&door, &caller, &id).await?;
    let cancelled = match Workflows::of(&door.runtime).cancel(state.workflow_id).await {
        Ok(()) => true,
        Err(WorkflowError::State(_)) => false,
        Err(e) => return Err(e.into()),
    };
    Ok(Json(Cancelled { success: true, workflow_id: state.workflow_id, cancelled }))
}

impl WorkflowStatus {
    /// Where a run stands; nothing where that cannot be read.
    pub(crate) async fn of(door: &Door, run: RunId) -> Option<Self> {
        let state = Workflows::of(&door.runtime).status(run).await;
        state.map(Self::from).map_err(|e| tracing::error!(error = %e, "the state of a run cannot be read")).ok()
    }
}

impl From<RunState> for WorkflowStatus {
    fn from(state: RunState) -> Self {
        let (error, error_code) = state.error.as_ref().map(ApiError::told).unzip();
        Self {
            workflow_id: state.workflow_id,
            workflow: state.workflow,
            status: state.status,
            progress: state.progress,
            current_node: state.current_node,
            current_nodes: state.current_nodes,
            completed_nodes: state.completed_nodes,
            result: state.result,
            error,
            error_code,
            waiting: state.waiting,
            interrupted: state.interrupted,
            created_at: state.created_at,
            updated_at: state.updated_at,
        }
    }
}

impl From<&victor_workflow::yaml::Mistake> for Wrong {
    fn from(m: &victor_workflow::yaml::Mistake) -> Self {
        Self { file: m.file.clone(), line: m.line, column: m.column, message: m.message.clone() }
    }
}

impl From<WorkflowError> for ApiError {
    fn from(error: WorkflowError) -> Self {
        let message = error.to_string();
        match error {
            WorkflowError::File(mistakes) => {
                let all: Vec<Wrong> = mistakes.0.iter().map(Wrong::from).collect();
                Self::invalid(message).with(json!({ "mistakes": all }))
            }
            WorkflowError::Mistakes(_) => Self::invalid(message),
            WorkflowError::Configuration(e) => e.into(),
            WorkflowError::Changed(_)
            | WorkflowError::State(_)
            | WorkflowError::Journal(JournalError::Conflict { .. }) => Self::conflict(message),
            WorkflowError::Journal(JournalError::NotFound(_)) => Self::not_found(message),
            WorkflowError::ShuttingDown | WorkflowError::Interrupted => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "SHUTTING_DOWN",
                "the server ends; the run goes on with the next",
            ),
            other => Self::internal(&other),
        }
    }
}
