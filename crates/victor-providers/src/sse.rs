//! Server-sent events (WHATWG HTML, "Server-sent events") from a stream of bytes, cut anywhere. Adds to the parser a
//! limit for one event, and lets the last block count that no blank line ends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use sse_stream::{Sse, SseByteStream};

/// Longest event, in bytes.
const MAX_EVENT: usize = 16 << 20;

/// Events, or the reason why there are no more.
pub(crate) type Events = Pin<Box<dyn Stream<Item = Result<Sse, Broken>> + Send>>;

/// Why a stream of events ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The bytes are no events, or one is too long.
    Protocol(String),
    /// The connection broke.
    Connection(String),
}

/// A failure on the way into the parser.
#[derive(Debug, thiserror::Error)]
enum Feed {
    #[error("an event of more than {} MiB", MAX_EVENT >> 20)]
    TooLong,
    #[error("{0}")]
    Connection(String),
}

/// The events in `bytes`.
pub(crate) fn events(bytes: impl Stream<Item = Result<Bytes, String>> + Send + 'static) -> Events {
    let pending = Arc::new(AtomicUsize::new(0));
    let fed = Arc::clone(&pending);
    // The blank lines end a block that the server left open.
    let ending = stream::iter([Ok(Bytes::from_static(b"\n\n"))]);
    let feed = bytes.chain(ending).map(move |piece| {
        let piece = piece.map_err(Feed::Connection)?;
        let waiting = fed.fetch_add(piece.len(), Ordering::Relaxed) + piece.len();
        if waiting > MAX_EVENT { Err(Feed::TooLong) } else { Ok(piece) }
    });
    let events = SseByteStream::new(Box::pin(feed)).map(move |event| {
        pending.store(0, Ordering::Relaxed);
        event.map_err(broken)
    });
    Box::pin(events)
}

fn broken(error: sse_stream::Error) -> Broken {
    match error {
        sse_stream::Error::Body(source) => match source.downcast_ref::<Feed>() {
            Some(Feed::Connection(cause)) => Broken::Connection(cause.clone()),
            _ => Broken::Protocol(source.to_string()),
        },
        other => Broken::Protocol(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &[u8], cut: usize) -> Vec<(Option<String>, Option<String>)> {
        let pieces: Vec<_> = text.chunks(cut).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        let events = events(stream::iter(pieces));
        let events: Vec<_> = events.collect().await;
        events.into_iter().map(|e| e.unwrap()).map(|e| (e.event, e.data)).collect()
    }

    #[tokio::test]
    async fn events_are_the_same_however_the_bytes_are_cut() {
        let text =
            "\u{feff}: comment\r\nevent: a\r\ndata: zwölf\r\ndata: 🦀\r\n\r\nid: 7\n: ping\n\ndata:x\n\ndata: last";
        let data = |s: &str| Some(s.to_owned());
        let expected = [(data("a"), data("zwölf\n🦀")), (None, None), (None, data("x")), (None, data("last"))];
        for cut in [1, 2, 3, 7, 4096] {
            assert_eq!(read(text.as_bytes(), cut).await, expected, "cut into {cut}");
        }
    }

    #[tokio::test]
    async fn an_event_without_end_is_refused() {
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        let endless = stream::iter([Ok(Bytes::from_static(b"data: "))]).chain(stream::repeat(Ok(piece)));
        let mut events = events(endless);
        let first = events.next().await;
        assert_eq!(first, Some(Err(Broken::Protocol("an event of more than 16 MiB".into()))));
    }

    #[tokio::test]
    async fn many_events_in_one_piece_are_no_long_event() {
        let line = format!("data: {}\n\n", "y".repeat(1 << 20));
        let text = line.repeat(15).into_bytes();
        assert_eq!(read(&text, text.len()).await.len(), 15);
    }
}
