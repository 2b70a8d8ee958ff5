//! What the door is told: who may call, from where, how often and how much. Nothing here is read from the environment.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;
use victor_core::error::ConfigurationError;
use victor_core::idempotency::IdempotencyStore;
use victor_core::memory::MemoryStore;
use victor_core::token::{Scope, TokenHash, TokenStore};

/// How the door behaves. The default is for an application that guards the router itself: no authentication, any host.
#[derive(Clone)]
pub struct Config {
    /// Who may call.
    pub auth: Auth,
    /// The names by which clients may reach the server, against DNS rebinding.
    pub hosts: HostGuard,
    /// The web pages that may call; none, if `None`.
    pub cors: Option<Cors>,
    /// How often one caller may call; unlimited, if `None`.
    pub rate_limit: Option<RateLimit>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Bytes of a request's body at most.
    pub max_body: usize,
    /// How long a request's body may take to come.
    pub body_timeout: Duration,
    /// Runs at the same time at most; further ones are told to come back.
    pub max_runs: usize,
    /// How long a question waits for `POST /approvals/{id}` before it counts as denied.
    pub approval_timeout: Duration,
    /// How often a stream without events says that it lives.
    pub heartbeat: Duration,
    /// What `GET /config/effective` answers, secrets masked already.
    pub effective: Value,
    /// Where answers of requests with an `Idempotency-Key` are kept.
    pub answers: Arc<dyn IdempotencyStore>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auth: Auth::default(),
            hosts: HostGuard::Any,
            cors: None,
            rate_limit: None,
            trusted_proxies: Vec::new(),
            max_body: 20 << 20,
            body_timeout: Duration::from_mins(1),
            max_runs: 2048,
            approval_timeout: Duration::from_mins(5),
            heartbeat: Duration::from_secs(15),
            effective: Value::Object(serde_json::Map::new()),
            answers: Arc::new(MemoryStore::default()),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("auth", &self.auth).field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// Who may call.
#[derive(Clone, Default)]
pub struct Auth {
    /// When a key is asked for.
    pub demand: Demand,
    /// Keys from the configuration.
    pub keys: Vec<ApiKey>,
    /// Tokens that were made for callers.
    pub tokens: Option<Arc<dyn TokenStore>>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("demand", &self.demand).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// When a key is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// As soon as there is a key, or a token was ever made.
    #[default]
    OnceThereIsOne,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A key of the configuration; only its hash is held.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// What logs and limits call it.
    pub name: String,
    /// What it is recognised by.
    pub hash: TokenHash,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
}

impl ApiKey {
    /// A key that allows everything.
    ///
    /// # Errors
    /// It is empty, or no text that a header can hold.
    pub fn new(name: impl Into<String>, secret: &str) -> Result<Self, ConfigurationError> {
        if secret.is_empty() || !secret.bytes().all(|b| b.is_ascii_graphic()) {
            let message = "an API key is one or more visible ASCII characters without spaces";
            return Err(ConfigurationError::new(message));
        }
        Ok(Self { name: name.into(), hash: TokenHash::of(secret), scopes: Scope::ALL.into() })
    }
}

/// The names by which clients may reach the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostGuard {
    /// Any: something before this router looks after it, or the server is meant for everybody.
    #[default]
    Any,
    /// `localhost`, `127.0.0.1`, `[::1]` and these, with any port.
    Loopback {
        /// Further names.
        also: Vec<String>,
    },
}

/// The web pages that may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Their origins (`https://app.example`), or `*` alone.
    pub origins: Vec<String>,
    /// The methods that they may use.
    pub methods: Vec<String>,
}

/// How often one caller, a key or else an address, may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests in a minute.
    pub per_minute: u32,
    /// Requests in a day.
    pub per_day: u32,
}
