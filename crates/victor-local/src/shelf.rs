//! What the model has read before: a few conversations, so that the next turn of one reads only what is new.

use crate::model::{Cache, Config};

/// Conversations that are kept.
const KEPT: usize = 3;
/// Tokens in all of them at most, unless the latest alone has more: each takes memory.
const TOKENS: usize = 8192;
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
        while self.caches.len() > 1 && self.caches.iter().map(Cache::len).sum::<usize>() > TOKENS {
            self.caches.remove(0);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, Rope};

    const CONFIG: Config = Config {
        family: Family::Llama,
        layers: 0,
        width: 1,
        hidden: 1,
        heads: 1,
        kv_heads: 1,
        head: 1,
        window: 20_000,
        epsilon: 0.0,
        rope: Rope::Halves,
        rope_base: 1.0,
        rope_dims: 1,
        rope_scale: 1.0,
        sliding: None,
    };

    /// A conversation of so many tokens, all of them this one.
    fn read(token: u32, count: usize) -> Cache {
        let mut cache = Cache::new(&CONFIG);
        cache.extend(&vec![token; count]);
        cache
    }

    /// What is known of a prompt of this token after these conversations.
    fn known(conversations: &[(u32, usize)], token: u32) -> usize {
        let mut shelf = Shelf::new(&CONFIG);
        conversations.iter().for_each(|(token, count)| shelf.put(read(*token, *count)));
        shelf.take(&[token; 10]).1
    }

    #[test]
    fn the_latest_conversations_are_kept_as_far_as_memory_goes() {
        let short = [(1, 1000), (2, 1000), (3, 1000), (4, 1000)];
        assert_eq!([1, 2, 3, 4].map(|token| known(&short, token)), [0, 9, 9, 9]);
        let long = [(1, 5000), (2, 4000)];
        assert_eq!([1, 2].map(|token| known(&long, token)), [0, 9]);
        assert_eq!(known(&[(1, 10_000)], 1), 9);
    }
}
