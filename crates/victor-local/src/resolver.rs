//! The seam between the engine and the weights: which file a model's name stands for.

use std::path::PathBuf;

use async_trait::async_trait;
use victor_core::error::ProviderError;
use victor_core::provider::ModelInfo;
use victor_core::request::CallCx;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The model's name in `local/NAME`.
    pub name: String,
    /// A verified GGUF file, requantised where that was needed.
    pub path: PathBuf,
}
