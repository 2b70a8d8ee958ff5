//! Sentence-embedding models: BERT's encoder (arXiv 1810.04805), tokens in, one vector for each text out.
//!
//! Texts are laid one behind the other and attend each to itself, so none is padded to the length of another.

mod config;
mod dense;
mod rows;

pub(crate) use config::{ARCHITECTURE, Config, Pooling};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use rayon::{ThreadPool, ThreadPoolBuilder};

use self::dense::Dense;
use self::rows::{Looks, Norm, attend, gelu};
use super::matrix::Matrix;
use super::simd::widely;
use super::threads;
use super::vector::add;
use crate::error::EngineError;
use crate::gguf::Gguf;

/// Tokens that one thread takes at a time; a cancelled call ends between two of these.
const BATCH: usize = 256;

/// A loaded encoder.
pub(crate) struct Encoder {
    config: Config,
    words: Matrix,
    /// With the vector of the first sentence in each, as there is no second one.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    pool: ThreadPool,
}

struct Layer {
    query: Dense,
    key: Dense,
    value: Dense,
    output: Dense,
    attention_norm: Norm,
    up: Dense,
    down: Dense,
    norm: Norm,
}

/// Room for the values between the steps.
#[derive(Default)]
struct Scratch {
    x: Vec<f32>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    mixed: Vec<f32>,
    hidden: Vec<f32>,
    back: Vec<f32>,
    looks: Looks,
}

impl Encoder {
    /// Reads an encoder with all its weights, to be run by so many threads.
    pub(crate) fn read(file: &mut Gguf, said: Option<usize>) -> Result<Self, EngineError> {
        let config = Config::read(file)?;
        let width = config.width;
        let vocabulary = file.texts("tokenizer.ggml.tokens").map_or(0, |t| t.len());
        let mut positions = file.table("position_embd.weight", width)?;
        if positions.len() < config.positions * width {
            return Err(file.wrong(format!("it has fewer than {} positions", config.positions)));
        }
        let sentences = file.table("token_types.weight", width)?;
        positions.chunks_exact_mut(width).for_each(|row| add(row, &sentences[..width]));
        let pool =
            ThreadPoolBuilder::new().num_threads(threads(said)).thread_name(|i| format!("embedding {i}")).build();
        Ok(Self {
            words: Matrix::read(file, "token_embd.weight", vocabulary, width)?,
            positions,
            norm: Norm::read(file, "token_embd_norm", &config)?,
            layers: (0..config.layers).map(|i| Layer::read(file, &config, i)).collect::<Result<_, _>>()?,
            pool: pool.map_err(|e| EngineError::Internal(format!("no threads for the model: {e}")))?,
            config,
        })
    }

    /// The model's shape.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// One vector for each text. `go_on` is asked between batches; where it says no, nothing is given.
    ///
    /// # Errors
    /// A token is none of the model's.
    pub(crate) fn encode(
        &self,
        texts: &[Vec<u32>],
        go_on: impl Fn() -> bool + Sync,
    ) -> Result<Option<Vec<Vec<f32>>>, EngineError> {
        let batches = batches(texts);
        let work = || batches.par_iter().map(|batch| if go_on() { self.batch(batch).map(Some) } else { Ok(None) });
        let done: Vec<_> = self.pool.install(|| work().collect::<Result<_, _>>())?;
        let all: Option<Vec<Vec<Vec<f32>>>> = done.into_iter().collect();
        Ok(all.map(|batches| batches.into_iter().flatten().collect()))
    }

    fn batch(&self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, EngineError> {
        let mut room = Scratch::default();
        self.words.pick(&texts.concat(), &mut room.x)?;
        widely(
            #[inline(always)]
            || {
                let mut rest = room.x.as_mut_slice();
                for text in texts {
                    let (rows, others) = rest.split_at_mut(text.len() * self.config.width);
                    add(rows, &self.positions);
                    rest = others;
                }
                self.norm.apply(&mut room.x);
            },
        );
        for layer in &self.layers {
            layer.forward(&self.config, texts, &mut room);
        }
        let mut rest = room.x.as_slice();
        let vectors = texts.iter().map(|text| {
            let (rows, others) = rest.split_at(text.len() * self.config.width);
            rest = others;
            self.pooled(rows)
        });
        Ok(vectors.collect())
    }

    /// The one vector of a text; its length is left as it is.
    fn pooled(&self, rows: &[f32]) -> Vec<f32> {
        let (first, others) = rows.split_at(self.config.width);
        let mut vector = first.to_vec();
        if self.config.pooling == Pooling::Mean {
            others.chunks_exact(self.config.width).for_each(|row| add(&mut vector, row));
        }
        vector
    }
}

/// Texts in groups of about [`BATCH`] tokens.
fn batches(texts: &[Vec<u32>]) -> Vec<&[Vec<u32>]> {
    let mut batches = Vec::new();
    let mut rest = texts;
    while !rest.is_empty() {
        let mut tokens = 0;
        let fitting = rest.iter().take_while(|text| {
            tokens += text.len();
            tokens <= BATCH
        });
        let (batch, others) = rest.split_at(fitting.count().max(1));
        batches.push(batch);
        rest = others;
    }
    batches
}

impl Layer {
    fn read(file: &mut Gguf, config: &Config, index: usize) -> Result<Self, EngineError> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let (width, hidden) = (config.width, config.hidden);
        Ok(Self {
            query: Dense::read(file, &name("attn_q"), width, width)?,
            key: Dense::read(file, &name("attn_k"), width, width)?,
            value: Dense::read(file, &name("attn_v"), width, width)?,
            output: Dense::read(file, &name("attn_output"), width, width)?,
            attention_norm: Norm::read(file, &name("attn_output_norm"), config)?,
            up: Dense::read(file, &name("ffn_up"), hidden, width)?,
            down: Dense::read(file, &name("ffn_down"), width, hidden)?,
            norm: Norm::read(file, &name("layer_output_norm"), config)?,
        })
    }

    /// Takes the texts' rows in `x` one layer further.
    fn forward(&self, config: &Config, texts: &[Vec<u32>], room: &mut Scratch) {
        let Scratch { x, query, key, value, mixed, hidden, back, looks } = room;
        self.query.apply(x, query);
        self.key.apply(x, key);
        self.value.apply(x, value);
        mixed.resize(x.len(), 0.0);
        widely(
            #[inline(always)]
            || {
                let mut start = 0;
                for text in texts {
                    let rows = start..start + text.len() * config.width;
                    start = rows.end;
                    let three = [&query[rows.clone()], &key[rows.clone()], &value[rows.clone()]];
                    attend(config, three, &mut mixed[rows], looks);
                }
            },
        );
        self.output.apply(mixed, back);
        widely(
            #[inline(always)]
            || {
                add(x, back);
                self.attention_norm.apply(x);
            },
        );
        self.up.apply(x, hidden);
        widely(
            #[inline(always)]
            || gelu(hidden),
        );
        self.down.apply(hidden, back);
        widely(
            #[inline(always)]
            || {
                add(x, back);
                self.norm.apply(x);
            },
        );
    }
}
