//! One run: what it does now, what it asks, how it ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use victor_core::agent::{Chat, Outcome, Run};
use victor_core::event::{Event, EventKind};
use victor_core::id::{RunId, Timestamp};
use victor_core::runtime::Runtime;

use super::Room;
use crate::server::ask::{Asked, Matter, Said};
use crate::server::sampling::{Waiting, Wanted};

/// What is kept for a client that does not keep up.
const NOTES: usize = 32;

/// A run under way, or over.
pub(crate) struct Live {
    pub(crate) id: RunId,
    pub(crate) owner: Arc<str>,
    pub(crate) began: Timestamp,
    /// Whether the client's own model serves.
    pub(crate) borrows: bool,
    cancel: CancellationToken,
    state: watch::Sender<Snapshot>,
    pending: Mutex<Vec<Asked>>,
    /// Calls of the client's own model, where that is what serves.
    samples: tokio::sync::Mutex<Option<Waiting>>,
}

/// How it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// What it did lately, and does now, in a few words each.
    notes: VecDeque<Arc<str>>,
    /// How much was told so far.
    told: usize,
    /// How it ended.
    pub(crate) outcome: Option<Arc<Outcome>>,
    /// When something was last heard of it.
    pub(crate) at: Timestamp,
    /// Whether its task is done, with an outcome or without.
    pub(crate) over: bool,
}

impl Snapshot {
    /// What it does.
    pub(crate) fn note(&self) -> &str {
        self.notes.back().map_or("", |note| note)
    }

    /// What was told since `seen` things were told, as far as it is still known, and how much was told by now.
    pub(crate) fn since(&self, seen: usize) -> (impl Iterator<Item = &str>, usize) {
        let fresh = self.told.saturating_sub(seen).min(self.notes.len());
        (self.notes.iter().skip(self.notes.len() - fresh).map(|note| &**note), self.told)
    }

    fn tell(&mut self, note: &str) {
        if self.notes.len() == NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(note.into());
        self.told += 1;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }
}

impl Live {
    /// Follows a run from now on, by a task of the runtime. `first` is the run's first event.
    pub(crate) fn drive(
        runtime: &Runtime,
        first: &Event,
        (run, chat, room): (Run, Chat, Room),
        (questions, samples): (mpsc::Receiver<Asked>, Option<Waiting>),
        owner: Arc<str>,
    ) -> Arc<Self> {
        let mut snapshot = Snapshot { at: first.at, ..Snapshot::default() };
        snapshot.tell("the run began");
        let live = Arc::new(Self {
            id: first.run_id,
            owner,
            began: first.at,
            borrows: samples.is_some(),
            cancel: run.canceller(),
            state: watch::Sender::new(snapshot),
            pending: Mutex::default(),
            samples: tokio::sync::Mutex::new(samples),
        });
        runtime.spawn(pump(Arc::clone(&live), run, (chat, room), questions));
        live
    }

    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.state.borrow().clone()
    }

    pub(crate) fn follow(&self) -> watch::Receiver<Snapshot> {
        self.state.subscribe()
    }

    /// The next call of the client's own model; never, where another one serves. Whoever follows the run takes it.
    pub(crate) async fn wanted(&self) -> Wanted {
        let mut samples = self.samples.lock().await;
        let wanted = match samples.as_mut() {
            Some(samples) => samples.recv().await,
            None => None,
        };
        match wanted {
            Some(wanted) => wanted,
            None => std::future::pending().await,
        }
    }

    /// The question that waits the longest.
    pub(crate) fn question(&self) -> Option<Matter> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waited has given up: the question timed out, or the run was cancelled.
        pending.retain(|asked| !asked.reply.is_closed());
        pending.first().map(|asked| asked.matter.clone())
    }

    /// The open question that is recognised by this.
    pub(crate) fn asked(&self, id: &str) -> Option<Matter> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.iter().find(|asked| asked.matter.id() == id).map(|asked| asked.matter.clone())
    }

    /// Answers a question; one that is answered already stays so.
    pub(crate) fn answer(&self, question: &str, said: Said) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = pending.iter().position(|asked| asked.matter.id() == question) {
            // A run that is gone wants no answer.
            let _ = pending.remove(at).reply.send(said);
        }
    }

    fn asks(&self, asked: Asked) {
        let note = asked.matter.note();
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        self.state.send_modify(|s| s.tell(&note));
    }

    fn hears(&self, event: Event) {
        let note = note(&event.kind);
        let ends = event.path.is_empty();
        let outcome = match event.kind {
            EventKind::Finished { outcome } if ends => Some(Arc::from(outcome)),
            _ => None,
        };
        if note.is_some() || outcome.is_some() {
            self.state.send_modify(|s| {
                s.at = event.at;
                note.iter().for_each(|note| s.tell(note));
                s.outcome = outcome.or_else(|| s.outcome.take());
            });
        }
    }
}

async fn pump(live: Arc<Live>, mut run: Run, held: (Chat, Room), mut questions: mpsc::Receiver<Asked>) {
    loop {
        tokio::select! {
            event = run.next() => match event {
                Some(event) => live.hears(event),
                None => break,
            },
            Some(asked) = questions.recv() => live.asks(asked),
        }
    }
    drop((run, held));
    live.pending.lock().unwrap_or_else(PoisonError::into_inner).clear();
    live.state.send_modify(|s| s.over = true);
}

/// What a client is told of an event; little pieces of text are no news.
pub(crate) fn note(kind: &EventKind) -> Option<String> {
    match kind {
        EventKind::TurnStarted { turn } => Some(format!("turn {turn}: the model is asked")),
        EventKind::ToolCall { tool, .. } => Some(format!("runs {tool}")),
        EventKind::ToolProgress { text, .. } => {
            Some(text.lines().last().unwrap_or_default().chars().take(200).collect())
        }
        EventKind::ToolResult { tool, success, denied, .. } => Some(match (success, denied) {
            (_, true) => format!("{tool} was denied"),
            (true, false) => format!("{tool} is done"),
            (false, false) => format!("{tool} failed"),
        }),
        EventKind::Retrying { attempt, error, .. } => Some(format!("try {attempt} failed: {error}")),
        EventKind::Compacted { .. } => Some("the conversation was made shorter".to_owned()),
        EventKind::Node { node, status, .. } => Some(format!("{node}: {}", status.name())),
        EventKind::TeamStarted { formation, members } => Some(format!("team ({formation}): {}", members.join(", "))),
        EventKind::MemberMessage { from, text } => {
            let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
            Some(if from.is_empty() { words } else { format!("{}: {words}", from.join(", ")) })
        }
        EventKind::Warning { message } => Some(message.clone()),
        _ => None,
    }
}
