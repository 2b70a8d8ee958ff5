//! One transformer layer: its weights, and what it does to a batch of positions.

use rayon::ThreadPool;

use super::attention::{Looks, attend};
use super::cache::LayerCache;
use super::config::{Config, Family};
use super::matrix::{Input, Matrix};
use super::rope::Rotation;
use super::simd::widely;
use super::vector::{add, geglu, norm_rows, swiglu};
use crate::error::EngineError;
use crate::gguf::Gguf;

/// The weights of one layer.
pub(super) struct Layer {
    attention_norm: Vec<f32>,
    query: Projection,
    key: Projection,
    value: Projection,
    output: Matrix,
    /// What some families do to the outcome before it is added.
    attention_end: Option<Vec<f32>>,
    hidden_norm: Vec<f32>,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
    hidden_end: Option<Vec<f32>>,
    /// The positions that it sees at most; `None` for all.
    reach: Option<usize>,
}

/// A matrix with what some families do to its product.
struct Projection {
    matrix: Matrix,
    bias: Option<Vec<f32>>,
    norm: Option<Vec<f32>>,
}

/// What all layers share.
pub(super) struct Machine<'a> {
    pub(super) config: &'a Config,
    pub(super) rotation: &'a Rotation,
    /// For the layers that do not see all positions.
    pub(super) sliding: &'a Rotation,
    pub(super) pool: Option<&'a ThreadPool>,
}

/// Room for the values between the steps, reused from layer to layer.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) normed: Input,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    mixed: Input,
    gate: Input,
    up: Vec<f32>,
    back: Vec<f32>,
    level: Vec<f32>,
    looks: Looks,
}

impl Layer {
    /// Reads layer `index`.
    pub(super) fn read(file: &mut Gguf, config: &Config, index: usize) -> Result<Self, EngineError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let (width, hidden, queries) = (config.width, config.hidden, config.heads * config.head);
        let mut end = |part: &str| match config.family {
            Family::Llama | Family::Qwen2 | Family::Qwen3 => Ok(None),
            Family::Gemma3 => file.row(&name(part), width).map(Some),
        };
        let (attention_end, hidden_end) = (end("post_attention_norm")?, end("post_ffw_norm")?);
        Ok(Self {
            attention_norm: file.row(&name("attn_norm"), width)?,
            query: Projection::read(file, config, index, "q", queries)?,
            key: Projection::read(file, config, index, "k", config.kv_width())?,
            value: Projection::read(file, config, index, "v", config.kv_width())?,
            output: Matrix::read(file, &name("attn_output"), width, queries)?,
            attention_end,
            hidden_norm: file.row(&name("ffn_norm"), width)?,
            gate: Matrix::read(file, &name("ffn_gate"), hidden, width)?,
            up: Matrix::read(file, &name("ffn_up"), hidden, width)?,
            down: Matrix::read(file, &name("ffn_down"), width, hidden)?,
            hidden_end,
            reach: config.reach(index),
        })
    }

    /// Takes the positions in `x` one layer further; their keys and values go into the cache.
    pub(super) fn forward(
        &self,
        machine: &Machine<'_>,
        cache: &mut LayerCache,
        x: &mut [f32],
        room: &mut Scratch,
    ) -> Result<(), EngineError> {
        let (config, pool) = (machine.config, machine.pool);
        widely(
            #[inline(always)]
            || norm_rows(x, &self.attention_norm, config.epsilon, &mut room.normed.rows),
        );
        room.normed.prepare();
        self.query.apply(machine, &room.normed, &mut room.query)?;
        self.key.apply(machine, &room.normed, &mut room.key)?;
        self.value.apply(machine, &room.normed, &mut room.value)?;
        let rotation = if self.reach.is_some() { machine.sliding } else { machine.rotation };
        rotation.turn(&mut room.query, config.heads * config.head);
        rotation.turn(&mut room.key, config.kv_width());
        cache.push(&room.key, &room.value);
        widely(
            #[inline(always)]
            || attend(config, self.reach, &room.query, cache, &mut room.mixed.rows, &mut room.looks),
        );
        room.mixed.prepare();
        self.output.apply(&room.mixed, &mut room.back, pool)?;
        close(config, self.attention_end.as_deref(), x, room);

        widely(
            #[inline(always)]
            || norm_rows(x, &self.hidden_norm, config.epsilon, &mut room.normed.rows),
        );
        room.normed.prepare();
        self.gate.apply(&room.normed, &mut room.gate.rows, pool)?;
        self.up.apply(&room.normed, &mut room.up, pool)?;
        widely(
            #[inline(always)]
            || match config.family {
                Family::Llama | Family::Qwen2 | Family::Qwen3 => swiglu(&mut room.gate.rows, &room.up),
                Family::Gemma3 => geglu(&mut room.gate.rows, &room.up),
            },
        );
        room.gate.prepare();
        self.down.apply(&room.gate, &mut room.back, pool)?;
        close(config, self.hidden_end.as_deref(), x, room);
        Ok(())
    }
}

/// Adds what came out of a half of a layer.
fn close(config: &Config, norm: Option<&[f32]>, x: &mut [f32], room: &mut Scratch) {
    widely(
        #[inline(always)]
        || match norm {
            None => add(x, &room.back),
            Some(norm) => {
                norm_rows(&room.back, norm, config.epsilon, &mut room.level);
                add(x, &room.level);
            }
        },
    );
}

impl Projection {
    fn read(file: &mut Gguf, config: &Config, index: usize, part: &str, rows: usize) -> Result<Self, EngineError> {
        let tensor = |end: &str| format!("blk.{index}.attn_{part}{end}");
        let matrix = Matrix::read(file, &tensor(".weight"), rows, config.width)?;
        let bias = match file.has(&tensor(".bias")) {
            true => Some(file.vector(&tensor(".bias"))?),
            false => None,
        };
        let norm = match config.family {
            Family::Qwen3 | Family::Gemma3 if part != "v" => Some(file.vector(&tensor("_norm.weight"))?),
            Family::Llama | Family::Qwen2 | Family::Qwen3 | Family::Gemma3 => None,
        };
        let fits =
            bias.as_ref().is_none_or(|b| b.len() == rows) && norm.as_ref().is_none_or(|n| n.len() == config.head);
        if !fits {
            return Err(file.wrong(format!("the vectors of `{}` do not fit", tensor(""))));
        }
        Ok(Self { matrix, bias, norm })
    }

    fn apply(&self, machine: &Machine<'_>, x: &Input, out: &mut Vec<f32>) -> Result<(), EngineError> {
        self.matrix.apply(x, out, machine.pool)?;
        if let Some(bias) = &self.bias {
            out.chunks_exact_mut(bias.len()).for_each(|row| add(row, bias));
        }
        if let Some(norm) = &self.norm {
            let raw = out.clone();
            norm_rows(&raw, norm, machine.config.epsilon, out);
        }
        Ok(())
    }
}
