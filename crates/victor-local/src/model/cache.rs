//! What a model keeps of the tokens that it has read: keys and values of every layer, in 16 bits.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::config::Config;

/// Positions that lie together.
pub(super) const PANEL: usize = 16;

/// The state of one conversation in one model.
pub(crate) struct Cache {
    tokens: Vec<u32>,
    layers: Vec<LayerCache>,
}

/// Keys and values of one layer, in panels of [`PANEL`] positions: side by side, as attention goes through them.
#[derive(Clone)]
pub(crate) struct LayerCache {
    len: usize,
    /// Key heads.
    heads: usize,
    /// Parts of a head.
    head: usize,
    /// For each panel, head and part: this part of all positions.
    keys: Vec<[f16; PANEL]>,
    /// For each panel, head, [`PANEL`] parts (the last ones filled up) and position: these parts.
    values: Vec<[f16; PANEL]>,
}

impl Cache {
    /// Nothing read yet.
    pub(crate) fn new(config: &Config) -> Self {
        Self { tokens: Vec::new(), layers: vec![LayerCache::new(config); config.layers] }
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
        self.layers.iter_mut().for_each(|layer| layer.truncate(len));
    }

    /// A copy of the first `len` tokens' state.
    pub(crate) fn head(&self, len: usize) -> Self {
        let layers = self.layers.iter().map(|layer| layer.first(len));
        Self { tokens: self.tokens[..len].to_vec(), layers: layers.collect() }
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

impl LayerCache {
    pub(super) fn new(config: &Config) -> Self {
        let (heads, head) = (config.kv_heads, config.head);
        Self { len: 0, heads, head, keys: Vec::new(), values: Vec::new() }
    }

    /// The number of positions.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The parts of a head.
    pub(super) fn parts(&self) -> usize {
        self.head
    }

    /// The keys of one head in one panel: part after part.
    #[inline(always)]
    pub(super) fn keys(&self, panel: usize, head: usize) -> &[[f16; PANEL]] {
        &self.keys[(panel * self.heads + head) * self.head..][..self.head]
    }

    /// Some parts of the values of one head in one panel: position after position.
    #[inline(always)]
    pub(super) fn values(&self, panel: usize, head: usize, parts: usize) -> &[[f16; PANEL]; PANEL] {
        let (chunks, _) = self.values.as_chunks();
        &chunks[(panel * self.heads + head) * self.head.div_ceil(PANEL) + parts]
    }

    /// Adds positions.
    pub(super) fn push(&mut self, keys: &[f32], values: &[f32]) {
        let half = |numbers: &[f32]| {
            let mut halves = vec![f16::ZERO; numbers.len()];
            halves.convert_from_f32_slice(numbers);
            halves
        };
        let (keys, values) = (half(keys), half(values));
        let width = self.heads * self.head;
        let chunks = self.head.div_ceil(PANEL);
        for (keys, values) in keys.chunks_exact(width).zip(values.chunks_exact(width)) {
            let (panel, place) = (self.len / PANEL, self.len % PANEL);
            self.keys.resize((panel + 1) * width, [f16::ZERO; PANEL]);
            self.values.resize((panel + 1) * self.heads * chunks * PANEL, [f16::ZERO; PANEL]);
            for (key, positions) in keys.iter().zip(&mut self.keys[panel * width..]) {
                positions[place] = *key;
            }
            for (head, values) in values.chunks_exact(self.head).enumerate() {
                for (chunk, values) in values.chunks(PANEL).enumerate() {
                    let row = ((panel * self.heads + head) * chunks + chunk) * PANEL + place;
                    self.values[row][..values.len()].copy_from_slice(values);
                }
            }
            self.len += 1;
        }
    }

    fn truncate(&mut self, len: usize) {
        let (keys, values) = self.rows(len);
        self.keys.truncate(keys);
        self.values.truncate(values);
        self.len = self.len.min(len);
    }

    pub(super) fn first(&self, len: usize) -> Self {
        let (keys, values) = self.rows(len);
        Self { len, keys: self.keys[..keys].to_vec(), values: self.values[..values].to_vec(), ..*self }
    }

    /// How many rows of keys and values so many positions take.
    fn rows(&self, len: usize) -> (usize, usize) {
        let heads = len.div_ceil(PANEL) * self.heads;
        (heads * self.head, heads * self.head.next_multiple_of(PANEL))
    }
}
