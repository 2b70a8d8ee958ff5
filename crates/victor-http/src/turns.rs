//! Whose turn it is in a conversation: one run at a time, the others wait in line or are told that it is in use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tokio::sync::OwnedMutexGuard;
use victor_core::id::{RunId, SessionId};

use crate::error::ApiError;

/// The conversations of one door that are in use.
#[derive(Clone, Default)]
pub(crate) struct Turns {
    lines: Arc<Mutex<HashMap<SessionId, Arc<Line>>>>,
}

#[derive(Default)]
struct Line {
    turn: Arc<tokio::sync::Mutex<()>>,
    running: Mutex<Option<RunId>>,
}

/// Whether a request waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It does.
    Wait,
    /// It is told that the conversation is in use.
    None,
}

/// The turn in one conversation, until dropped.
pub(crate) struct Turn {
    conversation: SessionId,
    line: Arc<Line>,
    turns: Turns,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Takes the turn.
    ///
    /// # Errors
    /// Somebody has it, and the request does not wait.
    pub(crate) async fn take(&self, conversation: &SessionId, patience: Patience) -> Result<Turn, ApiError> {
        let line = Arc::clone(lock(&self.lines).entry(conversation.clone()).or_default());
        let mut turn = Turn { conversation: conversation.clone(), line, turns: self.clone(), held: None };
        let free = Arc::clone(&turn.line.turn);
        turn.held = Some(match patience {
            Patience::Wait => free.lock_owned().await,
            Patience::None => free.try_lock_owned().map_err(|_| turn.in_use())?,
        });
        Ok(turn)
    }
}

impl Turn {
    /// Tells which run has the turn, for those who find it taken.
    pub(crate) fn runs(&self, run: RunId) {
        *lock(&self.line.running) = Some(run);
    }

    fn in_use(&self) -> ApiError {
        let run = *lock(&self.line.running);
        ApiError::conflict("a run of this conversation has not ended; wait for it, cancel it, or ask with `?wait=true`")
            .with(json!({"conversation_id": self.conversation, "run_id": run}))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lines = lock(&self.turns.lines);
        if self.held.is_some() {
            *lock(&self.line.running) = None;
        }
        self.held = None;
        // The table and this one: nobody waits.
        if Arc::strong_count(&self.line) == 2 {
            lines.remove(&self.conversation);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
