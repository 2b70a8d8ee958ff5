//! The providers of a runtime: those of the catalogue and the configuration, with the environment's values put in.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use victor_core::error::{ConfigurationError, VictorError};
use victor_core::provider::{Features, Health, Model, ModelInfo, ProviderInfo, ProviderRegistry, Selector};
use victor_providers::{Credentials, Embedded, Registry, RegistrySettings};

use crate::config::{Config, expand};
use crate::env::Env;
use crate::limits::Reach;

/// The registry, and the providers whose settings cannot be used: they are errors of who names them, and of nobody
/// else. One of the catalogue's is not called without the settings that the user gave it.
#[derive(Debug)]
pub struct Providers {
    inner: Registry,
    broken: BTreeMap<String, ConfigurationError>,
    default: Option<String>,
}

impl Providers {
    /// The providers of a configuration.
    ///
    /// # Errors
    /// A name or an address is unusable; `provider`, `model` or `fallback` names a variable that is not set.
    pub(crate) fn new(
        config: &Config,
        env: &Env,
        credentials: Arc<dyn Credentials>,
        reach: Reach,
    ) -> Result<Self, ConfigurationError> {
        let (mut providers, mut broken) = (BTreeMap::new(), BTreeMap::new());
        for (name, settings) in &config.providers {
            match expand::part(settings, &format!("providers.{name}"), env) {
                Ok(settings) => drop(providers.insert(name.clone(), settings)),
                Err(e) => drop(broken.insert(name.clone(), e)),
            }
        }
        let settings = RegistrySettings {
            providers,
            provider: expand::part(&config.provider, "provider", env)?,
            model: expand::part(&config.model, "model", env)?,
            fallback: expand::part(&config.fallback, "fallback", env)?.unwrap_or_default(),
            local_only: (reach == Reach::Machine).then(|| "VICTOR_AIRGAPPED_MODE is on".to_owned()),
        };
        let default = settings.provider.clone();
        Ok(Self { inner: Registry::new(settings, credentials)?, broken, default })
    }

    /// The same providers, with models that run in this process at the end of the order.
    #[must_use]
    pub fn with_embedded(mut self, embedded: Arc<dyn Embedded>) -> Self {
        self.inner = self.inner.with_embedded(embedded);
        self
    }

    /// The model of this process that `selector` leads to and that is not on this machine: its id, or nothing of it
    /// where any would do. `None` where nothing has to be fetched.
    pub async fn absent(&self, selector: &Selector) -> Option<Option<String>> {
        self.inner.absent(selector).await
    }

    /// Which provider and model serve when none is named, and why; then each provider's state. For people.
    pub async fn explain(&self) -> Vec<String> {
        let mut lines = self.inner.explain().await;
        lines.extend(self.broken.values().map(|e| format!("not usable: {e}")));
        lines
    }

    fn unbroken(&self, name: &str) -> Result<(), ConfigurationError> {
        self.broken.get(name).map_or(Ok(()), |e| Err(e.clone()))
    }
}

#[async_trait]
impl ProviderRegistry for Providers {
    async fn resolve(&self, selector: &Selector) -> Result<Model, VictorError> {
        let named = match (&selector.provider, &selector.model) {
            (Some(provider), _) => Some(provider.as_str()),
            (None, Some(model)) => model.split_once('/').map(|(provider, _)| provider),
            (None, None) => self.default.as_deref(),
        };
        if let Some(name) = named {
            self.unbroken(name)?;
        }
        let model = self.inner.resolve(selector).await?;
        self.unbroken(&model.info.provider)?;
        Ok(model)
    }

    async fn fallbacks(&self, first: &Model) -> Vec<Model> {
        let mut models = self.inner.fallbacks(first).await;
        models.retain(|model| self.unbroken(&model.info.provider).is_ok());
        models
    }

    fn providers(&self) -> Vec<ProviderInfo> {
        let mut list = self.inner.providers();
        for (name, error) in &self.broken {
            match list.iter_mut().find(|p| p.name == *name) {
                Some(info) => (info.configured, info.detail) = (false, error.message.clone()),
                None => list.push(ProviderInfo {
                    name: name.clone(),
                    models: Vec::new(),
                    configured: false,
                    detail: error.message.clone(),
                    features: Features::default(),
                    health: Health::default(),
                }),
            }
        }
        list
    }

    fn models(&self) -> Vec<ModelInfo> {
        self.inner.models()
    }
}
