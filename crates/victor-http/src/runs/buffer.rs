//! The last events of one run, pieces of text joined, within a bound.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::sse::{self, StreamEvent};

/// Bytes that are kept at most; what the unfinished message of the model has said comes on top of it.
const BOUND: usize = 32 << 10;
/// Bytes that are kept at most in any case.
const LIMIT: usize = 1 << 20;
/// What an entry costs beside its text.
const OVERHEAD: usize = 48;

/// The last events of one run.
#[derive(Default)]
pub(super) struct Buffer {
    items: VecDeque<Item>,
    bytes: usize,
    /// The last event that was let go of.
    lost: Option<u64>,
    /// The last event that can be read from the conversation instead.
    stored: Option<u64>,
    closed: bool,
}

enum Item {
    /// Joined pieces of text: each piece's event and where it ends.
    Text { thinking: bool, index: u64, ends: Vec<(u64, usize)>, content: String },
    /// Any other event, as JSON.
    Other { id: u64, name: &'static str, json: Box<str> },
}

/// What was told after some event.
pub(super) struct Replay {
    /// Events on their way onto the wire, joined; empty if there are none.
    pub(super) frames: Bytes,
    /// The last event in them.
    pub(super) last: Option<u64>,
    /// Whether events between are no longer kept.
    pub(super) gap: bool,
    /// Whether no further ones will come.
    pub(super) over: bool,
}

impl Buffer {
    pub(super) fn push(&mut self, id: u64, event: &StreamEvent) {
        match event {
            StreamEvent::Token { content, index } => self.text(false, id, *index, content),
            StreamEvent::Thinking { content } => self.text(true, id, 0, content),
            other => {
                let (name, json) = (other.name(), other.json());
                self.bytes += json.len() + OVERHEAD;
                self.items.push_back(Item::Other { id, name, json });
            }
        }
        self.trim();
    }

    pub(super) fn stored(&mut self, id: u64) {
        self.stored = Some(id);
        self.trim();
    }

    /// Nothing comes any more; tells how much is kept.
    pub(super) fn close(&mut self) -> usize {
        self.closed = true;
        self.items.shrink_to_fit();
        self.bytes + OVERHEAD
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The last event that was told.
    pub(super) fn last(&self) -> Option<u64> {
        self.items.back().map(Item::last).or(self.lost)
    }

    pub(super) fn since(&self, after: Option<u64>) -> Replay {
        let mut out = BytesMut::new();
        let mut last = None;
        // Events are in order: those that were told are passed over from the end.
        let new = self.items.iter().rev().take_while(|item| after.is_none_or(|after| item.last() > after)).count();
        for item in self.items.iter().skip(self.items.len() - new) {
            item.write(after, &mut out);
            last = Some(item.last());
        }
        let gap = self.lost.is_some_and(|lost| after.is_none_or(|after| after < lost));
        Replay { frames: out.freeze(), last, gap, over: self.closed }
    }

    fn text(&mut self, thinking: bool, id: u64, index: u64, piece: &str) {
        self.bytes += piece.len() + size_of::<(u64, usize)>();
        if let Some(Item::Text { thinking: same, ends, content, .. }) = self.items.back_mut()
            && *same == thinking
        {
            content.push_str(piece);
            ends.push((id, content.len()));
            return;
        }
        self.bytes += OVERHEAD;
        let ends = vec![(id, piece.len())];
        self.items.push_back(Item::Text { thinking, index, ends, content: piece.to_owned() });
    }

    fn trim(&mut self) {
        while self.bytes > BOUND
            && let Some(first) = self.items.front()
            && (self.bytes > LIMIT || self.stored.is_some_and(|stored| first.last() <= stored))
        {
            self.lost = Some(first.last());
            self.bytes = self.bytes.saturating_sub(first.bytes());
            self.items.pop_front();
        }
    }
}

impl Item {
    fn last(&self) -> u64 {
        match self {
            Self::Text { ends, .. } => ends.last().map_or(0, |(id, _)| *id),
            Self::Other { id, .. } => *id,
        }
    }

    fn bytes(&self) -> usize {
        let own = match self {
            Self::Text { ends, content, .. } => content.len() + ends.len() * size_of::<(u64, usize)>(),
            Self::Other { json, .. } => json.len(),
        };
        own + OVERHEAD
    }

    fn write(&self, after: Option<u64>, out: &mut BytesMut) {
        match self {
            Self::Other { id, name, json } => sse::write(out, *id, name, json),
            Self::Text { thinking, index, ends, content } => {
                let told = after.map_or(0, |after| ends.partition_point(|(id, _)| *id <= after));
                let from = told.checked_sub(1).map_or(0, |i| ends[i].1);
                let rest = content[from..].to_owned();
                let event = match thinking {
                    true => StreamEvent::Thinking { content: rest },
                    false => StreamEvent::Token { content: rest, index: index + told as u64 },
                };
                sse::write(out, self.last(), event.name(), &event.json());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(index: u64, content: &str) -> StreamEvent {
        StreamEvent::Token { content: content.to_owned(), index }
    }

    fn warning(message: &str) -> StreamEvent {
        StreamEvent::Warning { message: message.to_owned() }
    }

    fn text(replay: &Replay) -> String {
        String::from_utf8(replay.frames.to_vec()).unwrap()
    }

    #[test]
    fn whoever_comes_back_gets_what_they_missed_and_nothing_twice() {
        let mut buffer = Buffer::default();
        buffer.push(1, &token(0, "a"));
        buffer.push(2, &token(1, "b"));
        buffer.push(4, &token(2, "c"));
        buffer.push(5, &warning("w"));
        let all = buffer.since(None);
        let expected = "id: 4\nevent: token\ndata: {\"type\":\"token\",\"content\":\"abc\",\"index\":0}\n\n\
                        id: 5\nevent: warning\ndata: {\"type\":\"warning\",\"message\":\"w\"}\n\n";
        assert_eq!((text(&all).as_str(), all.last, all.gap, all.over), (expected, Some(5), false, false));
        let rest = buffer.since(Some(2));
        assert!(text(&rest).contains("\"content\":\"c\",\"index\":2"), "{}", text(&rest));
        assert!(!text(&rest).contains("\"content\":\"abc\""));
        buffer.close();
        let none = buffer.since(Some(5));
        assert_eq!((text(&none).as_str(), none.last, none.over), ("", None, true));
    }

    #[test]
    fn what_is_stored_makes_room_and_leaves_a_gap_that_is_told() {
        let mut buffer = Buffer::default();
        let long = "x".repeat(BOUND);
        buffer.push(1, &token(0, &long));
        buffer.push(2, &warning("between"));
        assert!(!buffer.since(None).gap, "nothing is let go of before it is stored");
        buffer.stored(2);
        buffer.push(3, &token(1, "after"));
        let replay = buffer.since(None);
        assert!(replay.gap && !text(&replay).contains("xxx") && text(&replay).contains("after"));
        assert!(!buffer.since(Some(1)).gap, "whoever has seen it misses nothing");
    }
}
