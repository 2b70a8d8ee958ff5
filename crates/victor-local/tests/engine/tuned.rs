//! What users set for their models reaches the engine, and what a request says beats it.

use rstest::rstest;
use victor_core::error::ProviderErrorKind;
use victor_local::Tuning;

use crate::ask::{Local, question};
use crate::tiny::Kind;

/// Odds so flat that chance decides.
const WILD: Tuning = Tuning {
    engine: None,
    temperature: Some(1.8),
    top_p: Some(1.0),
    top_k: Some(0),
    min_p: Some(0.0),
    repeat_penalty: Some(1.0),
    seed: Some(5),
    context_size: None,
    threads: None,
};

async fn says(tuning: Tuning) -> String {
    Local::tuned(Kind::Qwen2, tuning).ask(&question("Say something", 24)).await.unwrap().message.text()
}

#[rstest]
#[case::temperature(Tuning { temperature: Some(0.0), ..WILD })]
#[case::top_k(Tuning { top_k: Some(1), ..WILD })]
#[case::top_p(Tuning { top_p: Some(0.000_001), ..WILD })]
#[case::min_p(Tuning { min_p: Some(1.0), ..WILD })]
#[tokio::test]
async fn each_way_to_the_likeliest_token_takes_it(#[case] tuning: Tuning) {
    let likeliest = says(Tuning { temperature: Some(0.0), repeat_penalty: Some(1.0), ..Tuning::default() }).await;
    assert_eq!(says(tuning).await, likeliest);
    assert_ne!(says(WILD).await, likeliest);
}

#[tokio::test]
async fn the_seed_and_the_penalty_count() {
    assert_eq!(says(WILD).await, says(WILD).await);
    assert_ne!(says(WILD).await, says(Tuning { seed: Some(6), ..WILD }).await);
    let greedy = Tuning { temperature: Some(0.0), ..WILD };
    assert_ne!(says(greedy).await, says(Tuning { repeat_penalty: Some(2.0), ..greedy }).await);
}

#[tokio::test]
async fn more_threads_say_the_same() {
    let greedy = Tuning { temperature: Some(0.0), ..WILD };
    let one = says(Tuning { threads: Some(1), ..greedy }).await;
    assert_eq!(one, says(Tuning { threads: Some(3), ..greedy }).await);
}

#[tokio::test]
async fn the_window_is_the_one_that_was_set() {
    let small = Local::tuned(Kind::Qwen2, Tuning { context_size: Some(24), ..Tuning::default() });
    let error = small.ask(&question(&"many words ".repeat(30), 4)).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::ContextLength);
    assert!(error.message.contains("holds 24"), "{error}");
}

#[tokio::test]
async fn a_request_beats_the_settings() {
    let mut request = question("Say something", 24);
    request.params.temperature = Some(0.0);
    let answer = Local::tuned(Kind::Qwen2, WILD).ask(&request).await.unwrap().message.text();
    assert_eq!(answer, says(Tuning { temperature: Some(0.0), ..WILD }).await);
}
