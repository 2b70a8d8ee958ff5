//! What the model has read before: a few conversations, so that the next turn of one reads only what is new.

use crate::model::{Cache, Config};

/// Conversations that are kept. Each takes memory by its length.
const KEPT: usize = 3;
/// A conversation is copied rather than cut where more tokens than this would be lost.
const LOSS: usize = 64;

/// The kept conversations, the latest used last.
pub(crate) struct Shelf {
    caches: Vec<Cache>,
    config: Config,
}

impl Shelf {
    pub(crate) fn new(config: &Config) -> Self {
        Self { caches: Vec::new(), config: config.clone() }
    }

    /// The state that holds most of the prompt's beginning, cut to that, and how many tokens that is. At least one token
    /// of the prompt is left to be read.
    pub(crate) fn take(&mut self, prompt: &[u32]) -> (Cache, usize) {
        let most = prompt.len().saturating_sub(1);
        let known = self.caches.iter().enumerate().map(|(i, cache)| (cache.common(prompt).min(most), i));
        let Some((common, i)) = known.max().filter(|(common, _)| *common > 0) else {
            return (self.fresh(), 0);
        };
        if self.caches[i].len() - common > LOSS {
            let copy = self.caches[i].head(common);
            self.make_room();
            return (copy, common);
        }
        let mut cache = self.caches.remove(i);
        cache.truncate(common);
        (cache, common)
    }

    /// Keeps a state.
    pub(crate) fn put(&mut self, cache: Cache) {
        self.make_room();
        self.caches.push(cache);
    }

    fn fresh(&mut self) -> Cache {
        self.make_room();
        Cache::new(&self.config)
    }

    fn make_room(&mut self) {
        if self.caches.len() >= KEPT {
            self.caches.remove(0);
        }
    }
}
