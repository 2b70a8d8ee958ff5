//! `victor profiles`: saved sets of choices.

use serde_json::json;
use victor::Home;
use victor::agent::Profile;
use victor::config::Config;
use victor::error::ConfigurationError;
use victor::profiles::{self, Existing};

use crate::app::App;
use crate::args::{AgentFlags, Format, ProfileArgs, ProfilesCommand};
use crate::exit::{Exit, Failure};
use crate::render::table::table;
use crate::terminal::{Terminal, json, line, note};

/// Carries out a `victor profiles` command.
///
/// # Errors
/// There is no such profile, or the configuration cannot be changed.
pub(crate) fn profiles(app: &App, command: ProfilesCommand) -> Result<Exit, Failure> {
    let home = app.home()?;
    let config = app.setup(&AgentFlags::default())?.settings.config;
    match command {
        ProfilesCommand::List(format) => list(app, &config, format)?,
        ProfilesCommand::Show { name, format } => show(&config, &name, format)?,
        ProfilesCommand::Create(args) => create(&home, &config, args)?,
        ProfilesCommand::Delete { name } => {
            profiles::delete(&home, &config, &name)?;
            note(format!("profile `{name}` is deleted"));
            if config.profile.as_deref() == Some(name.as_str()) {
                note(
                    "it was the one that is used where none is named: none is now, until `victor profiles use` names one",
                );
            }
        }
        ProfilesCommand::Use { name } => {
            profiles::select(&home, &config, &name)?;
            note(format!("profile `{name}` is used where none is named"));
        }
    }
    Ok(Exit::Done)
}

fn list(app: &App, config: &Config, format: Format) -> Result<(), Failure> {
    let used = |name: &str| config.profile.as_deref() == Some(name);
    if format.json {
        let all: Vec<_> = config
            .profiles
            .iter()
            .map(|(name, profile)| json!({ "name": name, "default": used(name), "profile": profile }))
            .collect();
        return json(&all).map_err(Into::into);
    }
    if config.profiles.is_empty() {
        note("no profiles are saved; `victor profiles create NAME --provider P --model M` saves one");
        return Ok(());
    }
    let rows: Vec<[String; 4]> = config
        .profiles
        .iter()
        .map(|(name, p)| {
            let name = if used(name) { format!("{name} *") } else { name.clone() };
            let mode = p.mode.map_or_else(|| "-".to_owned(), |m| m.name().to_owned());
            [name, p.provider.clone().unwrap_or("-".into()), p.model.clone().unwrap_or("-".into()), mode]
        })
        .collect();
    let width = app.terminal.stdout.then(Terminal::width);
    table(["profile", "provider", "model", "mode"], &rows, width).iter().try_for_each(line).map_err(Into::into)
}

fn show(config: &Config, name: &str, format: Format) -> Result<(), Failure> {
    let Some(profile) = config.profiles.get(name) else {
        let names = config.profiles.keys().map(String::as_str);
        return Err(ConfigurationError::unknown("profile", "NOT_FOUND", name, names).into());
    };
    let value = serde_json::to_value(profile).map_err(|e| Failure::failed(e.to_string()))?;
    if format.json {
        return json(&value).map_err(Into::into);
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        line(format!("{key}: {}", value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)))?;
    }
    Ok(())
}

fn create(home: &Home, config: &Config, args: ProfileArgs) -> Result<(), Failure> {
    let profile = Profile {
        provider: args.provider,
        model: args.model,
        temperature: args.temperature,
        max_tokens: args.max_tokens,
        mode: args.mode,
        system: args.system,
        tools: args.tools,
        max_turns: args.max_turns,
    };
    if profile == Profile::default() {
        return Err(Failure::usage("the profile is empty; say at least one thing, such as `--provider NAME`"));
    }
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    profiles::create(home, config, &args.name, &profile, existing)?;
    note(format!("profile `{}` is saved; `--profile {}` uses it", args.name, args.name));
    Ok(())
}
