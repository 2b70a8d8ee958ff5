//! What runs of workflows tell, kept for a while: whoever comes back gets what they missed, then what follows. Of a run
//! that this server does not drive, its journal tells what its nodes did.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{Notify, oneshot};
use victor_core::event::{Event, EventKind};
use victor_core::id::RunId;
use victor_core::journal::RunStatus;
use victor_workflow::Workflows;
use victor_workflow::error::WorkflowError;
use victor_workflow::options::WorkflowOutcome;
use victor_workflow::run::WorkflowRun;

use crate::door::Door;
use crate::routes::WorkflowStatus;
use crate::sse::{self, HEARTBEAT};

/// Bytes of events of one run that are kept at most.
const BOUND: usize = 1 << 20;
/// Runs whose events are kept after they ended or began to wait, latest first.
const KEPT: usize = 256;
/// How often it is looked whether a run goes on that waits or was interrupted.
const LOOK: Duration = Duration::from_secs(1);

/// What a stream tells beside the events of the run itself.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Told {
    /// The events up to here are not kept, or the run was interrupted: how it stands.
    Resync(WorkflowStatus),
    /// The run waits for an answer; the stream goes on when it does.
    Waiting(WorkflowStatus),
    /// The last event: how the run ended.
    Finished(WorkflowStatus),
}

/// One event of the stream: of the run, or on it.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "stands for the form of a stream")]
pub(crate) enum WorkflowEvent {
    /// On the run.
    Told(Told),
    /// Of the run.
    Event(Event),
}

/// The runs that are followed.
#[derive(Default)]
pub(crate) struct Feeds {
    feeds: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    feeds: HashMap<RunId, Arc<Feed>>,
    /// Those that are not driven any more, in order.
    parked: VecDeque<RunId>,
}

/// What one run told.
#[derive(Default)]
pub(crate) struct Feed {
    kept: Mutex<Kept>,
    changed: Notify,
}

#[derive(Default)]
struct Kept {
    items: VecDeque<(u64, Bytes)>,
    bytes: usize,
    last: u64,
    /// The last event that is not kept any more.
    lost: Option<u64>,
    /// Whether this server drives the run now.
    driven: bool,
    /// Whether the last event was told.
    over: bool,
}

impl Told {
    fn name(&self) -> &'static str {
        match self {
            Self::Resync(_) => "resync",
            Self::Waiting(_) => "waiting",
            Self::Finished(_) => "finished",
        }
    }

    fn frame(&self, id: u64) -> Bytes {
        frame(id, self.name(), &serde_json::to_string(self).unwrap_or_default())
    }
}

fn frame(id: u64, name: &str, json: &str) -> Bytes {
    let mut out = BytesMut::new();
    sse::write(&mut out, id, name, json);
    out.freeze()
}

impl Feeds {
    fn get(&self, run: RunId) -> Option<Arc<Feed>> {
        lock(&self.feeds).feeds.get(&run).cloned()
    }

    fn open(&self, run: RunId) -> Arc<Feed> {
        let mut table = lock(&self.feeds);
        table.parked.retain(|id| *id != run);
        let feed = Arc::clone(table.feeds.entry(run).or_default());
        lock(&feed.kept).driven = true;
        feed
    }

    fn park(&self, run: RunId) {
        let mut table = lock(&self.feeds);
        table.parked.push_back(run);
        while table.parked.len() > KEPT
            && let Some(old) = table.parked.pop_front()
        {
            table.feeds.remove(&old);
        }
    }
}

impl Feed {
    fn push(&self, id: u64, frame: impl FnOnce(u64) -> Bytes) {
        let mut kept = lock(&self.kept);
        // A run that goes on may count again from the event that told its rest.
        let id = if kept.items.is_empty() && kept.last == 0 { id } else { id.max(kept.last + 1) };
        let frame = frame(id);
        kept.last = id;
        kept.bytes += frame.len();
        kept.items.push_back((id, frame));
        while kept.bytes > BOUND
            && let Some((id, old)) = kept.items.pop_front()
        {
            kept.bytes -= old.len();
            kept.lost = Some(id);
        }
        drop(kept);
        self.changed.notify_waiters();
    }
}

/// Keeps what a run tells until its end, whoever listens, and `holds` as long. What it comes to is sent to whoever began
/// it.
pub(crate) fn drive<H: Send + 'static>(
    door: &Door,
    mut run: WorkflowRun,
    holds: H,
) -> oneshot::Receiver<Result<WorkflowOutcome, WorkflowError>> {
    let (ended, outcome) = oneshot::channel();
    let (id, feed) = (run.id(), door.feeds.open(run.id()));
    let door = door.clone();
    door.runtime.clone().spawn(async move {
        let mut last = 0;
        while let Some(event) = run.next().await {
            door.meters.seen(&event);
            last = event.seq;
            if matches!(event.kind, EventKind::Finished { .. }) && event.path.is_empty() {
                continue;
            }
            let json = serde_json::to_value(&event).unwrap_or_default();
            let name = json["type"].as_str().unwrap_or("message").to_owned();
            feed.push(event.seq, |id| frame(id, &name, &json.to_string()));
        }
        let outcome = run.taken();
        drop(holds);
        let state = WorkflowStatus::of(&door, id).await;
        lock(&feed.kept).driven = false;
        if let Some(state) = state {
            let over = state.status.is_final();
            let told = match state.status {
                RunStatus::Waiting => Told::Waiting(state),
                status if status.is_final() => Told::Finished(state),
                _ => Told::Resync(state),
            };
            lock(&feed.kept).over = over;
            feed.push(last, |id| told.frame(id));
        }
        door.feeds.park(id);
        // Nobody may wait for it.
        let _ = ended.send(outcome);
    });
    outcome
}

struct Follower {
    door: Door,
    run: RunId,
    after: Option<u64>,
    journal: Stage,
    /// The id that was told last.
    told: u64,
    over: bool,
}

/// How far the journal of a run is told.
enum Stage {
    /// Not at all.
    Unread,
    /// Its events come; what is added to their places, so that ids go on.
    Read(Pin<Box<dyn Stream<Item = Result<Event, WorkflowError>> + Send>>, u64),
    /// Up to this place, where the run waits or was interrupted.
    Resting(u64),
}

/// What a run told after the event `after`, and what it tells from now on until its end.
pub(crate) fn follow(
    door: Door,
    run: RunId,
    after: Option<u64>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let follower = Follower { door, run, after, journal: Stage::Unread, told: after.unwrap_or_default(), over: false };
    futures::stream::unfold(follower, |mut follower| async move {
        let frame = follower.next().await?;
        Some((Ok(frame), follower))
    })
}

impl Follower {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let feed = self.door.feeds.get(self.run).filter(|_| matches!(self.journal, Stage::Unread));
        match feed {
            Some(feed) => self.of_feed(&feed).await,
            None => self.of_journal().await,
        }
    }

    async fn of_feed(&mut self, feed: &Feed) -> Option<Bytes> {
        let mut changed = std::pin::pin!(feed.changed.notified());
        // From here on no change is missed.
        changed.as_mut().enable();
        let (mut out, mut gap, driven) = (BytesMut::new(), None, {
            let kept = lock(&feed.kept);
            kept.driven || kept.over
        });
        {
            let kept = lock(&feed.kept);
            if kept.lost.is_some_and(|lost| self.after.is_none_or(|after| after < lost)) {
                gap = kept.lost;
            }
            let after = self.after;
            for (id, frame) in kept.items.iter().filter(|(id, _)| after.is_none_or(|after| *id > after)) {
                out.extend_from_slice(frame);
                self.after = Some(*id);
            }
            self.over = kept.over;
        }
        if let Some(lost) = gap {
            let state = WorkflowStatus::of(&self.door, self.run).await;
            let resync = state.map(|state| Told::Resync(state).frame(lost)).unwrap_or_default();
            return Some([resync, out.freeze()].concat().into());
        }
        if !out.is_empty() {
            return Some(out.freeze());
        }
        if self.over {
            return None;
        }
        if !driven {
            return self.of_journal().await;
        }
        let beat = tokio::time::timeout(self.door.config.heartbeat, changed).await;
        Some(if beat.is_err() { HEARTBEAT } else { Bytes::from_static(b":\n\n") })
    }

    /// What the journal tells of a run that this server does not drive.
    async fn of_journal(&mut self) -> Option<Bytes> {
        match &mut self.journal {
            Stage::Unread if self.after.is_none() => {
                self.read(0, 0);
                Some(Bytes::from_static(b":\n\n"))
            }
            // What came before is the client's already, or only known under other ids: it gets the state instead.
            Stage::Unread => {
                let last = place(&self.door, self.run).await?;
                self.rest(self.after.unwrap_or_default(), last).await
            }
            Stage::Resting(place) => {
                let place = *place;
                self.wake(place).await
            }
            Stage::Read(events, plus) => {
                let plus = *plus;
                let next = tokio::select! {
                    next = tokio::time::timeout(self.door.config.heartbeat, events.next()) => next,
                    () = self.door.runtime.cancelled() => return None,
                };
                match next {
                    Err(_) => Some(HEARTBEAT),
                    Ok(Some(Ok(event))) if matches!(event.kind, EventKind::Finished { .. }) => {
                        self.rest(self.told, event.seq.saturating_sub(1)).await
                    }
                    Ok(Some(Ok(event))) => {
                        let json = serde_json::to_value(&event).unwrap_or_default();
                        let name = json["type"].as_str().unwrap_or("message").to_owned();
                        self.told = self.told.max(event.seq + plus);
                        Some(frame(self.told, &name, &json.to_string()))
                    }
                    Ok(Some(Err(e))) => {
                        tracing::error!(error = %e, run = %self.run, "a run cannot be followed in its journal");
                        None
                    }
                    Ok(None) => None,
                }
            }
        }
    }

    fn read(&mut self, place: u64, plus: u64) {
        let events = Workflows::of(&self.door.runtime).events(self.run, place);
        self.journal = Stage::Read(Box::pin(events), plus);
    }

    /// How the run stands at a place, where its journal ends for now.
    async fn rest(&mut self, id: u64, at: u64) -> Option<Bytes> {
        let state = WorkflowStatus::of(&self.door, self.run).await?;
        self.told = id;
        if place(&self.door, self.run).await? != at {
            // It went on just now.
            self.read(at, id.saturating_sub(at));
            return Some(Bytes::from_static(b":\n\n"));
        }
        self.journal = Stage::Resting(at);
        if state.status.is_final() {
            self.over = true;
            return Some(Told::Finished(state).frame(id + 1));
        }
        let waits = state.status == RunStatus::Waiting;
        Some(if waits { Told::Waiting(state) } else { Told::Resync(state) }.frame(id))
    }

    /// Waits until the run goes on from a place of its journal, here or elsewhere.
    async fn wake(&mut self, place: u64) -> Option<Bytes> {
        let begun = self.door.runtime.clock().now();
        while self.door.runtime.clock().now().since(begun) < self.door.config.heartbeat {
            let info = self.door.runtime.journal().info(self.run).await.ok()?;
            if self.door.feeds.get(self.run).is_some_and(|feed| lock(&feed.kept).driven) {
                self.journal = Stage::Unread;
                return Some(HEARTBEAT);
            }
            let works = info.status == RunStatus::Running && info.holder.is_some();
            if info.last_seq != place || works {
                self.read(place, self.told.saturating_sub(place));
                return Some(HEARTBEAT);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.door.runtime.cancelled() => return None,
            }
        }
        Some(HEARTBEAT)
    }
}

/// The last place of a run's journal.
async fn place(door: &Door, run: RunId) -> Option<u64> {
    Some(door.runtime.journal().info(run).await.ok()?.last_seq)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
