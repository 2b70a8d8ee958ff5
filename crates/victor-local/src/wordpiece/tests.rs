use std::collections::BTreeSet;
use std::fs::File;

use candle_core::quantized::gguf_file::{self, Value};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::real;

/// A text and its tokens.
#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

/// A vocabulary of a few tokens, and what the `BertTokenizer` of Python's `transformers` 4 makes of texts with it, the
/// names of special tokens being text.
#[derive(Deserialize)]
struct Small {
    vocabulary: Vec<String>,
    cases: Vec<Case>,
}

fn small() -> Small {
    serde_json::from_str(include_str!("small.json")).unwrap()
}

/// The tokenizer of a file with this vocabulary.
fn tokenizer(kind: &str, vocabulary: &[&str]) -> Result<WordPiece, EngineError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let text = |text: &str| Value::String(text.to_owned());
    let tokens = Value::Array(vocabulary.iter().map(|token| text(&written(token))).collect());
    let kind = text(kind);
    let metadata = [("tokenizer.ggml.model", &kind), ("tokenizer.ggml.tokens", &tokens)];
    gguf_file::write(&mut File::create(&path).unwrap(), &metadata, &[]).unwrap();
    WordPiece::read(&Gguf::open(&path).unwrap())
}

fn of(small: &Small) -> WordPiece {
    tokenizer("bert", &small.vocabulary.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
}

#[test]
fn texts_are_split_like_the_reference_splits_them() {
    let small = small();
    let tokenizer = of(&small);
    assert!(small.cases.len() > 60);
    for Case { text, ids } in &small.cases {
        let found = tokenizer.encode(text, 256).unwrap();
        assert_eq!((&found.ids, found.truncated), (ids, false), "{text:?}");
    }
    // What the cases are about: every piece but [PAD] and [MASK], which texts never are, comes up somewhere.
    let met: BTreeSet<u32> = small.cases.iter().flat_map(|case| case.ids.iter().copied()).collect();
    assert!(met.contains(&1) && !met.contains(&0) && !met.contains(&4), "{met:?}");
}

/// Only the beginning of a long text is looked at: where that ends must not be seen, within words and characters too.
#[test]
fn a_long_text_is_cut_as_if_it_had_been_read_whole() {
    let tokenizer = of(&small());
    let long_words = format!("{} hello ", "a".repeat(100)).repeat(40);
    for text in
        ["unaffable ".repeat(500), "中文x".repeat(700), " ".repeat(9000) + "hello world", "👍".repeat(3000), long_words]
    {
        let whole = tokenizer.encode(&text, 1_000_000).unwrap();
        assert!(!whole.truncated);
        let (last, pieces) = whole.ids[1..].split_last().unwrap();
        for limit in [2, 3, 4, 7, 64, 256, 511] {
            let room = (limit - 2).min(pieces.len());
            let expected = [&whole.ids[..=room], &[*last]].concat();
            let cut = tokenizer.encode(&text, limit).unwrap();
            assert_eq!((cut.ids, cut.truncated), (expected, room < pieces.len()), "{limit} of {:.20?}", text);
        }
    }
}

#[test]
fn a_file_that_has_no_such_vocabulary_is_refused() {
    let special = ["[CLS]", "[SEP]", "[UNK]"];
    assert!(tokenizer("bert", &special).is_ok());
    for missing in special {
        let rest: Vec<&str> = special.into_iter().filter(|name| *name != missing).collect();
        let error = tokenizer("bert", &rest).err().unwrap().to_string();
        assert!(error.contains(&format!("its vocabulary has no {missing}")), "{error}");
    }
    let error = tokenizer("llama", &special).err().unwrap().to_string();
    assert!(error.contains("tokenizers of the kind `llama` are not supported for embeddings"), "{error}");
}

/// With the model's own vocabulary: expected is what Python's `tokenizers` 0.23 makes of it with the model's own
/// `tokenizer.json`, for the later ones `transformers` 4, cut at 256 tokens.
#[test]
fn token_ids_are_those_of_the_models_own_tokenizer() {
    let Some(model) = real::embedding(|from, to| crate::import::import(from, to, &CancellationToken::new()).unwrap())
    else {
        return;
    };
    let tokenizer = WordPiece::read(&Gguf::open(&model).unwrap()).unwrap();
    let cases: Vec<Case> = serde_json::from_str(include_str!("minilm.json")).unwrap();
    assert!(cases.len() > 110);
    for Case { text, ids } in cases {
        assert_eq!(tokenizer.encode(&text, 256).unwrap().ids, ids, "{text:?}");
    }
}
