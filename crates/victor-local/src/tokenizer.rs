//! Text to tokens and back, as the model's file says: byte-level BPE, or `SentencePiece`'s.
//! Each is held against a reference in `tests/`.

mod bpe;
mod names;
mod spm;

use std::ops::Range;

use bpe::Bpe;
use names::Names;
use spm::{Place, Spm};

use crate::error::EngineError;
use crate::gguf::Gguf;

/// GGUF's kind of ordinary tokens.
const NORMAL: u64 = 1;
/// GGUF's kind of tokens that steer a model.
const MARK: u64 = 3;
/// GGUF's kinds of tokens that stand for no text of their own: unknown, control, unused.
const CONTROL: [u64; 3] = [2, MARK, 5];
/// GGUF's kind of tokens that a user or trainer added; they are text, but are never split.
const ADDED: u64 = 4;

/// A model's tokenizer.
pub(crate) struct Tokenizer {
    inner: Inner,
    bytes: Vec<Vec<u8>>,
    control: Vec<bool>,
    specials: Names,
    /// Begins every prompt, where the model wants that.
    pub(crate) first: Option<u32>,
    /// The text of the first and of the last token, for templates.
    pub(crate) first_text: String,
    pub(crate) last_text: String,
    /// The tokens that end an answer.
    pub(crate) ends: Vec<u32>,
}

enum Inner {
    Bpe(Box<Bpe>),
    Spm(Box<Spm>),
}

/// The tokens of a file, and of what kinds they are.
struct Vocabulary {
    texts: Vec<String>,
    kinds: Vec<u64>,
}

impl Tokenizer {
    /// Reads the tokenizer out of a model's file.
    pub(crate) fn read(file: &Gguf) -> Result<Self, EngineError> {
        match file.text("tokenizer.ggml.model").unwrap_or_default() {
            "gpt2" => Self::split_as(file, file.text("tokenizer.ggml.pre").unwrap_or("gpt-2")),
            "llama" => Self::by_score(file),
            kind => {
                let known = "byte-level BPE (`gpt2`) and SentencePiece (`llama`)";
                Err(file.wrong(format!("tokenizers of the kind `{kind}` are not supported; {known} are")))
            }
        }
    }

    /// Reads a byte-level BPE tokenizer, with a way of splitting texts by GGUF's name for it.
    fn split_as(file: &Gguf, way: &str) -> Result<Self, EngineError> {
        let vocabulary = Vocabulary::read(file)?;
        let inner = Inner::Bpe(Box::new(Bpe::read(file, &vocabulary, way)?));
        Self::of(file, &vocabulary, inner, Bpe::bytes(&vocabulary))
    }

    /// Reads a `SentencePiece` tokenizer.
    fn by_score(file: &Gguf) -> Result<Self, EngineError> {
        let vocabulary = Vocabulary::read(file)?;
        let inner = Inner::Spm(Box::new(Spm::read(file, &vocabulary)?));
        Self::of(file, &vocabulary, inner, Spm::bytes(&vocabulary))
    }

    fn of(file: &Gguf, vocabulary: &Vocabulary, inner: Inner, bytes: Vec<Vec<u8>>) -> Result<Self, EngineError> {
        // What `SentencePiece` writes into its files where nothing else is said, and what GGUF need not repeat.
        let (first, last, begins) = match inner {
            Inner::Bpe(_) => (None, None, false),
            Inner::Spm(_) => (Some(1), Some(2), true),
        };
        let id = |key: &str, usual: Option<u32>| {
            let said = file.number(&format!("tokenizer.ggml.{key}_token_id"));
            said.map_or(usual, |n| u32::try_from(n).ok()).filter(|id| (*id as usize) < vocabulary.texts.len())
        };
        let text = |id: Option<u32>| id.and_then(|id| vocabulary.texts.get(id as usize).cloned()).unwrap_or_default();
        let (first, last) = (id("bos", first), id("eos", last));
        let begins = file.flag("tokenizer.ggml.add_bos_token").unwrap_or(begins);
        // Added tokens of `SentencePiece` are lines' ends, runs of spaces and the like.
        let spoken = |id: u32| matches!(inner, Inner::Spm(_)) && vocabulary.is_added(id);
        let specials = vocabulary.tokens().filter(|(id, _)| vocabulary.is_special(*id) && !spoken(*id));
        Ok(Self {
            specials: Names::new(specials).map_err(|e| file.wrong(e))?,
            first: first.filter(|_| begins),
            first_text: text(first),
            last_text: text(last),
            ends: vocabulary.ends(last, id("eot", None)),
            control: vocabulary.tokens().map(|(id, _)| vocabulary.is_control(id)).collect(),
            inner,
            bytes,
        })
    }

    /// The tokens of a text that stands behind another. The names of special tokens in it stand for those where
    /// `specials` says so; else they are text like any other.
    pub(crate) fn encode(&self, text: &str, specials: Specials) -> Result<Vec<u32>, EngineError> {
        self.encode_parts(&[(text, specials)], Place::Within)
    }

    /// The tokens of a whole text in parts, without the one that begins every prompt.
    pub(crate) fn encode_whole(&self, parts: &[(&str, Specials)]) -> Result<Vec<u32>, EngineError> {
        self.encode_parts(parts, Place::Beginning)
    }

    fn encode_parts(&self, parts: &[(&str, Specials)], place: Place) -> Result<Vec<u32>, EngineError> {
        match &self.inner {
            Inner::Bpe(inner) => {
                let tokens = parts.iter().map(|(text, specials)| inner.encode(text, *specials));
                Ok(tokens.collect::<Result<Vec<_>, _>>()?.concat())
            }
            Inner::Spm(inner) => Ok(inner.encode(parts, place)),
        }
    }

    /// The bytes that a token stands for; none for a control token.
    pub(crate) fn bytes(&self, token: u32) -> &[u8] {
        match self.is_control(token) {
            true => &[],
            false => self.bytes.get(token as usize).map_or(&[], Vec::as_slice),
        }
    }

    /// The name of a control token, the bytes of any other.
    pub(crate) fn name(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    /// Where somebody's words hold the names of special tokens, and of which.
    pub(crate) fn specials(&self, text: &str) -> Vec<(Range<usize>, u32)> {
        self.specials.find(text)
    }

    /// Whether a token stands for no text.
    pub(crate) fn is_control(&self, token: u32) -> bool {
        self.control.get(token as usize).copied().unwrap_or(true)
    }

    /// The number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// What the names of special tokens in a text are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Specials {
    /// The special tokens: the text is a template's.
    AsTokens,
    /// Text: it is somebody's words.
    AsText,
}

impl Vocabulary {
    fn read(file: &Gguf) -> Result<Self, EngineError> {
        let texts = file.texts("tokenizer.ggml.tokens").ok_or_else(|| file.wrong("it holds no tokens"))?;
        let mut kinds = file.numbers("tokenizer.ggml.token_type").unwrap_or_default();
        kinds.resize(texts.len(), NORMAL);
        // Some files have them among their ordinary or added tokens, Google's own of Gemma 3, say.
        for (kind, text) in kinds.iter_mut().zip(&texts) {
            if [NORMAL, ADDED].contains(kind) && is_mark(text) {
                *kind = MARK;
            }
        }
        Ok(Self { texts, kinds })
    }

    fn tokens(&self) -> impl Iterator<Item = (u32, &str)> {
        (0u32..).zip(self.texts.iter().map(String::as_str))
    }

    fn kind(&self, id: u32) -> u64 {
        self.kinds.get(id as usize).copied().unwrap_or(NORMAL)
    }

    fn is_control(&self, id: u32) -> bool {
        CONTROL.contains(&self.kind(id))
    }

    fn is_added(&self, id: u32) -> bool {
        self.kind(id) == ADDED
    }

    /// Whether its name is looked for in a text before all else.
    fn is_special(&self, id: u32) -> bool {
        self.is_control(id) || self.is_added(id)
    }

    /// The tokens after which an answer is over: what the file names, and the ends of turns of the known templates.
    fn ends(&self, last: Option<u32>, turn: Option<u32>) -> Vec<u32> {
        let names = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<end_of_turn>"];
        let known = self.tokens().filter(|(id, text)| self.is_control(*id) && names.contains(text));
        let mut ends: Vec<_> = last.into_iter().chain(turn).chain(known.map(|(id, _)| id)).collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }
}

/// Whether a token begins or ends a turn, or the like, by its name.
fn is_mark(text: &str) -> bool {
    let inner = text.strip_prefix("<|").and_then(|rest| rest.strip_suffix("|>"));
    inner.is_some_and(|name| !name.is_empty()) || ["<start_of_turn>", "<end_of_turn>"].contains(&text)
}

#[cfg(test)]
mod tests;
