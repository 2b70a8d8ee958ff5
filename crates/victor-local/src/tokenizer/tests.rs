use serde::Deserialize;

use super::*;
use crate::real;
use tokio_util::sync::CancellationToken;

/// A text and its tokens.
#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

/// What llama.cpp (`xllamacpp` 2026.10) makes of the same texts with `SmolLM2`'s vocabulary, split in different ways.
const REFERENCE: [(&str, &str); 4] = [
    ("smollm", include_str!("smollm.json")),
    ("qwen2", include_str!("qwen2.json")),
    ("llama-bpe", include_str!("llama-bpe.json")),
    ("gpt-2", include_str!("gpt-2.json")),
];

#[test]
fn token_ids_are_those_of_llama_cpp() {
    let Some(model) = real::model(|from, to| crate::requantise(from, to, &CancellationToken::new()).unwrap()) else {
        return;
    };
    let file = Gguf::open(&model).unwrap();
    let mut wrong = Vec::new();
    for (way, cases) in REFERENCE {
        let tokenizer = Tokenizer::split_as(&file, way).unwrap();
        let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
        assert!(cases.len() > 30);
        for case in cases {
            let ids = tokenizer.encode(&case.text, Specials::AsTokens).unwrap();
            if ids != case.ids {
                wrong.push(format!("{way}: {:?}\n  {ids:?}\n  {:?}", case.text, case.ids));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn qwen_reads_composed_and_decomposed_letters_as_the_same() {
    // Its own tokenizer composes first (NFC); llama.cpp does not, so its reference has no such text.
    let Some(model) = real::model(|from, to| crate::requantise(from, to, &CancellationToken::new()).unwrap()) else {
        return;
    };
    let tokenizer = Tokenizer::split_as(&Gguf::open(&model).unwrap(), "qwen2").unwrap();
    let ids = |text| tokenizer.encode(text, Specials::AsText).unwrap();
    assert_eq!(ids("caf\u{e9}"), ids("cafe\u{301}"));
}

#[test]
fn tokens_give_back_the_text() {
    let Some(model) = real::model(|from, to| crate::requantise(from, to, &CancellationToken::new()).unwrap()) else {
        return;
    };
    let tokenizer = Tokenizer::read(&Gguf::open(&model).unwrap()).unwrap();
    for case in serde_json::from_str::<Vec<Case>>(REFERENCE[0].1).unwrap() {
        let ids = tokenizer.encode(&case.text, Specials::AsText).unwrap();
        let bytes: Vec<u8> = ids.iter().flat_map(|id| tokenizer.bytes(*id)).copied().collect();
        assert_eq!(String::from_utf8(bytes).unwrap(), case.text);
    }
}
