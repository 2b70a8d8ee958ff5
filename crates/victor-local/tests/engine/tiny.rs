//! Models of a few thousand weights, made up from a seed: they say nothing sensible, but always the same.

use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

use crate::pieces::{NORMAL, Pieces, Style};

/// What kind of model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Llama,
    Qwen2,
    Qwen3,
    /// Llama with a vocabulary of pieces.
    Llama2,
    /// As its small models are: what is left out has the usual value.
    Gemma3,
    /// As its large models are: positions scaled, and all of the rest said.
    Gemma3Large,
}

const WIDTH: usize = 64;
const HIDDEN: usize = 96;
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
            Self::Llama | Self::Llama2 => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 | Self::Gemma3Large => "gemma3",
        }
    }

    /// How its file tells of a vocabulary of pieces, where it has one.
    fn style(self) -> Option<Style> {
        match self {
            Self::Llama | Self::Qwen2 | Self::Qwen3 => None,
            Self::Llama2 => Some(Style::Prefixed),
            Self::Gemma3 | Self::Gemma3Large => Some(Style::Plain),
        }
    }

    fn pre(self) -> &'static str {
        match self {
            Self::Qwen2 | Self::Qwen3 => "qwen2",
            Self::Llama | Self::Llama2 | Self::Gemma3 | Self::Gemma3Large => "smollm",
        }
    }

    fn head(self) -> usize {
        match self {
            Self::Llama | Self::Qwen2 | Self::Llama2 => WIDTH / HEADS,
            Self::Qwen3 | Self::Gemma3 | Self::Gemma3Large => 32,
        }
    }

    fn rope_base(self) -> f32 {
        match self {
            Self::Llama | Self::Qwen2 | Self::Qwen3 | Self::Llama2 => 10_000.0,
            Self::Gemma3 | Self::Gemma3Large => 1_000_000.0,
        }
    }

    /// The largest weight of a token that is said. Where the engine makes them larger than they are, so that what comes
    /// out is not always what went in.
    fn embedding(self) -> f32 {
        match self {
            Self::Llama | Self::Qwen2 | Self::Qwen3 | Self::Llama2 => 0.35,
            Self::Gemma3 | Self::Gemma3Large => 0.04,
        }
    }

    fn layers(self) -> usize {
        match self {
            Self::Llama | Self::Qwen2 | Self::Qwen3 | Self::Llama2 => 2,
            Self::Gemma3 => 7,
            Self::Gemma3Large => 8,
        }
    }

    /// What only files of its kind say.
    fn particular(self) -> Vec<(&'static str, Value)> {
        let window = ("attention.sliding_window", Value::U32(8));
        match self {
            Self::Llama | Self::Qwen2 | Self::Qwen3 | Self::Llama2 => Vec::new(),
            Self::Gemma3 => vec![window],
            Self::Gemma3Large => {
                let pattern = (0..self.layers()).map(|i| Value::Bool(i % 4 != 1)).collect();
                vec![
                    window,
                    ("attention.sliding_window_pattern", Value::Array(pattern)),
                    ("rope.scaling.type", Value::String("linear".to_owned())),
                    ("rope.scaling.factor", Value::F32(8.0)),
                    ("rope.freq_base_swa", Value::F32(5_000.0)),
                ]
            }
        }
    }
}

/// Writes a model whose weights have this quantisation.
pub(crate) fn write(path: &Path, kind: Kind, dtype: GgmlDType) {
    let (tokens, said, tokenizer) = match kind.style() {
        None => {
            let tokens = vocabulary();
            let said: Vec<bool> = tokens.iter().map(|token| is_plain(token)).collect();
            (tokens.len(), said, byte_level(kind, &tokens))
        }
        Some(style) => {
            let pieces = Pieces::new();
            let tokens = pieces.texts.iter().zip(&pieces.kinds);
            let said = tokens.map(|(text, kind)| *kind == NORMAL && is_plain(text)).collect();
            (pieces.texts.len(), said, pieces.metadata(style))
        }
    };
    let metadata = [metadata(kind, tokens), tokenizer].concat();
    let tensors = tensors(kind, dtype, &said);
    let metadata: Vec<_> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(k, v)| (k.as_str(), v)).collect();
    gguf_file::write(&mut std::fs::File::create(path).unwrap(), &metadata, &tensors).unwrap();
}

/// Whether a model says it.
fn is_plain(token: &str) -> bool {
    !token.starts_with("<|") && token.chars().all(|c| c.is_ascii_graphic() || c == 'Ġ' || c == '▁')
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

fn metadata(kind: Kind, tokens: usize) -> Vec<(String, Value)> {
    let number = |n: usize| Value::U32(u32::try_from(n).unwrap());
    let name = kind.name();
    let general = [("general.architecture", name), ("general.name", "tiny")];
    let general = general.map(|(key, text)| (key.to_owned(), Value::String(text.to_owned())));
    let own = [
        ("context_length", number(WINDOW as usize)),
        ("embedding_length", number(WIDTH)),
        ("block_count", number(kind.layers())),
        ("feed_forward_length", number(HIDDEN)),
        ("attention.head_count", number(HEADS)),
        ("attention.head_count_kv", number(KV_HEADS)),
        ("attention.key_length", number(kind.head())),
        ("attention.value_length", number(kind.head())),
        ("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("rope.freq_base", Value::F32(kind.rope_base())),
        ("rope.dimension_count", number(kind.head())),
        ("vocab_size", number(tokens)),
    ];
    let own = own.into_iter().chain(kind.particular()).map(|(k, v)| (format!("{name}.{k}"), v));
    general.into_iter().chain(own).collect()
}

fn byte_level(kind: Kind, tokens: &[String]) -> Vec<(String, Value)> {
    let number = |n: usize| Value::U32(u32::try_from(n).unwrap());
    let text = |s: &str| Value::String(s.to_owned());
    let specials = 256 + MERGES.len();
    let last = specials + SPECIALS.len() - 1;
    let types = (0..tokens.len()).map(|i| Value::I32(if i < specials { 1 } else { 3 }));
    let own = [
        ("model", text("gpt2")),
        ("pre", text(kind.pre())),
        ("tokens", Value::Array(tokens.iter().map(|t| text(t)).collect())),
        ("token_type", Value::Array(types.collect())),
        ("merges", Value::Array(MERGES.iter().map(|m| text(m)).collect())),
        ("eos_token_id", number(last)),
        ("bos_token_id", number(last - 1)),
        ("add_bos_token", Value::Bool(false)),
    ];
    own.into_iter()
        .map(|(k, v)| (format!("tokenizer.ggml.{k}"), v))
        .chain([("tokenizer.chat_template".to_owned(), text(TEMPLATE))])
        .collect()
}

fn tensors(kind: Kind, dtype: GgmlDType, said: &[bool]) -> Vec<(String, QTensor)> {
    let mut weights = Weights { state: 7, dtype, list: Vec::new() };
    let (queries, keys) = (HEADS * kind.head(), KV_HEADS * kind.head());
    weights.embedding(said, kind.embedding());
    for i in 0..kind.layers() {
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
            Kind::Llama | Kind::Llama2 => {}
            Kind::Qwen2 => {
                for (part, length) in [("q", queries), ("k", keys), ("v", keys)] {
                    weights.vector(&name(&format!("attn_{part}.bias")), length, 0.0);
                }
            }
            Kind::Qwen3 | Kind::Gemma3 | Kind::Gemma3Large => {
                weights.vector(&name("attn_q_norm.weight"), kind.head(), 1.0);
                weights.vector(&name("attn_k_norm.weight"), kind.head(), 1.0);
            }
        }
        if matches!(kind, Kind::Gemma3 | Kind::Gemma3Large) {
            weights.vector(&name("post_attention_norm.weight"), WIDTH, 1.0);
            weights.vector(&name("post_ffw_norm.weight"), WIDTH, 1.0);
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
    fn embedding(&mut self, said: &[bool], most: f32) {
        let rows = said.iter().map(|said| if *said { most } else { most / 35.0 });
        let values: Vec<f32> = rows.flat_map(|scale| [scale; WIDTH]).map(|scale| self.next() * scale).collect();
        self.add("token_embd.weight", values, vec![said.len(), WIDTH], self.dtype);
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
