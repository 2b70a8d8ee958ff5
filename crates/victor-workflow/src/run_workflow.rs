//! `agent.run_workflow(..)`: workflows from an agent's point of view.

use async_trait::async_trait;
use serde_json::Value;
use victor_core::agent::Agent;

use crate::engine::Workflows;
use crate::error::WorkflowError;
use crate::options::{RunOptions, WorkflowOutcome};
use crate::workflow::Workflow;

/// Which workflow is meant.
#[derive(Clone, Debug)]
pub enum Which {
    /// The registered one of this name.
    Named(String),
    /// This one.
    This(Workflow),
}

impl From<&str> for Which {
    fn from(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

impl From<&Workflow> for Which {
    fn from(workflow: &Workflow) -> Self {
        Self::This(workflow.clone())
    }
}

/// Lets agents run workflows.
#[async_trait]
pub trait RunWorkflow {
    /// Runs a workflow in the agent's runtime, mode, sandbox and budget, with its tools where it names some, its dry
    /// run, its approver and its owner, and waits for its end.
    ///
    /// # Errors
    /// There is no such workflow, or it could not be begun. A run that failed is an outcome.
    async fn run_workflow(
        &self,
        workflow: impl Into<Which> + Send,
        input: Value,
    ) -> Result<WorkflowOutcome, WorkflowError>;
}

#[async_trait]
impl RunWorkflow for Agent {
    async fn run_workflow(
        &self,
        workflow: impl Into<Which> + Send,
        input: Value,
    ) -> Result<WorkflowOutcome, WorkflowError> {
        let workflows = Workflows::of(self.runtime());
        let options = RunOptions {
            mode: Some(self.mode()),
            sandbox: self.spec().sandbox,
            dry_run: self.spec().dry_run,
            budget: *self.budget(),
            tools: self.spec().tools.clone(),
            owner: Some(self.owner()),
            approver: Some(self.asked()),
            ..RunOptions::default()
        };
        let run = match workflow.into() {
            Which::Named(name) => workflows.start_named(&name, input, options).await?,
            Which::This(workflow) => workflows.start(&workflow, input, options).await?,
        };
        run.outcome().await
    }
}
