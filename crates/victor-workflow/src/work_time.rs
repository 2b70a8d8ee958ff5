//! How long a run has worked: what `max_time` counts. Time in which it only waits for people does not, nor does time in
//! which somebody is asked about a call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use victor_core::agent::Failure;
use victor_core::id::{Clock, Timestamp};
use victor_core::permission::{Answer, ApprovalRequest, Approver};
use victor_core::question::{Question, Reply};

/// Whether a run works or waits for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Nodes work, or one is tried again soon.
    Work,
    /// Nothing is done until somebody answers.
    Rest,
}

/// The time that a run has worked, over all its processes.
pub(crate) struct WorkTime {
    clock: Arc<dyn Clock>,
    max: Option<Duration>,
    counted: Mutex<Counted>,
    changed: Notify,
}

struct Counted {
    worked: Duration,
    /// What is counted from when; nothing is while it rests.
    from: Option<Timestamp>,
    doing: Doing,
    /// Calls that somebody is asked about now.
    asked: u32,
}

impl WorkTime {
    /// A run that has worked so long already and works from now on.
    pub(crate) fn new(clock: Arc<dyn Clock>, max: Option<Duration>, worked: Duration) -> Arc<Self> {
        let counted = Counted { worked, from: Some(clock.now()), doing: Doing::Work, asked: 0 };
        Arc::new(Self { clock, max, counted: Mutex::new(counted), changed: Notify::new() })
    }

    /// Says what the run does from now on.
    pub(crate) fn goes_on(&self, doing: Doing) {
        let mut counted = self.lock();
        if counted.doing != doing {
            counted.doing = doing;
            counted.settle(self.clock.now());
        }
    }

    /// How long it has worked.
    pub(crate) fn worked(&self) -> Duration {
        let mut counted = self.lock();
        counted.settle(self.clock.now());
        counted.worked
    }

    /// How long it may still work; `None` for any time, and while the time stands still.
    pub(crate) fn left(&self) -> Option<Duration> {
        let max = self.max?;
        let worked = self.worked();
        (self.lock().from.is_some() || worked >= max).then(|| max.saturating_sub(worked))
    }

    /// The failure of a run that has worked too long.
    pub(crate) fn is_up(&self) -> Option<Failure> {
        let max = self.max.filter(|_| self.left() == Some(Duration::ZERO))?;
        let text = format!("the run was not done within {max:?} of work (`max_time`)");
        Some(Failure { code: "LIMIT_EXCEEDED".to_owned(), message: text })
    }

    /// Waits until the time begins to count, or stops.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn asked(&self, change: impl FnOnce(&mut u32)) {
        let mut counted = self.lock();
        change(&mut counted.asked);
        counted.settle(self.clock.now());
        drop(counted);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// Counts what has passed, and goes on as it is now.
    fn settle(&mut self, now: Timestamp) {
        if let Some(from) = self.from {
            self.worked += now.since(from);
        }
        self.from = (self.doing == Doing::Work && self.asked == 0).then_some(now);
    }
}

/// Asks about calls, and lets the time stand still meanwhile.
pub(crate) struct Patient {
    pub(crate) approver: Arc<dyn Approver>,
    pub(crate) time: Arc<WorkTime>,
}

#[async_trait]
impl Approver for Patient {
    async fn ask(&self, request: &ApprovalRequest) -> Answer {
        let _asked = Asked::new(&self.time);
        self.approver.ask(request).await
    }

    async fn question(&self, question: &Question) -> Reply {
        let _asked = Asked::new(&self.time);
        self.approver.question(question).await
    }
}

/// A question about a call, until dropped.
struct Asked<'a>(&'a WorkTime);

impl<'a> Asked<'a> {
    fn new(time: &'a WorkTime) -> Self {
        time.asked(|n| *n += 1);
        Self(time)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.asked(|n| *n = n.saturating_sub(1));
    }
}
