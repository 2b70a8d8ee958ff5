//! The shape of a model, as its file tells it.

use crate::error::EngineError;
use crate::gguf::Gguf;

/// The largest dimension of a model: products of two of them are still numbers.
pub(super) const LARGEST: usize = 1 << 24;

/// The families of models that the engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Llama and what is built like it (`SmolLM2`).
    Llama,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3.
    Qwen3,
}

/// How the parts of a head are turned by their position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rope {
    /// Neighbours form a pair (Llama's files).
    Neighbours,
    /// The first half pairs with the second (`NeoX`).
    Halves,
}

/// The numbers that a model's arithmetic needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) family: Family,
    pub(crate) layers: usize,
    pub(crate) width: usize,
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head: usize,
    pub(crate) window: usize,
    pub(crate) epsilon: f32,
    pub(crate) rope: Rope,
    pub(crate) rope_base: f32,
    pub(crate) rope_dims: usize,
}

impl Config {
    /// Reads the shape out of a file's metadata.
    pub(crate) fn read(file: &Gguf) -> Result<Self, EngineError> {
        let name = file.text("general.architecture").unwrap_or_default().to_owned();
        let (family, rope) = match name.as_str() {
            "llama" => (Family::Llama, Rope::Neighbours),
            "qwen2" => (Family::Qwen2, Rope::Halves),
            "qwen3" => (Family::Qwen3, Rope::Halves),
            _ => {
                let known = "llama (SmolLM2), qwen2 (Qwen 2.5) and qwen3";
                return Err(file.wrong(format!("models of the kind `{name}` are not supported; {known} are")));
            }
        };
        let key = |part: &str| format!("{name}.{part}");
        let width = file.size(&key("embedding_length"))?;
        let heads = file.size(&key("attention.head_count"))?;
        let even = width.checked_div(heads).unwrap_or_default();
        let head = file.number(&key("attention.key_length")).and_then(|n| usize::try_from(n).ok()).unwrap_or(even);
        let kv_heads = file.size(&key("attention.head_count_kv")).unwrap_or(heads);
        let config = Self {
            family,
            layers: file.size(&key("block_count"))?,
            width,
            hidden: file.size(&key("feed_forward_length"))?,
            heads,
            kv_heads,
            head,
            window: file.size(&key("context_length"))?,
            epsilon: file.real(&key("attention.layer_norm_rms_epsilon")).unwrap_or(1e-5),
            rope,
            rope_base: file.real(&key("rope.freq_base")).unwrap_or(10_000.0),
            rope_dims: file.number(&key("rope.dimension_count")).and_then(|n| usize::try_from(n).ok()).unwrap_or(head),
        };
        config.check(file, &name)?;
        Ok(config)
    }

    fn check(&self, file: &Gguf, name: &str) -> Result<(), EngineError> {
        let parts = [self.layers, self.width, self.hidden, self.heads, self.kv_heads, self.head];
        let sound = parts.iter().all(|part| (1..=LARGEST).contains(part)) && self.window > 0;
        let turned = (2..=self.head).contains(&self.rope_dims);
        if !sound || !turned || !self.heads.is_multiple_of(self.kv_heads) {
            return Err(file.wrong("the model's dimensions do not fit together"));
        }
        if file.number(&format!("{name}.expert_count")).is_some_and(|n| n > 0) {
            return Err(file.wrong("models with experts are not supported"));
        }
        match file.text(&format!("{name}.rope.scaling.type")) {
            None | Some("none") => Ok(()),
            Some(kind) => Err(file.wrong(format!("the position scaling `{kind}` is not supported"))),
        }
    }

    /// The length of all keys of a position.
    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head
    }
}
