//! What a server does for the runs that it keeps: takes up those whose process is gone, and lets time-outs act.

use std::sync::Arc;
use std::time::Duration;

use victor_core::id::RunId;
use victor_core::journal::{JournalFilter, JournalInfo, RunStatus};
use victor_core::question::AskLater;

use crate::engine::Workflows;
use crate::error::WorkflowError;
use crate::options::{Keeper, RunOptions};
use crate::resume::Resumed;
use crate::summary::RunSummary;

/// How long it is waited at most until waiting runs are looked at again: others may have begun new ones.
const WATCH: Duration = Duration::from_secs(30);
/// How soon it is looked at runs that this process has put down.
const PUT_DOWN: Duration = Duration::from_millis(100);
/// How soon whoever tends waiting runs hears of a shutdown.
const TENDED: Duration = Duration::from_millis(500);

impl Workflows {
    /// Takes up the runs of this workspace that a server keeps and whose process is gone. For a server, when it starts.
    /// Tells which were taken up, and which could not be, and why.
    ///
    /// # Errors
    /// The journal failed.
    pub async fn recover(&self) -> Result<Vec<(RunId, Result<(), WorkflowError>)>, WorkflowError> {
        let filter = JournalFilter { status: vec![RunStatus::Running], limit: usize::MAX, ..JournalFilter::default() };
        let mut taken = Vec::new();
        for info in self.runtime.journal().list(&filter).await? {
            if info.holder.is_some() || !self.tends(&info) {
                continue;
            }
            let options = RunOptions { interviewer: Some(Arc::new(AskLater)), ..RunOptions::default() };
            let resumed = self.resume(info.id, Vec::new(), options).await;
            taken.push((info.id, resumed.map(Resumed::detach)));
        }
        Ok(taken)
    }

    /// Brings questions of waiting runs to their fallback when their time is up, until the runtime shuts down. For a
    /// server, as long as it lives.
    pub async fn tend(&self) {
        loop {
            let mut pause = self.tend_once().await;
            while pause > Duration::ZERO {
                // In short steps: a shutdown waits for whoever tends as it does for a run.
                let step = pause.min(TENDED);
                pause -= step;
                let put_down = tokio::time::timeout(step, self.live.put_down()).await.is_ok();
                if self.runtime.is_closed() {
                    return;
                }
                if put_down {
                    // It may wait for less time than is waited for here. Of many only a few looks come.
                    tokio::time::sleep(PUT_DOWN).await;
                    break;
                }
            }
        }
    }

    /// Brings the questions of waiting runs that a server keeps to their fallback when their time is up; tells how long
    /// until the next.
    pub async fn tend_once(&self) -> Duration {
        let filter = JournalFilter { status: vec![RunStatus::Waiting], limit: usize::MAX, ..JournalFilter::default() };
        let Ok(waiting) = self.runtime.journal().list(&filter).await else { return WATCH };
        let now = self.runtime.clock().now();
        let mut next = WATCH;
        for info in waiting {
            match info.wake_at {
                Some(at) if at <= now && self.tends(&info) => drop(self.wake(info.id).await),
                Some(at) if at > now => next = next.min(at.since(now)),
                Some(_) | None => {}
            }
        }
        next.max(Duration::from_millis(10))
    }

    /// Lets the time-outs of a waiting run act; tells whether it goes on.
    pub(crate) async fn wake(&self, id: RunId) -> bool {
        let options = RunOptions { interviewer: Some(Arc::new(AskLater)), ..RunOptions::default() };
        match self.resume(id, Vec::new(), options).await {
            Ok(resumed) => {
                resumed.detach();
                true
            }
            Err(e) => {
                tracing::debug!(run = %id, error = %e, "a waiting run could not be woken");
                false
            }
        }
    }

    /// Whether a server of this workspace looks after a run.
    fn tends(&self, info: &JournalInfo) -> bool {
        RunSummary::read(info).keeper == Keeper::Server && self.is_here(info) && self.live.get(info.id).is_none()
    }
}
