//! The models that run in this process: their place in the provider order, and what is told of them.

use std::sync::Arc;

use victor_core::error::{ConfigurationError, VictorError};
use victor_core::provider::{ModelInfo, Provider};
use victor_local::{LocalProvider, Resolver as _};
use victor_providers::Embedded;

use victor_local::weights::Means;
pub use victor_local::weights::{
    Entry, KnownModel, Progress, Pulled, Record, Silent, State, Step, Wanted, Weights, WeightsError, Work, size,
};

use crate::env::Env;
use crate::home::Home;

/// The name of the provider.
pub const NAME: &str = "local";

/// The local models as a provider of the registry.
pub(crate) struct Local {
    weights: Weights,
    provider: Arc<LocalProvider>,
}

impl Local {
    pub(crate) fn new(weights: Weights) -> Self {
        let provider = Arc::new(LocalProvider::new(Arc::new(weights.clone())));
        Self { weights, provider }
    }
}

impl Embedded for Local {
    fn provider(&self) -> Arc<dyn Provider> {
        Arc::clone(&self.provider) as _
    }

    fn models(&self) -> Vec<ModelInfo> {
        self.weights.models()
    }

    fn default_model(&self) -> Option<String> {
        self.weights.best().map(|record| record.name)
    }

    fn model(&self, id: &str) -> Result<ModelInfo, VictorError> {
        self.weights.record(id).map_err(ConfigurationError::from)?;
        Ok(self.weights.models().into_iter().find(|m| m.id == id).unwrap_or_default())
    }

    fn readiness(&self) -> Result<String, String> {
        match self.weights.best() {
            Some(record) => Ok(format!("{} is on this machine", described(&self.weights, &record.name))),
            None => Err(way_to_one(&self.weights)),
        }
    }
}

/// The weights in a home, with what the environment says of the network.
pub(crate) fn weights(home: &Home, env: &Env) -> Weights {
    let mut means = Means::default();
    if let Some(endpoint) = env.var("HF_ENDPOINT") {
        endpoint.trim_end_matches('/').clone_into(&mut means.endpoint);
    }
    let indexes = ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"];
    means.index = indexes.into_iter().find_map(|name| env.var(name)).map(str::to_owned);
    if airgapped(env) {
        means.closed = Some("VICTOR_AIRGAPPED_MODE is set".to_owned());
    }
    Weights::new(home.models(), means)
}

/// Whether nothing may be fetched. A value that is neither yes nor no counts as yes.
fn airgapped(env: &Env) -> bool {
    let off = ["0", "false", "no", "off"];
    env.var("VICTOR_AIRGAPPED_MODE").is_some_and(|value| !off.contains(&value.trim().to_ascii_lowercase().as_str()))
}

/// A model's name with what it is.
fn described(weights: &Weights, name: &str) -> String {
    match weights.find(name).ok().and_then(|entry| entry.known) {
        Some(known) if known.demonstration => {
            format!("{name}, a demonstration model of {} parameters that is often wrong,", known.parameters)
        }
        Some(known) => format!("{name}, a small model of {} parameters,", known.parameters),
        None => name.to_owned(),
    }
}

/// What a person without any model can do for one that runs here.
fn way_to_one(weights: &Weights) -> String {
    let broken = weights.entries().into_iter().find_map(|entry| match entry.state {
        State::Broken(why) => Some(WeightsError::Broken { name: entry.name, why }),
        State::Absent | State::Begun(_) | State::Installed(_) => None,
    });
    if let Some(broken) = broken {
        return broken.to_string();
    }
    if let Some(reason) = weights.closed() {
        return format!("No local model is on this machine, and {reason}: `victor models pull FILE.gguf` takes a file");
    }
    format!("`victor models pull` fetches one that runs on this machine ({})", offered(weights))
}

/// What would be fetched where nobody named a model: names and sizes.
#[must_use]
pub fn offered(weights: &Weights) -> String {
    let names: Vec<String> = weights.offers().map(|known| format!("{}, {}", known.name, download(known))).collect();
    names.join("; if that cannot be reached ")
}

/// What fetching a model sends over the network.
#[must_use]
pub fn download(known: &KnownModel) -> String {
    let least = known.sources.iter().map(|source| source.download(known.bytes)).min();
    size(least.unwrap_or(known.bytes))
}

/// The line for whoever chose no model: which one answers, and how to get a better one.
#[must_use]
pub fn introduction(weights: &Weights, name: &str) -> String {
    let here = weights.find(name).ok().and_then(|entry| entry.known);
    let better = weights.entries().into_iter().filter_map(|entry| {
        let known = entry.known.filter(|k| !k.demonstration && here.is_none_or(|here| k.bytes > here.bytes))?;
        (!matches!(entry.state, State::Installed(_))).then_some(known)
    });
    let pull = match better.min_by_key(|known| known.bytes) {
        Some(known) if here.is_some() => format!("`victor models pull {}` ({}), ", known.name, download(known)),
        _ => String::new(),
    };
    let what = described(weights, name);
    format!("{NAME}/{what} answers. For a better one: {pull}Ollama, or a key such as ANTHROPIC_API_KEY")
}
