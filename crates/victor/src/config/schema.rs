//! The configuration as types: every key of `config.yaml`, and its JSON Schema.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use victor_core::agent::Profile;
use victor_core::permission::Mode;
use victor_core::sandbox::SandboxMode;
use victor_core::usage::{Budget, NanoUsd};
use victor_providers::ProviderSettings;

use super::schedules::{self, ScheduleSettings};

/// Victor's configuration: one file of it, or all layers together. What is not said follows the defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct Config {
    /// The provider that serves when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model that serves when none is named: any id of the provider, or `provider/model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The profile that is used when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What is tried in turn when the provider fails for good, as `provider/model` or `provider`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Vec<String>>,
    /// What agents are there for, and so what they may do at most; `build` unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// How far commands may reach; `workspace-write` unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxMode>,
    /// Saved sets of choices, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(deserialize_with = "or_default")]
    pub profiles: BTreeMap<String, Profile>,
    /// Providers beside those of the catalogue, and other settings for these, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(deserialize_with = "or_default")]
    pub providers: BTreeMap<String, ProviderSettings>,
    /// What tools may do. The rules of all layers hold together.
    #[serde(skip_serializing_if = "is_default")]
    #[serde(deserialize_with = "or_default")]
    pub permissions: Permissions,
    /// What a run may use at most.
    #[serde(skip_serializing_if = "is_default")]
    #[serde(deserialize_with = "or_default")]
    pub limits: Limits,
    /// How sessions are saved.
    #[serde(skip_serializing_if = "is_default")]
    #[serde(deserialize_with = "or_default")]
    pub store: StoreSettings,
    /// What is logged.
    #[serde(skip_serializing_if = "is_default")]
    #[serde(deserialize_with = "or_default")]
    pub log: LogSettings,
    /// The models that run in this process.
    #[cfg(feature = "local")]
    #[serde(skip_serializing_if = "is_default")]
    #[serde(deserialize_with = "or_default")]
    pub local: super::local::LocalModels,
    /// The HTTP API, for `victor serve`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// MCP servers whose tools agents may use, by name.
    #[serde(rename = "mcpServers", skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(deserialize_with = "or_default")]
    pub mcp_servers: BTreeMap<String, McpServer>,
    /// Workflows that `victor serve` runs at certain times, by a name of each.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(deserialize_with = "or_default")]
    pub schedules: BTreeMap<String, ScheduleSettings>,
}

/// Rules of the form `tool` or `tool(pattern)`. Deny beats ask, and ask beats allow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Permissions {
    /// What may be done without a question.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "or_default")]
    pub allow: Vec<String>,
    /// What a person is asked about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "or_default")]
    pub ask: Vec<String>,
    /// What may not be done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "or_default")]
    pub deny: Vec<String>,
}

/// What a run may use at most; its sub-agents draw on the same amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Model calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// Prompt and answer tokens of all calls together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// US dollars; a model without a known price is then refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub max_cost: Option<f64>,
    /// Seconds from the run's start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_time: Option<u64>,
    /// Seconds without a byte from the model's server until the call counts as stalled; 120 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<std::num::NonZeroU32>,
}

impl Limits {
    /// How long a model's server may stay silent within a call; `None` for the default.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout.map(|seconds| Duration::from_secs(seconds.get().into()))
    }
}

impl From<Limits> for Budget {
    fn from(limits: Limits) -> Self {
        Self {
            max_turns: limits.max_turns,
            max_tokens: limits.max_tokens,
            max_cost: limits.max_cost.map(NanoUsd::from_dollars),
            max_time: limits.max_time.map(Duration::from_secs),
        }
    }
}

/// How sessions are saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// What a power cut may cost; `normal` unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<Sync>,
}

/// What a power cut may cost. A killed process loses nothing either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sync {
    /// The last moments.
    Normal,
    /// Nothing; every commit waits for the disk.
    Full,
}

/// What is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// The least important events that are logged; `info` unless said otherwise. `VICTOR_LOG_LEVEL` and `-v` beat it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Days whose log files are kept; 7 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub keep_days: Option<std::num::NonZeroU32>,
}

/// How important an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing is logged.
    Off,
    /// Failures.
    Error,
    /// What may become a failure.
    Warn,
    /// What happens, in outline.
    #[default]
    Info,
    /// What happens, in detail.
    Debug,
    /// Everything.
    Trace,
}

/// The HTTP API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// The address to listen on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Threads that serve requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<std::num::NonZeroU16>,
    /// Whether MCP clients are served too, at /mcp and /sse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcp: Option<bool>,
    /// Names by which clients may reach the server, beside loopback.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed: addresses or networks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
    /// Runs at the same time at most; 2048 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_runs: Option<std::num::NonZeroU32>,
    /// Megabytes (MiB) of a request's body at most; 20 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body_mb: Option<std::num::NonZeroU16>,
    /// Seconds that a question waits for its answer until it counts as denied; 300 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_timeout: Option<std::num::NonZeroU32>,
    /// Seconds that runs have to end when the server is asked to end; 30 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<u32>,
    /// TLS.
    #[serde(skip_serializing_if = "is_default")]
    pub ssl: Ssl,
    /// Which web pages may call.
    #[serde(skip_serializing_if = "is_default")]
    pub cors: Cors,
    /// How often a client may call.
    #[serde(skip_serializing_if = "is_default")]
    pub rate_limit: RateLimit,
    /// Who may call.
    #[serde(skip_serializing_if = "is_default")]
    pub auth: Auth,
}

/// TLS of the HTTP API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ssl {
    /// Whether it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The file of the certificate chain (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// The file of the private key (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Which web pages may call the HTTP API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    /// Whether any may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Their origins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// The methods that they may use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
}

/// How often a client may call the HTTP API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    /// Whether that is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Requests in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Requests in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_day: Option<u32>,
}

/// Who may call the HTTP API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Whether a key is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The key itself, usually as `${NAME}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// The environment variable that holds the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
}

/// One MCP server: a program to start, or an address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct McpServer {
    /// How it is spoken to; found out where it is not said.
    #[serde(rename = "type", alias = "transport", skip_serializing_if = "Option::is_none")]
    pub transport: Option<McpTransport>,
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its environment variables, beside the usual ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Headers to send with every request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The environment variable that holds a bearer token for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer_env: Option<String>,
    /// How one logs in to it, where the server does not say it all.
    #[serde(skip_serializing_if = "is_default")]
    pub oauth: McpOAuth,
    /// Whether it is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// The tools that are offered, by their own names, as globs; all unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// Seconds that a call may go on without a sign of progress; 120 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<std::num::NonZeroU32>,
    /// Seconds that it may take to start; 30 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<std::num::NonZeroU32>,
}

/// How an MCP server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum McpTransport {
    /// Over the standard streams of a program.
    Stdio,
    /// Streamable HTTP.
    #[serde(alias = "streamable-http", alias = "streamableHttp", alias = "streamable_http")]
    Http,
    /// The older HTTP transport, with server-sent events.
    Sse,
}

/// How one logs in to an MCP server, where the server does not say it all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct McpOAuth {
    /// The client's id, where it was registered by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The environment variable that holds the secret of that id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_env: Option<String>,
    /// The address of a document about the client (https), which stands for its id where the server takes that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_metadata_url: Option<String>,
    /// The scopes to ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

/// The JSON Schema (draft 2020-12) of the configuration, for editors.
#[must_use]
pub fn schema_json() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>().to_value()
}

/// The same without references, for looking up keys.
pub(crate) fn inlined() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Config>().to_value()
}

impl Config {
    /// What the types cannot say: the keys with a value that makes no sense, and why.
    pub(crate) fn check(&self) -> Vec<(Vec<String>, String)> {
        let mut wrong = Vec::new();
        let path = |key: &[&str]| key.iter().map(|k| (*k).to_owned()).collect::<Vec<_>>();
        if let Some(cost) = self.limits.max_cost
            && !(cost.is_finite() && cost >= 0.0)
        {
            wrong.push((path(&["limits", "max_cost"]), format!("`limits.max_cost` is {cost}; dollars are 0 or more")));
        }
        #[cfg(feature = "local")]
        wrong.extend(self.local.check().err().map(|(key, why)| (path(&["local", key]), why)));
        for (name, profile) in &self.profiles {
            if let Some(t) = profile.temperature
                && !(0.0..=2.0).contains(&t)
            {
                let why = format!("the temperature of profile `{name}` is {t}; it is 0 to 2");
                wrong.push((path(&["profiles", name, "temperature"]), why));
            }
        }
        wrong.extend(schedules::check(self));
        wrong
    }
}

/// A key without a value (`permissions:`, all of it commented out) says nothing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
