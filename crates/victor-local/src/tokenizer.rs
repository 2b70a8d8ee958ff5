//! Text to tokens and back, as the model's file says.
//! Byte-level BPE only; each way of splitting is held against a reference in `tests/`.

use std::collections::HashMap;

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, Tokenizer as Inner};

use crate::error::EngineError;
use crate::gguf::Gguf;

const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// GGUF's kinds of tokens that stand for no text of their own: unknown, control, unused.
const CONTROL: [u64; 3] = [2, 3, 5];
/// GGUF's kind of tokens that a user or trainer added; they are text, but are never split.
const ADDED: u64 = 4;

/// A model's tokenizer.
pub(crate) struct Tokenizer {
    inner: Inner,
    bytes: Vec<Vec<u8>>,
    control: Vec<bool>,
    specials: Vec<(u32, String)>,
    /// Begins every prompt, where the model wants that.
    pub(crate) first: Option<u32>,
    /// The text of the first and of the last token, for templates.
    pub(crate) first_text: String,
    pub(crate) last_text: String,
    /// The tokens that end an answer.
    pub(crate) ends: Vec<u32>,
}

impl Tokenizer {
    /// Reads the tokenizer out of a model's file.
    pub(crate) fn read(file: &Gguf) -> Result<Self, EngineError> {
        Self::split_as(file, file.text("tokenizer.ggml.pre").unwrap_or("gpt-2"))
    }

    /// Reads the tokenizer, with a way of splitting texts by GGUF's name for it.
    fn split_as(file: &Gguf, way: &str) -> Result<Self, EngineError> {
        let kind = file.text("tokenizer.ggml.model").unwrap_or_default();
        if kind != "gpt2" {
            return Err(file.wrong(format!("tokenizers of the kind `{kind}` are not supported; byte-level BPE is")));
        }
        let texts = file.texts("tokenizer.ggml.tokens").ok_or_else(|| file.wrong("it holds no tokens"))?;
        let kinds = file.numbers("tokenizer.ggml.token_type").unwrap_or_default();
        let kind_of = |i: usize| kinds.get(i).copied().unwrap_or(1);
        let mut inner = Inner::new(bpe(file, way, &texts)?);
        split(file, way, &mut inner)?;
        let special = |i: usize| CONTROL.contains(&kind_of(i)) || kind_of(i) == ADDED;
        let added: Vec<_> = (0..texts.len()).filter(|i| special(*i)).map(|i| texts[i].clone()).collect();
        let added = added.into_iter().map(|text| AddedToken::from(text, true).normalized(false));
        inner.add_special_tokens(added.collect::<Vec<_>>()).map_err(|e| file.wrong(e))?;
        let control: Vec<_> = (0..texts.len()).map(|i| CONTROL.contains(&kind_of(i))).collect();
        let mut specials: Vec<_> = (0u32..).zip(texts.iter().cloned()).filter(|(i, _)| special(*i as usize)).collect();
        specials.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then(a.0.cmp(&b.0)));
        let letters = letters();
        let bytes = texts.iter().enumerate().map(|(i, text)| match special(i) {
            true => text.as_bytes().to_vec(),
            false => plain(text, &letters),
        });
        let id = |key: &str| file.number(key).and_then(|n| u32::try_from(n).ok());
        let text = |id: Option<u32>| id.and_then(|id| texts.get(id as usize).cloned()).unwrap_or_default();
        let (first, last) = (id("tokenizer.ggml.bos_token_id"), id("tokenizer.ggml.eos_token_id"));
        Ok(Self {
            inner,
            bytes: bytes.collect(),
            first: first.filter(|_| file.flag("tokenizer.ggml.add_bos_token").unwrap_or(false)),
            first_text: text(first),
            last_text: text(last),
            ends: ends(&texts, &control, last, id("tokenizer.ggml.eot_token_id")),
            control,
            specials,
        })
    }

    /// The tokens of a text. The names of special tokens in it stand for those where `specials` says so; else they are
    /// text like any other.
    pub(crate) fn encode(&self, text: &str, specials: Specials) -> Result<Vec<u32>, EngineError> {
        let mut inner = None;
        if specials == Specials::AsText {
            let mut plain = self.inner.clone();
            plain.set_encode_special_tokens(true);
            inner = Some(plain);
        }
        let encoding = inner.as_ref().unwrap_or(&self.inner).encode_fast(text, false);
        encoding.map(|e| e.get_ids().to_vec()).map_err(|e| EngineError::Internal(e.to_string()))
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

    /// The tokens that a text's words must not be taken for, longest name first.
    pub(crate) fn specials(&self) -> impl Iterator<Item = (u32, &str)> {
        self.specials.iter().map(|(id, name)| (*id, name.as_str()))
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

fn bpe(file: &Gguf, way: &str, texts: &[String]) -> Result<BPE, EngineError> {
    let merges = file.texts("tokenizer.ggml.merges").ok_or_else(|| file.wrong("its tokenizer holds no merges"))?;
    let merges = merges.iter().map(|m| m.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())));
    let merges = merges.collect::<Option<Vec<_>>>().ok_or_else(|| file.wrong("a merge of its tokenizer is no pair"))?;
    let ids = (0u32..).zip(texts).map(|(id, text)| (text.clone(), id)).collect::<HashMap<_, _>>();
    let whole_words = way == "llama-bpe";
    let builder = BPE::builder().vocab_and_merges(ids.into_iter().collect::<tokenizers::models::bpe::Vocab>(), merges);
    builder.ignore_merges(whole_words).build().map_err(|e| file.wrong(e))
}

/// How text is split before tokens are looked for. candle's own reading adds a space before the text.
fn split(file: &Gguf, way: &str, inner: &mut Inner) -> Result<(), EngineError> {
    let bytes = |by_words| PreTokenizerWrapper::from(ByteLevel::new(false, true, by_words));
    let regex = |pattern: &str| -> Result<PreTokenizerWrapper, EngineError> {
        let split = Split::new(SplitPattern::Regex(pattern.into()), SplitDelimiterBehavior::Isolated, false);
        Ok(split.map_err(|e| file.wrong(e))?.into())
    };
    let steps = match way {
        "smollm" => vec![Digits::new(true).into(), bytes(true)],
        "qwen2" => vec![regex(QWEN2)?, bytes(false)],
        "llama-bpe" | "llama3" => vec![regex(LLAMA3)?, bytes(false)],
        "gpt-2" | "gpt2" => vec![bytes(true)],
        other => return Err(file.wrong(format!("text is split the way `{other}`, which is not supported"))),
    };
    if way == "qwen2" {
        inner.with_normalizer(Some(NFC)).map_err(|e| file.wrong(e))?;
    }
    inner.with_pre_tokenizer(Some(Sequence::new(steps)));
    Ok(())
}

/// The tokens after which an answer is over: what the file names, and the ends of turns of the known templates.
fn ends(texts: &[String], control: &[bool], last: Option<u32>, turn: Option<u32>) -> Vec<u32> {
    let names = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<end_of_turn>"];
    let known = (0u32..).zip(texts).filter(|(i, text)| control[*i as usize] && names.contains(&text.as_str()));
    let mut ends: Vec<_> = last.into_iter().chain(turn).chain(known.map(|(i, _)| i)).collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}

/// The bytes behind the printable characters that byte-level BPE writes for them.
fn letters() -> HashMap<char, u8> {
    let printable = |b: &u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let shown = (0..=255u8).filter(printable).map(|b| (char::from(b), b));
    let hidden = (0..=255u8).filter(|b| !printable(b));
    let moved = (256u32..).zip(hidden).filter_map(|(code, b)| Some((char::from_u32(code)?, b)));
    shown.chain(moved).collect()
}

fn plain(text: &str, letters: &HashMap<char, u8>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match letters.get(&c) {
            Some(byte) => bytes.push(*byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests;
