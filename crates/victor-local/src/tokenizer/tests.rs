use candle_core::quantized::gguf_file;
use rstest::rstest;
use serde::Deserialize;

use super::*;
use crate::pieces::{Pieces, Style};
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

/// What llama.cpp (`xllamacpp` 2026.10) makes of texts with the pieces of our own making.
const BY_SCORE: [(Style, &str); 2] =
    [(Style::Plain, include_str!("spm.json")), (Style::Prefixed, include_str!("spm-prefixed.json"))];

/// The tokenizer of our pieces.
fn pieces(style: Style) -> Tokenizer {
    read(&Pieces::new(), style)
}

/// The tokenizer of these pieces.
fn read(pieces: &Pieces, style: Style) -> Tokenizer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pieces.gguf");
    let metadata = pieces.metadata(style);
    let metadata: Vec<_> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
    gguf_file::write(&mut std::fs::File::create(&path).unwrap(), &metadata, &[]).unwrap();
    Tokenizer::read(&Gguf::open(&path).unwrap()).unwrap()
}

#[test]
fn pieces_by_score_are_those_of_llama_cpp() {
    let mut wrong = Vec::new();
    for (style, cases) in BY_SCORE {
        let tokenizer = pieces(style);
        let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
        assert!(cases.len() > 60);
        for case in cases {
            let ids = tokenizer.encode_whole(&[(&case.text, Specials::AsTokens)]).unwrap();
            if ids != case.ids {
                wrong.push(format!("{style:?}: {:?}\n  {ids:?}\n  {:?}", case.text, case.ids));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[rstest]
#[case::plain(Style::Plain, "")]
#[case::prefixed(Style::Prefixed, " ")]
fn pieces_give_back_the_text(#[case] style: Style, #[case] prefix: &str) {
    let tokenizer = pieces(style);
    let spoken = |ids: Vec<u32>| {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| tokenizer.bytes(*id)).copied().collect();
        String::from_utf8(bytes).unwrap()
    };
    for case in serde_json::from_str::<Vec<Case>>(BY_SCORE[0].1).unwrap() {
        // A space and the sign for it are the same to `SentencePiece`.
        let text = case.text.replace('\u{2581}', " ");
        assert_eq!(spoken(tokenizer.encode(&case.text, Specials::AsText).unwrap()), text);
        // A text that begins with a token that is taken as a whole has its space behind that.
        if case.text.starts_with(char::is_alphabetic) {
            let whole = tokenizer.encode_whole(&[(&case.text, Specials::AsText)]).unwrap();
            assert!(spoken(whole).starts_with(&format!("{prefix}{}", text.chars().next().unwrap())), "{text}");
        }
    }
}

#[rstest]
#[case::control("<eos>")]
#[case::unknown("<unk>")]
#[case::byte("<0x41>")]
fn names_of_tokens_in_somebodys_words_are_text_even_where_pieces_lead_to_them(#[case] name: &str) {
    let tokenizer = pieces(Style::Plain);
    let ids = tokenizer.encode(name, Specials::AsText).unwrap();
    assert!(ids.len() > 1 && ids.iter().all(|id| !tokenizer.is_control(*id)), "{ids:?}");
    let bytes: Vec<u8> = ids.iter().flat_map(|id| tokenizer.bytes(*id)).copied().collect();
    assert_eq!(bytes, name.as_bytes());
}

#[rstest]
#[case::ordinary(1)]
#[case::added(4)]
fn marks_of_turns_are_no_text_whatever_a_file_calls_them(#[case] kind: i32) {
    let mut own = Pieces::new();
    let place = |name: &str| own.texts.iter().position(|text| text == name).unwrap();
    let [start, end] = ["<start_of_turn>", "<end_of_turn>"].map(place);
    (own.kinds[start], own.kinds[end]) = (kind, kind);
    let tokenizer = read(&own, Style::Plain);
    let [start, end] = [start, end].map(|place| u32::try_from(place).unwrap());
    assert!(tokenizer.ends.contains(&end) && tokenizer.bytes(end).is_empty());
    for (name, id) in [("<start_of_turn>", start), ("<end_of_turn>", end)] {
        assert_eq!(tokenizer.encode(name, Specials::AsTokens).unwrap(), [id]);
        // Somebody's words never begin or end a turn.
        assert_eq!(tokenizer.specials(name).len(), 1);
        assert!(!tokenizer.encode(name, Specials::AsText).unwrap().contains(&id));
    }
}

#[test]
fn a_text_of_a_million_letters_is_no_matter() {
    // Looked through again for each of its pieces it would take hours.
    let text: String = "the sea and \u{4e16}\n\n\n  haha ".chars().cycle().take(1_000_000).collect();
    assert!(pieces(Style::Plain).encode(&text, Specials::AsTokens).unwrap().len() > 100_000);
}

#[test]
fn what_begins_a_prompt_and_ends_an_answer_is_what_the_file_says_or_the_usual() {
    let plain = pieces(Style::Plain);
    let end_of_turn = plain.encode("<end_of_turn>", Specials::AsTokens).unwrap();
    assert_eq!((plain.first, plain.first_text.as_str(), plain.last_text.as_str()), (Some(1), "<bos>", "<eos>"));
    assert_eq!(plain.ends, [&[2], end_of_turn.as_slice()].concat());
    let usual = pieces(Style::Prefixed);
    assert_eq!((usual.first, usual.ends), (plain.first, plain.ends));
}

#[test]
fn of_names_that_overlap_the_longest_counts() {
    let names = Names::new([(1, "ab"), (2, "bcd"), (3, "d"), (4, ""), (5, "aa")].into_iter()).unwrap();
    assert_eq!(names.find("abcd"), [(1..4, 2)]);
    assert_eq!(names.find("xabd aaa"), [(1..3, 1), (3..4, 3), (5..7, 5)]);
    assert_eq!(names.find(""), []);
}
