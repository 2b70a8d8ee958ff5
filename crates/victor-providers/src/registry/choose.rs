//! The order in which provider and model are chosen.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use victor_core::error::{ConfigurationError, VictorError};
use victor_core::provider::{Provider, Selector};
use victor_core::request::CallCx;

use super::Registry;
use crate::address;
use crate::catalog::Catalog;
use crate::embedded::Embedded;
use crate::service::known_ids;

/// Longest wait for an answer of a server on this machine that may not run.
const PROBE: Duration = Duration::from_millis(500);
/// Longest wait for a list of models.
const LISTING: Duration = Duration::from_secs(10);

/// A provider and why it serves.
pub(super) struct Choice {
    pub(super) provider: String,
    pub(super) reason: String,
}

impl Registry {
    /// The provider that `selector` means, and the model if it names one.
    pub(super) async fn split(&self, selector: &Selector) -> Result<(String, Option<String>), VictorError> {
        match (&selector.provider, &selector.model) {
            (Some(provider), model) => self.split_named(provider, model.as_deref()),
            (None, Some(model)) => self.split_model(model).await,
            (None, None) => {
                // The configured model belongs to the configuration's choice of provider.
                match self.settings.model.as_deref().filter(|_| self.settings.provider.is_none()) {
                    Some(model) => self.split_model(model).await,
                    None => Ok((self.default_choice().await?.provider, None)),
                }
            }
        }
    }

    fn split_named(&self, provider: &str, model: Option<&str>) -> Result<(String, Option<String>), VictorError> {
        if self.exists(provider) {
            let own_prefix = model.and_then(|m| m.strip_prefix(provider)?.strip_prefix('/'));
            // `--provider groq --model groq/x` means x; OpenRouter's own ids begin with its name.
            let model = if provider == "openrouter" { model } else { own_prefix.or(model) };
            return Ok((provider.to_owned(), model.map(str::to_owned)));
        }
        if let (None, Some(owner)) = (model, self.owner_of(provider)) {
            return Ok((owner, Some(provider.to_owned())));
        }
        Err(self.unknown_provider(provider).into())
    }

    /// `provider/model` where the first part is a provider, else a model's own id.
    async fn split_model(&self, model: &str) -> Result<(String, Option<String>), VictorError> {
        if let Some((provider, rest)) = model.split_once('/')
            && self.exists(provider)
            && !rest.is_empty()
            && self.owner_of(model).is_none()
        {
            return Ok((provider.to_owned(), Some(rest.to_owned())));
        }
        if let Some(provider) = self.settings.provider.as_deref().filter(|p| self.knows(p, model)) {
            return Ok((provider.to_owned(), Some(model.to_owned())));
        }
        if let Some(owner) = self.owner_of(model) {
            return Ok((owner, Some(model.to_owned())));
        }
        let choice = self.default_choice().await?;
        match self.embedded(&choice.provider) {
            // A server may have models that the catalogue does not know; this process has none but its own.
            Some(embedded) => Err(nothing_configured(Some(embedded)).into()),
            None => Ok((choice.provider, Some(model.to_owned()))),
        }
    }

    fn knows(&self, provider: &str, model: &str) -> bool {
        if let Some(models) = self.embedded_models(provider) {
            return models.iter().any(|m| m.id == model);
        }
        Catalog::get().model(provider, model).is_some() || self.own(provider).models.iter().any(|m| m.id == model)
    }

    /// The provider that has a model of this id: one that is configured before one that is not.
    fn owner_of(&self, model: &str) -> Option<String> {
        let owners: Vec<&str> = self.names().filter(|name| self.knows(name, model)).collect();
        let ready = owners.iter().find(|name| self.readiness(name).is_ok());
        ready.or(owners.first()).map(|name| (*name).to_owned())
    }

    pub(super) fn unknown_provider(&self, name: &str) -> ConfigurationError {
        let embedded = self.names().filter_map(|p| self.embedded_models(p)).flatten().map(|m| m.id);
        let models: Vec<String> = self.names().flat_map(|p| known_ids(p, &self.own(p))).chain(embedded).collect();
        let known = self.names().chain(models.iter().map(String::as_str));
        let mut error = ConfigurationError::unknown("provider", "PROVIDER_NOT_FOUND", name, known);
        error.message.push_str("; `victor providers list` shows all; another server needs an entry in `providers:`");
        error
    }

    /// Configuration, then a key in the environment or an address on this machine, then configured servers, then
    /// saved keys, then a running Ollama, then the embedded models, whether one of them is there or not.
    pub(super) async fn default_choice(&self) -> Result<Choice, VictorError> {
        let choice = |provider: &str, reason: String| Choice { provider: provider.to_owned(), reason };
        if let Some(provider) = &self.settings.provider {
            if !self.exists(provider) {
                return Err(self.unknown_provider(provider).into());
            }
            return Ok(choice(provider, "the configuration names it".into()));
        }
        let catalog = Catalog::get();
        for provider in catalog.providers.iter().filter(|p| p.name != "ollama" && self.is_callable(&p.name)) {
            if let Some(key) = self.ready_key(&provider.name) {
                return Ok(choice(&provider.name, format!("its key is in {}", key.source)));
            }
            let base = self.base(&provider.name)?;
            if let Some(by) = base.moved_by.filter(|_| address::is_loopback(&base.url)) {
                return Ok(choice(&provider.name, format!("{by} points to this machine ({})", base.url)));
            }
        }
        let own = self.settings.providers.keys().filter(|name| catalog.provider(name).is_none());
        if let Some(name) = own.into_iter().find(|name| self.readiness(name).is_ok()) {
            return Ok(choice(name, "the configuration describes it".into()));
        }
        for provider in catalog.providers.iter().filter(|p| !p.keys.is_empty() && self.is_callable(&p.name)) {
            if self.key(&provider.name)?.is_some() {
                return Ok(choice(&provider.name, "its key is saved".into()));
            }
        }
        if self.is_up("ollama").await {
            return Ok(choice("ollama", "it runs on this machine".into()));
        }
        match &self.embedded {
            Some((name, _)) => Ok(choice(name, "nothing else is configured".into())),
            None => Err(nothing_configured(None).into()),
        }
    }

    async fn is_up(&self, name: &str) -> bool {
        let Ok(service) = self.service(name) else { return false };
        let cx = CallCx { cancel: CancellationToken::new(), idle_timeout: PROBE };
        service.check(&cx).await.is_ok()
    }

    /// The model's id: the one that was named, else the provider's default, else the first that its server lists.
    pub(super) async fn model_of(&self, provider: &str, named: Option<String>) -> Result<String, VictorError> {
        let settings = self.own(provider);
        let configured = || self.configured_model(provider);
        let known = Catalog::get().provider(provider).and_then(|k| k.default_model.clone());
        let first = settings.models.first().map(|m| m.id.clone());
        let choice = named.or_else(configured).or(settings.default_model).or(first).or(known);
        match choice {
            Some(id) => Ok(id),
            None => self.first_listed(provider).await,
        }
    }

    /// The configured model, where it belongs to this provider.
    pub(super) fn configured_model(&self, provider: &str) -> Option<String> {
        let ours = self.settings.provider.as_deref() == Some(provider);
        let model = self.settings.model.as_deref().filter(|_| ours)?;
        let prefix = model.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/'));
        Some(prefix.filter(|_| provider != "openrouter").unwrap_or(model).to_owned())
    }

    async fn first_listed(&self, provider: &str) -> Result<String, VictorError> {
        let cx = CallCx { cancel: CancellationToken::new(), idle_timeout: LISTING };
        let listed = self.service(provider)?.list_models(&cx).await?;
        listed.into_iter().next().map(|m| m.id).ok_or_else(|| {
            let message = format!("{provider} has no model; name one with `--model`, or load one into the server");
            ConfigurationError::with_code("MODEL_NOT_FOUND", message).into()
        })
    }
}

pub(super) fn nothing_configured(embedded: Option<&dyn Embedded>) -> ConfigurationError {
    let variables: Vec<&str> =
        Catalog::get().providers.iter().filter_map(|p| p.keys.first()).map(String::as_str).take(3).collect();
    let own = match embedded.map(Embedded::readiness) {
        Some(Err(what_to_do)) => format!("{what_to_do}; or set"),
        Some(Ok(ready)) => format!("The local models do not have it ({ready}). Set"),
        None => "Set".to_owned(),
    };
    let message = format!(
        "no model provider is configured. {own} a key in the environment ({}, ...), run `victor keys set PROVIDER`, \
         start Ollama on this machine, or describe a server under `providers:` in the configuration",
        variables.join(", ")
    );
    ConfigurationError::no_key(None, variables, message)
}
