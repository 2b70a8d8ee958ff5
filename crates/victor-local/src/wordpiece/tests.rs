use serde::Deserialize;

use super::*;
use crate::real;
use tokio_util::sync::CancellationToken;

/// A text and what Python's `tokenizers` 0.23 makes of it with the model's own `tokenizer.json`, cut at 256 tokens, the
/// names of special tokens being text.
#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

#[test]
fn token_ids_are_those_of_the_models_own_tokenizer() {
    let Some(model) = real::embedding(|from, to| crate::import::import(from, to, &CancellationToken::new()).unwrap())
    else {
        return;
    };
    let tokenizer = WordPiece::read(&Gguf::open(&model).unwrap()).unwrap();
    let cases: Vec<Case> = serde_json::from_str(include_str!("minilm.json")).unwrap();
    assert!(cases.len() > 50);
    for Case { text, ids } in cases {
        assert_eq!(tokenizer.encode(&text, 256).unwrap().ids, ids, "{text:?}");
    }
}
