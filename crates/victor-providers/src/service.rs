//! One provider that can be called: a wire over HTTP, with its key, its models and how its latest calls went.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use victor_core::error::{ProviderError, ProviderErrorKind as Kind, nearest};
use victor_core::provider::{Chunk, ChunkStream, Features, Health, ModelInfo, Provider};
use victor_core::request::{CallCx, Request};

use crate::address;
use crate::catalog::{Catalog, KnownModel, KnownProvider};
use crate::http::{Call, Http};
use crate::settings::{LengthField, ModelSettings, ProviderSettings, Wire};
use crate::stream;
use crate::wire::tools::LastTools;
use crate::wire::{Dialect, ThinkingStyle, anthropic};

/// A wait that is worth telling; shorter ones are waited out.
const LONG_WAIT: Duration = Duration::from_secs(60);

/// A provider with all that a call needs.
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) wire: Wire,
    pub(crate) base: Url,
    pub(crate) key: Option<SecretString>,
    /// The variable to set for a key, for messages.
    pub(crate) key_env: Option<String>,
    pub(crate) known: Option<&'static KnownProvider>,
    pub(crate) settings: ProviderSettings,
    pub(crate) http: Arc<Http>,
    pub(crate) health: Arc<Mutex<Health>>,
    pub(crate) tools: LastTools,
}

impl Service {
    /// What is known of a model: the user's word, then the catalogue's.
    pub(crate) fn model(&self, id: &str) -> ModelInfo {
        model_info(&self.name, &self.settings, id)
    }

    fn dialect(&self, id: &str) -> Dialect {
        let mut dialect = self.known.map(KnownProvider::dialect).unwrap_or_default();
        if let Some(field) = self.settings.length_field {
            dialect.length_field = field;
        }
        if let Some(known) = known_model(&self.name, id) {
            dialect.thinking = known.thinking;
            dialect.fixed_sampling = known.fixed_sampling;
        }
        match own_model(&self.settings, id).and_then(|m| m.thinking) {
            Some(false) => dialect.thinking = ThinkingStyle::Never,
            Some(true) if dialect.thinking == ThinkingStyle::Never => dialect.thinking = ThinkingStyle::Unknown,
            Some(true) | None => {}
        }
        // Behind a moved address stands another server, which knows the older name of the field; models that think
        // take only the newer one everywhere.
        if self.settings.length_field.is_none() && self.is_moved() && !dialect.thinking.is_effort() {
            dialect.length_field = LengthField::MaxTokens;
        }
        dialect.max_output = self.model(id).max_output;
        dialect
    }

    fn is_moved(&self) -> bool {
        self.known.is_some_and(|k| k.base_url != self.base.as_str())
    }

    fn headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![("accept".to_owned(), "application/json, text/event-stream".to_owned())];
        if self.wire == Wire::Anthropic {
            headers.push(("anthropic-version".into(), anthropic::VERSION.into()));
        }
        let own = |name: &str| self.settings.headers.keys().any(|k| k.eq_ignore_ascii_case(name));
        if let Some(key) = &self.key {
            let (name, value) = address::key_header(self.wire, key.expose_secret());
            if !own(name) {
                headers.push((name.into(), value));
            }
        }
        headers.extend(self.settings.headers.iter().map(|(k, v)| (k.to_ascii_lowercase(), v.clone())));
        headers
    }

    async fn get(&self, path: &str, cx: &CallCx) -> Result<Value, ProviderError> {
        let call = Call { url: address::join(&self.base, path), headers: self.headers(), body: None };
        let answer = self.http.send(&self.name, call, cx).await.map_err(|e| self.explain(e, None))?;
        let body = answer.into_body(&self.name, cx).await?;
        serde_json::from_slice(&body).map_err(|_| {
            let message = format!("{} answers with something that is no JSON; is the base URL right?", self.base);
            ProviderError::new(Kind::Protocol, &self.name, message)
        })
    }

    async fn call(&self, request: &Request, cx: &CallCx) -> Result<ChunkStream, ProviderError> {
        let body = self.tools.body(self.wire, request, &self.dialect(&request.model)).into_bytes();
        let call = Call { url: address::join(&self.base, self.wire.path()), headers: self.headers(), body: Some(body) };
        let answer = self.http.send(&self.name, call, cx).await?;
        stream::chunks(&self.name, answer, self.wire.decoder(&self.name), cx).await
    }

    /// Adds what to do to an error, and takes the key out of what the server repeats.
    fn explain(&self, mut error: ProviderError, model: Option<&str>) -> ProviderError {
        redact(&mut error, self.key.as_ref());
        match (error.kind, model) {
            (Kind::Authentication, _) => error.message.push_str(&self.key_hint()),
            (Kind::NotFound, Some(model)) => {
                let ids = known_ids(&self.name, &self.settings);
                let near = nearest(model, ids.iter().map(String::as_str).filter(|id| *id != model));
                let near =
                    if near.is_empty() { String::new() } else { format!(" did you mean {}?", near.join(" or ")) };
                let hint = format!(
                    "; model `{model}`:{near} `victor models list --provider {}` shows the known ones",
                    self.name
                );
                error.message.push_str(&hint);
            }
            (Kind::RateLimited | Kind::Overloaded, _) => {
                if let Some(wait) = error.retry_after.filter(|wait| *wait >= LONG_WAIT) {
                    let _ = write!(error.message, "; it asks to wait {} s", wait.as_secs());
                }
            }
            (Kind::QuotaExceeded, _) => error.message.push_str("; the account needs credit, waiting does not help"),
            _ => {}
        }
        error
    }

    fn key_hint(&self) -> String {
        let state = if self.key.is_some() { "the key was refused" } else { "no key was sent" };
        match &self.key_env {
            Some(env) => format!("; {state}: set {env} or run `victor keys set {}`", self.name),
            None => format!("; {state}: run `victor keys set {}`", self.name),
        }
    }

    fn health_mut(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the key out of what the server repeats. Shorter keys are no secrets, and would tear other words.
fn redact(error: &mut ProviderError, key: Option<&SecretString>) {
    if let Some(key) = key.map(ExposeSecret::expose_secret).filter(|k| k.len() >= 8) {
        error.message = error.message.replace(key, "***");
    }
}

fn note(health: &Mutex<Health>, item: &Result<Chunk, ProviderError>) {
    let mut health = health.lock().unwrap_or_else(PoisonError::into_inner);
    match item {
        Ok(Chunk::Stop(_)) => health.error = None,
        Ok(_) => {}
        Err(e) => {
            health.failures += 1;
            health.error = Some(e.message.clone());
        }
    }
}

#[async_trait]
impl Provider for Service {
    fn name(&self) -> &str {
        &self.name
    }

    fn wire(&self) -> &str {
        self.wire.name()
    }

    async fn stream(&self, request: &Request, cx: &CallCx) -> Result<ChunkStream, ProviderError> {
        self.health_mut().requests += 1;
        match self.call(request, cx).await {
            Ok(chunks) => {
                let (health, key) = (Arc::clone(&self.health), self.key.clone());
                Ok(Box::pin(chunks.map(move |mut item| {
                    if let Err(error) = &mut item {
                        redact(error, key.as_ref());
                    }
                    if matches!(item, Err(_) | Ok(Chunk::Stop(_))) {
                        note(&health, &item);
                    }
                    item
                })))
            }
            Err(error) => {
                let error = self.explain(error, Some(&request.model));
                if !cx.cancel.is_cancelled() {
                    note(&self.health, &Err(error.clone()));
                }
                Err(error)
            }
        }
    }

    async fn check(&self, cx: &CallCx) -> Result<(), ProviderError> {
        let path = self.known.and_then(|k| k.check.as_deref()).unwrap_or("/models");
        self.get(path, cx).await.map(|_| ())
    }

    async fn list_models(&self, cx: &CallCx) -> Result<Vec<ModelInfo>, ProviderError> {
        let path = match self.wire {
            Wire::Anthropic => "/models?limit=1000",
            Wire::OpenaiChat => "/models",
        };
        let body = self.get(path, cx).await?;
        let list = body.get("data").or_else(|| body.get("models")).unwrap_or(&body);
        let Some(list) = list.as_array() else {
            let message = format!("{} answers with something that is no list of models", self.base);
            return Err(ProviderError::new(Kind::Protocol, &self.name, message));
        };
        Ok(list.iter().filter_map(|m| self.listed(m)).collect())
    }

    fn health(&self) -> Health {
        self.health_mut().clone()
    }
}

impl Service {
    /// A model as the provider lists it; what it does not say, we may know.
    fn listed(&self, listed: &Value) -> Option<ModelInfo> {
        let id = listed.get("id").or_else(|| listed.get("name"))?.as_str()?;
        let id = id.strip_prefix("models/").unwrap_or(id);
        let number = |pointers: &[&str]| {
            pointers.iter().find_map(|p| listed.pointer(p)?.as_u64()).and_then(|n| u32::try_from(n).ok())
        };
        let mut info = self.model(id);
        let context = [
            "/context_length",
            "/context_window",
            "/max_model_len",
            "/max_context_length",
            "/max_input_tokens",
            "/meta/n_ctx_train",
        ];
        info.context_window = info.context_window.or_else(|| number(&context));
        let output = match self.wire {
            Wire::Anthropic => number(&["/max_tokens"]),
            Wire::OpenaiChat => number(&["/top_provider/max_completion_tokens", "/max_completion_tokens"]),
        };
        info.max_output = info.max_output.or(output);
        Some(info)
    }
}

fn own_model<'a>(settings: &'a ProviderSettings, id: &str) -> Option<&'a ModelSettings> {
    settings.models.iter().find(|m| m.id == id)
}

fn known_model(provider: &str, id: &str) -> Option<&'static KnownModel> {
    Catalog::get().model(provider, id)
}

/// What is known of a model of a provider: the user's word, then the catalogue's.
pub(crate) fn model_info(provider: &str, settings: &ProviderSettings, id: &str) -> ModelInfo {
    let mut info = match known_model(provider, id) {
        Some(known) => known.info(provider, id),
        None => ModelInfo { id: id.to_owned(), provider: provider.to_owned(), ..ModelInfo::default() },
    };
    let own = own_model(settings, id);
    info.context_window = own.and_then(|m| m.context_window).or(settings.context_window).or(info.context_window);
    info.max_output = own.and_then(|m| m.max_output).or(settings.max_output).or(info.max_output);
    if let Some(own) = own {
        info.price = own.price.map(Into::into).or(info.price);
        let f = info.features;
        info.features = Features {
            tool_calling: own.tool_calling.unwrap_or(f.tool_calling),
            vision: own.vision.unwrap_or(f.vision),
            thinking: own.thinking.unwrap_or(f.thinking),
            streaming: f.streaming,
        };
    }
    info
}

/// The ids of the models of a provider that the configuration and the catalogue know, the user's first.
pub(crate) fn known_ids(provider: &str, settings: &ProviderSettings) -> Vec<String> {
    let own = settings.models.iter().map(|m| m.id.clone());
    let known = Catalog::get().models(provider).iter().map(|m| m.id.clone());
    let known = known.filter(|id| own_model(settings, id).is_none());
    own.chain(known).collect()
}
