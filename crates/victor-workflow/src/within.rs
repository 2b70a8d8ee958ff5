//! A workflow as a part of another run: in that run's scope, under its budget, with its people.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use victor_core::agent::{PartOptions, RunScope, Unanswered};
use victor_core::event::EventKind;
use victor_core::question::{Interviewer, Question, Reply};

use crate::engine::Workflows;
use crate::error::WorkflowError;
use crate::options::{RunOptions, WorkflowOutcome};
use crate::record::Settings;
use crate::work_time::WorkTime;
use crate::workflow::Workflow;

/// Workflows that may run inside of each other by way of agents.
const DEEPEST: usize = 4;

impl Workflows {
    /// Runs a workflow as a part of the run `scope`, to its end: mode, tools, sandbox, dry run, budget and cancellation
    /// are that run's; what its people are asked goes to whoever is asked about that run's calls, and to the fallback
    /// where that is nobody. Events have `name` at the end of the run's path. It has a journal of its own, from which it can be taken
    /// up by itself with what was left of the budget when it began; a node whose
    /// call is answered later is denied that call, since the run around it cannot wait.
    ///
    /// # Errors
    /// It could not be begun or driven on; workflows are too deep inside of each other. A run that failed is an outcome.
    pub async fn run_within(
        &self,
        scope: &RunScope,
        name: &str,
        workflow: &Workflow,
        input: impl Serialize,
        cancel: CancellationToken,
    ) -> Result<WorkflowOutcome, WorkflowError> {
        check_depth(scope, workflow)?;
        let path = vec![name.to_owned()];
        let around = scope.within().iter().map(ToString::to_string).collect();
        let within = Some(Arc::clone(&workflow.0.name));
        let part = scope.part_of(PartOptions { path, cancel, within, ..PartOptions::default() });
        // Kept for when it goes on by itself: no more than here.
        let all = self.runtime.tool_set().await;
        let names = all.tools().iter().map(|t| t.spec().name.as_str()).filter(|name| part.may_hand_on(name));
        let tools = names.map(globset::escape).collect();
        let settings = Settings {
            mode: Some(part.mode()),
            sandbox: Some(part.sandbox()),
            dry_run: part.dry_run(),
            budget: part.left(),
            tools: Some(tools),
            within: around,
            ..Settings::default()
        };
        let options = RunOptions {
            owner: Some(part.owner().to_owned()),
            interviewer: Some(Arc::new(Around(part.clone()))),
            ..RunOptions::default()
        };
        let launch = self.prepared(workflow, input, options, settings)?;
        let writer = self.new_journal(&launch).await?;
        // The run around has an eye on the time.
        let time = WorkTime::new(Arc::clone(self.runtime.clock()), None, Duration::ZERO);
        let work = self.work(launch, writer, part.clone(), (Unanswered::Deny, time)).await?;
        let (outcome, told, _) = Box::pin(work.drive()).await;
        part.emit(EventKind::Finished { outcome: Box::new(told) }).await;
        outcome
    }
}

/// Whether one more workflow may run inside of those that the run is in.
///
/// # Errors
/// It may not; says which they are.
pub(crate) fn check_depth(scope: &RunScope, workflow: &Workflow) -> Result<(), WorkflowError> {
    let within = scope.within();
    if within.len() < DEEPEST {
        return Ok(());
    }
    let way = within.iter().map(|name| &**name).chain([workflow.name()]).collect::<Vec<_>>().join(" > ");
    let text = format!("workflows run at most {DEEPEST} deep inside of each other, and this would be one more: {way}");
    Err(WorkflowError::State(text))
}

/// The people of the run around: those who are asked about its calls.
struct Around(RunScope);

#[async_trait]
impl Interviewer for Around {
    async fn ask(&self, question: &Question) -> Reply {
        self.0.ask_person(question).await
    }
}
