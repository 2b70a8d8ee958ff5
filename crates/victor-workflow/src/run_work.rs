//! Driving a run from its begin, or from where it was put down, to its end; and what that comes to.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures::FutureExt;
use serde_json::Value;
use victor_core::agent::{Denial, Failure, Outcome, RunScope, Status};
use victor_core::error::{ConfigurationError, VictorError};
use victor_core::journal::RunStatus;

use crate::driver::Driver;
use crate::engine::Workflows;
use crate::error::WorkflowError;
use crate::live::Listed;
use crate::machine::{End, Machine};
use crate::options::WorkflowOutcome;
use crate::runner::{Driven, Runner, drive};
use crate::summary::status_of;
use crate::workflow::Workflow;

/// A run that can be driven.
pub(crate) struct RunWork {
    pub(crate) workflows: Workflows,
    pub(crate) driver: Driver,
    pub(crate) machine: Machine,
    pub(crate) workflow: Workflow,
    pub(crate) listed: Listed,
    pub(crate) put_down: Arc<AtomicBool>,
    /// How many calls were denied in its scope before it began.
    pub(crate) denied: usize,
}

/// What a run came to: for whoever began it, and in core's words.
pub(crate) type Ended = (Result<WorkflowOutcome, WorkflowError>, Outcome, Option<VictorError>);

impl RunWork {
    /// To the end. Nothing of the run is held any more when this answers: whoever hears of it can resume at once.
    pub(crate) async fn drive(self) -> Ended {
        let Self { workflows, mut driver, mut machine, workflow, listed, put_down: _, denied } = self;
        let begun = driver.now();
        let crashed = |_| Err(WorkflowError::Diverged("the run crashed; this is a defect of Victor".to_owned()));
        let driven = AssertUnwindSafe(drive(&mut machine, &mut driver)).catch_unwind().await.unwrap_or_else(crashed);
        driver.tidy().await;
        let driven = match driven {
            Ok(driven) => driver.close(&machine).await.map(|()| driven),
            // What was done is kept, so that it is not done again.
            Err(put_down @ (WorkflowError::ShuttingDown | WorkflowError::Interrupted)) => {
                driver.settle(&machine).await.and(Err(put_down))
            }
            Err(e) => Err(e),
        };
        let context = Arc::clone(&driver.context);
        let (scope, journaled) = (&context.scope, driver.is_journaled());
        let duration = scope.now().since(begun);
        let denied = scope.denials().split_off(denied);
        let mut outcome = driven.map(|driven| WorkflowOutcome {
            denied: denied.clone(),
            ..outcome(&workflow, &machine, scope, &driven, duration)
        });
        // The claim is given back before the end is told: whoever hears of it can resume at once.
        drop(driver);
        if let Ok(put_down) = &mut outcome
            && journaled
            && put_down.status == RunStatus::Waiting
            && workflows.end_if_cancelled(put_down.workflow_id).await.unwrap_or(false)
        {
            (put_down.status, put_down.waiting) = (RunStatus::Cancelled, Vec::new());
        }
        let (told, error) = finished(&outcome, scope, denied, duration);
        drop(listed);
        (outcome, told, error)
    }
}

fn outcome(
    workflow: &Workflow,
    machine: &Machine,
    scope: &RunScope,
    driven: &Driven,
    duration: Duration,
) -> WorkflowOutcome {
    let (state, (spent, cost)) = (machine.state(), scope.used());
    let (status, result, error) = match driven {
        Driven::Suspended => (RunStatus::Waiting, Value::Null, None),
        Driven::Ended(End::Completed) => (RunStatus::Completed, workflow.0.result(&state), None),
        Driven::Ended(End::Cancelled) => (RunStatus::Cancelled, Value::Null, None),
        Driven::Ended(End::Failed(failure)) => (RunStatus::Failed, Value::Null, Some(failure.clone())),
    };
    debug_assert!(status_of(machine) == status, "the machine and its driver say different things");
    WorkflowOutcome {
        workflow_id: machine.run_id(),
        workflow: workflow.name().to_owned(),
        status,
        result,
        state: Arc::unwrap_or_clone(state),
        error,
        waiting: match status {
            RunStatus::Waiting => machine.questions().map(|(_, question)| question).collect(),
            _ => Vec::new(),
        },
        usage: spent.usage,
        cost,
        denied: Vec::new(),
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
    }
}

/// The run's end in core's words, for the last event.
fn finished(
    outcome: &Result<WorkflowOutcome, WorkflowError>,
    scope: &RunScope,
    denied: Vec<Denial>,
    duration: Duration,
) -> (Outcome, Option<VictorError>) {
    let (status, result, failure) = match outcome {
        Ok(o) => (o.status, Some(o.result.clone()), o.error.clone()),
        Err(WorkflowError::Interrupted | WorkflowError::ShuttingDown) => (RunStatus::Cancelled, None, None),
        Err(e) => (RunStatus::Failed, None, Some(Failure::from(&VictorError::from(e.clone())))),
    };
    let status = match status {
        RunStatus::Completed => Status::Completed,
        RunStatus::Waiting | RunStatus::Running => Status::Waiting,
        RunStatus::Cancelled => Status::Cancelled,
        RunStatus::Failed => Status::Failed,
    };
    let error = failure.as_ref().map(|f| match outcome {
        Err(e) => e.clone().into(),
        Ok(_) => VictorError::Configuration(ConfigurationError::with_code("WORKFLOW_FAILED", f.message.clone())),
    });
    let (spent, cost) = scope.used();
    let told = Outcome {
        run_id: scope.run_id(),
        session_id: None,
        status,
        text: match &result {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        },
        structured: result.filter(|r| !r.is_null()),
        provider: String::new(),
        model: String::new(),
        usage: spent.usage,
        cost,
        turns: spent.turns,
        tools_used: scope.tools_used(),
        denied,
        limit: None,
        error: failure,
        waiting: Vec::new(),
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
    };
    (told, error)
}
