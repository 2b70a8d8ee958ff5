//! `victor config`: what holds, where each value comes from, and how to change it.

use schemars::schema_for;
use serde_json::{Value, json};
use victor::config::Origin;
use victor::event::Event;

use crate::app::App;
use crate::args::{AgentFlags, ConfigCommand, Format};
use crate::exit::{Exit, Failure};
use crate::render::table::table;
use crate::terminal::{Terminal, json, line, note};

/// Carries out a `victor config` command.
///
/// # Errors
/// A file is wrong, or a key does not exist.
pub(crate) fn config(app: &App, command: ConfigCommand, before: AgentFlags) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Show { choice, format } => {
            show(app, AgentFlags { choice: choice.over(before.choice.clone()), ..before }, format)
        }
        ConfigCommand::Get { key, format } => get(app, &key, format),
        ConfigCommand::Set { key, value } => {
            let home = app.home()?;
            victor::config::set(&home, &key, &value)?;
            note(format!("`{key}` is set in {}", home.config().display()));
            Ok(Exit::Done)
        }
        ConfigCommand::Path(format) => path(app, format),
        ConfigCommand::Schema { events } => {
            let schema = if events { schema_for!(Event).to_value() } else { victor::config::schema_json() };
            json(&schema)?;
            Ok(Exit::Done)
        }
    }
}

fn show(app: &App, flags: AgentFlags, format: Format) -> Result<Exit, Failure> {
    let settings = app.setup(&flags)?.settings;
    if format.json {
        let origins: serde_json::Map<String, Value> =
            settings.origins.iter().map(|o| (o.key(), Value::from(o.origin.as_str()))).collect();
        json(&json!({ "config": settings.shown(), "origins": origins }))?;
        return Ok(Exit::Done);
    }
    if settings.origins.is_empty() {
        note("nothing is set: the defaults hold; `victor config set KEY VALUE` changes them");
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 3]> =
        settings.origins.iter().map(|o| [o.key(), plain(&o.shown()), o.origin.clone()]).collect();
    let width = app.terminal.stdout.then(Terminal::width);
    table(["key", "value", "from"], &rows, width).iter().try_for_each(line)?;
    Ok(Exit::Done)
}

fn get(app: &App, key: &str, format: Format) -> Result<Exit, Failure> {
    let settings = app.setup(&AgentFlags::default())?.settings;
    let value = settings.value(key)?;
    if format.json {
        let origins: Vec<&Origin> = settings.get(key)?;
        let origins: Vec<_> = origins.iter().map(|o| json!({ "key": o.key(), "from": o.origin })).collect();
        json(&json!({ "key": key, "value": value, "origins": origins }))?;
    } else if value.is_null() {
        return Err(Failure::failed(format!("`{key}` is not set; the default holds")));
    } else {
        line(plain(&value))?;
    }
    Ok(Exit::Done)
}

fn path(app: &App, format: Format) -> Result<Exit, Failure> {
    let (home, root) = (app.home()?, app.place()?.root);
    let rows = [
        ("home", home.root().to_owned()),
        ("config", home.config()),
        ("keys", home.keys()),
        ("sessions", home.database()),
        ("logs", home.logs()),
        ("workspace", root.clone()),
        ("project", root.join(".victor").join("config.yaml")),
    ];
    if format.json {
        let all: serde_json::Map<String, Value> =
            rows.iter().map(|(name, path)| ((*name).to_owned(), Value::from(path.to_string_lossy()))).collect();
        json(&all)?;
        return Ok(Exit::Done);
    }
    for (name, path) in rows {
        let there = if path.exists() { "" } else { " (not there)" };
        line(format!("{name:10} {}{there}", path.display()))?;
    }
    Ok(Exit::Done)
}

/// Text as it is, anything else as JSON in one line.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}
