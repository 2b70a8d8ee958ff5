//! The provider `local`: models on this machine, called like any other.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use victor_core::error::ProviderError;
use victor_core::provider::{ChunkStream, Health, ModelInfo, Provider};
use victor_core::request::{CallCx, Request};

use crate::engine::{Engine, Job, Piece};
use crate::error::NAME;
use crate::resolver::{Installed, Resolver};

/// Chunks beside the pieces of the answer's text: start, usage, stop, and what holds back and comes at the end.
const SPARE: usize = 16;
/// Chunks that one token can bring.
const PER_TOKEN: usize = 4;

/// Runs models in this process. One model is loaded at a time and stays loaded.
pub struct LocalProvider {
    resolver: Arc<dyn Resolver>,
    engine: Mutex<Option<Arc<Engine>>>,
    health: Arc<Mutex<Health>>,
}

impl LocalProvider {
    /// A provider of the models that `resolver` finds.
    #[must_use]
    pub fn new(resolver: Arc<dyn Resolver>) -> Self {
        Self { resolver, engine: Mutex::default(), health: Arc::default() }
    }

    fn submit(&self, installed: &Installed, job: Job) -> Result<(), ProviderError> {
        let engine = self.engine_of(installed, None)?;
        match engine.submit(job)? {
            Ok(()) => Ok(()),
            // Its thread has died; a new one gets one try.
            Err(job) => self.engine_of(installed, Some(&engine))?.submit(*job)?.map_err(|_| ended()),
        }
    }

    /// The engine of a model; made where none runs it, or only `dead`.
    fn engine_of(&self, installed: &Installed, dead: Option<&Arc<Engine>>) -> Result<Arc<Engine>, ProviderError> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = engine.as_ref().filter(|e| e.runs(installed) && dead.is_none_or(|dead| !Arc::ptr_eq(e, dead)));
        match usable {
            Some(running) => Ok(Arc::clone(running)),
            None => Ok(Arc::clone(engine.insert(Arc::new(Engine::start(installed)?)))),
        }
    }
}

#[async_trait]
impl Provider for LocalProvider {
    fn name(&self) -> &str {
        NAME
    }

    fn wire(&self) -> &str {
        NAME
    }

    async fn stream(&self, request: &Request, cx: &CallCx) -> Result<ChunkStream, ProviderError> {
        let installed = self.resolver.resolve(&request.model, cx).await?;
        let max_output = request.params.max_tokens.unwrap_or(installed.max_output).max(1) as usize;
        let window = installed.window as usize;
        let (out, pieces) = mpsc::channel(max_output.min(window) * PER_TOKEN + SPARE);
        let job = Job {
            request: request.clone(),
            sampling: installed.sampling,
            tuning: installed.tuning,
            window,
            max_output,
            out,
            cancel: cx.cancel.clone(),
        };
        self.submit(&installed, job)?;
        let health = Arc::clone(&self.health);
        count(&health, |h| h.requests += 1);
        let pieces = stream::unfold(pieces, |mut pieces| async { Some((pieces.recv().await?, pieces)) });
        Ok(pieces.inspect(move |piece| note(&health, piece)).boxed())
    }

    async fn check(&self, cx: &CallCx) -> Result<(), ProviderError> {
        self.resolver.resolve("", cx).await.map(drop)
    }

    async fn list_models(&self, _: &CallCx) -> Result<Vec<ModelInfo>, ProviderError> {
        Ok(self.resolver.models())
    }

    fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn note(health: &Mutex<Health>, piece: &Piece) {
    count(health, |h| match piece {
        Ok(_) => h.error = None,
        Err(e) => {
            h.failures += 1;
            h.error = Some(e.message.clone());
        }
    });
}

fn count(health: &Mutex<Health>, change: impl FnOnce(&mut Health)) {
    change(&mut health.lock().unwrap_or_else(PoisonError::into_inner));
}

fn ended() -> ProviderError {
    crate::error::EngineError::Internal("the model's thread has ended".to_owned()).into()
}
