//! What the client is given by whoever runs it: time, HTTP clients, a place to keep things, and somebody to ask.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use serde_json::Value;
use victor_core::id::Clock;

/// Makes the HTTP client for an address, or says why there is none.
pub type Client = Arc<dyn Fn(&str) -> Result<reqwest::Client, String> + Send + Sync>;

/// What the client is given.
#[derive(Clone)]
pub struct Host {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The folder that is told to servers that ask for roots.
    pub root: PathBuf,
    /// The variables that every program gets.
    pub env: Vec<(String, OsString)>,
    /// The HTTP clients.
    pub client: Client,
    /// What servers have, kept so that it is known before they run.
    pub catalogs: Arc<dyn CatalogStore>,
    /// The tokens of logins.
    pub tokens: Arc<dyn TokenStore>,
    /// Who answers servers that ask for input, once somebody does; until then they are declined.
    pub elicitor: Arc<OnceLock<Arc<dyn Elicitor>>>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Keeps what servers have. What is lost is asked for again.
pub trait CatalogStore: Send + Sync + 'static {
    /// What was kept under this key.
    fn load(&self, key: &str) -> Option<Vec<u8>>;
    /// Keeps it.
    fn save(&self, key: &str, bytes: &[u8]);
}

/// Keeps the tokens of logins, out of others' sight.
pub trait TokenStore: Send + Sync + 'static {
    /// What was kept for this server.
    ///
    /// # Errors
    /// It cannot be read.
    fn load(&self, server: &str) -> Result<Option<String>, String>;
    /// Keeps it.
    ///
    /// # Errors
    /// It cannot be written.
    fn save(&self, server: &str, secret: &str) -> Result<(), String>;
    /// Forgets it.
    ///
    /// # Errors
    /// It cannot be written.
    fn clear(&self, server: &str) -> Result<(), String>;
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept;

impl CatalogStore for Kept {
    fn load(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn save(&self, _: &str, _: &[u8]) {}
}

impl TokenStore for Kept {
    fn load(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn save(&self, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn clear(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

/// A server asks its user for something.
#[derive(Clone, Debug, PartialEq)]
pub struct Elicitation {
    /// The server's name.
    pub server: String,
    /// What it says.
    pub message: String,
    /// The JSON Schema of the form to fill in; `None` where it wants an address to be visited instead.
    pub form: Option<Value>,
    /// The address to visit.
    pub url: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Elicited {
    /// The form, filled in; an empty object where an address was visited.
    Accepted(Value),
    /// The user does not want to.
    Declined,
    /// Nobody has answered.
    Cancelled,
}

/// Answers servers that ask for input.
#[async_trait]
pub trait Elicitor: Send + Sync + 'static {
    /// Answers one question.
    async fn ask(&self, question: Elicitation) -> Elicited;
}
