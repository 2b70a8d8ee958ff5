//! The endpoints, a file for each subject.

mod chat;
mod conversations;
mod docs;
mod lists;
mod runs;
mod schedules;
mod status;
mod tools;
mod workflow_runs;
mod workflows;

use crate::endpoint::Endpoint;

pub(crate) use status::Seen;
pub(crate) use workflows::WorkflowStatus;

/// All endpoints.
pub(crate) fn table() -> Vec<Endpoint> {
    let subjects = [
        chat::endpoints(),
        conversations::endpoints(),
        runs::endpoints(),
        workflows::endpoints(),
        workflow_runs::endpoints(),
        schedules::endpoints(),
        tools::endpoints(),
        lists::endpoints(),
        status::endpoints(),
        docs::endpoints(),
    ];
    subjects.into_iter().flatten().collect()
}
