//! `tools/call`: through the runtime's pipeline, with progress, questions and an end when the client wants none.

use std::future::{Future, pending};
use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{CallToolRequestParams, CallToolResponse, CallToolResult, LoggingLevel};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use victor_core::agent::DryRun;
use victor_core::error::ToolError;
use victor_core::permission::{AllowAll, Approver};
use victor_core::question::Reply;
use victor_core::runtime::{CallOptions, Runtime};
use victor_core::token::Scope;
use victor_core::tool::{ToolOutput, ToolSet};

use super::ask::{self, Asked, Desk, Given, Matter, Outcome, Said, State};
use super::call::{Call, Retry};
use super::config::Questions;
use crate::convert;

/// Pieces of progress that wait for a slow client; further ones are lost.
const PIECES: usize = 16;

/// Calls a tool.
pub(crate) async fn call(call: &Call<'_>, request: CallToolRequestParams) -> Result<CallToolResponse, ErrorData> {
    let door = &call.session.door;
    let retry = Retry { state: request.request_state, responses: request.input_responses.unwrap_or_default() };
    let arguments = request.arguments.unwrap_or_default();
    if let Some(own) = door.own_tool(&request.name) {
        may(call, own.card().scope())?;
        return own.call(call, arguments, retry).await;
    }
    let runtime = call.session.runtime(call.cx).await?;
    let tools = runtime.own_tool_set().await;
    let Some(tool) = tools.get(&request.name).filter(|t| door.offers(t.spec())) else {
        return Err(door.no_tool(&runtime, &request.name).await);
    };
    let has_output = tool.spec().output.is_some() && runtime.defaults().dry_run == DryRun::Off;
    let given = answered(call, &request.name, &retry)?;
    let answer = carry_out(call, (&runtime, &tools), &request.name, Value::Object(arguments), given).await?;
    Ok(match answer {
        CallToolResponse::Complete(result) => CallToolResponse::Complete(fitting(result, has_output)),
        other => other,
    })
}

/// Whether the caller's key allows it.
pub(crate) fn may(call: &Call<'_>, scope: Option<Scope>) -> Result<(), ErrorData> {
    match scope {
        Some(scope) if !call.principal().may(scope) => {
            let message = format!("this key does not have the scope `{}`", scope.name());
            Err(ErrorData::invalid_request(message, None))
        }
        _ => Ok(()),
    }
}

/// What the client has answered to the question of an earlier try.
fn answered(call: &Call<'_>, tool: &str, retry: &Retry) -> Result<Option<Given>, ErrorData> {
    let Some(sealed) = &retry.state else { return Ok(None) };
    let state: State = call.session.door.open(sealed, &call.principal())?;
    if state.tool != tool || state.run.is_some() {
        return Err(ErrorData::invalid_params("requestState belongs to another request", None));
    }
    Ok(ask::given(&state, &retry.responses, call.session.lasts(call.era())))
}

/// A tool with a schema of its answer has to give one, unless it failed.
fn fitting(mut result: CallToolResult, has_output: bool) -> CallToolResult {
    if has_output && result.structured_content.is_none() && result.is_error != Some(true) {
        result.is_error = Some(true);
    }
    result
}

async fn carry_out(
    call: &Call<'_>,
    (runtime, tools): (&Runtime, &ToolSet),
    name: &str,
    arguments: Value,
    given: Option<Given>,
) -> Result<CallToolResponse, ErrorData> {
    let session = call.session;
    let cancel = CancellationToken::new();
    let (desk, questions) = Desk::new(session.door.config.question_timeout, given);
    let approver: Arc<dyn Approver> = match session.door.config.questions {
        Questions::Client => Arc::new(desk),
        Questions::Yes => Arc::new(AllowAll),
    };
    let (pieces, progress) = mpsc::channel::<String>(PIECES);
    let told = move |text: &str| drop(pieces.try_send(text.to_owned()));
    let options = CallOptions {
        approver: Some(approver),
        dry_run: runtime.defaults().dry_run,
        cancel: cancel.clone(),
        grants: Some(Arc::clone(&session.grants)),
        progress: call.progress_token().is_some().then(|| Arc::new(told) as _),
        tools: Some(tools.clone()),
        ..CallOptions::default()
    };
    let work = runtime.call_tool(name, arguments, options);
    let ended = Follow { call, cancel, tool: name }.to_end(work, questions, progress).await;
    match ended {
        Ended::Done(output) => answer(call, name, output).await,
        Ended::Suspended(response) => Ok(response),
    }
}

async fn answer(
    call: &Call<'_>,
    name: &str,
    output: Result<ToolOutput, ToolError>,
) -> Result<CallToolResponse, ErrorData> {
    let result = match output {
        Ok(output) => convert::output(output),
        Err(ToolError::Denied(reason)) => {
            call.log(LoggingLevel::Warning, "victor", json!({"tool": name, "denied": reason})).await;
            convert::failure(reason)
        }
        Err(ToolError::Model(reason)) => convert::failure(reason),
        Err(other) => return Err(ErrorData::internal_error(other.to_string(), None)),
    };
    Ok(result.into())
}

enum Ended {
    Done(Result<ToolOutput, ToolError>),
    /// The client has to answer a question first; nothing was done.
    Suspended(CallToolResponse),
}

struct Follow<'a> {
    call: &'a Call<'a>,
    cancel: CancellationToken,
    tool: &'a str,
}

impl Follow<'_> {
    async fn to_end(
        &self,
        work: impl Future<Output = Result<ToolOutput, ToolError>>,
        mut questions: mpsc::Receiver<Asked>,
        mut progress: mpsc::Receiver<String>,
    ) -> Ended {
        let call = self.call;
        let mut heartbeat = call.heartbeat();
        let mut work = Box::pin(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    while let Ok(text) = progress.try_recv() {
                        call.progress(&text).await;
                    }
                    return Ended::Done(done);
                }
                Some(asked) = questions.recv() => match (ask::put(call, &asked.matter, pending()).await, &asked.matter) {
                    // A call that is gone wants no answer.
                    (Outcome::Said(said), _) => drop(asked.reply.send(said)),
                    // The request was cancelled; without an answer the call is denied.
                    (Outcome::Open, _) => {}
                    (Outcome::Suspend(question), Matter::Call(_)) => {
                        return self.suspended(work, &asked, *question).await;
                    }
                    // The call is under way, and would be made again.
                    (Outcome::Suspend(_), Matter::Person(_)) => {
                        drop(asked.reply.send(Said::Replied(Reply::Nobody)));
                    }
                },
                Some(text) = progress.recv() => call.progress(&text).await,
                () = call.cx.ct.cancelled(), if !self.cancel.is_cancelled() => self.cancel.cancel(),
                () = call.session.closing.cancelled(), if !self.cancel.is_cancelled() => self.cancel.cancel(),
                _ = heartbeat.tick() => call.progress(&format!("{} is running", self.tool)).await,
            }
        }
    }

    /// Puts the call down: it was judged, not run, and is made again with the answer.
    async fn suspended(
        &self,
        work: impl Future<Output = Result<ToolOutput, ToolError>>,
        asked: &Asked,
        question: rmcp::model::InputRequest,
    ) -> Ended {
        let state = State { tool: self.tool.to_owned(), question: asked.matter.id(), run: None };
        self.cancel.cancel();
        work.await.ok();
        Ended::Suspended(ask::input_required(self.call, question, &state).into())
    }
}
