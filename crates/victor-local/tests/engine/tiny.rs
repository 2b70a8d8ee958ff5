//! Models of a few thousand weights, made up from a seed: they say nothing sensible, but always the same.

use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

/// What kind of model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Llama,
    Qwen2,
    Qwen3,
}

const WIDTH: usize = 64;
const HIDDEN: usize = 96;
const LAYERS: usize = 2;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
pub(crate) const WINDOW: u32 = 2048;

const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                        {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const SPECIALS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const MERGES: [&str; 24] = [
    "t h", "th e", "Ġ t", "Ġt he", "i n", "a n", "an d", "Ġ a", "r e", "o n", "e r", "Ġ w", "i s", "o r", "Ġ s", "Ġ c",
    "l l", "h e", "Ġ o", "\" :", "Ġ \"", "a l", "u n", "< t",
];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    fn pre(self) -> &'static str {
        match self {
            Self::Llama => "smollm",
            Self::Qwen2 | Self::Qwen3 => "qwen2",
        }
    }

    fn head(self) -> usize {
        match self {
            Self::Llama | Self::Qwen2 => WIDTH / HEADS,
            Self::Qwen3 => 32,
        }
    }
}

/// Writes a model whose weights have this quantisation.
pub(crate) fn write(path: &Path, kind: Kind, dtype: GgmlDType) {
    let tokens = vocabulary();
    let metadata = metadata(kind, &tokens);
    let tensors = tensors(kind, dtype, &tokens);
    let metadata: Vec<_> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(k, v)| (k.as_str(), v)).collect();
    gguf_file::write(&mut std::fs::File::create(path).unwrap(), &metadata, &tensors).unwrap();
}

/// All bytes, the merges' products, and special tokens.
fn vocabulary() -> Vec<String> {
    let printable = |b: &u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut tokens: Vec<String> = (0..=255u8).filter(printable).map(|b| char::from(b).to_string()).collect();
    let hidden = (0..=255u8).filter(|b| !printable(b)).count();
    tokens.extend((256u32..).take(hidden).map(|c| char::from_u32(c).unwrap().to_string()));
    tokens.extend(MERGES.iter().map(|m| m.replace(' ', "")));
    tokens.extend(SPECIALS.iter().map(|s| (*s).to_owned()));
    // Rows of weights come in fours.
    tokens.resize(tokens.len().next_multiple_of(32), String::new());
    let first = 256 + MERGES.len() + SPECIALS.len();
    for (i, token) in tokens.iter_mut().enumerate().skip(first) {
        *token = format!("<unused{i}>");
    }
    tokens
}

fn metadata(kind: Kind, tokens: &[String]) -> Vec<(String, Value)> {
    let number = |n: usize| Value::U32(u32::try_from(n).unwrap());
    let text = |s: &str| Value::String(s.to_owned());
    let specials = 256 + MERGES.len();
    let last = specials + SPECIALS.len() - 1;
    let types = (0..tokens.len()).map(|i| Value::I32(if i < specials { 1 } else { 3 }));
    let name = kind.name();
    let own = [
        ("context_length", number(WINDOW as usize)),
        ("embedding_length", number(WIDTH)),
        ("block_count", number(LAYERS)),
        ("feed_forward_length", number(HIDDEN)),
        ("attention.head_count", number(HEADS)),
        ("attention.head_count_kv", number(KV_HEADS)),
        ("attention.key_length", number(kind.head())),
        ("attention.value_length", number(kind.head())),
        ("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("rope.freq_base", Value::F32(10_000.0)),
        ("rope.dimension_count", number(kind.head())),
        ("vocab_size", number(tokens.len())),
    ];
    let general = [
        ("general.architecture", text(name)),
        ("general.name", text("tiny")),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text(kind.pre())),
        ("tokenizer.ggml.tokens", Value::Array(tokens.iter().map(|t| text(t)).collect())),
        ("tokenizer.ggml.token_type", Value::Array(types.collect())),
        ("tokenizer.ggml.merges", Value::Array(MERGES.iter().map(|m| text(m)).collect())),
        ("tokenizer.ggml.eos_token_id", number(last)),
        ("tokenizer.ggml.bos_token_id", number(last - 1)),
        ("tokenizer.ggml.add_bos_token", Value::Bool(false)),
        ("tokenizer.chat_template", text(TEMPLATE)),
    ];
    let own = own.into_iter().map(|(k, v)| (format!("{name}.{k}"), v));
    general.into_iter().map(|(k, v)| (k.to_owned(), v)).chain(own).collect()
}

fn tensors(kind: Kind, dtype: GgmlDType, tokens: &[String]) -> Vec<(String, QTensor)> {
    let mut weights = Weights { state: 7, dtype, list: Vec::new() };
    let (queries, keys) = (HEADS * kind.head(), KV_HEADS * kind.head());
    weights.embedding(tokens);
    for i in 0..LAYERS {
        let name = |part: &str| format!("blk.{i}.{part}");
        for (part, rows, cols) in [
            ("attn_q", queries, WIDTH),
            ("attn_k", keys, WIDTH),
            ("attn_v", keys, WIDTH),
            ("attn_output", WIDTH, queries),
            ("ffn_gate", HIDDEN, WIDTH),
            ("ffn_up", HIDDEN, WIDTH),
            ("ffn_down", WIDTH, HIDDEN),
        ] {
            weights.matrix(&name(&format!("{part}.weight")), rows, cols);
        }
        weights.vector(&name("attn_norm.weight"), WIDTH, 1.0);
        weights.vector(&name("ffn_norm.weight"), WIDTH, 1.0);
        match kind {
            Kind::Llama => {}
            Kind::Qwen2 => {
                for (part, length) in [("q", queries), ("k", keys), ("v", keys)] {
                    weights.vector(&name(&format!("attn_{part}.bias")), length, 0.0);
                }
            }
            Kind::Qwen3 => {
                weights.vector(&name("attn_q_norm.weight"), kind.head(), 1.0);
                weights.vector(&name("attn_k_norm.weight"), kind.head(), 1.0);
            }
        }
    }
    weights.vector("output_norm.weight", WIDTH, 1.0);
    weights.list
}

struct Weights {
    state: u64,
    dtype: GgmlDType,
    list: Vec<(String, QTensor)>,
}

impl Weights {
    /// Only what is plain text has weight, so that this is what the model says.
    fn embedding(&mut self, tokens: &[String]) {
        let plain =
            |token: &String| !token.starts_with("<|") && token.chars().all(|c| c.is_ascii_graphic() || c == 'Ġ');
        let rows = tokens.iter().map(|token| if plain(token) { 0.35 } else { 0.01 });
        let values: Vec<f32> = rows.flat_map(|scale| [scale; WIDTH]).map(|scale| self.next() * scale).collect();
        self.add("token_embd.weight", values, vec![tokens.len(), WIDTH], self.dtype);
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) {
        let values: Vec<f32> = (0..rows * cols).map(|_| self.next() * 0.35).collect();
        self.add(name, values, vec![rows, cols], self.dtype);
    }

    fn vector(&mut self, name: &str, length: usize, around: f32) {
        let values: Vec<f32> = (0..length).map(|_| around + self.next() * 0.3).collect();
        self.add(name, values, vec![length], GgmlDType::F32);
    }

    fn add(&mut self, name: &str, values: Vec<f32>, shape: Vec<usize>, dtype: GgmlDType) {
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
        self.list.push((name.to_owned(), QTensor::quantize(&tensor, dtype).unwrap()));
    }

    /// From -1 to 1.
    fn next(&mut self) -> f32 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        #[expect(clippy::cast_precision_loss, reason = "24 bits are exact")]
        let top = (self.state >> 40) as f32;
        top / 8_388_608.0 - 1.0
    }
}
