//! Following a run that somebody else began, or that one has lost: what is kept of it, then what comes.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use tokio::time::timeout;
use victor_core::message::Message;
use victor_core::session::{Entry, effective};

use super::Record;
use crate::answer::{MessageBody, messages};
use crate::door::Door;
use crate::sse::{self, HEARTBEAT, StreamEvent};

/// What was told after the event `after`, and what is told from now on until the end.
pub(crate) fn follow(
    door: Door,
    record: Arc<Record>,
    after: Option<u64>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    futures::stream::unfold(Some((door, record, after)), |state| async move {
        let (door, record, after) = state?;
        loop {
            let mut changed = std::pin::pin!(record.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            let replay = record.since(after);
            if let Some(last) = replay.last {
                let frames = match replay.gap {
                    true => resynced(&door, &record, last, &replay.frames).await,
                    false => replay.frames,
                };
                let next = (!replay.over).then_some((door, Arc::clone(&record), Some(last)));
                return Some((Ok(frames), next));
            }
            if replay.over {
                return None;
            }
            if timeout(door.config.heartbeat, changed).await.is_err() {
                return Some((Ok(HEARTBEAT), Some((door, Arc::clone(&record), after))));
            }
        }
    })
}

/// The stored messages of the run in the place of what is no longer kept, then the rest.
async fn resynced(door: &Door, record: &Record, id: u64, rest: &Bytes) -> Bytes {
    let event = StreamEvent::Resync { run_id: record.run, messages: stored(door, record).await };
    let mut out = BytesMut::new();
    sse::write(&mut out, id, event.name(), &event.json());
    out.extend_from_slice(rest);
    out.freeze()
}

async fn stored(door: &Door, record: &Record) -> Vec<MessageBody> {
    let Some(conversation) = &record.conversation else { return Vec::new() };
    let entries = match door.runtime.sessions().entries(conversation, 0, usize::MAX).await {
        Ok(entries) => effective(entries),
        Err(e) => {
            tracing::error!(error = %e, "the messages of a run cannot be read");
            return Vec::new();
        }
    };
    let begun = entries.iter().position(|e| e.entry == Entry::RunStarted { run_id: record.run });
    let said = entries[begun.unwrap_or(entries.len())..].iter().filter_map(|e| match &e.entry {
        Entry::Message { message } => Some(message.as_ref()),
        _ => None,
    });
    messages(said.collect::<Vec<&Message>>())
}
