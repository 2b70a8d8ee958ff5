//! A provider out of catalogue, configuration and credentials.

use std::sync::{Arc, PoisonError};

use reqwest::Url;
use secrecy::SecretString;
use victor_core::error::{ConfigurationError, VictorError};

use super::Registry;
use crate::address;
use crate::catalog::{Catalog, KnownProvider};
use crate::service::Service;
use crate::settings::{ProviderSettings, Wire};
use crate::wire::tools::LastTools;

/// Where a key comes from, and the key.
pub(super) struct Key {
    pub(super) value: SecretString,
    pub(super) source: String,
}

/// Where the requests go, and whether the user moved it there.
pub(super) struct Base {
    pub(super) url: Url,
    pub(super) moved_by: Option<String>,
}

/// Checks what can be checked without a key or a connection.
pub(super) fn validate(name: &str, settings: &ProviderSettings) -> Result<(), ConfigurationError> {
    if name.is_empty() || name.contains('/') || name.chars().any(char::is_whitespace) {
        return Err(ConfigurationError::new(format!("providers.{name}: a provider's name has no `/` and no spaces")));
    }
    if let Some(url) = settings.base_url.as_deref().filter(|u| !u.contains("${")) {
        address::base_url(url).map_err(|e| ConfigurationError::new(format!("providers.{name}.base_url: {e}")))?;
    }
    for header in settings.headers.keys() {
        reqwest::header::HeaderName::try_from(header.as_str())
            .map_err(|_| ConfigurationError::new(format!("providers.{name}.headers: `{header}` is no header name")))?;
    }
    if settings.models.iter().any(|m| m.id.is_empty()) {
        return Err(ConfigurationError::new(format!("providers.{name}.models: an entry without `id`")));
    }
    Ok(())
}

impl Registry {
    /// The provider of this name, ready to be called; made once.
    pub(super) fn service(&self, name: &str) -> Result<Arc<Service>, VictorError> {
        if let Some(found) = self.services.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Arc::clone(found));
        }
        let built = Arc::new(self.make(name)?);
        self.services.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Arc::clone(&built));
        Ok(built)
    }

    /// Whether the provider has what it needs: where its credentials come from, else what is missing.
    pub(super) fn readiness(&self, name: &str) -> Result<String, String> {
        if let Some(embedded) = self.embedded(name) {
            return embedded.readiness();
        }
        let base = self.base(name).map_err(|e| e.to_string())?;
        self.may_call(name, &base).map_err(|e| e.to_string())?;
        let place = match &base.moved_by {
            Some(by) => format!(" at {} ({by})", base.url),
            None => String::new(),
        };
        match self.key(name) {
            Err(e) => Err(e.to_string()),
            Ok(Some(key)) => Ok(format!("key from {}{place}", key.source)),
            Ok(None) if self.needs_key(name, &base) => Err(self.missing_key(name).message),
            Ok(None) if address::is_loopback(&base.url) => {
                Ok(format!("no key needed; `victor providers test {name}` shows whether it runs at {}", base.url))
            }
            Ok(None) => Ok(format!("no key configured{place}")),
        }
    }

    fn make(&self, name: &str) -> Result<Service, VictorError> {
        let base = self.base(name)?;
        self.may_call(name, &base)?;
        let key = self.key(name)?;
        if key.is_none() && self.needs_key(name, &base) {
            return Err(self.missing_key(name).into());
        }
        let known = Catalog::get().provider(name);
        let settings = self.own(name);
        let wire = settings.wire.or(known.map(|k| k.wire)).unwrap_or(Wire::OpenaiChat);
        Ok(Service {
            name: name.to_owned(),
            wire,
            base: base.url,
            key: key.map(|k| k.value),
            key_env: self.key_variables(name).into_iter().next(),
            known,
            settings,
            http: Arc::clone(&self.http),
            health: self.health_of(name),
            tools: LastTools::default(),
        })
    }

    /// Whether the provider is one that may be called at all.
    fn may_call(&self, name: &str, base: &Base) -> Result<(), ConfigurationError> {
        match &self.settings.local_only {
            Some(why) if !address::is_loopback(&base.url) => {
                let message = format!("{why}: `{name}` at {} is not on this machine", base.url);
                Err(ConfigurationError::with_code("PROVIDER_NOT_CONFIGURED", message))
            }
            _ => Ok(()),
        }
    }

    /// Whether the provider may be chosen for who names none.
    pub(super) fn is_callable(&self, name: &str) -> bool {
        let here = |base: Base| self.may_call(name, &base).is_ok();
        self.settings.local_only.is_none() || self.base(name).is_ok_and(here)
    }

    /// The address: configured, else from the environment, else the catalogue's.
    pub(super) fn base(&self, name: &str) -> Result<Base, ConfigurationError> {
        let known = Catalog::get().provider(name);
        if let Some(url) = self.own(name).base_url {
            let read = address::base_url(&url);
            let url = read.map_err(|e| ConfigurationError::new(format!("providers.{name}.base_url: {e}")))?;
            return Ok(Base { url, moved_by: Some("configuration".into()) });
        }
        if let Some((variable, value)) = known.and_then(|k| self.base_variable(k)) {
            let read = if variable == "OLLAMA_HOST" { address::ollama_host(&value) } else { address::base_url(&value) };
            let url = read.map_err(|e| ConfigurationError::new(format!("{variable}: {e}")))?;
            return Ok(Base { url, moved_by: Some(variable.to_owned()) });
        }
        let Some(known) = known else {
            let message = format!("providers.{name}: no base_url; set the address of the API");
            return Err(ConfigurationError::with_code("PROVIDER_NOT_CONFIGURED", message));
        };
        let url = address::base_url(&known.base_url).map_err(ConfigurationError::new)?;
        Ok(Base { url, moved_by: None })
    }

    fn base_variable<'a>(&self, known: &'a KnownProvider) -> Option<(&'a str, String)> {
        let name = known.base_url_env.as_deref()?;
        Some((name, self.variable(name)?))
    }

    /// The key: configured, else from a variable, else saved.
    pub(super) fn key(&self, name: &str) -> Result<Option<Key>, ConfigurationError> {
        if let Some(key) = self.ready_key(name) {
            return Ok(Some(key));
        }
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let value = match stored.get(name) {
            Some(found) => found.clone(),
            None => {
                let found = self.credentials.stored_key(name)?;
                stored.insert(name.to_owned(), found.clone());
                found
            }
        };
        Ok(value.map(|value| Key { value, source: "the saved keys".into() }))
    }

    /// The key as far as it can be had without opening what keeps the saved ones.
    pub(super) fn ready_key(&self, name: &str) -> Option<Key> {
        if let Some(value) = self.own(name).api_key.filter(|k| !k.trim().is_empty()) {
            return Some(Key { value: value.trim().into(), source: "the configuration".into() });
        }
        self.key_variables(name).into_iter().find_map(|variable| {
            let value = self.variable(&variable)?;
            Some(Key { value: value.trim().into(), source: variable })
        })
    }

    /// The variables that may hold the key: the configured one alone, else the catalogue's.
    fn key_variables(&self, name: &str) -> Vec<String> {
        match self.own(name).api_key_env {
            Some(own) => vec![own],
            None => Catalog::get().provider(name).map(|k| k.keys.clone()).unwrap_or_default(),
        }
    }

    /// A variable that is set to more than white space.
    fn variable(&self, name: &str) -> Option<String> {
        self.credentials.var(name).filter(|v| !v.trim().is_empty())
    }

    /// A server on this machine needs none; elsewhere a provider does if anything names a place for its key.
    fn needs_key(&self, name: &str, base: &Base) -> bool {
        !address::is_loopback(&base.url) && name != "ollama" && !self.key_variables(name).is_empty()
    }

    fn missing_key(&self, name: &str) -> ConfigurationError {
        let variables = self.key_variables(name);
        let message = format!("{name}: no API key; set {}, or run `victor keys set {name}`", variables.join(" or "));
        ConfigurationError::no_key(Some(name), variables, message)
    }
}
