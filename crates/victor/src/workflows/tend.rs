//! What a server does for the runs of workflows that it keeps.

use victor_workflow::Workflows;
use victor_workflow::schedule::Scheduler;

/// Goes on with the runs of workflows that a server left behind, and has the time of questions run out; never ends.
pub async fn tend(workflows: &Workflows) {
    match workflows.recover().await {
        Ok(taken) => {
            for (id, went) in taken {
                match went {
                    Ok(()) => tracing::info!(run = %id, "a run of a workflow was interrupted and goes on"),
                    Err(e) => tracing::warn!(run = %id, error = %e, "an interrupted run of a workflow cannot go on"),
                }
            }
        }
        Err(e) => tracing::error!(error = %e, "it could not be looked which runs of workflows were interrupted"),
    }
    workflows.tend().await;
    std::future::pending().await
}

/// Runs workflows on their schedules; never ends.
pub async fn follow(scheduler: &Scheduler) {
    for problem in scheduler.problems() {
        tracing::warn!("{problem}");
    }
    scheduler.follow().await;
    std::future::pending().await
}
