//! What `victor serve` is told: the configuration's `server`, flags and environment become a door's [`Config`].
//! Whatever would leave the server open by accident is an error here.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use victor_core::error::{ConfigurationError, VictorError};
use victor_core::token::TokenStore as _;
use victor_http::{ApiKey, Auth, Config, Cors, Demand, HostGuard, RateLimit};
use victor_store::SqliteStore;

use crate::config::{self, Server};
use crate::env::Env;
use crate::setup::Setup;

/// The variable that holds a key by itself.
const KEY: &str = "VICTOR_API_KEY";
const PORT: u16 = 8080;
const GRACE: Duration = Duration::from_secs(30);
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// What flags say of the server; they beat the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServeFlags {
    /// The address to listen on.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The file of the certificate chain.
    pub cert: Option<PathBuf>,
    /// The file of its key.
    pub key: Option<PathBuf>,
    /// Threads.
    pub workers: Option<u16>,
    /// How long runs may take to end.
    pub grace: Option<Duration>,
    /// Whether a server that others can reach may do without authentication.
    pub exposure: Exposure,
    /// Whether MCP clients are served too (`--mcp`).
    pub mcp: Option<()>,
}

/// Whether a server that others can reach may do without authentication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// It may not.
    #[default]
    Guarded,
    /// It may not, and nobody can insist.
    Never,
    /// The user insists (`--insecure`).
    Insecure,
}

/// A server, ready to be bound.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    /// How its door behaves.
    pub config: Config,
    /// Certificate and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// How long runs may take to end.
    pub grace: Duration,
    /// Whether a key is asked for already.
    pub asks_for_key: bool,
    /// Whether the HTTP API is served.
    pub api: bool,
    /// Whether MCP clients are served.
    pub mcp: bool,
}

impl Setup {
    /// Threads that serve, where somebody said how many.
    #[must_use]
    pub fn workers(&self, flags: &ServeFlags) -> Option<usize> {
        let configured = self.settings.config.server.as_ref().and_then(|s| s.workers).map(std::num::NonZero::get);
        flags.workers.or(configured).map(usize::from)
    }

    /// The server that configuration, environment and flags describe, with conversations, tokens and answers in
    /// `store`.
    ///
    /// # Errors
    /// Something makes no sense, or would leave the server open by accident.
    pub async fn serving(&self, store: Arc<SqliteStore>, flags: &ServeFlags) -> Result<Serving, VictorError> {
        let env = self.env();
        let server = self.settings.config.server.clone().unwrap_or_default();
        let server: Server = config::expand::part(&server, "server", env)?;
        let address = address(&server, flags)?;
        let loopback = address.ip().is_loopback();
        let keys = keys(&server, env)?;
        let tokens = !store.tokens().await?.is_empty();
        let demand = match server.auth.enabled {
            None => Demand::OnceThereIsOne,
            Some(true) if keys.is_empty() && !tokens => return Err(no_key().into()),
            Some(true) => Demand::Always,
            Some(false) => Demand::Never,
        };
        let asks_for_key = demand != Demand::Never && (!keys.is_empty() || tokens || demand == Demand::Always);
        if !loopback && !asks_for_key && flags.exposure != Exposure::Insecure {
            return Err(exposed(address, flags.exposure).into());
        }
        let config = Config {
            auth: Auth { demand: certain(demand, asks_for_key), keys, tokens: Some(Arc::clone(&store) as _) },
            hosts: hosts(&server, loopback),
            cors: cors(&server),
            rate_limit: rate_limit(&server, loopback),
            trusted_proxies: proxies(&server)?,
            effective: self.settings.shown(),
            answers: store,
            ..limits(&server)
        };
        let grace = flags.grace.or(server.grace.map(|s| Duration::from_secs(s.into()))).unwrap_or(GRACE);
        let mcp = flags.mcp == Some(()) || server.mcp == Some(true);
        Ok(Serving { address, config, tls: tls(&server, flags)?, grace, asks_for_key, api: true, mcp })
    }
}

/// Tokens that exist now ask for a key from the first request on.
fn certain(demand: Demand, asks_for_key: bool) -> Demand {
    if asks_for_key { Demand::Always } else { demand }
}

fn address(server: &Server, flags: &ServeFlags) -> Result<SocketAddr, ConfigurationError> {
    let host = flags.host.clone().or_else(|| server.host.clone()).unwrap_or_else(|| "127.0.0.1".to_owned());
    let port = flags.port.or(server.port).unwrap_or(PORT);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let unknown =
        |why: String| ConfigurationError::new(format!("the host `{host}` is no address of this machine: {why}"));
    let mut found = (bare, port).to_socket_addrs().map_err(|e| unknown(e.to_string()))?;
    found.next().ok_or_else(|| unknown("the name has none".to_owned()))
}

/// The keys that count: of the configuration, and of the environment.
fn keys(server: &Server, env: &Env) -> Result<Vec<ApiKey>, ConfigurationError> {
    let mut keys = Vec::new();
    let auth = &server.auth;
    if auth.enabled == Some(false) {
        return Ok(keys);
    }
    if let Some(secret) = &auth.api_key {
        keys.push(key("server.auth.api_key", secret)?);
    }
    if let Some(name) = &auth.api_key_env {
        let unset =
            || ConfigurationError::new(format!("server.auth.api_key_env: environment variable {name} is not set"));
        keys.push(key(name, env.var(name).ok_or_else(unset)?)?);
    }
    if let Some(secret) = env.var(KEY) {
        keys.push(key(KEY, secret)?);
    }
    Ok(keys)
}

/// All keys of the configuration are the same caller: whoever runs the server.
fn key(place: &str, secret: &str) -> Result<ApiKey, ConfigurationError> {
    ApiKey::new("server", secret).map_err(|e| ConfigurationError::new(format!("{place}: {e}")))
}

fn hosts(server: &Server, loopback: bool) -> HostGuard {
    if !loopback && server.hosts.is_empty() {
        return HostGuard::Any;
    }
    HostGuard::Loopback { also: server.hosts.clone() }
}

fn cors(server: &Server) -> Option<Cors> {
    let cors = &server.cors;
    if !cors.enabled.unwrap_or(!cors.origins.is_empty()) {
        return None;
    }
    let methods = match cors.methods.is_empty() {
        true => METHODS.map(str::to_owned).to_vec(),
        false => cors.methods.clone(),
    };
    Some(Cors { origins: cors.origins.clone(), methods })
}

fn rate_limit(server: &Server, loopback: bool) -> Option<RateLimit> {
    let limit = &server.rate_limit;
    let given = limit.requests_per_minute.is_some() || limit.requests_per_day.is_some();
    limit.enabled.unwrap_or(!loopback || given).then(|| RateLimit {
        per_minute: limit.requests_per_minute.unwrap_or(60),
        per_day: limit.requests_per_day.unwrap_or(1000),
    })
}

fn proxies(server: &Server) -> Result<Vec<ipnet::IpNet>, ConfigurationError> {
    let net = |text: &String| {
        let one = || text.parse::<IpAddr>().map(ipnet::IpNet::from);
        text.parse().or_else(|_| one()).map_err(|_| {
            let message = format!("server.trusted_proxies: `{text}` is neither an address nor a network (10.0.0.0/8)");
            ConfigurationError::new(message)
        })
    };
    server.trusted_proxies.iter().map(net).collect()
}

fn limits(server: &Server) -> Config {
    let defaults = Config::default();
    Config {
        max_body: server.max_body_mb.map_or(defaults.max_body, |mb| (mb.get() as usize) << 20),
        max_runs: server.max_runs.map_or(defaults.max_runs, |n| n.get() as usize),
        approval_timeout: server
            .approval_timeout
            .map_or(defaults.approval_timeout, |s| Duration::from_secs(s.get().into())),
        ..defaults
    }
}

fn tls(server: &Server, flags: &ServeFlags) -> Result<Option<(PathBuf, PathBuf)>, ConfigurationError> {
    let ssl = &server.ssl;
    let configured = ssl.enabled.unwrap_or(ssl.cert.is_some() || ssl.key.is_some());
    let of = |text: &Option<String>| text.as_ref().filter(|_| configured).map(PathBuf::from);
    match (flags.cert.clone().or_else(|| of(&ssl.cert)), flags.key.clone().or_else(|| of(&ssl.key))) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (None, None) if ssl.enabled == Some(true) => {
            Err(ConfigurationError::new("server.ssl is enabled, but names neither `cert` nor `key`"))
        }
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => {
            Err(ConfigurationError::new("TLS needs both: `--ssl-cert` and `--ssl-key`, or `server.ssl.cert` and `key`"))
        }
    }
}

fn no_key() -> ConfigurationError {
    let message = format!(
        "server.auth is enabled, but there is no key: set {KEY}, `server.auth.api_key`, or make a token with \
         `victor tokens create NAME`"
    );
    ConfigurationError::new(message)
}

fn exposed(address: SocketAddr, exposure: Exposure) -> ConfigurationError {
    let insist = if exposure == Exposure::Guarded { ", or insist with `--insecure`" } else { "" };
    let message = format!(
        "{} can be reached from other machines, and nobody would be asked for a key: set {KEY}, make a token with \
         `victor tokens create NAME`, or listen on 127.0.0.1{insist}",
        address.ip()
    );
    ConfigurationError::new(message)
}
