//! Pieces by score, the way of `SentencePiece`'s BPE (Kudo and Richardson, arXiv 1808.06226): of all neighbours that make
//! a piece together, those with the best score become one, until none is left. Letters that are no piece become bytes.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};

use super::names::Names;
use super::{NORMAL, Specials, Vocabulary};
use crate::error::EngineError;
use crate::gguf::Gguf;

/// A space in a piece.
const SPACE: &str = "\u{2581}";
/// GGUF's kind of tokens that stand for one byte.
const BYTE: u64 = 6;
/// No neighbour.
const NONE: usize = usize::MAX;

/// The tokenizer of a file. `tokenizers` has none that does the same: its merges have an order of their own, while two
/// ways to the same piece count the same here, and the leftmost goes first.
pub(super) struct Spm {
    pieces: HashMap<Box<str>, u32>,
    scores: Vec<f32>,
    bytes: [u32; 256],
    /// The names of all tokens that are taken as a whole.
    names: Names,
    /// Those of them that are text.
    added: Names,
    /// Whether a text begins with a space that nobody wrote.
    prefixed: bool,
}

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the beginning of all.
    Beginning,
    /// Behind other text.
    Within,
}

/// A part of the text on the way to a piece; its neighbours are places in the list of parts.
struct Part {
    start: usize,
    length: usize,
    before: usize,
    after: usize,
    id: Option<u32>,
}

/// Two neighbours that make a piece together.
#[derive(PartialEq)]
struct Pair {
    score: f32,
    left: Reverse<usize>,
    length: usize,
    id: u32,
}

impl Spm {
    /// Reads the scores and names out of a model's file.
    pub(super) fn read(file: &Gguf, vocabulary: &Vocabulary) -> Result<Self, EngineError> {
        let scores = file.reals("tokenizer.ggml.scores").ok_or_else(|| file.wrong("its tokens have no scores"))?;
        if scores.len() < vocabulary.texts.len() {
            return Err(file.wrong("some of its tokens have no score"));
        }
        let unknown = file.number("tokenizer.ggml.unknown_token_id").and_then(|n| u32::try_from(n).ok());
        let mut bytes = [unknown.unwrap_or(0); 256];
        for (id, byte) in vocabulary.tokens().filter_map(|(id, text)| Some((id, byte(vocabulary, id, text)?))) {
            bytes[usize::from(byte)] = id;
        }
        let words = vocabulary.tokens().filter(|(id, _)| vocabulary.kind(*id) == NORMAL || vocabulary.is_added(*id));
        let whole = vocabulary.tokens().filter(|(id, _)| vocabulary.is_special(*id));
        let added = vocabulary.tokens().filter(|(id, _)| vocabulary.is_added(*id));
        Ok(Self {
            pieces: words.map(|(id, text)| (text.into(), id)).collect(),
            scores,
            bytes,
            names: Names::new(whole).map_err(|e| file.wrong(e))?,
            added: Names::new(added).map_err(|e| file.wrong(e))?,
            prefixed: file.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true),
        })
    }

    /// The tokens of a text in parts, whose seams are none to a piece.
    pub(super) fn encode(&self, parts: &[(&str, Specials)], place: Place) -> Vec<u32> {
        let prefixed = self.prefixed && place == Place::Beginning;
        let mut out = Vec::new();
        let mut open = String::new();
        let add = |open: &mut String, text: &str| {
            // Behind a token that is taken as a whole a text begins anew.
            if prefixed && open.is_empty() && !text.is_empty() {
                open.push(' ');
            }
            open.push_str(text);
        };
        for (text, specials) in parts {
            let names = match specials {
                Specials::AsTokens => &self.names,
                Specials::AsText => &self.added,
            };
            let mut at = 0;
            for (range, id) in names.find(text) {
                add(&mut open, &text[at..range.start]);
                self.merge(&std::mem::take(&mut open), &mut out);
                out.push(id);
                at = range.end;
            }
            add(&mut open, &text[at..]);
        }
        self.merge(&open, &mut out);
        out
    }

    /// The bytes that each token stands for.
    pub(super) fn bytes(vocabulary: &Vocabulary) -> Vec<Vec<u8>> {
        let bytes = vocabulary.tokens().map(|(id, text)| match (vocabulary.kind(id), byte(vocabulary, id, text)) {
            (_, Some(byte)) => vec![byte],
            (NORMAL, None) => text.replace(SPACE, " ").into_bytes(),
            (_, None) => text.as_bytes().to_vec(),
        });
        bytes.collect()
    }

    /// The tokens of a text in which no name is left.
    fn merge(&self, text: &str, out: &mut Vec<u32>) {
        let text = text.replace(' ', SPACE);
        let mut parts = self.letters(&text);
        let mut pairs = BinaryHeap::new();
        for left in 0..parts.len() {
            pairs.extend(self.pair(&text, &parts, left));
        }
        while let Some(Pair { left: Reverse(left), length, id, .. }) = pairs.pop() {
            let right = parts[left].after;
            // One of the two may have become a part of another piece meanwhile.
            if parts[left].length == 0 || right == NONE || parts[left].length + parts[right].length != length {
                continue;
            }
            let after = parts[right].after;
            parts[right].length = 0;
            parts[left] = Part { length, after, id: Some(id), ..parts[left] };
            if after != NONE {
                parts[after].before = left;
            }
            let before = parts[left].before;
            if before != NONE {
                pairs.extend(self.pair(&text, &parts, before));
            }
            pairs.extend(self.pair(&text, &parts, left));
        }
        for part in parts.iter().filter(|part| part.length > 0) {
            match part.id {
                Some(id) => out.push(id),
                None => {
                    let letter = &text.as_bytes()[part.start..part.start + part.length];
                    out.extend(letter.iter().map(|byte| self.bytes[usize::from(*byte)]));
                }
            }
        }
    }

    fn letters(&self, text: &str) -> Vec<Part> {
        let count = text.chars().count();
        let letters = text.char_indices().enumerate().map(|(i, (start, letter))| Part {
            start,
            length: letter.len_utf8(),
            before: i.checked_sub(1).unwrap_or(NONE),
            after: if i + 1 < count { i + 1 } else { NONE },
            id: self.pieces.get(letter.encode_utf8(&mut [0; 4]) as &str).copied(),
        });
        letters.collect()
    }

    /// The piece that a part makes with the one behind it.
    fn pair(&self, text: &str, parts: &[Part], left: usize) -> Option<Pair> {
        let Part { start, length, after, .. } = parts[left];
        let length = length + parts.get(after)?.length;
        let id = *self.pieces.get(&text[start..start + length])?;
        Some(Pair { score: self.scores[id as usize], left: Reverse(left), length, id })
    }
}

impl Eq for Pair {}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(self.left.cmp(&other.left))
    }
}

/// The byte of a token that stands for one.
fn byte(vocabulary: &Vocabulary, id: u32, text: &str) -> Option<u8> {
    let number = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (vocabulary.kind(id) == BYTE).then(|| u8::from_str_radix(number, 16).ok())?
}
