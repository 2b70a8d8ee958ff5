//! The shape of an encoder, as its file tells it.

use super::super::config::LARGEST;
use crate::error::EngineError;
use crate::gguf::Gguf;

/// GGUF's name for encoders of this kind.
pub(crate) const ARCHITECTURE: &str = "bert";

/// How the vectors of a text's tokens become the one of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// Their mean.
    Mean,
    /// The one of the first token, which stands for the whole.
    First,
}

/// The numbers that an encoder's arithmetic needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) layers: usize,
    pub(crate) width: usize,
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) positions: usize,
    pub(crate) epsilon: f32,
    pub(crate) pooling: Pooling,
}

impl Config {
    /// Reads the shape out of a file's metadata.
    pub(crate) fn read(file: &Gguf) -> Result<Self, EngineError> {
        let name = file.text("general.architecture").unwrap_or_default();
        if name != ARCHITECTURE {
            return Err(file.wrong(format!("models of the kind `{name}` give no embeddings here; `{ARCHITECTURE}` do")));
        }
        let key = |part: &str| format!("{ARCHITECTURE}.{part}");
        // llama.cpp's numbers: 0 none, 1 mean, 2 first, 3 last, 4 rank.
        let pooling = match file.number(&key("pooling_type")) {
            Some(1) => Pooling::Mean,
            Some(2) => Pooling::First,
            Some(kind) => return Err(file.wrong(format!("the pooling {kind} is not supported; 1 and 2 are"))),
            None => return Err(file.wrong("it does not say how tokens become one vector (`bert.pooling_type`)")),
        };
        let config = Self {
            layers: file.size(&key("block_count"))?,
            width: file.size(&key("embedding_length"))?,
            hidden: file.size(&key("feed_forward_length"))?,
            heads: file.size(&key("attention.head_count"))?,
            positions: file.size(&key("context_length"))?,
            epsilon: file.real(&key("attention.layer_norm_epsilon")).unwrap_or(1e-12),
            pooling,
        };
        let parts = [config.layers, config.width, config.hidden, config.heads, config.positions];
        let sound = parts.iter().all(|part| (1..=LARGEST).contains(part));
        if !sound || !config.width.is_multiple_of(config.heads) || config.positions < 3 {
            return Err(file.wrong("the model's dimensions do not fit together"));
        }
        Ok(config)
    }
}
