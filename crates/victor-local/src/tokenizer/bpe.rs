//! Byte-level BPE (GPT-2's; Sennrich and others, arXiv 1508.07909), in the ways of splitting text that models were
//! trained with.

use std::collections::HashMap;
use std::sync::OnceLock;

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, Tokenizer as Inner};

use super::{Specials, Vocabulary};
use crate::error::EngineError;
use crate::gguf::Gguf;

const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The tokenizer of a file.
pub(super) struct Bpe {
    inner: Inner,
    /// The same, to which names of special tokens are text. Made once, as a copy takes some milliseconds.
    plain: OnceLock<Inner>,
}

impl Bpe {
    /// Reads the merges out of a model's file; `way` is GGUF's name for a way of splitting texts.
    pub(super) fn read(file: &Gguf, vocabulary: &Vocabulary, way: &str) -> Result<Self, EngineError> {
        let mut inner = Inner::new(bpe(file, way, &vocabulary.texts)?);
        split(file, way, &mut inner)?;
        let added = vocabulary.tokens().filter(|(id, _)| vocabulary.is_special(*id));
        let added = added.map(|(_, text)| AddedToken::from(text.to_owned(), true).normalized(false));
        inner.add_special_tokens(added.collect::<Vec<_>>()).map_err(|e| file.wrong(e))?;
        Ok(Self { inner, plain: OnceLock::new() })
    }

    /// The tokens of a text.
    pub(super) fn encode(&self, text: &str, specials: Specials) -> Result<Vec<u32>, EngineError> {
        let plain = || {
            let mut plain = self.inner.clone();
            plain.set_encode_special_tokens(true);
            plain
        };
        let inner = match specials {
            Specials::AsTokens => &self.inner,
            Specials::AsText => self.plain.get_or_init(plain),
        };
        let encoding = inner.encode_fast(text, false);
        encoding.map(|e| e.get_ids().to_vec()).map_err(|e| EngineError::Internal(e.to_string()))
    }

    /// The bytes that each token stands for.
    pub(super) fn bytes(vocabulary: &Vocabulary) -> Vec<Vec<u8>> {
        let letters = letters();
        let bytes = vocabulary.tokens().map(|(id, text)| match vocabulary.is_special(id) {
            true => text.as_bytes().to_vec(),
            false => plain(text, &letters),
        });
        bytes.collect()
    }
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
