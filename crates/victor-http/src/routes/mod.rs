//! The endpoints, a file for each subject.

mod chat;
mod conversations;
mod docs;
mod lists;
mod runs;
mod status;
mod tools;

use crate::endpoint::Endpoint;

pub(crate) use status::Seen;

/// All endpoints.
pub(crate) fn table() -> Vec<Endpoint> {
    let subjects = [
        chat::endpoints(),
        conversations::endpoints(),
        runs::endpoints(),
        tools::endpoints(),
        lists::endpoints(),
        status::endpoints(),
        docs::endpoints(),
    ];
    subjects.into_iter().flatten().collect()
}
