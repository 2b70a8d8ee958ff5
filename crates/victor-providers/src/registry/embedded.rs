//! The embedded provider's place in the registry: the last one, where the configuration has none of its name.

use std::sync::Arc;

use victor_core::error::{ConfigurationError, VictorError};
use victor_core::provider::{Health, Model, ModelInfo, ProviderInfo, Selector};

use super::Registry;
use super::choose::nothing_configured;
use crate::embedded::Embedded;

impl Registry {
    /// The same registry, with models that run in this process at the end of the order.
    #[must_use]
    pub fn with_embedded(mut self, embedded: Arc<dyn Embedded>) -> Self {
        let name = embedded.provider().name().to_owned();
        if !self.settings.providers.contains_key(&name) {
            self.embedded = Some((name, embedded));
        }
        self
    }

    /// The embedded model that `selector` leads to and that is not on this machine: its id, or nothing of it where any
    /// would do. `None` where another provider serves, or the model is there.
    pub async fn absent(&self, selector: &Selector) -> Option<Option<String>> {
        let (provider, model) = self.split(selector).await.ok()?;
        let embedded = self.embedded(&provider)?;
        match model.or_else(|| self.configured_model(&provider)) {
            Some(id) if embedded.models().iter().any(|m| m.id == id) => {
                embedded.model(&id).is_err().then_some(Some(id))
            }
            Some(_) => None,
            None => embedded.default_model().is_none().then_some(None),
        }
    }

    pub(super) fn embedded(&self, name: &str) -> Option<&dyn Embedded> {
        self.embedded.as_ref().filter(|(own, _)| own == name).map(|(_, embedded)| &**embedded)
    }

    pub(super) fn embedded_models(&self, name: &str) -> Option<Vec<ModelInfo>> {
        self.embedded(name).map(Embedded::models)
    }

    pub(super) fn find_embedded(&self, embedded: &dyn Embedded, model: Option<String>) -> Result<Model, VictorError> {
        let provider = embedded.provider();
        let id = match model.or_else(|| self.configured_model(provider.name())).or_else(|| embedded.default_model()) {
            Some(id) => id,
            None if self.settings.provider.as_deref() == Some(provider.name()) => {
                let why = embedded.readiness().err().unwrap_or_default();
                return Err(ConfigurationError::with_code("PROVIDER_NOT_CONFIGURED", why).into());
            }
            None => return Err(nothing_configured(Some(embedded)).into()),
        };
        Ok(Model { info: Arc::new(embedded.model(&id)?), provider })
    }

    pub(super) fn describe_embedded(&self, name: &str, embedded: &dyn Embedded) -> ProviderInfo {
        let (configured, detail) = match embedded.readiness() {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        let models = embedded.models();
        let features = models.first().map(|m| m.features).unwrap_or_default();
        let health: Health = embedded.provider().health();
        let models = models.into_iter().map(|m| m.id).collect();
        ProviderInfo { name: name.to_owned(), models, configured, detail, features, health }
    }
}
