//! Journals: append-only logs of runs that outlive their process, one writer at a time, with a summary that any
//! process can read. What stands in the records is the business of whoever writes them.

use std::any::Any;
use std::borrow::Cow;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::SessionError;
use crate::id::{RunId, Timestamp};

/// Where a journaled run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It works, or its process ended before it did.
    Running,
    /// It did what it should.
    Completed,
    /// It failed.
    Failed,
    /// It waits for an answer and costs nothing meanwhile.
    Waiting,
    /// It was cancelled.
    Cancelled,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Running, Self::Completed, Self::Failed, Self::Waiting, Self::Cancelled];

    /// The status in a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What a new journal is made of.
#[derive(Clone, Debug)]
pub struct NewJournal {
    /// The run.
    pub id: RunId,
    /// What runs: the workflow's name.
    pub name: String,
    /// Who it belongs to: `local`, or a key's name.
    pub owner: String,
    /// The folder that it was begun in.
    pub workspace: Option<String>,
    /// Now.
    pub at: Timestamp,
}

/// A record that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// What kind of record, in a word.
    pub kind: Cow<'static, str>,
    /// Its content, as JSON text.
    pub json: String,
}

/// A record with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its place, counted from 1 without gaps.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What kind of record, in a word.
    pub kind: String,
    /// Its content, as JSON text.
    pub json: String,
}

/// What an append says of the run as a whole; it replaces what was said before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Where the run stands.
    pub status: RunStatus,
    /// When a waiting run has to be looked at, at the latest.
    pub wake_at: Option<Timestamp>,
    /// The place of the last record that holds everything: a reader may begin there. 0 for none.
    pub snapshot: u64,
    /// More for readers, as JSON text.
    pub json: String,
}

/// What is known of a journal without reading it.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalInfo {
    /// The run.
    pub id: RunId,
    /// What runs.
    pub name: String,
    /// Who it belongs to.
    pub owner: String,
    /// The folder that it was begun in.
    pub workspace: Option<String>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it was last written to; up to a tenth of a second too early while its run stands where it stood.
    pub updated_at: Timestamp,
    /// The last record's place.
    pub last_seq: u64,
    /// Where the run stands.
    pub status: RunStatus,
    /// When a waiting run has to be looked at, at the latest.
    pub wake_at: Option<Timestamp>,
    /// The place of the last record that holds everything; 0 for none.
    pub snapshot: u64,
    /// More, as the writer said it.
    pub summary: Value,
    /// Who writes to it now; `None` if nobody does, or the process that did is gone.
    pub holder: Option<String>,
    /// Whether somebody asked the writer to end the run.
    pub cancel_requested: bool,
}

/// Leave to append to a journal, until dropped. Nobody else can have one for it at the same time.
pub trait JournalClaim: Any + Send + Sync {
    /// The run.
    fn run(&self) -> RunId;
    /// The place of the last record when the claim was made.
    fn last_seq(&self) -> u64;
}

/// Which journals a list holds.
#[derive(Clone, Debug, Default)]
pub struct JournalFilter {
    /// Only those of this owner.
    pub owner: Option<String>,
    /// Only those of this name.
    pub name: Option<String>,
    /// Only those that were begun in this folder.
    pub workspace: Option<String>,
    /// Only those with one of these; all, if empty.
    pub status: Vec<RunStatus>,
    /// Only those last written to before this; for paging, with the id as tie-break.
    pub before: Option<(Timestamp, RunId)>,
    /// At most so many, latest first.
    pub limit: usize,
}

/// A journal that could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// No run has this id.
    #[error("no run `{0}`; `victor workflow status` lists the kept ones")]
    NotFound(String),
    /// Someone else is writing to it.
    #[error("run {run} is driven by {holder}; wait for its end, or cancel it")]
    Conflict {
        /// The run.
        run: String,
        /// Who holds it: program and process id.
        holder: String,
    },
    /// The store failed: no space, no permission, a broken file.
    #[error("{0}")]
    Storage(String),
    /// The records break the writer's rules.
    #[error("{0}")]
    Corrupt(String),
}

impl From<SessionError> for JournalError {
    fn from(e: SessionError) -> Self {
        match e {
            SessionError::NotFound(id) => Self::NotFound(id),
            SessionError::Conflict { session, holder } => Self::Conflict { run: session, holder },
            SessionError::Storage(text) => Self::Storage(text),
            SessionError::Corrupt(text) => Self::Corrupt(text),
        }
    }
}

/// A store of journals. What it has acknowledged survives the end of the process.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Begins a journal and takes it for writing. `holder` says who, for the message that a second one gets.
    ///
    /// # Errors
    /// [`JournalError::Conflict`] if the id is taken; the store failed.
    async fn create(&self, new: NewJournal, holder: &str) -> Result<Box<dyn JournalClaim>, JournalError>;

    /// Takes a journal for writing. A holder whose process is gone is replaced.
    ///
    /// # Errors
    /// [`JournalError::Conflict`] if somebody else holds it, [`JournalError::NotFound`].
    async fn claim(&self, id: RunId, holder: &str) -> Result<Box<dyn JournalClaim>, JournalError>;

    /// Appends records, all or none, with what they make of the run, and answers when that is committed: the place of
    /// the last one.
    ///
    /// # Errors
    /// [`JournalError::Conflict`] if the claim has ended or the log has not `expected_seq` as its last place; the
    /// store failed.
    async fn append(
        &self,
        claim: &dyn JournalClaim,
        expected_seq: u64,
        at: Timestamp,
        records: Vec<NewRecord>,
        summary: Summary,
    ) -> Result<u64, JournalError>;

    /// The records after the place `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// [`JournalError::NotFound`]; the store failed.
    async fn records(&self, id: RunId, after: u64, limit: usize) -> Result<Vec<StoredRecord>, JournalError>;

    /// What is known of a journal without reading it.
    ///
    /// # Errors
    /// [`JournalError::NotFound`]; the store failed.
    async fn info(&self, id: RunId) -> Result<JournalInfo, JournalError>;

    /// Journals, latest first.
    ///
    /// # Errors
    /// The store failed.
    async fn list(&self, filter: &JournalFilter) -> Result<Vec<JournalInfo>, JournalError>;

    /// Asks whoever writes to it to end the run.
    ///
    /// # Errors
    /// [`JournalError::NotFound`]; the store failed.
    async fn request_cancel(&self, id: RunId) -> Result<(), JournalError>;

    /// Deletes a journal that nobody holds.
    ///
    /// # Errors
    /// [`JournalError::NotFound`], [`JournalError::Conflict`] while somebody holds it; the store failed.
    async fn delete(&self, id: RunId) -> Result<(), JournalError>;

    /// Deletes journals of runs that have ended, last written to before `before`; tells how many.
    ///
    /// # Errors
    /// The store failed.
    async fn prune(&self, before: Timestamp) -> Result<u64, JournalError>;
}

/// The error for a claim that another store has made.
#[must_use]
pub fn foreign_claim(run: RunId) -> JournalError {
    JournalError::Storage(format!("the claim of run {run} is of another store; nothing was saved"))
}
