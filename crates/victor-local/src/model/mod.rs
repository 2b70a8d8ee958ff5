//! The models' arithmetic: tokens in, scores of the next token out.

mod attention;
mod cache;
mod config;
mod layer;
mod matrix;
mod rope;
mod vector;

pub(crate) use cache::Cache;
pub(crate) use config::{Config, Family};

use layer::{Layer, Scratch};
use matrix::Matrix;
use rope::Rotation;
use vector::norm_rows;

use crate::error::EngineError;
use crate::gguf::Gguf;

/// Positions that are read in one go; a cancelled request ends between two of them.
const BATCH: usize = 64;

/// A loaded model.
pub(crate) struct Model {
    config: Config,
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// `None` where the embedding serves for the output too.
    output: Option<Matrix>,
    rotation: Rotation,
    scratch: Scratch,
    x: Vec<f32>,
    logits: Vec<f32>,
}

impl Model {
    /// Reads a model with all its weights.
    pub(crate) fn read(file: &mut Gguf) -> Result<Self, EngineError> {
        let config = Config::read(file)?;
        let vocabulary = file.texts("tokenizer.ggml.tokens").map_or(0, |t| t.len());
        let embedding = Matrix::read(file, "token_embd.weight", vocabulary, config.width)?;
        let output = match file.has("output.weight") {
            true => Some(Matrix::read(file, "output.weight", vocabulary, config.width)?),
            false => None,
        };
        let factors = match file.has("rope_freqs.weight") {
            true => Some(file.vector("rope_freqs.weight")?),
            false => None,
        };
        Ok(Self {
            embedding,
            layers: (0..config.layers).map(|i| Layer::read(file, &config, i)).collect::<Result<_, _>>()?,
            norm: file.vector("output_norm.weight")?,
            output,
            rotation: Rotation::new(&config, factors.as_deref()),
            scratch: Scratch::default(),
            x: Vec::new(),
            logits: Vec::new(),
            config,
        })
    }

    /// The model's shape.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Reads tokens and gives the scores of what comes after the last of them. `go_on` is asked between batches; where
    /// it says no, nothing is given, and the cache holds what was read by then.
    ///
    /// # Errors
    /// A token is none of the model's.
    pub(crate) fn forward(
        &mut self,
        tokens: &[u32],
        cache: &mut Cache,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Option<&mut [f32]>, EngineError> {
        for batch in tokens.chunks(BATCH) {
            if !go_on() {
                return Ok(None);
            }
            self.batch(batch, cache)?;
        }
        let last = self.x.len().saturating_sub(self.config.width);
        norm_rows(&self.x[last..], &self.norm, self.config.epsilon, &mut self.scratch.normed);
        let output = self.output.as_ref().unwrap_or(&self.embedding);
        self.logits.resize(output.rows(), 0.0);
        output.apply(&self.scratch.normed, &mut self.logits)?;
        Ok(Some(&mut self.logits))
    }

    fn batch(&mut self, tokens: &[u32], cache: &mut Cache) -> Result<(), EngineError> {
        self.embedding.pick(tokens, &mut self.x)?;
        self.rotation.prepare(cache.len(), tokens.len());
        for (i, layer) in self.layers.iter().enumerate() {
            layer.forward(&self.config, &self.rotation, cache.layer(i), &mut self.x, &mut self.scratch)?;
        }
        cache.extend(tokens);
        Ok(())
    }
}
