//! `victor init`: first steps. Looks for a provider, asks for a key where somebody can be asked, and writes a first
//! configuration into the user's home; never into the present folder.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use inquire::Select;
use serde_json::json;
use victor::Setup;
use victor::local;
use victor::provider::{Model, ProviderRegistry, Selector};

use crate::app::App;
use crate::args::{AgentFlags, InitArgs};
use crate::exit::{Exit, Failure};
use crate::keys::read_key;
use crate::pull;
use crate::terminal::{json, line};

/// The first configuration: everything in it is a comment.
const STARTER: &str = "\
# Victor's configuration. `victor config schema` describes every key, `victor config show` says what holds.
#
# provider: anthropic
# model: claude-sonnet-4-5
# permissions:
#   allow: [\"bash(cargo test*)\"]
#   deny: [\"read(**/.env)\"]
";

/// Takes the first steps.
///
/// # Errors
/// The configuration is wrong or cannot be written.
pub(crate) async fn init(app: &App, args: InitArgs) -> Result<Exit, Failure> {
    let home = app.home()?;
    home.create()?;
    let created = write_starter(&home.config())?;
    let mut setup = app.setup(&AgentFlags::default())?;
    let mut model = serving(&setup).await;
    if model.is_err() && app.terminal.can_ask() && !args.format.json {
        ask_for_model(app, &setup).await?;
        setup = app.setup(&AgentFlags::default())?;
        model = serving(&setup).await;
    }
    if args.format.json {
        let (provider, id) = model.as_ref().map_or((None, None), |m| (Some(&m.info.provider), Some(&m.info.id)));
        let error = model.as_ref().err().map(|e| &e.message);
        json(&json!({
            "home": home.root(), "config": home.config(), "created": created, "provider": provider, "model": id,
            "error": error,
        }))?;
        return Ok(model.map_or_else(|e| e.exit, |_| Exit::Done));
    }
    let state = if created { "written" } else { "there already, left as it is" };
    line(format!("configuration: {} ({state})", home.config().display()))?;
    let model = model?;
    line(format!("model: {model:?}"))?;
    line("try it: victor run \"What is in this folder?\"")?;
    line("or talk: victor")?;
    Ok(Exit::Done)
}

async fn serving(setup: &Setup) -> Result<Model, Failure> {
    Ok(setup.providers()?.resolve(&Selector::default()).await?)
}

fn write_starter(path: &Path) -> Result<bool, Failure> {
    let fail = |e| Failure::new(Exit::Configuration, format!("{} cannot be written: {e}", path.display()));
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(STARTER.as_bytes()).map(|()| true).map_err(fail),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(fail(e)),
    }
}

async fn ask_for_model(app: &App, setup: &Setup) -> Result<(), Failure> {
    let providers = setup.providers()?.providers().into_iter();
    let open = providers.filter(|p| !p.configured && p.name != local::NAME);
    let mut names: Vec<String> = open.map(|p| p.name).collect();
    let here = format!("a model that runs on this machine ({})", local::offered(&setup.weights()));
    names.extend([here, "none now".to_owned()]);
    let last = names.len() - 1;
    let Ok(chosen) = Select::new("No provider has a key yet. Which one do you use?", names).raw_prompt() else {
        return Ok(());
    };
    if chosen.index == last {
        return Ok(());
    }
    if chosen.index + 1 == last {
        return pull::offered(app, setup).await;
    }
    if let Some(key) = read_key(app, &chosen.value)? {
        setup.keys.set(&chosen.value, &key)?;
    }
    Ok(())
}
