//! Saved conversations: append-only logs of entries, written by one holder at a time.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agent::{Outcome, Suspended};
use crate::blob::BlobId;
use crate::error::SessionError;
use crate::id::{CallId, RunId, SessionId, Timestamp};
use crate::message::Message;
use crate::permission::Mode;
use crate::provider::Selector;

/// One line of a session's log. Unknown kinds of a newer version are kept and passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Entry {
    /// A message was said.
    Message {
        /// It.
        message: Arc<Message>,
    },
    /// From here on these settings hold.
    Settings {
        /// They.
        settings: SessionSettings,
    },
    /// All messages before `keep_from` (counted in the conversation as it then was) were replaced by a summary.
    Compaction {
        /// The summary, as the message that stands in their place.
        summary: Message,
        /// The first message that was kept.
        keep_from: usize,
    },
    /// A run began, or went on after it had waited.
    RunStarted {
        /// It.
        run_id: RunId,
    },
    /// A run ended.
    RunEnded {
        /// How.
        outcome: Box<Outcome>,
    },
    /// A run waits for answers.
    Waiting {
        /// All that is needed to go on.
        suspended: Box<Suspended>,
    },
    /// A call is about to change these files.
    Checkpoint {
        /// The run.
        run_id: RunId,
        /// The call.
        call: CallId,
        /// The files as they were.
        files: Vec<SavedFile>,
    },
    /// All entries after `to` up to this one no longer count.
    Rewind {
        /// The last entry that still counts.
        to: u64,
    },
    /// Something else worth keeping, with a name.
    Note {
        /// What kind of note.
        name: String,
        /// It.
        value: serde_json::Value,
    },
    /// Of a newer version.
    #[serde(other)]
    Unknown,
}

/// A file as it was before a call changed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedFile {
    /// Its absolute path.
    pub path: PathBuf,
    /// Its content before; `None` if there was no file.
    pub before: Option<BlobId>,
    /// The hash of its content after the change; `None` if it was deleted.
    pub after: Option<BlobId>,
}

/// An entry with its place in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredEntry {
    /// Its place, counted from 1 without gaps.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// It.
    pub entry: Entry,
}

/// What holds for a session beyond one message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SessionSettings {
    /// Provider and model.
    pub selector: Selector,
    /// The profile's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// A title; without one the first user message serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// What a list shows of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// Who it belongs to: `local`, or a key's name.
    pub owner: String,
    /// The folder that it was begun in.
    pub workspace: Option<String>,
    /// Its title, or the beginning of the first user message.
    pub title: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it was last written to.
    pub updated_at: Timestamp,
    /// User and assistant messages.
    pub message_count: u64,
    /// The last entry's place.
    pub last_seq: u64,
}

/// What a new session is made of.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Who it belongs to.
    pub owner: String,
    /// The folder that it is begun in.
    pub workspace: Option<String>,
    /// Now.
    pub at: Timestamp,
}

/// Leave to append to a session, until dropped. Nobody else can have one for it at the same time.
pub trait Claim: Any + Send + Sync {
    /// The session.
    fn session(&self) -> &SessionId;
    /// The place of the last entry when the claim was made.
    fn last_seq(&self) -> u64;
}

/// Which sessions a list holds.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// Only those of this owner.
    pub owner: Option<String>,
    /// Only those begun in this folder.
    pub workspace: Option<String>,
    /// Only those with this text in a message or the title, whatever the case.
    pub text: Option<String>,
    /// Only those last written to before this; for paging, with the id as tie-break.
    pub before: Option<(Timestamp, SessionId)>,
    /// At most so many, latest first.
    pub limit: usize,
}

/// A store of sessions. What it has acknowledged survives the end of the process.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Whether it can be written to now.
    ///
    /// # Errors
    /// It cannot; says why.
    async fn check(&self) -> Result<(), SessionError> {
        Ok(())
    }

    /// Begins a session.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] if the id is taken; the store failed.
    async fn create(&self, new: NewSession) -> Result<(), SessionError>;

    /// Begins a session and takes it for writing, in one step where the store can.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`claim`](Self::claim).
    async fn begin(&self, new: NewSession, holder: &str) -> Result<Box<dyn Claim>, SessionError> {
        let id = new.id.clone();
        self.create(new).await?;
        self.claim(&id, holder).await
    }

    /// Takes the session for writing. `holder` says who, for the message that a second one gets. A holder whose
    /// process is gone is replaced.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] if somebody else holds it, [`SessionError::NotFound`].
    async fn claim(&self, id: &SessionId, holder: &str) -> Result<Box<dyn Claim>, SessionError>;

    /// Appends entries, all or none, and answers when they are committed: the place of the last one.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] if the log has not `expected_seq` as its last place; the store failed.
    async fn append(
        &self,
        claim: &dyn Claim,
        expected_seq: u64,
        at: Timestamp,
        entries: Vec<Entry>,
    ) -> Result<u64, SessionError>;

    /// The entries after the place `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// [`SessionError::NotFound`]; the store failed.
    async fn entries(&self, id: &SessionId, after: u64, limit: usize) -> Result<Vec<StoredEntry>, SessionError>;

    /// What a list shows of one session.
    ///
    /// # Errors
    /// [`SessionError::NotFound`]; the store failed.
    async fn info(&self, id: &SessionId) -> Result<SessionInfo, SessionError>;

    /// Sessions, latest first.
    ///
    /// # Errors
    /// The store failed.
    async fn list(&self, filter: &SessionFilter) -> Result<Vec<SessionInfo>, SessionError>;

    /// Copies the entries up to and with place `upto` (all, if `None`) into a new session.
    ///
    /// # Errors
    /// [`SessionError::NotFound`], [`SessionError::Conflict`] if the new id is taken; the store failed.
    async fn fork(&self, from: &SessionId, upto: Option<u64>, new: NewSession) -> Result<(), SessionError>;

    /// Deletes a session with all its entries.
    ///
    /// # Errors
    /// [`SessionError::NotFound`], [`SessionError::Conflict`] while somebody holds it; the store failed.
    async fn delete(&self, id: &SessionId) -> Result<(), SessionError>;

    /// Deletes sessions last written to before `before` that nobody holds, and what only they kept; tells how many.
    ///
    /// # Errors
    /// The store failed.
    async fn prune(&self, before: Timestamp) -> Result<u64, SessionError>;
}

/// The entries that still count: those that no [`Entry::Rewind`] has taken back.
#[must_use]
pub fn effective(entries: Vec<StoredEntry>) -> Vec<StoredEntry> {
    let mut kept: Vec<StoredEntry> = Vec::with_capacity(entries.len());
    for stored in entries {
        match stored.entry {
            Entry::Rewind { to } => kept.retain(|e| e.seq <= to),
            _ => kept.push(stored),
        }
    }
    kept
}
