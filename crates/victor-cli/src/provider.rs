//! `victor providers`.

use futures::future::join_all;
use serde_json::{Value, json};
use victor::error::ConfigurationError;
use victor::provider::{ProviderInfo, ProviderRegistry, Selector};
use victor::request::CallCx;
use victor::runtime::Runtime;

use crate::app::App;
use crate::args::{Format, ProvidersCommand};
use crate::exit::{Exit, Failure};
use crate::render::table::table;
use crate::terminal::{Terminal, json, line};

/// Carries out a `victor providers` command.
///
/// # Errors
/// There is no such provider.
pub(crate) async fn providers(app: &App, command: ProvidersCommand) -> Result<Exit, Failure> {
    let runtime = app.runtime()?;
    let registry = registry(&runtime)?;
    match command {
        ProvidersCommand::List(format) => {
            list(app, registry, format)?;
            Ok(Exit::Done)
        }
        ProvidersCommand::Test { name, format } => test(app, registry, name, format).await,
    }
}

fn list(app: &App, registry: &dyn ProviderRegistry, format: Format) -> Result<(), Failure> {
    let providers = registry.providers();
    if format.json {
        return json(&providers).map_err(Into::into);
    }
    let rows: Vec<[String; 4]> = providers
        .iter()
        .map(|p| {
            let ready = if p.configured { "yes" } else { "no" };
            [p.name.clone(), ready.to_owned(), p.models.len().to_string(), p.detail.clone()]
        })
        .collect();
    let width = app.terminal.stdout.then(Terminal::width);
    table(["provider", "ready", "models", "detail"], &rows, width).iter().try_for_each(line).map_err(Into::into)
}

/// How a provider answered.
struct Tested {
    name: String,
    error: Option<Failure>,
}

async fn test(
    app: &App,
    registry: &dyn ProviderRegistry,
    name: Option<String>,
    format: Format,
) -> Result<Exit, Failure> {
    let names: Vec<String> = match name {
        Some(name) => vec![known(registry, &name)?.name],
        None => registry.providers().into_iter().filter(|p| p.configured).map(|p| p.name).collect(),
    };
    if names.is_empty() {
        return Err(Failure::new(Exit::Configuration, "no provider is configured; `victor init` shows how"));
    }
    let named = names.len() == 1;
    let tested: Vec<Tested> = join_all(names.into_iter().map(async |name| {
        let error = check(registry, &name).await.err();
        Tested { name, error }
    }))
    .await;
    if format.json {
        let all: Vec<Value> = tested
            .iter()
            .map(|t| json!({ "name": t.name, "ok": t.error.is_none(), "error": t.error.as_ref().map(|e| &e.message) }))
            .collect();
        json(&all)?;
    } else {
        let rows: Vec<[String; 3]> = tested
            .iter()
            .map(|t| match &t.error {
                None => [t.name.clone(), "ok".to_owned(), String::new()],
                Some(e) => [t.name.clone(), "failed".to_owned(), e.message.clone()],
            })
            .collect();
        let width = app.terminal.stdout.then(Terminal::width);
        table(["provider", "result", "detail"], &rows, width).iter().try_for_each(line)?;
    }
    // Servers on this machine need no key and so count as configured; that one of them does not run is no failure.
    let works = !named && tested.iter().any(|t| t.error.is_none());
    let failure = tested.into_iter().find_map(|t| t.error).filter(|_| !works);
    Ok(failure.map_or(Exit::Done, |e| e.exit))
}

async fn check(registry: &dyn ProviderRegistry, name: &str) -> Result<(), Failure> {
    let selector = Selector { provider: Some(name.to_owned()), model: None };
    let model = registry.resolve(&selector).await?;
    model.provider.check(&call()).await.map_err(|e| victor::error::VictorError::from(e).into())
}

/// The provider of this name.
///
/// # Errors
/// There is none; names the nearest.
pub(crate) fn known(registry: &dyn ProviderRegistry, name: &str) -> Result<ProviderInfo, Failure> {
    let all = registry.providers();
    if let Some(info) = all.iter().find(|p| p.name == name) {
        return Ok(info.clone());
    }
    let names = all.iter().map(|p| p.name.as_str());
    Err(ConfigurationError::unknown("provider", "PROVIDER_NOT_FOUND", name, names).into())
}

/// The runtime's providers.
///
/// # Errors
/// It has none.
pub(crate) fn registry(runtime: &Runtime) -> Result<&dyn ProviderRegistry, Failure> {
    runtime.providers().map(AsRef::as_ref).ok_or_else(|| Failure::failed("there are no providers here"))
}

/// A call that nobody cancels.
pub(crate) fn call() -> CallCx {
    CallCx { cancel: Default::default(), idle_timeout: std::time::Duration::from_secs(20) }
}
