//! What is remembered of schedules: how far each has been followed, and what came of its times. When something is due
//! is the business of whoever follows them.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::SessionError;
use crate::id::{RunId, Timestamp};

/// One schedule: a name, in the folder whose server follows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScheduleKey {
    /// The folder.
    pub workspace: String,
    /// The name.
    pub name: String,
}

/// How far a schedule has been followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleMark {
    /// Everything that was due up to here is decided.
    pub until: Timestamp,
    /// What says when it is due. After a change nothing counts that was due before.
    pub rule: String,
}

/// What came of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DueStatus {
    /// It was decided that a run begins, and not yet seen that it has.
    Starting,
    /// A run was begun.
    Started,
    /// None was begun, because the one before had not ended.
    Skipped,
    /// None was begun, because nobody followed the schedule when it was due.
    Missed,
    /// A run could not be begun.
    Failed,
}

impl DueStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Starting, Self::Started, Self::Skipped, Self::Missed, Self::Failed];

    /// The status in a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Failed => "failed",
        }
    }
}

/// A time at which a schedule was due, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DueTime {
    /// When it was due; where several times have one entry, the last of them.
    pub scheduled_at: Timestamp,
    /// The first of the times that the entry stands for.
    pub since: Timestamp,
    /// How many times it stands for.
    pub times: u64,
    /// What came of it.
    pub status: DueStatus,
    /// When that was decided: for a run, when it was begun.
    pub at: Timestamp,
    /// The run that was begun, or that is in the way of one.
    #[serde(rename = "workflow_id", default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A step along a schedule: taken as a whole, or not at all.
#[derive(Clone, Debug)]
pub struct ScheduleStep {
    /// How far the schedule was followed when the step was decided; `None` if it never was.
    pub from: Option<ScheduleMark>,
    /// How far it is followed afterwards.
    pub to: ScheduleMark,
    /// What came of the times between.
    pub due: Option<DueTime>,
    /// The entry that `due` takes the place of, by its time.
    pub replaces: Option<Timestamp>,
}

/// A store of what is remembered of schedules. What it has acknowledged survives the end of the process.
#[async_trait]
pub trait ScheduleStore: Send + Sync + 'static {
    /// How far a schedule has been followed; `None` if it never was.
    ///
    /// # Errors
    /// The store failed.
    async fn mark(&self, key: &ScheduleKey) -> Result<Option<ScheduleMark>, SessionError>;

    /// Takes a step, unless somebody else has taken one meanwhile; tells whether it was taken. Of several that decide
    /// the same times, one only gets a yes. Where a time has an entry already (the clock went back), the schedule is
    /// followed further, and nothing else changes: that is a no too.
    ///
    /// # Errors
    /// The store failed.
    async fn step(&self, key: &ScheduleKey, step: ScheduleStep) -> Result<bool, SessionError>;

    /// Says what came of a run that was to begin; nothing changes where that has been said before.
    ///
    /// # Errors
    /// The store failed.
    async fn settle(
        &self,
        key: &ScheduleKey,
        scheduled_at: Timestamp,
        status: DueStatus,
        at: Timestamp,
        reason: Option<String>,
    ) -> Result<(), SessionError>;

    /// What came of a schedule's times, latest first, at most `limit`.
    ///
    /// # Errors
    /// The store failed.
    async fn due_times(&self, key: &ScheduleKey, limit: usize) -> Result<Vec<DueTime>, SessionError>;

    /// The runs of a folder that were to begin, and of which nothing more is known.
    ///
    /// # Errors
    /// The store failed.
    async fn unsettled(&self, workspace: &str) -> Result<Vec<(String, DueTime)>, SessionError>;

    /// Forgets how far all other schedules of a folder were followed than those named.
    ///
    /// # Errors
    /// The store failed.
    async fn retain(&self, workspace: &str, names: &[String]) -> Result<(), SessionError>;

    /// Deletes all but the latest `keep` entries of a schedule, never the latest started one; gives the runs of those
    /// that were deleted.
    ///
    /// # Errors
    /// The store failed.
    async fn trim(&self, key: &ScheduleKey, keep: usize) -> Result<Vec<RunId>, SessionError>;
}
