//! A typed map of JSON values, for what an application keeps between runs.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::ConfigurationError;

/// Named values of any serialisable type. It does no I/O; `victor` adds loading and saving.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(Map<String, Value>);

impl State {
    /// An empty state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// The value cannot be written as JSON; nothing was set.
    pub fn set(&mut self, key: impl Into<String>, value: impl Serialize) -> Result<(), ConfigurationError> {
        let key = key.into();
        let value = serde_json::to_value(value)
            .map_err(|e| ConfigurationError::new(format!("the value of `{key}` cannot be kept: {e}")))?;
        self.0.insert(key, value);
        Ok(())
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// It is not there, or of another type.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<T, ConfigurationError> {
        let value = self.0.get(key).ok_or_else(|| {
            ConfigurationError::unknown("state key", "INVALID_VALUE", key, self.0.keys().map(String::as_str))
        })?;
        T::deserialize(value)
            .map_err(|e| ConfigurationError::new(format!("the value of `{key}` has another type: {e}")))
    }

    /// Whether `key` is there.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Removes `key` and tells whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        self.0.remove(key).is_some()
    }

    /// The keys, in the order in which they were set.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
