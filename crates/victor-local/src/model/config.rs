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
    /// Gemma 3, the text models.
    Gemma3,
}

/// How the parts of a head are turned by their position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rope {
    /// Neighbours form a pair (Llama's files).
    Neighbours,
    /// The first half pairs with the second (`NeoX`).
    Halves,
}

/// Layers that look back at the latest positions only (Beltagy and others, arXiv 2004.05150).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sliding {
    /// Positions that such a layer sees, its own with them.
    pub(crate) window: usize,
    /// Of each layer, whether it is one.
    pub(crate) layers: Vec<bool>,
    /// The base of its angles.
    pub(crate) rope_base: f32,
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
    /// What positions are multiplied with before they turn anything, but for sliding layers.
    pub(crate) rope_scale: f32,
    pub(crate) sliding: Option<Sliding>,
}

impl Config {
    /// Reads the shape out of a file's metadata.
    pub(crate) fn read(file: &Gguf) -> Result<Self, EngineError> {
        let name = file.text("general.architecture").unwrap_or_default().to_owned();
        let (family, rope) = match name.as_str() {
            "llama" => (Family::Llama, Rope::Neighbours),
            "qwen2" => (Family::Qwen2, Rope::Halves),
            "qwen3" => (Family::Qwen3, Rope::Halves),
            "gemma3" => (Family::Gemma3, Rope::Halves),
            _ => {
                let known = "llama (SmolLM2), qwen2 (Qwen 2.5), qwen3 and gemma3";
                return Err(file.wrong(format!("models of the kind `{name}` are not supported; {known} are")));
            }
        };
        let key = |part: &str| format!("{name}.{part}");
        let width = file.size(&key("embedding_length"))?;
        let heads = file.size(&key("attention.head_count"))?;
        let even = width.checked_div(heads).unwrap_or_default();
        let head = file.number(&key("attention.key_length")).and_then(|n| usize::try_from(n).ok()).unwrap_or(even);
        let kv_heads = file.size(&key("attention.head_count_kv")).unwrap_or(heads);
        let layers = file.size(&key("block_count"))?;
        let config = Self {
            family,
            layers,
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
            rope_scale: rope_scale(file, &name)?,
            sliding: if family == Family::Gemma3 { sliding(file, &name, layers)? } else { None },
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
        if file.real(&format!("{name}.final_logit_softcapping")).is_some_and(|cap| cap > 0.0) {
            return Err(file.wrong("models with capped scores (`final_logit_softcapping`) are not supported"));
        }
        Ok(())
    }

    /// What the embeddings of tokens are multiplied with.
    pub(crate) fn embedding_scale(&self) -> Option<f32> {
        match self.family {
            Family::Llama | Family::Qwen2 | Family::Qwen3 => None,
            Family::Gemma3 => Some(root(self.width)),
        }
    }

    /// What the products of queries and keys are multiplied with.
    pub(crate) fn query_scale(&self) -> f32 {
        match self.family {
            // Its 27B model has heads that are narrower than their share of the width; no file says that this counts.
            Family::Gemma3 if self.layers == 62 => 1.0 / root(self.width / self.heads),
            Family::Llama | Family::Qwen2 | Family::Qwen3 | Family::Gemma3 => 1.0 / root(self.head),
        }
    }

    /// The positions that a layer sees at most, its own with them; `None` for all.
    pub(crate) fn reach(&self, layer: usize) -> Option<usize> {
        self.sliding.as_ref().filter(|s| s.layers.get(layer) == Some(&true)).map(|s| s.window)
    }

    /// The length of all keys of a position.
    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head
    }
}

/// Files of models whose window was stretched say by how much; where they say no way, it is the linear one.
fn rope_scale(file: &Gguf, name: &str) -> Result<f32, EngineError> {
    let real = |key: &str| file.real(&format!("{name}.rope.{key}"));
    let factor = real("scaling.factor").or_else(|| real("scale_linear")).filter(|factor| *factor != 0.0);
    match file.text(&format!("{name}.rope.scaling.type")) {
        Some("none") => Ok(1.0),
        None | Some("linear") => Ok(1.0 / factor.unwrap_or(1.0)),
        Some(kind) => Err(file.wrong(format!("the position scaling `{kind}` is not supported; `linear` is"))),
    }
}

/// Five of six layers slide where the file does not say which.
fn sliding(file: &Gguf, name: &str, layers: usize) -> Result<Option<Sliding>, EngineError> {
    let key = |part: &str| format!("{name}.{part}");
    let Some(window) = file.number(&key("attention.sliding_window")).filter(|window| *window > 0) else {
        return Ok(None);
    };
    let pattern = key("attention.sliding_window_pattern");
    let every = file.number(&pattern).unwrap_or(6);
    let by_turns = || (0u64..).take(layers).map(|i| every == 0 || i % every < every - 1).collect();
    let numbers = || file.numbers(&pattern).map(|list| list.iter().map(|n| *n > 0).collect());
    let sliding = Sliding {
        window: usize::try_from(window).unwrap_or(usize::MAX),
        layers: file.flags(&pattern).or_else(numbers).unwrap_or_else(by_turns),
        rope_base: file.real(&key("rope.freq_base_swa")).unwrap_or(10_000.0),
    };
    match sliding.layers.len() >= layers {
        true => Ok(Some(sliding)),
        false => Err(file.wrong(format!("`{pattern}` does not tell of each layer"))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "widths and heads have a few thousand parts")]
fn root(parts: usize) -> f32 {
    (parts as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_of_the_largest_gemma_are_scaled_as_its_makers_say() {
        // github.com/google/gemma_pytorch, `gemma/config.py`: 168, the width by the heads; of the others 256, a head.
        let of = |layers, width, heads, head| Config {
            family: Family::Gemma3,
            layers,
            width,
            hidden: 1,
            heads,
            kv_heads: 1,
            head,
            window: 1,
            epsilon: 0.0,
            rope: Rope::Halves,
            rope_base: 1.0,
            rope_dims: 2,
            rope_scale: 1.0,
            sliding: None,
        };
        assert!((of(62, 5376, 32, 128).query_scale() - 168f32.sqrt().recip()).abs() < 1e-6);
        assert!((of(34, 2560, 8, 256).query_scale() - 1.0 / 16.0).abs() < 1e-6);
    }
}
