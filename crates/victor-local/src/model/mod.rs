//! The models' arithmetic: tokens in, scores of the next token out.

mod attention;
mod cache;
mod config;
pub(crate) mod encoder;
mod layer;
mod matrix;
mod q8;
mod rope;
mod simd;
mod vector;

pub(crate) use cache::Cache;
#[cfg(test)]
pub(crate) use config::Rope;
pub(crate) use config::{Config, Family};

use layer::{Layer, Machine, Scratch};
use matrix::Matrix;
use rayon::{ThreadPool, ThreadPoolBuilder};
use rope::Rotation;
use vector::{norm_rows, scale};

use crate::error::EngineError;
use crate::gguf::Gguf;

/// Positions that are read in one go; a cancelled request ends between two of them.
const BATCH: usize = 64;
/// Threads at most.
const THREADS: usize = 8;

/// A loaded model.
pub(crate) struct Model {
    config: Config,
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// `None` where the embedding serves for the output too.
    output: Option<Matrix>,
    rotation: Rotation,
    sliding: Rotation,
    /// `None` for one thread.
    pool: Option<ThreadPool>,
    scratch: Scratch,
    x: Vec<f32>,
    logits: Vec<f32>,
}

impl Model {
    /// Reads a model with all its weights, to be run by so many threads.
    pub(crate) fn read(file: &mut Gguf, threads: Option<usize>) -> Result<Self, EngineError> {
        let config = Config::read(file)?;
        let vocabulary = file.texts("tokenizer.ggml.tokens").map_or(0, |t| t.len());
        let embedding = Matrix::read(file, "token_embd.weight", vocabulary, config.width)?;
        let output = match file.has("output.weight") {
            true => Some(Matrix::read(file, "output.weight", vocabulary, config.width)?),
            false => None,
        };
        if file.has("rope_freqs.weight") {
            return Err(file.wrong("its positions are scaled (`rope_freqs`), which is not supported"));
        }
        Ok(Self {
            embedding,
            layers: (0..config.layers).map(|i| Layer::read(file, &config, i)).collect::<Result<_, _>>()?,
            norm: file.row("output_norm.weight", config.width)?,
            output,
            rotation: Rotation::new(&config, config.rope_base, config.rope_scale),
            sliding: Rotation::new(&config, config.sliding.as_ref().map_or(1.0, |s| s.rope_base), 1.0),
            pool: pool(threads)?,
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
        let normed = &mut self.scratch.normed;
        norm_rows(&self.x[last..], &self.norm, self.config.epsilon, &mut normed.rows);
        normed.prepare();
        let output = self.output.as_ref().unwrap_or(&self.embedding);
        output.apply(normed, &mut self.logits, self.pool.as_ref())?;
        Ok(Some(&mut self.logits))
    }

    fn batch(&mut self, tokens: &[u32], cache: &mut Cache) -> Result<(), EngineError> {
        self.embedding.pick(tokens, &mut self.x)?;
        if let Some(factor) = self.config.embedding_scale() {
            scale(&mut self.x, factor);
        }
        self.rotation.prepare(cache.len(), tokens.len());
        if self.config.sliding.is_some() {
            self.sliding.prepare(cache.len(), tokens.len());
        }
        let (rotation, sliding) = (&self.rotation, &self.sliding);
        let machine = Machine { config: &self.config, rotation, sliding, pool: self.pool.as_ref() };
        for (i, layer) in self.layers.iter().enumerate() {
            layer.forward(&machine, cache.layer(i), &mut self.x, &mut self.scratch)?;
        }
        cache.extend(tokens);
        Ok(())
    }
}

/// How many threads compute: where nobody says it, one core is left to the rest of the program, and small models gain
/// nothing from many.
pub(crate) fn threads(said: Option<usize>) -> usize {
    said.unwrap_or_else(|| num_cpus::get_physical().saturating_sub(1).clamp(1, THREADS)).max(1)
}

/// The threads for the products; none where one computes.
fn pool(said: Option<usize>) -> Result<Option<ThreadPool>, EngineError> {
    let threads = threads(said);
    if threads <= 1 {
        return Ok(None);
    }
    let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("model {i}")).build();
    pool.map(Some).map_err(|e| EngineError::Internal(format!("no threads for the model: {e}")))
}
