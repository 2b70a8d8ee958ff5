//! What goes wrong in the engine, told as a provider's error.

use victor_core::error::{ProviderError, ProviderErrorKind};

/// The provider's name.
pub(crate) const NAME: &str = "local";

/// A failure of the engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EngineError {
    /// The file is no model that this engine can run.
    #[error("{0}")]
    Model(String),
    /// Prompt and answer do not fit.
    #[error("the prompt has {prompt} tokens, and the model's window holds {window}")]
    Context { prompt: usize, window: usize },
    /// The request asks for what cannot be done.
    #[error("{0}")]
    Request(String),
    /// A defect of the engine.
    #[error("the engine failed: {0}")]
    Internal(String),
}

impl From<candle_core::Error> for EngineError {
    fn from(e: candle_core::Error) -> Self {
        Self::Model(e.to_string())
    }
}

impl From<EngineError> for ProviderError {
    fn from(e: EngineError) -> Self {
        let kind = match &e {
            EngineError::Model(_) => ProviderErrorKind::NotConfigured,
            EngineError::Context { .. } => ProviderErrorKind::ContextLength,
            EngineError::Request(_) => ProviderErrorKind::InvalidRequest,
            EngineError::Internal(_) => ProviderErrorKind::Server,
        };
        Self::new(kind, NAME, e.to_string())
    }
}
