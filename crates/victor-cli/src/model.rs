//! `victor models`: what is known, and which models run on this machine.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use victor::local::{self, Entry, Kind, State, download, size};
use victor::provider::{Features, ModelInfo, Selector};
use victor::usage::Price;

use crate::app::App;
use crate::args::{AgentFlags, Format, ModelsCommand};
use crate::exit::{Exit, Failure};
use crate::provider::{call, known, registry};
use crate::pull;
use crate::render::footer::grouped;
use crate::render::table::table;
use crate::terminal::{Terminal, json as print, line};

/// Carries out a `victor models` command.
///
/// # Errors
/// There is no such provider or model, it cannot be asked or fetched, or its file is damaged.
pub(crate) async fn models(app: &App, command: ModelsCommand) -> Result<Exit, Failure> {
    match command {
        ModelsCommand::List { provider, online, format } => list(app, provider, online, format).await,
        ModelsCommand::Pull(args) => pull::pull(app, args).await,
        ModelsCommand::Remove { name, format } => pull::remove(app, &name, format),
        ModelsCommand::Verify { name, format } => pull::verify(app, name, format).await,
    }
}

async fn list(app: &App, provider: Option<String>, online: bool, format: Format) -> Result<Exit, Failure> {
    let runtime = app.runtime()?;
    let registry = registry(&runtime)?;
    if let Some(name) = &provider {
        known(registry, name)?;
    }
    let entries = app.setup(&AgentFlags::default())?.weights().entries();
    let local_ones = provider.as_ref().is_none_or(|name| name == local::NAME);
    let embedding = entries.iter().filter(|entry| local_ones && entry.kind() == Kind::Embedding).map(embedding);
    let mut models = match provider {
        Some(name) if online => {
            let selector = Selector { provider: Some(name), model: None };
            let model = registry.resolve(&selector).await?;
            model.provider.list_models(&call()).await.map_err(victor::error::VictorError::from)?
        }
        Some(name) => registry.models().into_iter().filter(|m| m.provider == name).collect(),
        None => registry.models(),
    };
    models.extend(embedding);
    let here: BTreeMap<&str, &Entry> = entries.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    let local = |model: &ModelInfo| here.get(model.id.as_str()).copied().filter(|_| model.provider == local::NAME);
    if format.json {
        let all = models.iter().map(|model| as_json(model, local(model)));
        print(&all.collect::<Result<Vec<Value>, Failure>>()?)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 6]> = models.iter().map(|model| row(model, local(model))).collect();
    let titles = ["provider", "model", "window", "output", "$/M in, out", "features"];
    let width = app.terminal.stdout.then(Terminal::width);
    table(titles, &rows, width).iter().try_for_each(line)?;
    Ok(Exit::Done)
}

/// A model that gives embeddings, as far as it is like one that answers.
fn embedding(entry: &Entry) -> ModelInfo {
    ModelInfo {
        id: entry.name.clone(),
        provider: local::NAME.to_owned(),
        context_window: entry.known.map(|known| known.context),
        features: Features { tool_calling: false, streaming: false, vision: false, thinking: false },
        price: Some(Price { input: 0, output: 0, cache_read: 0, cache_write: 0 }),
        ..ModelInfo::default()
    }
}

fn row(model: &ModelInfo, local: Option<&Entry>) -> [String; 6] {
    let number = |n: Option<u32>| n.map_or_else(|| "-".to_owned(), |n| grouped(u64::from(n)));
    let price = model.price.as_ref().map_or_else(|| "-".to_owned(), price);
    let (f, retired) = (model.features, model.retired);
    let mut features: Vec<String> =
        [("tools", f.tool_calling), ("vision", f.vision), ("thinking", f.thinking), ("retired", retired)]
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| name.to_owned())
            .collect();
    features.extend(local.filter(|entry| entry.kind() == Kind::Embedding).map(|entry| entry.kind().to_string()));
    features.extend(local.map(|entry| format!("({})", state(entry))));
    let (provider, id) = (model.provider.clone(), model.id.clone());
    [provider, id, number(model.context_window), number(model.max_output), price, features.join(" ")]
}

/// Dollars a million tokens, prompt and answer.
fn price(price: &Price) -> String {
    // A price is in billionths of a dollar a token: thousandths of a dollar a million tokens.
    let dollars = |n: u64| format!("{}.{:02}", n / 1000, n % 1000 / 10);
    format!("{}, {}", dollars(price.input), dollars(price.output))
}

/// What is on this machine of a model, in words.
fn state(entry: &Entry) -> String {
    match (&entry.state, entry.known) {
        (State::Installed(record), _) => format!("here, {}", size(record.bytes)),
        (State::Begun(bytes), _) => format!("begun, {}", size(*bytes)),
        (State::Broken(_), _) => "damaged".to_owned(),
        (State::Absent, Some(known)) => format!("to fetch, {}", download(known)),
        (State::Absent, None) => "not here".to_owned(),
    }
}

/// The model with what is known of its file.
fn as_json(model: &ModelInfo, local: Option<&Entry>) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(model).map_err(|e| Failure::failed(e.to_string()))?;
    if let Some(entry) = local {
        value["local"] = file(entry);
    }
    Ok(value)
}

fn file(entry: &Entry) -> Value {
    let mut file = match &entry.state {
        State::Installed(record) => json!({
            "state": "installed", "path": record.path, "bytes": record.bytes, "sha256": record.sha256,
            "source": record.source,
        }),
        State::Begun(bytes) => json!({ "state": "begun", "bytes": bytes }),
        State::Broken(why) => json!({ "state": "broken", "error": why }),
        State::Absent => json!({ "state": "absent" }),
    };
    file["kind"] = json!(entry.kind());
    if let Some(known) = entry.known {
        file["title"] = json!(known.title);
        file["parameters"] = json!(known.parameters);
        file["licence"] = json!(known.licence);
        file["good_for"] = json!(known.good_for);
        file["demonstration"] = json!(known.demonstration);
        file["memory"] = json!(known.memory);
        file["download"] = json!({ "bytes": known.bytes, "sha256": known.sha256, "quantisation": known.quantisation });
    }
    file
}
