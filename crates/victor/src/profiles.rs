//! Saved profiles in the user's configuration file.

use victor_core::agent::Profile;
use victor_core::error::ConfigurationError;

use crate::config::{self, Config};
use crate::home::Home;

/// Whether a profile may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is an error if there is one.
    Keep,
    /// It is replaced.
    Replace,
}

/// Saves a profile.
///
/// # Errors
/// The name is taken (by any layer of `config`), it is empty or has `/` or spaces, or the file cannot be changed.
pub fn create(
    home: &Home,
    config: &Config,
    name: &str,
    profile: &Profile,
    existing: Existing,
) -> Result<(), ConfigurationError> {
    if name.is_empty() || name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control()) {
        return Err(ConfigurationError::new(format!("`{name}` is not a profile's name: no `/`, no spaces")));
    }
    if existing == Existing::Keep && config.profiles.contains_key(name) {
        return Err(ConfigurationError::new(format!(
            "there is a profile `{name}` already; `--force` replaces it, or choose another name"
        )));
    }
    let value = serde_json::to_value(profile)
        .map_err(|e| ConfigurationError::new(format!("the profile cannot be saved: {e}")))?;
    config::put(home, &path(name), &value)
}

/// Deletes a profile of the user's configuration file. Where it is the one that this file uses when none is named, none
/// is from now on.
///
/// # Errors
/// There is none of this name in it (names the nearest), or the file cannot be changed.
pub fn delete(home: &Home, config: &Config, name: &str) -> Result<(), ConfigurationError> {
    check(config, name)?;
    if config::remove(home, &path(name))? {
        let default = vec!["profile".to_owned()];
        if config::own_value(home, &default)?.is_some_and(|used| used == name) {
            config::remove(home, &default)?;
        }
        return Ok(());
    }
    Err(ConfigurationError::new(format!(
        "profile `{name}` does not stand in {}; `victor config show` tells where it comes from",
        home.config().display()
    )))
}

/// Uses a profile where none is named.
///
/// # Errors
/// There is none of this name (names the nearest), or the file cannot be changed.
pub fn select(home: &Home, config: &Config, name: &str) -> Result<(), ConfigurationError> {
    check(config, name)?;
    config::put(home, &vec!["profile".to_owned()], &name.into())
}

pub(crate) fn check(config: &Config, name: &str) -> Result<(), ConfigurationError> {
    if config.profiles.contains_key(name) {
        return Ok(());
    }
    Err(ConfigurationError::unknown("profile", "NOT_FOUND", name, config.profiles.keys().map(String::as_str)))
}

fn path(name: &str) -> Vec<String> {
    vec!["profiles".to_owned(), name.to_owned()]
}
