//! The embedder `local`: texts to vectors in this process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use victor_core::embed::{Embedder, Embedding, EmbeddingModel, Embeddings};
use victor_core::error::{ProviderError, ProviderErrorKind};
use victor_core::request::CallCx;

use crate::error::{EngineError, NAME};
use crate::gguf::Gguf;
use crate::model::encoder::Encoder;
use crate::resolver::{Installed, Resolver};
use crate::wordpiece::{Tokens, WordPiece};

/// Calls that may be under way or wait.
const CALLS: usize = 16;
/// Texts whose tokens are looked for between two looks at whether the call was cancelled, and that are encoded in one go.
const TEXTS: usize = 256;

/// Runs a sentence-embedding model in this process. It is loaded with the first call and stays loaded.
pub struct LocalEmbedder {
    resolver: Arc<dyn Resolver>,
    name: String,
    calls: Arc<Semaphore>,
    loaded: Arc<Mutex<Option<Arc<Loaded>>>>,
}

struct Loaded {
    path: PathBuf,
    encoder: Encoder,
    tokenizer: WordPiece,
}

impl LocalEmbedder {
    /// An embedder with the model of this name, as `resolver` finds it; empty for the first one that is installed.
    pub fn new(resolver: Arc<dyn Resolver>, name: impl Into<String>) -> Self {
        Self { resolver, name: name.into(), calls: Arc::new(Semaphore::new(CALLS)), loaded: Arc::default() }
    }

    /// Runs `work` with the model beside the callers.
    async fn with_model<R: Send + 'static>(
        &self,
        cx: &CallCx,
        work: impl FnOnce(&Installed, &Loaded) -> Result<R, EngineError> + Send + 'static,
    ) -> Result<R, ProviderError> {
        let place = Arc::clone(&self.calls).try_acquire_owned().map_err(|_| {
            let message = format!("{CALLS} calls are under way already; try again later");
            ProviderError::new(ProviderErrorKind::Overloaded, NAME, message)
        })?;
        let installed = self.resolver.resolve_embedding(&self.name, cx).await?;
        let slot = Arc::clone(&self.loaded);
        let work = tokio::task::spawn_blocking(move || {
            // Given back when the work has ended, not when nobody waits for it any more.
            let _place = place;
            let loaded = loaded(&slot, &installed)?;
            work(&installed, &loaded)
        });
        tokio::select! {
            done = work => match done {
                Ok(done) => done.map_err(ProviderError::from),
                Err(e) => Err(EngineError::Internal(e.to_string()).into()),
            },
            () = cx.cancel.cancelled() => Err(cancelled()),
        }
    }
}

#[async_trait]
impl Embedder for LocalEmbedder {
    fn name(&self) -> &str {
        NAME
    }

    async fn model(&self, cx: &CallCx) -> Result<EmbeddingModel, ProviderError> {
        self.with_model(cx, |installed, loaded| {
            let dimension = loaded.encoder.config().width;
            Ok(EmbeddingModel::new(installed.name.as_str(), dimension, loaded.limit(installed)))
        })
        .await
    }

    async fn embed(&self, texts: Vec<String>, cx: &CallCx) -> Result<Embeddings, ProviderError> {
        let cancel = cx.cancel.child_token();
        // Whoever drops the future wants no answer.
        let _dropped = cancel.clone().drop_guard();
        let done = self.with_model(cx, move |installed, loaded| {
            let vectors = loaded.embed(&texts, loaded.limit(installed), &cancel)?;
            Ok(vectors.map(|vectors| Embeddings::new(installed.name.as_str(), vectors)))
        });
        done.await?.ok_or_else(cancelled)
    }
}

/// The model in the slot, loaded where it is not there or another one is.
fn loaded(slot: &Mutex<Option<Arc<Loaded>>>, installed: &Installed) -> Result<Arc<Loaded>, EngineError> {
    // Whoever wants the same model waits here until it is there.
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    match slot.as_ref().filter(|loaded| loaded.path == installed.path) {
        Some(loaded) => Ok(Arc::clone(loaded)),
        None => Ok(Arc::clone(slot.insert(Arc::new(Loaded::read(&installed.path, installed.tuning.threads)?)))),
    }
}

impl Loaded {
    fn read(path: &Path, threads: Option<usize>) -> Result<Self, EngineError> {
        let mut file = Gguf::open(path)?;
        // First, as it says best what is wrong with a file that is no encoder.
        let encoder = Encoder::read(&mut file, threads)?;
        Ok(Self { path: path.to_owned(), tokenizer: WordPiece::read(&file)?, encoder })
    }

    /// Tokens of a text at most.
    fn limit(&self, installed: &Installed) -> usize {
        self.encoder.config().positions.min(installed.window as usize)
    }

    /// A vector for each text; nothing where the call was cancelled.
    fn embed(
        &self,
        texts: &[String],
        limit: usize,
        cancel: &CancellationToken,
    ) -> Result<Option<Vec<Embedding>>, EngineError> {
        let mut vectors = Vec::with_capacity(texts.len());
        for texts in texts.chunks(TEXTS) {
            let mut tokens = Vec::with_capacity(texts.len());
            for text in texts {
                if cancel.is_cancelled() {
                    return Ok(None);
                }
                tokens.push(self.tokenizer.encode(text, limit)?);
            }
            let (ids, ends): (Vec<_>, Vec<_>) =
                tokens.into_iter().map(|Tokens { ids, truncated }| (ids, truncated)).unzip();
            let Some(values) = self.encoder.encode(&ids, || !cancel.is_cancelled())? else { return Ok(None) };
            vectors.extend(values.into_iter().zip(ids.iter().zip(ends)).map(|(values, (ids, truncated))| {
                let tokens = u32::try_from(ids.len()).unwrap_or(u32::MAX);
                Embedding::new(values, tokens, truncated)
            }));
        }
        Ok(Some(vectors))
    }
}

fn cancelled() -> ProviderError {
    ProviderError::new(ProviderErrorKind::Connection, NAME, "cancelled")
}
