//! `victor keys`: providers' keys, saved where only their owner can read them. A key is never printed.

use std::io::Read;

use inquire::{InquireError, Password};
use secrecy::SecretString;
use serde_json::json;
use victor::provider::ProviderRegistry as _;

use crate::app::App;
use crate::args::{AgentFlags, KeysCommand};
use crate::exit::{Exit, Failure};
use crate::render::table::table;
use crate::terminal::{json, line, note};

/// Bytes of stdin that are read at most.
const LONGEST: u64 = 64 << 10;

/// Carries out a `victor keys` command.
///
/// # Errors
/// The key cannot be read or saved.
pub(crate) fn keys(app: &App, command: KeysCommand) -> Result<Exit, Failure> {
    let setup = app.setup(&AgentFlags::default())?;
    let keys = &setup.keys;
    let names: Vec<String> = setup.providers()?.providers().into_iter().map(|p| p.name).collect();
    match command {
        KeysCommand::Set { provider } => {
            let provider = provider.to_lowercase();
            if !names.contains(&provider) {
                let near = victor::error::nearest(&provider, names.iter().map(String::as_str));
                let hint =
                    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
                let message = format!("no provider `{provider}` is known{hint}; `victor providers list` shows them");
                return Err(Failure::new(Exit::Configuration, message));
            }
            let Some(key) = read_key(app, &provider)? else { return Ok(Exit::Interrupted) };
            let place = keys.set(&provider, &key)?;
            note(format!("the key of {provider} is saved ({place})"));
        }
        KeysCommand::List(format) => {
            let found = keys.list(names.iter().map(String::as_str))?;
            if format.json {
                let all: Vec<_> = found.iter().map(|(p, place)| json!({ "provider": p, "saved_in": place })).collect();
                json(&all)?;
            } else if found.is_empty() {
                note("no keys are saved; `victor keys set PROVIDER` saves one");
            } else {
                let rows: Vec<[String; 2]> = found.iter().map(|(p, place)| [p.clone(), place.to_string()]).collect();
                table(["provider", "saved in"], &rows, None).iter().try_for_each(line)?;
            }
        }
        KeysCommand::Delete { provider } => {
            let places = keys.delete(&provider)?;
            if places.is_empty() {
                return Err(Failure::failed(format!("no key of `{provider}` is saved")));
            }
            let places: Vec<String> = places.iter().map(ToString::to_string).collect();
            note(format!("the key of {provider} is deleted ({})", places.join(", ")));
        }
    }
    Ok(Exit::Done)
}

/// The key as it is typed, unseen, or the one line of stdin. `None` if the user changed their mind.
///
/// # Errors
/// Nothing comes, or the terminal cannot be read.
pub(crate) fn read_key(app: &App, provider: &str) -> Result<Option<SecretString>, Failure> {
    let key = if app.terminal.can_ask() {
        let asked = Password::new(&format!("Key of {provider}:")).without_confirmation().prompt();
        match asked {
            Ok(key) => key,
            Err(InquireError::OperationCanceled | InquireError::OperationInterrupted) => return Ok(None),
            Err(e) => return Err(Failure::failed(format!("the terminal cannot be read: {e}"))),
        }
    } else {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(LONGEST).read_to_string(&mut text);
        read.map_err(|e| Failure::failed(format!("stdin cannot be read: {e}")))?;
        text
    };
    if key.trim().contains('\n') {
        return Err(Failure::usage("more than one line came, which is no key; nothing is saved"));
    }
    match key.trim() {
        "" => Err(Failure::usage(format!("no key came; type it, or pipe it in: `victor keys set {provider} < FILE`"))),
        key => Ok(Some(SecretString::from(key))),
    }
}
