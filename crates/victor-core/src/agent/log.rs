//! The log of one session, held for writing: what was acknowledged here survives the process.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::conversation::{Conversation, INTERRUPTED};
use crate::error::SessionError;
use crate::id::{Clock, SessionId};
use crate::session::{Claim, Entry, NewSession, SessionSettings, SessionStore, StoredEntry, effective};

use super::outcome::Suspended;

/// Entries that are read in one go.
const PAGE: usize = 1000;

/// A claimed session.
pub(crate) struct SessionLog {
    store: Arc<dyn SessionStore>,
    claim: Box<dyn Claim>,
    clock: Arc<dyn Clock>,
    // Appends of one session follow each other: each needs the place that the one before it got. `None` while that is
    // not known: an append is under way, it failed, or whoever waited for it has gone away.
    seq: Mutex<Option<u64>>,
}

/// What a session's log says.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) conversation: Conversation,
    pub(crate) settings: SessionSettings,
    pub(crate) suspended: Option<Suspended>,
}

impl SessionLog {
    /// Begins a session and claims it.
    pub(crate) async fn create(
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        new: NewSession,
        holder: &str,
    ) -> Result<Self, SessionError> {
        let claim = store.begin(new, holder).await?;
        Ok(Self::of(store, clock, claim))
    }

    /// Claims a session.
    pub(crate) async fn claim(
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        id: &SessionId,
        holder: &str,
    ) -> Result<Self, SessionError> {
        let claim = store.claim(id, holder).await?;
        Ok(Self::of(store, clock, claim))
    }

    fn of(store: Arc<dyn SessionStore>, clock: Arc<dyn Clock>, claim: Box<dyn Claim>) -> Self {
        let seq = Mutex::new(Some(claim.last_seq()));
        Self { store, claim, clock, seq }
    }

    /// Appends entries and waits until they are committed.
    pub(crate) async fn append(&self, entries: Vec<Entry>) -> Result<(), SessionError> {
        let mut seq = self.seq.lock().await;
        let (last, sure) = match seq.take() {
            Some(last) => (last, true),
            None => (self.last().await?, false),
        };
        let claim = self.claim.as_ref();
        let again = if sure { Vec::new() } else { entries.clone() };
        let done = match self.store.append(claim, last, self.clock.now(), entries).await {
            // An append that was given up was still on its way, and is done now.
            Err(SessionError::Conflict { .. }) if !sure => {
                self.store.append(claim, self.last().await?, self.clock.now(), again).await
            }
            done => done,
        };
        *seq = Some(done?);
        Ok(())
    }

    /// The place of the last entry, as the store knows it.
    async fn last(&self) -> Result<u64, SessionError> {
        Ok(self.store.info(self.claim.session()).await?.last_seq)
    }

    /// All entries that still count.
    pub(crate) async fn entries(&self) -> Result<Vec<StoredEntry>, SessionError> {
        let mut all = Vec::new();
        loop {
            let after = all.last().map_or(0, |e: &StoredEntry| e.seq);
            let page = self.store.entries(self.claim.session(), after, PAGE).await?;
            let last = page.len() < PAGE;
            all.extend(page);
            if last {
                return Ok(effective(all));
            }
        }
    }

    /// Reads the session back, and mends in the log what a crash left open.
    pub(crate) async fn load(&self) -> Result<Loaded, SessionError> {
        let mut loaded = replay(self.entries().await?);
        if loaded.suspended.is_none()
            && let Some(closing) = loaded.conversation.close_open(INTERRUPTED)
        {
            let message = Arc::new(closing);
            self.append(vec![Entry::Message { message: Arc::clone(&message) }]).await?;
            loaded.conversation.restore_push(message);
        }
        Ok(loaded)
    }
}

fn replay(entries: Vec<StoredEntry>) -> Loaded {
    let mut loaded = Loaded::default();
    for stored in entries {
        match stored.entry {
            Entry::Message { message } => {
                loaded.conversation.restore_push(message);
                loaded.suspended = None;
            }
            Entry::Settings { settings } => loaded.settings = settings,
            Entry::Compaction { summary, keep_from } => loaded.conversation.compact(summary, keep_from),
            Entry::Waiting { suspended } => loaded.suspended = Some(*suspended),
            Entry::RunStarted { .. } => loaded.suspended = None,
            Entry::RunEnded { .. }
            | Entry::Checkpoint { .. }
            | Entry::Rewind { .. }
            | Entry::Note { .. }
            | Entry::Unknown => {}
        }
    }
    loaded
}
