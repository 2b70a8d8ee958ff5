//! Where the door gets its runtime from: opened when it is first needed, for the folders that the client names where
//! nobody else has named any.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use victor_core::error::VictorError;
use victor_core::runtime::Runtime;

/// Gives the door its runtime.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// The runtime for a client that names no folders.
    ///
    /// # Errors
    /// The configuration is wrong, or a part of it cannot be opened.
    async fn runtime(&self) -> Result<Runtime, VictorError>;

    /// Whether somebody chose a provider or a model, so that a client's own cannot stand in where none is there.
    fn has_choice(&self) -> bool {
        false
    }

    /// Whether the folders that a client names count.
    fn takes_roots(&self) -> bool {
        false
    }

    /// The runtime for these folders.
    ///
    /// # Errors
    /// As [`runtime`](Self::runtime).
    async fn rooted(&self, _roots: Vec<PathBuf>) -> Result<Runtime, VictorError> {
        self.runtime().await
    }

    /// Ends all that runs.
    async fn shutdown(&self, grace: Duration);
}

#[async_trait]
impl Host for Runtime {
    async fn runtime(&self) -> Result<Runtime, VictorError> {
        Ok(self.clone())
    }

    async fn shutdown(&self, grace: Duration) {
        Runtime::shutdown(self, grace).await;
    }
}
