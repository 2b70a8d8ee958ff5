//! The seam between the engine and the weights: which file a model's name stands for.

use std::path::PathBuf;

use async_trait::async_trait;
use victor_core::error::ProviderError;
use victor_core::provider::ModelInfo;
use victor_core::request::CallCx;

use crate::sample::Sampling;
use crate::tuning::Tuning;

/// Tokens of prompt and answer together at most: what is kept of each takes memory, and time to read.
const WINDOW: u32 = 8192;
/// Tokens of an answer where the request sets no limit.
const MAX_OUTPUT: u32 = 2048;

/// Finds the file of a model. Implemented by the weights; tests hand in a file of their own.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// The installed file of the model that `name` stands for; the default model where it is empty.
    ///
    /// # Errors
    /// The name is unknown, or the model is not installed: the message says what to do.
    async fn resolve(&self, name: &str, cx: &CallCx) -> Result<Installed, ProviderError>;

    /// The models that can be called or installed.
    fn models(&self) -> Vec<ModelInfo>;
}

/// A model on this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Installed {
    /// The model's name in `local/NAME`.
    pub name: String,
    /// A verified GGUF file, requantised where that was needed.
    pub path: PathBuf,
    /// Tokens of prompt and answer together; less where the model's own window is smaller.
    pub window: u32,
    /// Tokens of an answer where the request sets no limit.
    pub max_output: u32,
    /// How tokens are chosen where the request does not say; what suits the model's family where this is `None`.
    pub sampling: Option<Sampling>,
    /// What the user sets over that.
    pub tuning: Tuning,
}

impl Installed {
    /// A model with the usual limits.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self::tuned(name, path, Tuning::default())
    }

    /// A model as the user has set it.
    pub fn tuned(name: impl Into<String>, path: impl Into<PathBuf>, tuning: Tuning) -> Self {
        let (name, path, window) = (name.into(), path.into(), tuning.context_size.unwrap_or(WINDOW));
        Self { name, path, window, max_output: MAX_OUTPUT, sampling: None, tuning }
    }
}
