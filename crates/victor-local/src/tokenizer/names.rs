//! The names of tokens in a text: which of them stand where, so that they are taken as a whole or kept from it.

use std::cmp::Reverse;
use std::ops::Range;

use aho_corasick::{AhoCorasick, BuildError};

/// Finds the names of tokens.
pub(super) struct Names {
    ids: Vec<u32>,
    finder: AhoCorasick,
}

impl Names {
    /// A finder of these names; empty ones are left out.
    pub(super) fn new<'n>(names: impl Iterator<Item = (u32, &'n str)>) -> Result<Self, BuildError> {
        let (ids, names): (Vec<_>, Vec<_>) = names.filter(|(_, name)| !name.is_empty()).unzip();
        Ok(Self { ids, finder: AhoCorasick::new(names)? })
    }

    /// The names in a text from its beginning on. Where some overlap, the longest counts, of equally long ones that of
    /// the lower number, as in llama.cpp.
    pub(super) fn find(&self, text: &str) -> Vec<(Range<usize>, u32)> {
        let mut found: Vec<_> =
            self.finder.find_overlapping_iter(text).map(|m| (m.range(), self.ids[m.pattern().as_usize()])).collect();
        if found.is_empty() {
            return found;
        }
        found.sort_by_key(|(range, id)| (Reverse(range.len()), *id, range.start));
        let mut taken = vec![false; text.len()];
        // What is taken is at least as long, so it reaches over one end of what it overlaps with.
        found.retain(|(range, _)| {
            let free = !taken[range.start] && !taken[range.end - 1];
            if free {
                taken[range.clone()].fill(true);
            }
            free
        });
        found.sort_by_key(|(range, _)| range.start);
        found
    }
}
