//! Configuration: files, environment and flags as layers of one typed [`Config`].

pub(crate) mod document;
mod edit;
mod environment;
pub(crate) mod expand;
pub(crate) mod keys;
mod layers;
mod load;
#[cfg(feature = "local")]
mod local;
mod mistakes;
mod narrow;
mod schedules;
mod schema;
mod tree;

pub use edit::set;
pub(crate) use edit::{put, remove};
pub use layers::Origin;
pub use load::{Flags, Settings};
pub(crate) use load::{Project, load, own_value};
#[cfg(feature = "local")]
pub use local::{LocalEngine, LocalModels};
pub use schedules::ScheduleSettings;
pub(crate) use schedules::ZONE;
pub use schema::{
    Auth, Config, Cors, Level, Limits, LogSettings, McpOAuth, McpServer, McpTransport, Permissions, RateLimit, Server,
    Ssl, StoreSettings, Sync, schema_json,
};

use serde_json::Value;
use victor_core::error::ConfigurationError;

impl Settings {
    /// What holds for a key, with its origin for each value below it. Keys that nobody has set have no value.
    ///
    /// # Errors
    /// The key does not exist; names the nearest one.
    pub fn get(&self, key: &str) -> Result<Vec<&Origin>, ConfigurationError> {
        let path = keys::split(key)?;
        keys::check(&path)?;
        Ok(self.origins.iter().filter(|o| o.path.starts_with(&path)).collect())
    }

    /// What holds for a key as one value, secrets masked; `null` for what nobody has set.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn value(&self, key: &str) -> Result<Value, ConfigurationError> {
        let path = keys::split(key)?;
        keys::check(&path)?;
        Ok(keys::at(&self.shown(), &path).cloned().unwrap_or_default())
    }

    /// Everything that holds, secrets masked.
    #[must_use]
    pub fn shown(&self) -> Value {
        let mut value = document::to_json(&self.config);
        layers::mask(&mut value, &mut Vec::new());
        value
    }
}
