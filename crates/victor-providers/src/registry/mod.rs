//! Which provider and which model serve: the user's choice, else the documented order.

mod build;
mod choose;
mod embedded;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use secrecy::SecretString;
use victor_core::error::{ConfigurationError, VictorError};
use victor_core::provider::{Features, Health, Model, ModelInfo, Provider, ProviderInfo, ProviderRegistry, Selector};

use crate::catalog::Catalog;
use crate::embedded::Embedded;
use crate::http::Http;
use crate::service::{Service, known_ids, model_info};
use crate::settings::{Credentials, ProviderSettings, RegistrySettings};

/// The providers and models of a runtime. Nothing is read, opened or asked before it is needed; a key that was read
/// is kept for the registry's life.
pub struct Registry {
    settings: RegistrySettings,
    credentials: Arc<dyn Credentials>,
    http: Arc<Http>,
    /// The providers that were built, by name.
    services: Mutex<BTreeMap<String, Arc<Service>>>,
    /// How the latest calls went, by provider; outlives a rebuilt provider.
    health: Mutex<BTreeMap<String, Arc<Mutex<Health>>>>,
    /// Saved keys, as far as they were asked for.
    stored: Mutex<BTreeMap<String, Option<SecretString>>>,
    /// Models that run in this process, with the name of their provider.
    embedded: Option<(String, Arc<dyn Embedded>)>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Registry {
    /// A registry of the catalogue's providers and the configured ones. Cheap: no catalogue is read and no key is
    /// looked up yet.
    ///
    /// # Errors
    /// A configured name or address is unusable.
    pub fn new(settings: RegistrySettings, credentials: Arc<dyn Credentials>) -> Result<Self, ConfigurationError> {
        for (name, provider) in &settings.providers {
            build::validate(name, provider)?;
        }
        Ok(Self {
            settings,
            credentials,
            http: Arc::default(),
            services: Mutex::default(),
            health: Mutex::default(),
            stored: Mutex::default(),
            embedded: None,
        })
    }

    /// Which provider and model serve when none is named, and why; then, for every provider, whether it is
    /// configured. For people. Asks a local Ollama whether it runs if nothing else is configured.
    pub async fn explain(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match self.default_choice().await {
            Ok(choice) => {
                let model = match self.default_model(&choice.provider).await {
                    Ok(id) => id,
                    Err(e) => format!("no model ({e})"),
                };
                lines.push(format!("default: {}/{model}, because {}", choice.provider, choice.reason));
            }
            Err(e) => lines.push(format!("default: none: {e}")),
        }
        let listed = self.providers();
        lines.extend(listed.iter().filter(|p| p.configured).map(|p| format!("{}: {}", p.name, p.detail)));
        let missing: Vec<&str> = listed.iter().filter(|p| !p.configured).map(|p| p.name.as_str()).collect();
        if !missing.is_empty() {
            lines.push(format!("not configured: {}", missing.join(", ")));
        }
        lines
    }

    async fn default_model(&self, provider: &str) -> Result<String, VictorError> {
        match self.embedded(provider) {
            Some(embedded) => Ok(self.find_embedded(embedded, None)?.info.id.clone()),
            None => self.model_of(provider, None).await,
        }
    }

    /// All names: the catalogue's in its order, then those that only the configuration has, then the embedded one.
    fn names(&self) -> impl Iterator<Item = &str> {
        let catalog = Catalog::get();
        let known = catalog.providers.iter().map(|p| p.name.as_str());
        let own = self.settings.providers.keys().map(String::as_str).filter(|n| catalog.provider(n).is_none());
        known.chain(own).chain(self.embedded.iter().map(|(name, _)| name.as_str()))
    }

    fn exists(&self, name: &str) -> bool {
        let served = self.settings.providers.contains_key(name) || Catalog::get().provider(name).is_some();
        served || self.embedded(name).is_some()
    }

    fn own(&self, name: &str) -> ProviderSettings {
        self.settings.providers.get(name).cloned().unwrap_or_default()
    }

    fn health_of(&self, name: &str) -> Arc<Mutex<Health>> {
        let mut all = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(name.to_owned()).or_default())
    }

    async fn find(&self, selector: &Selector) -> Result<Model, VictorError> {
        let (provider, model) = self.split(selector).await?;
        if let Some(embedded) = self.embedded(&provider) {
            return self.find_embedded(embedded, model);
        }
        let id = self.model_of(&provider, model).await?;
        let service = self.service(&provider)?;
        let info = Arc::new(service.model(&id));
        Ok(Model { provider: service as Arc<dyn Provider>, info })
    }
}

#[async_trait]
impl ProviderRegistry for Registry {
    async fn resolve(&self, selector: &Selector) -> Result<Model, VictorError> {
        self.find(selector).await
    }

    async fn fallbacks(&self, first: &Model) -> Vec<Model> {
        let mut found: Vec<Model> = Vec::new();
        for entry in &self.settings.fallback {
            match self.find(&Selector::from(entry.as_str())).await {
                Ok(model) => {
                    let same = |m: &Model| m.info.provider == model.info.provider && m.info.id == model.info.id;
                    if !same(first) && !found.iter().any(same) {
                        found.push(model);
                    }
                }
                Err(e) => tracing::warn!("fallback `{entry}` is left out: {e}"),
            }
        }
        found
    }

    fn providers(&self) -> Vec<ProviderInfo> {
        let mut list: Vec<ProviderInfo> = self.names().map(|name| self.describe(name)).collect();
        if let Some(at) = self.settings.provider.as_ref().and_then(|own| list.iter().position(|p| p.name == *own)) {
            list[..=at].rotate_right(1);
        }
        list
    }

    fn models(&self) -> Vec<ModelInfo> {
        let of = |name: &str| {
            if let Some(models) = self.embedded_models(name) {
                return models;
            }
            let settings = self.own(name);
            let ids = known_ids(name, &settings);
            ids.iter().map(|id| model_info(name, &settings, id)).collect::<Vec<_>>()
        };
        self.names().flat_map(of).collect()
    }
}

impl Registry {
    fn describe(&self, name: &str) -> ProviderInfo {
        if let Some(embedded) = self.embedded(name) {
            return self.describe_embedded(name, embedded);
        }
        let (configured, detail) = match self.readiness(name) {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        let settings = self.own(name);
        let models = known_ids(name, &settings);
        let infos: Vec<Features> = models.iter().map(|id| model_info(name, &settings, id).features).collect();
        let features = infos.iter().copied().reduce(|a, b| Features {
            tool_calling: a.tool_calling || b.tool_calling,
            streaming: a.streaming || b.streaming,
            vision: a.vision || b.vision,
            thinking: a.thinking || b.thinking,
        });
        let health = self.health_of(name).lock().unwrap_or_else(PoisonError::into_inner).clone();
        ProviderInfo {
            name: name.to_owned(),
            models,
            configured,
            detail,
            features: features.unwrap_or_default(),
            health,
        }
    }
}

#[cfg(test)]
mod tests;
