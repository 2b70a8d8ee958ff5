//! A provider that is no server: it runs in this process, needs no key, and comes last in the order.

use std::sync::Arc;

use victor_core::error::VictorError;
use victor_core::provider::{ModelInfo, Provider};

/// Models that run in this process. Layers above bring them; the registry gives them their place in the order.
pub trait Embedded: Send + Sync + 'static {
    /// The provider, named as in `provider/model`.
    fn provider(&self) -> Arc<dyn Provider>;

    /// All models, also those that are not on this machine yet.
    fn models(&self) -> Vec<ModelInfo>;

    /// The model that serves when none is named; none where no model is on this machine.
    fn default_model(&self) -> Option<String>;

    /// What is known of a model that can be called.
    ///
    /// # Errors
    /// There is no such model, or it is not on this machine: says what to do.
    fn model(&self, id: &str) -> Result<ModelInfo, VictorError>;

    /// Whether a model can answer: which, else what to do for one.
    ///
    /// # Errors
    /// No model is on this machine.
    fn readiness(&self) -> Result<String, String>;
}
