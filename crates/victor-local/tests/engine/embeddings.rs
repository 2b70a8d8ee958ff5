//! What embeddings are like: those of other implementations, the same for the same text, and given up when nobody wants
//! them any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use victor_core::embed::{Embedder as _, Embedding, EmbeddingModel};
use victor_core::error::{ProviderError, ProviderErrorKind};
use victor_core::provider::ModelInfo;
use victor_core::request::CallCx;
use victor_local::weights::{Convert as _, Requantise};
use victor_local::{Installed, LocalEmbedder, Resolver};

use crate::bert::{self, POSITIONS};
use crate::real;
use crate::tiny::{self, Kind};

/// A resolver of one file, which lets calls pass as they get a permit.
struct Only {
    path: PathBuf,
    window: u32,
    gate: Arc<Semaphore>,
}

#[async_trait]
impl Resolver for Only {
    async fn resolve(&self, _: &str, _: &CallCx) -> Result<Installed, ProviderError> {
        unreachable!("nobody asked for a model that answers")
    }

    async fn resolve_embedding(&self, _: &str, _: &CallCx) -> Result<Installed, ProviderError> {
        let _pass = self.gate.acquire().await.unwrap();
        Ok(Installed { window: self.window, ..Installed::new("small", self.path.clone()) })
    }

    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }
}

fn embedder_within(path: &Path, window: u32) -> LocalEmbedder {
    LocalEmbedder::new(Arc::new(Only { path: path.to_owned(), window, gate: Arc::new(Semaphore::new(99)) }), "")
}

fn embedder(path: &Path) -> LocalEmbedder {
    embedder_within(path, 8192)
}

fn cx() -> CallCx {
    CallCx { cancel: CancellationToken::new(), idle_timeout: Duration::from_mins(1) }
}

async fn vectors(embedder: &LocalEmbedder, texts: &[&str]) -> Vec<Embedding> {
    embedder.embed(texts.iter().map(|text| (*text).to_owned()).collect(), &cx()).await.unwrap().vectors
}

/// One minus the cosine.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// A text of `bert.json`: what a BERT written in Python with numpy, in 64 bits where it sums, makes of it with the same
/// weights, and the tokens of Python's `tokenizers`.
#[derive(Deserialize)]
struct Case {
    text: String,
    tokens: u32,
    truncated: bool,
    mean: Vec<f32>,
    first: Vec<f32>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("bert.json")).unwrap()
}

#[tokio::test]
async fn vectors_are_those_of_another_implementation() {
    let folder = tempfile::tempdir().unwrap();
    let model = bert::imported(folder.path());
    let (mean, first) = (embedder(&model), embedder(&bert::pooled(&model, 2)));
    for case in cases() {
        let (by_mean, by_first) = (&vectors(&mean, &[&case.text]).await[0], &vectors(&first, &[&case.text]).await[0]);
        assert_eq!((by_mean.tokens, by_mean.truncated), (case.tokens, case.truncated), "{}", case.text);
        for (found, expected) in [(by_mean, &case.mean), (by_first, &case.first)] {
            let worst = found.values.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(found.values.len() == expected.len() && worst < 5e-6, "{}: {worst}", case.text);
        }
    }
    let about = mean.model(&cx()).await.unwrap();
    assert_eq!(about, EmbeddingModel::new("small", 24, POSITIONS));
}

#[tokio::test]
async fn a_text_has_the_same_vector_alone_and_among_others() {
    let folder = tempfile::tempdir().unwrap();
    let model = bert::imported(folder.path());
    let texts: Vec<String> =
        (1..90).map(|i| "the sea is rising in the wind ".repeat(i % 7) + &"x".repeat(i % 5)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let together = vectors(&embedder(&model), &texts).await;
    assert_eq!(together, vectors(&embedder(&model), &texts).await);
    let alone = embedder(&model);
    for (text, expected) in texts.iter().zip(&together) {
        assert_eq!(vectors(&alone, &[text]).await[0], *expected, "{text}");
    }
    assert!(vectors(&alone, &[]).await.is_empty());
}

#[tokio::test]
async fn a_text_is_read_as_far_as_the_model_was_made_for() {
    let folder = tempfile::tempdir().unwrap();
    let embedder = embedder_within(&bert::imported(folder.path()), 6);
    let read =
        vectors(&embedder, &["the sea the sea", "the sea the sea the wind", "the sea the sea [SEP] the wind"]).await;
    let told: Vec<_> = read.iter().map(|vector| (vector.tokens, vector.truncated)).collect();
    assert_eq!(told, [(6, false), (6, true), (6, true)]);
    assert_eq!(read[0].values, read[1].values);
    assert_eq!(embedder.model(&cx()).await.unwrap().max_input, 6);
    // Longer than what is looked at first, with a word that goes on there.
    let long = format!("{}{}", "the ".repeat(20), "sea".repeat(40_000));
    assert_eq!(vectors(&embedder, &[&long]).await[0].values, vectors(&embedder, &[&"the ".repeat(20)]).await[0].values);
}

#[tokio::test]
async fn a_cancelled_call_gives_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let embedder = embedder(&bert::imported(folder.path()));
    let texts = vec!["the sea is rising".to_owned(); 200_000];
    let cx = cx();
    let call = embedder.embed(texts, &cx);
    let (ended, ()) = futures::join!(call, async { cx.cancel.cancel() });
    let error = ended.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ProviderErrorKind::Connection, "cancelled"));
    assert_eq!(vectors(&embedder, &["the sea"]).await.len(), 1);
}

#[tokio::test]
async fn more_calls_than_may_wait_are_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let only = Only { path: bert::imported(folder.path()), window: 64, gate: Arc::clone(&gate) };
    let embedder = LocalEmbedder::new(Arc::new(only), "");
    let cx = cx();
    let ask = || embedder.embed(vec!["the sea".to_owned()], &cx);
    let mut waiting: Vec<_> = (0..16).map(|_| ask()).collect();
    for call in &mut waiting {
        assert!(call.now_or_never().is_none());
    }
    let error = ask().await.unwrap_err();
    assert!(error.kind == ProviderErrorKind::Overloaded && error.is_retryable(), "{error}");
    gate.add_permits(1);
    for call in waiting {
        assert_eq!(call.await.unwrap().vectors.len(), 1);
    }
    assert_eq!(ask().await.unwrap().usage.input, 4);
}

#[tokio::test]
async fn files_that_give_no_embeddings_are_refused_with_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let model = bert::imported(folder.path());
    let chat = folder.path().join("chat.gguf");
    tiny::write(&chat, Kind::Llama, candle_core::quantized::GgmlDType::Q8_0);
    let short = folder.path().join("short.gguf");
    let bytes = std::fs::read(&model).unwrap();
    std::fs::write(&short, &bytes[..bytes.len() - 500]).unwrap();
    for (path, word) in [
        (&chat, "the kind `llama`"),
        (&short, "cannot be read"),
        (&folder.path().join("none.gguf"), "none.gguf"),
        (&bert::pooled(&model, 4), "the pooling 4 is not supported"),
    ] {
        let error = embedder(path).embed(vec!["the".to_owned()], &cx()).await.unwrap_err();
        assert!(error.kind == ProviderErrorKind::NotConfigured && error.message.contains(word), "{error}");
    }
}

/// A text of `minilm.json`: as above, with the real weights; the vector's parts as whole numbers of 8 bits.
#[derive(Deserialize)]
struct Pinned {
    text: String,
    tokens: u32,
    vector: String,
}

impl Pinned {
    fn values(&self) -> Vec<f32> {
        let digits = self.vector.as_bytes().as_chunks::<2>().0;
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.iter().map(|pair| f32::from(byte(pair).cast_signed())).collect()
    }
}

#[tokio::test]
async fn the_real_model_gives_the_vectors_of_the_reference() {
    let Some(model) = real::embedding(|from, to| Requantise.convert(from, to, &CancellationToken::new()).unwrap())
    else {
        return;
    };
    let embedder = embedder_within(&model, 256);
    let cases: Vec<Pinned> = serde_json::from_str(include_str!("minilm.json")).unwrap();
    assert!(cases.len() >= 20);
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let found = vectors(&embedder, &texts).await;
    for (case, found) in cases.iter().zip(&found) {
        assert_eq!(found.tokens, case.tokens, "{}", case.text);
        // The rounding to 8 bits alone is up to 1.5e-4.
        let distance = distance(&found.values, &case.values());
        assert!(distance < 2e-4, "{}: {distance}", case.text);
    }
    let near = |a: usize, b: usize| found[a].similarity(&found[b]);
    assert!((near(1, 1) - 1.0).abs() < 1e-5 && near(1, 2) < 0.3, "{}", near(1, 2));
}
