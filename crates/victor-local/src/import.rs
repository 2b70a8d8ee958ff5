//! A sentence-embedding model as it is published, weights, vocabulary and shape in files of their own, becomes the one
//! GGUF file that the engine reads. Names and layout are those of llama.cpp's converter.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor, safetensors};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::error::EngineError;
use crate::model::encoder::ARCHITECTURE;
use crate::requantise::go_on;
use crate::wordpiece::{is_special, written};

/// The vocabulary, one token a line.
const VOCABULARY: &str = "vocab.txt";
/// The shape, as the library `transformers` writes it.
const SHAPE: &str = "config.json";
/// llama.cpp's numbers for the pooling "mean" and for files of 16 bits.
const MEAN: u32 = 1;
const HALF: u32 = 1;

#[derive(Deserialize)]
struct Shape {
    model_type: String,
    hidden_act: String,
    hidden_size: u32,
    num_hidden_layers: u32,
    num_attention_heads: u32,
    intermediate_size: u32,
    max_position_embeddings: u32,
    layer_norm_eps: f32,
}

/// Writes the model whose weights are in `from`, with `vocab.txt` and `config.json` beside it, to `to`, in 16 bits.
/// Given up between two tensors when `stop` is cancelled.
///
/// # Errors
/// A file cannot be read or written, or is of another kind, or it was given up.
pub(crate) fn import(from: &Path, to: &Path, stop: &CancellationToken) -> Result<(), EngineError> {
    let wrong = |path: &Path, e: &dyn std::fmt::Display| EngineError::Model(format!("{}: {e}", path.display()));
    let beside = |name: &str| {
        let path = from.with_file_name(name);
        fs::read_to_string(&path).map_err(|e| wrong(&path, &e))
    };
    let vocabulary = beside(VOCABULARY)?;
    let shape: Shape = serde_json::from_str(&beside(SHAPE)?).map_err(|e| wrong(&from.with_file_name(SHAPE), &e))?;
    if (shape.model_type.as_str(), shape.hidden_act.as_str()) != (ARCHITECTURE, "gelu") {
        return Err(wrong(from, &format!("models of the kind `{}` cannot be imported", shape.model_type)));
    }
    let weights = safetensors::load(from, &Device::Cpu).map_err(|e| wrong(from, &e))?;
    let tensors = tensors(&weights, &shape, stop).map_err(|e| wrong(from, &e))?;
    let metadata = metadata(&shape, &vocabulary.lines().collect::<Vec<_>>());
    let metadata: Vec<_> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(k, v)| (k.as_str(), v)).collect();
    let mut out = BufWriter::new(File::create(to).map_err(|e| wrong(to, &e))?);
    gguf_file::write(&mut out, &metadata, &tensors).map_err(|e| wrong(to, &e))?;
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(|e| wrong(to, &e))
}

fn tensors(
    weights: &HashMap<String, Tensor>,
    shape: &Shape,
    stop: &CancellationToken,
) -> candle_core::Result<Vec<(String, QTensor)>> {
    let mut list = Vec::new();
    let mut add = |to: String, from: &str, dtype| -> candle_core::Result<()> {
        go_on(stop).map_err(candle_core::Error::wrap)?;
        let tensor =
            weights.get(from).ok_or_else(|| candle_core::Error::msg(format!("the tensor `{from}` is missing")))?;
        list.push((to, QTensor::quantize(tensor, dtype)?));
        Ok(())
    };
    let (half, whole) = (GgmlDType::F16, GgmlDType::F32);
    add("token_embd.weight".to_owned(), "embeddings.word_embeddings.weight", half)?;
    add("position_embd.weight".to_owned(), "embeddings.position_embeddings.weight", whole)?;
    add("token_types.weight".to_owned(), "embeddings.token_type_embeddings.weight", whole)?;
    for part in ["weight", "bias"] {
        add(format!("token_embd_norm.{part}"), &format!("embeddings.LayerNorm.{part}"), whole)?;
    }
    for i in 0..shape.num_hidden_layers {
        for (to, from, dtype) in [
            ("attn_q", "attention.self.query", half),
            ("attn_k", "attention.self.key", half),
            ("attn_v", "attention.self.value", half),
            ("attn_output", "attention.output.dense", half),
            ("attn_output_norm", "attention.output.LayerNorm", whole),
            ("ffn_up", "intermediate.dense", half),
            ("ffn_down", "output.dense", half),
            ("layer_output_norm", "output.LayerNorm", whole),
        ] {
            let from = |part: &str| format!("encoder.layer.{i}.{from}.{part}");
            add(format!("blk.{i}.{to}.weight"), &from("weight"), dtype)?;
            add(format!("blk.{i}.{to}.bias"), &from("bias"), whole)?;
        }
    }
    Ok(list)
}

fn metadata(shape: &Shape, vocabulary: &[&str]) -> Vec<(String, Value)> {
    let text = |s: &str| Value::String(s.to_owned());
    let id = |name: &str| {
        let found = (0u32..).zip(vocabulary).find(|(_, token)| **token == name);
        Value::U32(found.map_or(0, |(id, _)| id))
    };
    // llama.cpp's numbers: 1 normal, 3 control.
    let kinds = vocabulary.iter().map(|token| Value::I32(if is_special(token) { 3 } else { 1 }));
    let general = [
        ("general.architecture", text(ARCHITECTURE)),
        ("general.file_type", Value::U32(HALF)),
        ("tokenizer.ggml.model", text("bert")),
        ("tokenizer.ggml.token_type_count", Value::U32(2)),
        ("tokenizer.ggml.tokens", Value::Array(vocabulary.iter().map(|token| text(&written(token))).collect())),
        ("tokenizer.ggml.token_type", Value::Array(kinds.collect())),
        ("tokenizer.ggml.unknown_token_id", id("[UNK]")),
        ("tokenizer.ggml.cls_token_id", id("[CLS]")),
        // Written so in the format.
        ("tokenizer.ggml.seperator_token_id", id("[SEP]")),
        ("tokenizer.ggml.padding_token_id", id("[PAD]")),
        ("tokenizer.ggml.mask_token_id", id("[MASK]")),
    ];
    let own = [
        ("block_count", Value::U32(shape.num_hidden_layers)),
        ("context_length", Value::U32(shape.max_position_embeddings)),
        ("embedding_length", Value::U32(shape.hidden_size)),
        ("feed_forward_length", Value::U32(shape.intermediate_size)),
        ("attention.head_count", Value::U32(shape.num_attention_heads)),
        ("attention.layer_norm_epsilon", Value::F32(shape.layer_norm_eps)),
        ("attention.causal", Value::Bool(false)),
        ("pooling_type", Value::U32(MEAN)),
    ];
    let own = own.into_iter().map(|(key, value)| (format!("{ARCHITECTURE}.{key}"), value));
    general.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(own).collect()
}
