//! `victor providers` and `victor models`.

use futures::future::join_all;
use serde_json::{Value, json};
use victor::error::ConfigurationError;
use victor::provider::{ModelInfo, ProviderInfo, ProviderRegistry, Selector};
use victor::request::CallCx;
use victor::runtime::Runtime;
use victor::usage::Price;

use crate::app::App;
use crate::args::{Format, ModelsCommand, ProvidersCommand};
use crate::exit::{Exit, Failure};
use crate::render::footer::grouped;
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

/// Carries out a `victor models` command.
///
/// # Errors
/// There is no such provider, or it cannot be asked.
pub(crate) async fn models(app: &App, command: ModelsCommand) -> Result<Exit, Failure> {
    let runtime = app.runtime()?;
    let registry = registry(&runtime)?;
    let ModelsCommand::List { provider, online, format } = command;
    if let Some(name) = &provider {
        known(registry, name)?;
    }
    let models = match provider {
        Some(name) if online => {
            let selector = Selector { provider: Some(name), model: None };
            let model = registry.resolve(&selector).await?;
            model.provider.list_models(&call()).await.map_err(victor::error::VictorError::from)?
        }
        Some(name) => registry.models().into_iter().filter(|m| m.provider == name).collect(),
        None => registry.models(),
    };
    if format.json {
        json(&models)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 6]> = models.iter().map(row).collect();
    let titles = ["provider", "model", "window", "output", "$/M in, out", "features"];
    let width = app.terminal.stdout.then(Terminal::width);
    table(titles, &rows, width).iter().try_for_each(line)?;
    Ok(Exit::Done)
}

fn row(model: &ModelInfo) -> [String; 6] {
    let number = |n: Option<u32>| n.map_or_else(|| "-".to_owned(), |n| grouped(u64::from(n)));
    let price = model.price.as_ref().map_or_else(|| "-".to_owned(), price);
    let (f, retired) = (model.features, model.retired);
    let features: Vec<_> =
        [("tools", f.tool_calling), ("vision", f.vision), ("thinking", f.thinking), ("retired", retired)]
            .into_iter()
            .filter_map(|(name, on)| on.then_some(name))
            .collect();
    let (provider, id) = (model.provider.clone(), model.id.clone());
    [provider, id, number(model.context_window), number(model.max_output), price, features.join(" ")]
}

/// Dollars a million tokens, prompt and answer.
fn price(price: &Price) -> String {
    // A price is in billionths of a dollar a token: thousandths of a dollar a million tokens.
    let dollars = |n: u64| format!("{}.{:02}", n / 1000, n % 1000 / 10);
    format!("{}, {}", dollars(price.input), dollars(price.output))
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

fn known(registry: &dyn ProviderRegistry, name: &str) -> Result<ProviderInfo, Failure> {
    let all = registry.providers();
    if let Some(info) = all.iter().find(|p| p.name == name) {
        return Ok(info.clone());
    }
    let names = all.iter().map(|p| p.name.as_str());
    Err(ConfigurationError::unknown("provider", "PROVIDER_NOT_FOUND", name, names).into())
}

fn registry(runtime: &Runtime) -> Result<&dyn ProviderRegistry, Failure> {
    runtime.providers().map(AsRef::as_ref).ok_or_else(|| Failure::failed("there are no providers here"))
}

fn call() -> CallCx {
    CallCx { cancel: Default::default(), idle_timeout: std::time::Duration::from_secs(20) }
}
