//! Configuration from environment variables: `VICTOR_SERVER__PORT` is `server.port`.

use serde_json::Value;
use victor_core::error::{ConfigurationError, nearest};

use super::keys::{self, Path};
use crate::env::Env;

const PREFIX: &str = "VICTOR_";

/// Variables that mean something else than a configuration key.
const RESERVED: [&str; 10] = [
    "VICTOR_HOME",
    "VICTOR_API_KEY",
    "VICTOR_WORKSPACE",
    "VICTOR_ALLOW",
    "VICTOR_PROFILE",
    "VICTOR_LOG_LEVEL",
    "VICTOR_ALLOWED_PATHS",
    "VICTOR_DENIED_PATHS",
    "VICTOR_AIRGAPPED_MODE",
    "VICTOR_MCP_",
];

/// A value that a variable sets.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The variable.
    pub(crate) variable: String,
    /// The key.
    pub(crate) path: Path,
    /// The value.
    pub(crate) value: Value,
}

/// The values that variables set, and a line for each variable that looks like one but names no key. `existing` is
/// what the files say: its names of providers and profiles are found whatever their case.
pub(crate) fn settings(env: &Env, existing: &Value) -> Result<(Vec<Setting>, Vec<String>), ConfigurationError> {
    let (mut settings, mut notices) = (Vec::new(), Vec::new());
    for (variable, text) in env.with_prefix(PREFIX).filter(|(name, _)| !reserved(name)) {
        let parts: Vec<&str> = variable[PREFIX.len()..].split("__").collect();
        let path = match keys::from_variable(&parts, existing) {
            Ok(path) => path,
            // Only `__` says for certain that a key is meant.
            Err(_) if parts.len() == 1 => {
                notices.extend(misspelt(variable, parts[0]));
                continue;
            }
            Err(e) => return Err(ConfigurationError::new(format!("environment variable {variable}: {e}"))),
        };
        let value = keys::value(&path, text)
            .map_err(|e| ConfigurationError::new(format!("environment variable {variable}: {e}")))?;
        settings.push(Setting { variable: variable.to_owned(), path, value });
    }
    Ok((settings, notices))
}

fn reserved(name: &str) -> bool {
    RESERVED.iter().any(|r| name == *r || (r.ends_with('_') && name.starts_with(r) && !name.contains("__")))
}

/// A variable of another program may begin with `VICTOR_` too; only what is nearly a key is worth a line.
fn misspelt(variable: &str, part: &str) -> Option<String> {
    let near = nearest(&part.to_lowercase(), keys::top());
    let first = near.first()?;
    Some(format!("environment variable {variable} is no configuration key; {first} is one (VICTOR_{})", {
        first.trim_matches('`').to_uppercase()
    }))
}
