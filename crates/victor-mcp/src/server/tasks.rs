//! Runs as tasks of the protocol's tasks extension: looked at, answered and ended by their id.

use std::collections::BTreeMap;
use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{DetailedTask, GetTaskResult, TaskPayload, UpdateTaskParams};
use victor_core::agent::Status;

use super::ask::{self, Outcome, State};
use super::call::Call;
use super::runs::{Live, report_of, task};

fn find(call: &Call<'_>, id: &str) -> Result<Arc<Live>, ErrorData> {
    let live = call.session.door.runs.find(id, &call.principal());
    live.ok_or_else(|| ErrorData::invalid_params(format!("Unknown task: {id}"), None))
}

/// How a task stands.
pub(crate) async fn get(call: &Call<'_>, id: &str) -> Result<GetTaskResult, ErrorData> {
    let live = find(call, id)?;
    let payload = payload(call, &live).await;
    Ok(GetTaskResult::new(DetailedTask::new(task(&live), payload)))
}

async fn payload(call: &Call<'_>, live: &Live) -> TaskPayload {
    let snapshot = live.snapshot();
    if snapshot.is_over() {
        if snapshot.outcome.is_some_and(|o| o.status == Status::Cancelled) {
            return TaskPayload::Cancelled;
        }
        let result = serde_json::to_value(report_of(live)).ok().and_then(|v| v.as_object().cloned());
        return TaskPayload::Completed { result: result.unwrap_or_default() };
    }
    let Some(question) = live.question() else { return TaskPayload::Working };
    match ask::put(call, &question, std::future::pending()).await {
        Outcome::Open => TaskPayload::Working,
        Outcome::Said(said) => {
            live.answer(&question.id(), said);
            TaskPayload::Working
        }
        Outcome::Suspend(input) => {
            TaskPayload::InputRequired { input_requests: BTreeMap::from([(question.id(), *input)]) }
        }
    }
}

/// Brings the client's answers to a task.
pub(crate) fn update(call: &Call<'_>, request: &UpdateTaskParams) -> Result<(), ErrorData> {
    let live = find(call, &request.task_id)?;
    for (question, value) in &request.input_responses {
        let state = State { tool: "run_agent".to_owned(), question: question.clone(), run: None };
        let responses = BTreeMap::from([(ask::QUESTION.to_owned(), value.clone())]);
        if let Some(said) = live.asked(question).and_then(|matter| matter.said(&state, &responses, true)) {
            live.answer(question, said);
        }
    }
    Ok(())
}

/// Ends a task.
pub(crate) fn cancel(call: &Call<'_>, id: &str) -> Result<(), ErrorData> {
    find(call, id)?.cancel();
    Ok(())
}
