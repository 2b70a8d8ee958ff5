//! Models that run on this machine: fetched, with the user's consent, removed and checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use inquire::Confirm;
use serde_json::{Value, json};
use victor::Setup;
use victor::agent::{Agent, AgentSpec};
use victor::error::{ConfigurationError, VictorError};
use victor::local::{self, Kind, Progress, Pulled, State, Wanted, Weights, WeightsError, size};
use victor::runtime::Runtime;

use crate::app::App;
use crate::args::{AgentFlags, Format, PullArgs};
use crate::exit::{Exit, Failure};
use crate::render::fetch::Fetching;
use crate::signal::Signals;
use crate::terminal::{faint, json as print, line, note};

/// What works where nothing can be fetched.
const CHOICES: &str = "What works without it: a GGUF file (`victor models pull FILE.gguf`), Ollama or another server on \
                       this machine, or a provider's key (`victor keys set PROVIDER`)";

/// Whether a model may be fetched that nobody named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// `--yes`.
    Given,
    /// There is somebody to ask.
    Ask,
    /// Nobody is asked.
    Missing,
}

impl Consent {
    /// What `--yes` and the terminal make of it.
    pub(crate) fn of(app: &App, flags: &AgentFlags) -> Self {
        match (flags.call.yes, app.terminal.can_ask()) {
            (true, _) => Self::Given,
            (false, true) => Self::Ask,
            (false, false) => Self::Missing,
        }
    }
}

/// The agent; where its model is not on this machine, after that was fetched. Says which local model answers where
/// nobody chose it.
///
/// # Errors
/// It cannot be made, or its model is not to be had.
pub(crate) async fn agent(
    app: &App,
    (setup, runtime): (&Setup, &Runtime),
    spec: AgentSpec,
    consent: Consent,
    signals: &mut Signals,
) -> Result<Agent, Failure> {
    let agent = match Agent::create(runtime, spec.clone()).await {
        Ok(agent) => agent,
        Err(e) if e.code() == "PROVIDER_NOT_CONFIGURED" => {
            offer(app, setup, e, consent, signals).await?;
            Agent::create(runtime, spec).await?
        }
        Err(e) => return Err(e.into()),
    };
    let info = &agent.model().info;
    if info.provider == local::NAME && setup.leaves_model_open() {
        faint(&app.terminal, &local::introduction(&setup.weights(), &info.id));
    }
    Ok(agent)
}

/// Fetches the local model that would serve, where that is what is missing and the user agrees.
async fn offer(
    app: &App,
    setup: &Setup,
    error: VictorError,
    consent: Consent,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let weights = setup.weights();
    let wanted = match setup.providers()?.absent(&setup.selector()).await {
        None => return Err(error.into()),
        Some(Some(name)) => known(&weights, &name).into_iter().collect(),
        Some(None) => offers(&weights),
    };
    if wanted.is_empty() || weights.closed().is_some() {
        return Err(error.into());
    }
    let agreed = match consent {
        Consent::Given => true,
        Consent::Ask => ask(&weights, &wanted, signals).await?,
        Consent::Missing => {
            return Err(Failure::new(Exit::Configuration, format!("{error}. With `--yes` this command fetches it")));
        }
    };
    if !agreed {
        return Err(error.into());
    }
    fetch(app, &weights, &wanted, signals).await.map(drop)
}

/// Fetches the best model that is to be had, where the user has just asked for it.
///
/// # Errors
/// None can be had.
pub(crate) async fn offered(app: &App, setup: &Setup) -> Result<(), Failure> {
    let weights = setup.weights();
    fetch(app, &weights, &offers(&weights), &mut Signals::new()?).await.map(drop)
}

async fn ask(weights: &Weights, wanted: &[Wanted], signals: &mut Signals) -> Result<bool, Failure> {
    let what = match wanted {
        [Wanted::Known(known)] => format!("{}, {}", known.name, local::download(known)),
        _ => local::offered(weights),
    };
    let question = format!("No model is configured. Fetch one that runs on this machine ({what})?");
    let asked = tokio::task::spawn_blocking(move || Confirm::new(&question).with_default(true).prompt());
    match signals.or_end(asked).await {
        Some(Ok(Ok(answer))) => Ok(answer),
        // Ctrl-C and the like are no consent.
        Some(_) => Ok(false),
        None => Err(Failure::told(Exit::Interrupted)),
    }
}

/// Fetches the first of these that can be had, and shows how far it is. Ctrl-C leaves what came.
async fn fetch(app: &App, weights: &Weights, wanted: &[Wanted], signals: &mut Signals) -> Result<Pulled, Failure> {
    let shown = Arc::new(Fetching::new(&app.terminal));
    let progress = Arc::clone(&shown) as Arc<dyn Progress>;
    let mut missed = Vec::new();
    for wanted in wanted {
        let pulled = tokio::select! {
            pulled = weights.pull(wanted, &progress) => pulled,
            _ = signals.next() => {
                shown.end();
                note(stopped(weights, wanted));
                return Err(Failure::told(Exit::Interrupted));
            }
        };
        shown.end();
        match pulled {
            Ok(pulled) => return Ok(pulled),
            Err(e @ WeightsError::NoSource { .. }) => missed.push(e.to_string()),
            Err(e) => return Err(failure(e)),
        }
    }
    Err(Failure::failed(format!("{}. {CHOICES}", missed.join("; "))))
}

fn stopped(weights: &Weights, wanted: &Wanted) -> String {
    let Wanted::Known(known) = wanted else { return "interrupted; the same command goes on with what came".to_owned() };
    match weights.find(&known.name).map(|entry| entry.state) {
        Ok(State::Begun(bytes)) => {
            format!("interrupted; `victor models pull {}` goes on with the {} that came", known.name, size(bytes))
        }
        _ => format!("interrupted; `victor models pull {}` begins again", known.name),
    }
}

/// A file that cannot be had is the work's failure; a name that makes no sense is the command line's.
fn failure(error: WeightsError) -> Failure {
    match &error {
        WeightsError::BadName(_) | WeightsError::Taken(_) => Failure::usage(error.to_string()),
        WeightsError::Unknown { .. } | WeightsError::NotInstalled(_) | WeightsError::Closed { .. } => {
            ConfigurationError::from(error).into()
        }
        _ => Failure::failed(error.to_string()),
    }
}

fn known(weights: &Weights, name: &str) -> Option<Wanted> {
    weights.find(name).ok()?.known.map(Wanted::Known)
}

fn offers(weights: &Weights) -> Vec<Wanted> {
    weights.offers().map(Wanted::Known).collect()
}

/// Carries out `victor models pull`.
///
/// # Errors
/// The model is not to be had, or what was named makes no sense.
pub(crate) async fn pull(app: &App, args: PullArgs) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let weights = app.setup(&AgentFlags::default())?.weights();
    let wanted = wanted(app, &weights, &args)?;
    let named = args.model.is_some() || args.file.is_some();
    if !named && !args.yes {
        if !app.terminal.can_ask() {
            let offered = local::offered(&weights);
            let message = format!("name a model, or type `victor models pull --yes` for the best one ({offered})");
            return Err(Failure::new(Exit::Configuration, message));
        }
        if !ask(&weights, &wanted, &mut signals).await? {
            return Err(Failure::told(Exit::Interrupted));
        }
    }
    let Pulled { record, was_there } = fetch(app, &weights, &wanted, &mut signals).await?;
    if args.format.json {
        let mut value = serde_json::to_value(&record).map_err(|e| Failure::failed(e.to_string()))?;
        value["was_there"] = json!(was_there);
        print(&value)?;
    } else {
        let state = if was_there { "is here already" } else { "is ready" };
        line(format!("{} {state}: {}, {}", record.name, record.path.display(), size(record.bytes)))?;
        match record.kind {
            Kind::Chat => {
                line(format!("try it: victor run \"What is the capital of France?\" --model local/{}", record.name))?;
            }
            Kind::Embedding => line("it turns texts into vectors for applications: `Runtime::embed` of the library")?,
        }
    }
    Ok(Exit::Done)
}

fn wanted(app: &App, weights: &Weights, args: &PullArgs) -> Result<Vec<Wanted>, Failure> {
    let here = |path: &Path| app.env.current_dir().join(path);
    if args.sha256.is_some() && !args.model.as_deref().is_some_and(is_address) {
        return Err(Failure::usage("`--sha256` belongs to an address; a model of the list brings its own"));
    }
    let (name, model) = (args.name.clone(), args.model.as_deref());
    match (&args.file, model) {
        (Some(_), Some(_)) if name.is_some() => Err(Failure::usage("the name is said twice: leave one out")),
        (Some(file), model) => {
            Ok(vec![Wanted::File { path: here(file), name: name.or_else(|| model.map(str::to_owned)) }])
        }
        (None, None) if name.is_some() => Err(Failure::usage("`--name` belongs to a file or an address")),
        (None, None) => match offers(weights) {
            none if none.is_empty() => Err(Failure::failed(format!("no model fits this machine. {CHOICES}"))),
            offers => Ok(offers),
        },
        (None, Some(url)) if is_address(url) => {
            Ok(vec![Wanted::Url { url: url.to_owned(), name, sha256: args.sha256.clone() }])
        }
        (None, Some(url)) if url.contains("://") => {
            Err(Failure::usage(format!("`{url}`: only https:// and http:// addresses can be fetched")))
        }
        (None, Some(model)) => match known(weights, plain(model)) {
            Some(_) if name.is_some() => Err(Failure::usage("`--name` belongs to a file or an address")),
            Some(known) => Ok(vec![known]),
            None if is_path(model) => Ok(vec![Wanted::File { path: here(&PathBuf::from(model)), name }]),
            None => match weights.find(model) {
                Ok(_) => Err(Failure::usage(format!("{model} is a file of your own: name the file to take it again"))),
                Err(e) => Err(failure(e)),
            },
        },
    }
}

fn is_address(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// A local model's name as `--model` takes it, without the provider.
fn plain(name: &str) -> &str {
    name.strip_prefix("local/").unwrap_or(name)
}

fn is_path(text: &str) -> bool {
    text.contains('/') || Path::new(text).extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
}

/// Carries out `victor models remove`.
///
/// # Errors
/// It is not here, or cannot be removed.
pub(crate) fn remove(app: &App, name: &str, format: Format) -> Result<Exit, Failure> {
    let (weights, name) = (app.setup(&AgentFlags::default())?.weights(), plain(name));
    weights.remove(name).map_err(failure)?;
    if format.json {
        print(&json!({ "removed": name }))?;
    } else {
        line(format!("{name} is removed"))?;
    }
    Ok(Exit::Done)
}

/// Carries out `victor models verify`. A file that is damaged ends it with 1.
///
/// # Errors
/// There is no such model here.
pub(crate) async fn verify(app: &App, name: Option<String>, format: Format) -> Result<Exit, Failure> {
    let weights = app.setup(&AgentFlags::default())?.weights();
    let names = match name {
        Some(name) => {
            let name = plain(&name).to_owned();
            let state = weights.find(&name).map_err(failure)?.state;
            if matches!(state, State::Absent | State::Begun(_)) {
                return Err(failure(WeightsError::NotInstalled(name)));
            }
            vec![name]
        }
        None => here(&weights),
    };
    if names.is_empty() {
        note("no local model is on this machine; `victor models pull` fetches one");
    }
    let shown = Arc::new(Fetching::new(&app.terminal));
    let progress = Arc::clone(&shown) as Arc<dyn Progress>;
    let (mut all, mut exit) = (Vec::new(), Exit::Done);
    for name in names {
        let error = weights.verify(&name, &progress).await.err().map(|e| e.to_string());
        shown.end();
        if error.is_some() {
            exit = Exit::Failed;
        }
        if !format.json {
            line(format!("{name}: {}", error.as_deref().unwrap_or("ok")))?;
        }
        all.push(json!({ "name": name, "ok": error.is_none(), "error": error }));
    }
    if format.json {
        print(&Value::from(all))?;
    }
    Ok(exit)
}

fn here(weights: &Weights) -> Vec<String> {
    let entries = weights.entries().into_iter();
    let here = entries.filter(|entry| matches!(entry.state, State::Installed(_) | State::Broken(_)));
    here.map(|entry| entry.name).collect()
}
