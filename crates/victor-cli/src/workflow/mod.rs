//! `victor workflow`: runs workflows, shows them, and goes on with their runs.

mod ask;
mod follow;
mod input;
mod lines;
mod run;
mod runs;
mod schedules;
mod show;

use victor::WorkflowFolders;
use victor::workflow::{Reach, Registered, WorkflowError, WorkflowRegistry, Workflows};

use crate::app::App;
use crate::args::{AgentFlags, WhichWorkflow, WorkflowCommand};
use crate::exit::{Exit, Failure};
use crate::{single, threads, to_end};

/// Carries out a `victor workflow` command.
///
/// # Errors
/// There is no such workflow or run, it has mistakes, or it failed.
pub(crate) fn workflow(app: &App, command: WorkflowCommand) -> Result<Exit, Failure> {
    match command {
        WorkflowCommand::Run(args) => to_end(threads()?, run::run(app, args)),
        WorkflowCommand::Resume(args) => to_end(threads()?, run::resume(app, args)),
        WorkflowCommand::Validate { files, format } => to_end(single()?, show::validate(app, &files, format)),
        WorkflowCommand::List { runs: false, format, .. } => show::list(app, format),
        WorkflowCommand::List { runs: true, all, limit, format } => {
            to_end(single()?, runs::list(app, all, limit, format))
        }
        WorkflowCommand::Status { id: None, format } => to_end(single()?, runs::list(app, false, 20, format)),
        WorkflowCommand::Status { id: Some(id), format } => to_end(single()?, runs::status(app, &id, format)),
        WorkflowCommand::Cancel { id, format } => to_end(single()?, runs::cancel(app, &id, format)),
        WorkflowCommand::Schedules { last, format } => to_end(single()?, schedules::list(app, last, format)),
        WorkflowCommand::Show { which, format } => show::show(app, &which, format),
        WorkflowCommand::Graph { which, format, json } => show::graph(app, &which, format, json),
    }
}

/// The workflows of a runtime.
fn workflows(app: &App) -> Result<Workflows, Failure> {
    Ok(Workflows::of(&app.runtime()?))
}

/// The folders of workflows, without a runtime.
fn folders(app: &App) -> Result<std::sync::Arc<WorkflowFolders>, Failure> {
    Ok(app.setup(&AgentFlags::default())?.workflow_folders())
}

/// Whether a file is meant.
fn is_file(text: &str) -> bool {
    let path = std::path::Path::new(text);
    path.extension().is_some_and(|e| e == "yaml" || e == "yml") || text.contains('/')
}

/// The workflow that is meant, and its file where it is not found by its name alone.
fn find(
    app: &App,
    registry: &WorkflowRegistry,
    which: &WhichWorkflow,
) -> Result<(Registered, Option<String>), Failure> {
    if !is_file(&which.workflow) {
        if which.name.is_some() {
            return Err(Failure::usage("--name says which workflow of a file; name the file, or leave --name out"));
        }
        return Ok((registry.get(&which.workflow)?, None));
    }
    let path = app.env.current_dir().join(&which.workflow);
    let path = path.canonicalize().unwrap_or(path).display().to_string();
    Ok((registry.open(&path, which.name.as_deref(), Reach::Anywhere)?, Some(path)))
}

impl From<WorkflowError> for Failure {
    fn from(error: WorkflowError) -> Self {
        let exit = match &error {
            WorkflowError::Mistakes(_) | WorkflowError::File(_) | WorkflowError::Configuration(_) => {
                Exit::Configuration
            }
            WorkflowError::Interrupted => Exit::Interrupted,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}
