//! Text to tokens for encoders: words without regard to case and accents, split into pieces of the model's vocabulary
//! (`WordPiece`, arXiv 1609.08144).

use tokenizers::Tokenizer as Inner;
use tokenizers::models::wordpiece::WordPiece as Pieces;
use tokenizers::normalizers::bert::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;

use crate::error::EngineError;
use crate::gguf::Gguf;

/// What GGUF writes before a piece that begins a word; other pieces have nothing.
pub(crate) const BEGINS: char = '\u{2581}';
/// What vocabularies write before a piece that goes on with a word.
pub(crate) const GOES_ON: &str = "##";
/// The longest word that is looked for, in characters, and so the most tokens that a word can be.
const WORD: usize = 100;
/// Bytes of a long text that are looked at first, for each token that is wanted.
const LOOK: usize = 16;

/// An encoder's tokenizer.
pub(crate) struct WordPiece {
    inner: Inner,
    first: u32,
    last: u32,
}

/// The beginning of a text in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// With the ones that begin and end every text.
    pub(crate) ids: Vec<u32>,
    /// Whether there would be more.
    pub(crate) truncated: bool,
}

impl WordPiece {
    /// Reads the tokenizer out of a model's file.
    pub(crate) fn read(file: &Gguf) -> Result<Self, EngineError> {
        let kind = file.text("tokenizer.ggml.model").unwrap_or_default();
        if kind != "bert" {
            return Err(file.wrong(format!("tokenizers of the kind `{kind}` are not supported for embeddings")));
        }
        let tokens = file.texts("tokenizer.ggml.tokens").ok_or_else(|| file.wrong("it holds no tokens"))?;
        let vocabulary: Vec<(String, u32)> = (0u32..).zip(&tokens).map(|(id, token)| (piece(token), id)).collect();
        let id = |name: &str| {
            let found = vocabulary.iter().find(|(text, _)| text == name).map(|(_, id)| *id);
            found.ok_or_else(|| file.wrong(format!("its vocabulary has no {name}")))
        };
        let (first, last, _) = (id("[CLS]")?, id("[SEP]")?, id("[UNK]")?);
        let pieces = Pieces::builder()
            .vocab(vocabulary.into_iter().collect::<tokenizers::models::bpe::Vocab>())
            .unk_token("[UNK]".to_owned())
            .max_input_chars_per_word(WORD)
            .build();
        let mut inner = Inner::new(pieces.map_err(|e| file.wrong(e))?);
        inner.with_normalizer(Some(BertNormalizer::new(true, true, None, true))).map_err(|e| file.wrong(e))?;
        inner.with_pre_tokenizer(Some(BertPreTokenizer));
        Ok(Self { inner, first, last })
    }

    /// The tokens of a text, no more than `limit`. The names of special tokens in it are text like any other.
    pub(crate) fn encode(&self, text: &str, limit: usize) -> Result<Tokens, EngineError> {
        let room = limit.saturating_sub(2);
        let mut look = limit.max(1).saturating_mul(LOOK);
        let mut pieces = loop {
            let part = &text[..text.floor_char_boundary(look)];
            let encoding = self.inner.encode_fast(part, false).map_err(|e| EngineError::Internal(e.to_string()))?;
            let ids = encoding.get_ids();
            // The last word may go on behind the part.
            if part.len() == text.len() || ids.len() >= room + WORD {
                break ids.to_vec();
            }
            look = look.saturating_mul(4);
        };
        let truncated = pieces.len() > room;
        pieces.truncate(room);
        let ids = [self.first].into_iter().chain(pieces).chain([self.last]).collect();
        Ok(Tokens { ids, truncated })
    }
}

/// A token of a GGUF file as vocabularies write it.
fn piece(token: &str) -> String {
    match token.strip_prefix(BEGINS) {
        Some(word) => word.to_owned(),
        None if is_special(token) => token.to_owned(),
        None => format!("{GOES_ON}{token}"),
    }
}

/// Whether a token is one that stands for no text.
pub(crate) fn is_special(token: &str) -> bool {
    token.starts_with('[') && token.ends_with(']')
}

/// A token of a vocabulary as GGUF files write it.
pub(crate) fn written(token: &str) -> String {
    match token.strip_prefix(GOES_ON) {
        Some(rest) => rest.to_owned(),
        None if is_special(token) => token.to_owned(),
        None => format!("{BEGINS}{token}"),
    }
}

#[cfg(test)]
mod tests;
