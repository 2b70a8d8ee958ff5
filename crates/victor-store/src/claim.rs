//! Leave to write to a session: a row in the file, given back when the claim is dropped.

use victor_core::id::SessionId;
use victor_core::session::Claim;

use crate::write::Release;
use crate::writer::Queue;

/// A claim of this store.
#[derive(Debug)]
pub(crate) struct SqliteClaim {
    pub(crate) session: SessionId,
    pub(crate) last_seq: u64,
    pub(crate) release: Release,
    /// Keeps the writing thread alive until the claim is given back.
    pub(crate) queue: Queue,
}

impl Claim for SqliteClaim {
    fn session(&self) -> &SessionId {
        &self.session
    }

    fn last_seq(&self) -> u64 {
        self.last_seq
    }
}

impl Drop for SqliteClaim {
    fn drop(&mut self) {
        self.queue.release(self.release);
    }
}
