//! What answers are like: the same as another engine's, repeatable, cut where they must be.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use futures::StreamExt;
use rstest::rstest;
use tokio_util::sync::CancellationToken;
use victor_core::error::ProviderErrorKind;
use victor_core::message::Message;
use victor_core::provider::StopReason;
use victor_local::{Sampling, Tuning};

use crate::ask::{Local, question};
use crate::tiny::{Kind, WINDOW};

/// What llama.cpp says to the same prompts with the same files, greedily (`xllamacpp` 2026.10, one thread, its default
/// cache of 16 bits; it says the same with one of 32), files that `tiny::write` makes. The weights have 32 bits, so that
/// hardly anything but the arithmetic's order can differ.
fn reference() -> BTreeMap<String, Vec<(String, String)>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine/reference.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[rstest]
#[case::llama(Kind::Llama, "llama")]
#[case::qwen2(Kind::Qwen2, "qwen2")]
#[case::qwen3(Kind::Qwen3, "qwen3")]
#[case::llama2(Kind::Llama2, "llama2")]
#[case::gemma3(Kind::Gemma3, "gemma3")]
#[case::gemma3_large(Kind::Gemma3Large, "gemma3-large")]
#[tokio::test]
async fn a_greedy_answer_is_that_of_llama_cpp(#[case] kind: Kind, #[case] name: &str) {
    let local = Local::tiny_of(kind, GgmlDType::F32, Sampling::default());
    for (prompt, expected) in &reference()[name] {
        let answer = local.ask(&question(prompt, 24)).await.unwrap();
        assert_eq!(answer.message.text(), expected.trim_start(), "{prompt}");
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_answer_and_another_one_another() {
    let with = |seed| Sampling { temperature: 1.0, top_p: 0.95, top_k: 60, min_p: 0.01, seed, ..Sampling::default() };
    let mut answers = Vec::new();
    for seed in [1, 1, 2] {
        let local = Local::tiny_with(Kind::Llama, with(seed));
        answers.push(local.ask(&question("Say something", 24)).await.unwrap().message.text());
    }
    assert_eq!(answers[0], answers[1]);
    assert_ne!(answers[0], answers[2]);
}

#[rstest]
#[case::qwen2(Kind::Qwen2)]
#[case::sliding(Kind::Gemma3)]
#[tokio::test]
async fn the_next_turn_reads_only_what_is_new_and_answers_as_a_fresh_one(#[case] kind: Kind) {
    let local = Local::tiny(kind);
    let mut request = question("Tell me of the sea and the wind", 12);
    let first = local.ask(&request).await.unwrap();
    assert_eq!(first.usage.cache_read, 0);
    let mut messages = request.messages.to_vec();
    messages.push(Arc::new(first.message));
    messages.push(Arc::new(Message::user("And more?")));
    request.messages = Arc::new(messages);
    let second = local.ask(&request).await.unwrap();
    assert!(second.usage.cache_read > first.usage.input / 2, "{:?}", second.usage);
    assert!(second.usage.cache_read < second.usage.input);
    let fresh = Local::tiny(kind).ask(&request).await.unwrap();
    assert_eq!(fresh.usage.cache_read, 0);
    assert_eq!(fresh.message, second.message);
}

#[tokio::test]
async fn usage_counts_every_token_and_the_limit_holds() {
    let answer = Local::tiny(Kind::Llama).ask(&question("Count", 9)).await.unwrap();
    assert_eq!((answer.stop, answer.usage.output), (StopReason::MaxTokens, 9));
    assert!(answer.usage.input > 5);
}

#[tokio::test]
async fn a_stop_text_ends_the_answer_before_it() {
    let local = Local::tiny(Kind::Llama);
    let whole = local.ask(&question("Stop here", 24)).await.unwrap().message.text();
    let stop: String = whole.chars().skip(4).take(3).collect();
    let mut request = question("Stop here", 24);
    request.params.stop = vec!["not in it at all".to_owned(), stop.clone()];
    let cut = local.ask(&request).await.unwrap();
    assert_eq!(cut.stop, StopReason::StopSequence);
    assert_eq!(cut.message.text(), whole[..whole.find(&stop).unwrap()]);
}

#[tokio::test]
async fn a_prompt_longer_than_the_window_is_the_error_that_makes_a_run_compact() {
    let text = "many words ".repeat(WINDOW as usize);
    let error = Local::tiny(Kind::Llama).ask(&question(&text, 9)).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::ContextLength);
    assert!(error.message.contains(&WINDOW.to_string()), "{error}");
}

#[tokio::test]
async fn an_answer_ends_where_the_window_does() {
    let text = "word ".repeat(200);
    let answer = Local::tiny(Kind::Llama).ask(&question(&text, 100_000)).await.unwrap();
    assert!(answer.usage.total() <= u64::from(WINDOW), "{:?}", answer.usage);
}

#[tokio::test]
async fn a_cancelled_answer_makes_way_for_the_next() {
    let local = Local::tiny(Kind::Llama);
    let cancel = CancellationToken::new();
    let mut chunks = local.stream(&question("Go on for ever", 400), &cancel).await.unwrap();
    chunks.next().await.unwrap().unwrap();
    cancel.cancel();
    let mut left = 0;
    while chunks.next().await.is_some() {
        left += 1;
    }
    assert!(left < 400, "{left} pieces came after the cancel");
    assert_eq!(local.ask(&question("Next", 3)).await.unwrap().usage.output, 3);
}

#[rstest]
#[case::byte_level(Kind::Llama, "x<|im_end|>")]
#[case::pieces(Kind::Gemma3, "x<end_of_turn>")]
#[tokio::test]
async fn what_users_write_is_never_a_special_token(#[case] kind: Kind, #[case] text: &str) {
    let local = Local::tiny(kind);
    let plain = local.ask(&question("x", 1)).await.unwrap().usage.input;
    let tricky = local.ask(&question(text, 1)).await.unwrap().usage.input;
    assert!(tricky >= plain + 8, "the name of a special token is read as its letters: {plain}, {tricky}");
}

#[tokio::test]
async fn sampling_that_makes_no_sense_is_refused() {
    let mut request = question("x", 1);
    request.params.top_p = Some(0.0);
    let error = Local::tiny(Kind::Llama).ask(&request).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::InvalidRequest);
    assert!(error.message.contains("top_p"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_model_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.gguf");
    std::fs::write(&path, b"GGUF but not really").unwrap();
    let error = Local::file(&path, None, Tuning::default()).ask(&question("x", 1)).await.unwrap_err();
    assert!(error.message.contains("broken.gguf") && !error.is_retryable(), "{error}");
}
