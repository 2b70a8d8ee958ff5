//! Providers' keys: from the environment, the system's keyring, or a file that only its owner can read.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use victor_core::error::ConfigurationError;
use victor_providers::Credentials;

use crate::config::document::{LIMIT, strict};
use crate::env::Env;
use crate::home::Home;
use crate::keyring::Keyring;
use crate::platform::{self, Content, Links};

/// Where a key is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPlace {
    /// The system's keyring.
    Keyring,
    /// `keys.yaml` in the user's home.
    File,
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyring => "keyring",
            Self::File => "keys.yaml",
        })
    }
}

/// The keys that this user has saved, and the environment that comes before them.
#[derive(Clone, Debug)]
pub struct Keys {
    home: Home,
    env: Env,
    keyring: Keyring,
}

impl Keys {
    /// The keys of a home.
    #[must_use]
    pub fn new(home: Home, env: Env) -> Self {
        let keyring = Keyring::find(&env);
        Self { home, env, keyring }
    }

    /// Saves a provider's key: in the keyring where there is one, else in `keys.yaml`. Tells where.
    ///
    /// # Errors
    /// The key is empty or has line breaks; the file cannot be written, or others can read it.
    pub fn set(&self, provider: &str, key: &SecretString) -> Result<KeyPlace, ConfigurationError> {
        check(provider, key)?;
        if self.keyring.set(provider, key) {
            self.edit(|keys| keys.remove(provider).is_some())?;
            return Ok(KeyPlace::Keyring);
        }
        let key = key.expose_secret().to_owned();
        self.edit(|keys| keys.insert(provider.to_owned(), key.clone()) != Some(key))?;
        Ok(KeyPlace::File)
    }

    /// Deletes a provider's key wherever it is saved; tells where it was.
    ///
    /// # Errors
    /// The file cannot be written, or others can read it.
    pub fn delete(&self, provider: &str) -> Result<Vec<KeyPlace>, ConfigurationError> {
        let mut places = Vec::new();
        if self.keyring.delete(provider) {
            places.push(KeyPlace::Keyring);
        }
        if self.edit(|keys| keys.remove(provider).is_some())? {
            places.push(KeyPlace::File);
        }
        Ok(places)
    }

    /// Which of these providers, and which others that the file names, have a saved key, and where.
    ///
    /// # Errors
    /// The file cannot be read, or others can read it.
    pub fn list<'a>(
        &self,
        providers: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<(String, KeyPlace)>, ConfigurationError> {
        let mut found: BTreeMap<String, KeyPlace> =
            self.load()?.into_keys().map(|name| (name, KeyPlace::File)).collect();
        for provider in providers {
            if self.keyring.get(provider).is_some() {
                found.insert(provider.to_owned(), KeyPlace::Keyring);
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Changes the file if `change` says that there is something to change; tells whether.
    fn edit(&self, change: impl FnOnce(&mut BTreeMap<String, String>) -> bool) -> Result<bool, ConfigurationError> {
        let _lock = self.home.lock()?;
        let mut keys = self.load()?;
        if !change(&mut keys) {
            return Ok(false);
        }
        let path = self.home.keys();
        let text = serde_saphyr::to_string(&keys)
            .map_err(|e| ConfigurationError::new(format!("{}: it cannot be written: {e}", path.display())))?;
        self.home.write_private(&path, &text)?;
        Ok(true)
    }

    fn load(&self) -> Result<BTreeMap<String, String>, ConfigurationError> {
        let path = self.home.keys();
        let fail = |why: String| ConfigurationError::new(format!("{}: {why}", path.display()));
        let bytes = match platform::read_limited(&path, LIMIT, Links::Follow) {
            Ok(Content::Missing) => return Ok(BTreeMap::new()),
            Ok(Content::Bytes(bytes)) => bytes,
            Ok(Content::TooLong(_)) => return Err(fail(format!("it is longer than {LIMIT} bytes"))),
            Err(e) => return Err(fail(format!("it cannot be read: {e}"))),
        };
        if let Some(why) = platform::exposed(&path).map_err(|e| fail(e.to_string()))? {
            return Err(fail(format!(
                "others can read the keys in it ({why}); run `chmod 600 {}`, and think of new keys",
                path.display()
            )));
        }
        // The parser's message could quote the line, and so a key.
        let text = String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8".to_owned()))?;
        strict("", &text).map_err(|e| {
            let place = e.message.split(": ").next().unwrap_or_default().to_owned();
            ConfigurationError::new(format!(
                "{}{place}: it has to hold lines of the form `provider: key`",
                path.display()
            ))
        })
    }
}

impl Credentials for Keys {
    fn var(&self, name: &str) -> Option<String> {
        self.env.var(name).map(ToOwned::to_owned)
    }

    fn stored_key(&self, provider: &str) -> Result<Option<SecretString>, ConfigurationError> {
        if let Some(key) = self.keyring.get(provider) {
            return Ok(Some(key));
        }
        Ok(self.load()?.remove(provider).map(SecretString::from))
    }
}

fn check(provider: &str, key: &SecretString) -> Result<(), ConfigurationError> {
    let name_fits = !provider.is_empty() && provider.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !name_fits {
        return Err(ConfigurationError::new(format!("`{provider}` is not a provider's name")));
    }
    let key = key.expose_secret();
    if key.is_empty() || key.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(ConfigurationError::new("a key is one word without spaces or line breaks; nothing was saved"));
    }
    Ok(())
}
