//! What a model keeps of the tokens that it has read: keys and values of every layer.

use super::config::Config;

/// The state of one conversation in one model.
pub(crate) struct Cache {
    tokens: Vec<u32>,
    layers: Vec<LayerCache>,
    width: usize,
}

/// Keys and values of one layer, position after position.
#[derive(Default)]
pub(crate) struct LayerCache {
    pub(crate) keys: Vec<f32>,
    pub(crate) values: Vec<f32>,
}

impl Cache {
    /// Nothing read yet.
    pub(crate) fn new(config: &Config) -> Self {
        let layers = (0..config.layers).map(|_| LayerCache::default()).collect();
        Self { tokens: Vec::new(), layers, width: config.kv_width() }
    }

    /// The number of tokens read.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// How many of the first tokens are those of `prompt`.
    pub(crate) fn common(&self, prompt: &[u32]) -> usize {
        self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count()
    }

    /// Forgets what comes after the first `len` tokens.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.tokens.truncate(len);
        for layer in &mut self.layers {
            layer.keys.truncate(len * self.width);
            layer.values.truncate(len * self.width);
        }
    }

    /// A copy of the first `len` tokens' state.
    pub(crate) fn head(&self, len: usize) -> Self {
        let part = |values: &[f32]| values[..len * self.width].to_vec();
        let layers = self.layers.iter().map(|l| LayerCache { keys: part(&l.keys), values: part(&l.values) });
        Self { tokens: self.tokens[..len].to_vec(), layers: layers.collect(), width: self.width }
    }

    /// Notes that the layers now hold these tokens too.
    pub(crate) fn extend(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
    }

    /// One layer.
    pub(crate) fn layer(&mut self, index: usize) -> &mut LayerCache {
        &mut self.layers[index]
    }
}
