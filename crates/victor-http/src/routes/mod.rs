//! The endpoints, a file for each subject.

mod chat;
mod conversations;
mod runs;

use crate::endpoint::Endpoint;

/// All endpoints.
pub(crate) fn table() -> Vec<Endpoint> {
    [chat::endpoints(), conversations::endpoints(), runs::endpoints()].into_iter().flatten().collect()
}
