//! How a run is ended from outside, wherever it is.

use std::sync::Arc;
use std::time::Duration;

use victor_core::id::RunId;
use victor_core::journal::{Journal, JournalClaim, JournalError, NewRecord, RunStatus, Summary};

use crate::engine::Workflows;
use crate::error::WorkflowError;
use crate::record::{Entry, Record};
use crate::summary::RunSummary;

/// How long it is waited until a stopped run of this process has ended: longer than its nodes may take to clean up.
const STOP: Duration = Duration::from_secs(5);

impl Workflows {
    /// Ends a run, wherever it is: one that works here is stopped, and it is waited until its journal says so; one that
    /// waits is not resumed any more. A run that another process drives is told so, and ends soon; so does one of this
    /// process whose events nobody takes.
    ///
    /// # Errors
    /// There is no such run, or it has ended; the journal failed.
    pub async fn cancel(&self, id: RunId) -> Result<(), WorkflowError> {
        let stopped = self.live.get(id).is_some();
        // What does not end in time is held by its claim, and told below.
        drop(tokio::time::timeout(STOP, self.stop(id)).await);
        let journal = Arc::clone(self.runtime.journal());
        let info = match journal.info(id).await {
            Err(JournalError::NotFound(_)) if stopped => return Ok(()),
            info => info?,
        };
        match info.status {
            RunStatus::Cancelled if stopped => return Ok(()),
            status if status.is_final() => {
                return Err(WorkflowError::State(format!("run {id} has ended as {}", status.name())));
            }
            _ => {}
        }
        match journal.claim(id, self.runtime.holder()).await {
            Ok(claim) => self.end_as_cancelled(&*journal, &*claim).await,
            Err(JournalError::Conflict { .. }) => {
                journal.request_cancel(id).await?;
                // Who drove it may have put it down before that was said; after, they look themselves.
                self.end_if_cancelled(id).await.map(drop)
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Ends a run that was put down while somebody wanted it to end; tells whether it was.
    pub(crate) async fn end_if_cancelled(&self, id: RunId) -> Result<bool, WorkflowError> {
        let journal = Arc::clone(self.runtime.journal());
        if !journal.info(id).await?.cancel_requested {
            return Ok(false);
        }
        match journal.claim(id, self.runtime.holder()).await {
            Ok(claim) => self.end_as_cancelled(&*journal, &*claim).await.map(|()| true),
            Err(JournalError::Conflict { .. }) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Stops a run that works in this process, until it works no more.
    async fn stop(&self, id: RunId) {
        while let Some(live) = self.live.get(id) {
            live.cancel.cancel();
            self.live.gone(id, &live).await;
        }
    }

    async fn end_as_cancelled(&self, journal: &dyn Journal, claim: &dyn JournalClaim) -> Result<(), WorkflowError> {
        let info = journal.info(claim.run()).await?;
        if info.status.is_final() {
            return Ok(());
        }
        let now = self.runtime.clock().now();
        let mut summary = RunSummary::read(&info);
        summary.current.clear();
        summary.waiting.clear();
        summary.paused.clear();
        let text = |e: serde_json::Error| WorkflowError::State(e.to_string());
        let record = Entry { at: now, what: Record::Cancelled };
        let json = serde_json::to_string(&record).map_err(text)?;
        let records = vec![NewRecord { kind: "cancelled".into(), json }];
        let json = serde_json::to_string(&summary).map_err(text)?;
        let summary = Summary { status: RunStatus::Cancelled, wake_at: None, snapshot: info.snapshot, json };
        journal.append(claim, claim.last_seq(), now, records, summary).await?;
        Ok(())
    }
}
