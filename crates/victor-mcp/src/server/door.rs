//! What all clients of the door share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{Implementation, ServerCapabilities, ServerConfig, Tool};
use rmcp::model::{RequestStateCodec, SealOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use victor_core::agent::DryRun;
use victor_core::blob::BlobId;
use victor_core::error::{VictorError, nearest};
use victor_core::runtime::Runtime;
use victor_core::token::Principal;
use victor_core::tool::ToolSpec;

use super::config::{self, Config};
use super::host::Host;
use super::own::{OwnTool, OwnTools};
use super::places::Places;
use super::runs::{RunAgent, RunStatus, Runs};
use super::workflows::{RunWorkflow, WorkflowStatus};
use crate::convert;

/// How long an answer to a question may take to come back.
const STATE_LIFE: Duration = Duration::from_mins(10);
/// Hexadecimal digits of the seal of a session's id.
const SEAL: usize = 32;
/// Resources that all clients together may watch.
pub(crate) const WATCHES: usize = 4096;

/// What all clients share.
pub(crate) struct Door {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) config: Config,
    pub(crate) own: OwnTools,
    #[cfg(feature = "conformance")]
    pub(crate) fixtures: Vec<Arc<dyn super::own::OwnPrompt>>,
    pub(crate) runs: Arc<Runs>,
    /// Ends everything that is under way.
    pub(crate) closing: CancellationToken,
    /// Ends what only waits for something to happen.
    pub(crate) quiet: CancellationToken,
    /// Places of clients over HTTP.
    pub(crate) places: Arc<Places>,
    /// Places of watched resources, of all clients together.
    pub(crate) watches: Arc<Semaphore>,
    seals: OnceLock<RequestStateCodec>,
    key: [u8; 32],
}

impl Door {
    pub(crate) fn new(host: Arc<dyn Host>, config: Config, extra: OwnTools, key: [u8; 32]) -> Self {
        let runs = Arc::new(Runs::default());
        let mut own: OwnTools = vec![
            Arc::new(RunAgent::new(Arc::clone(&runs))),
            Arc::new(RunStatus::new(Arc::clone(&runs))),
            Arc::new(RunWorkflow::new(Arc::clone(&runs))),
            Arc::new(WorkflowStatus::new()),
        ];
        own.extend(extra);
        let (closing, quiet) = (CancellationToken::new(), CancellationToken::new());
        Self {
            host,
            config,
            own,
            #[cfg(feature = "conformance")]
            fixtures: Vec::new(),
            runs,
            closing,
            quiet,
            places: Arc::default(),
            watches: Arc::new(Semaphore::new(WATCHES)),
            seals: OnceLock::new(),
            key,
        }
    }

    /// What a client is told of the server.
    pub(crate) fn info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_completions()
            .enable_logging()
            .enable_tasks()
            .build();
        let server = Implementation::new("victor", self.config.version.clone()).with_title("Victor");
        let info = ServerConfig::new(capabilities).with_server_info(server);
        match &self.config.instructions {
            Some(text) => info.with_instructions(text.clone()),
            None => info,
        }
    }

    /// The door's own tool of this name, where it is offered.
    pub(crate) fn own_tool(&self, name: &str) -> Option<&Arc<dyn OwnTool>> {
        let named = self.own.iter().find(|tool| tool.card().name() == name)?;
        self.config.tools.admits(name, named.card().category()).then_some(named)
    }

    /// All tools that are offered, sorted by name.
    pub(crate) async fn tools(&self, runtime: &Runtime) -> Vec<Tool> {
        let specs = runtime.own_tool_set().await.specs();
        let mode = runtime.defaults().mode.unwrap_or_default();
        let own = |name: &str| self.own.iter().any(|tool| tool.card().name() == name);
        let offered = specs.iter().filter(|s| self.offers(s) && mode.permits(s.effects) && !own(&s.name));
        let mut tools: Vec<Tool> = offered.map(|s| convert::tool(s)).collect();
        if runtime.defaults().dry_run == DryRun::On {
            // What would be done has no form for programs.
            tools.iter_mut().for_each(|tool| tool.output_schema = None);
        }
        let own = self.own.iter().map(|own| own.card());
        let own = own.filter(|card| self.config.tools.admits(card.name(), card.category()));
        tools.extend(own.map(|card| card.tool().clone()));
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        tools
    }

    pub(crate) fn offers(&self, spec: &ToolSpec) -> bool {
        config::admits(&self.config.tools, spec)
    }

    /// There is no such tool, or it is not offered.
    pub(crate) async fn no_tool(&self, runtime: &Runtime, name: &str) -> ErrorData {
        let tools = self.tools(runtime).await;
        let near = nearest(name, tools.iter().map(|t| t.name.as_ref()));
        let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
        ErrorData::invalid_params(format!("Unknown tool: {name}{hint}"), None)
    }

    /// What a client keeps and brings back, so that nobody can change it on the way.
    pub(crate) fn seal<T: Serialize>(&self, value: &T, principal: &Principal) -> String {
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        self.codec().seal_with(&bytes, &options(principal))
    }

    /// What a client brought back.
    pub(crate) fn open<T: DeserializeOwned>(&self, sealed: &str, principal: &Principal) -> Result<T, ErrorData> {
        let opened = self.codec().open_json_with(sealed, principal.owner.as_bytes());
        opened.map_err(|_| ErrorData::invalid_params("requestState is not one of this server, or is too old", None))
    }

    /// A session's id as its owner is told it.
    pub(crate) fn session_for(&self, id: &str, principal: &Principal) -> String {
        let seal = BlobId::of(json!([self.key, &*principal.owner, id]).to_string().as_bytes()).0;
        format!("{id}.{}", seal.get(..SEAL).unwrap_or_default())
    }

    /// The session's own id, if it was told to this caller.
    pub(crate) fn session_of<'a>(&self, told: &'a str, principal: &Principal) -> Option<&'a str> {
        let (id, _) = told.rsplit_once('.')?;
        // By their digests: how long it takes says nothing of the seal.
        let digest = |text: &str| BlobId::of(text.as_bytes());
        (digest(told) == digest(&self.session_for(id, principal))).then_some(id)
    }

    fn codec(&self) -> &RequestStateCodec {
        // The key has the length that the library asks for.
        self.seals.get_or_init(|| RequestStateCodec::new_unchecked(self.key.to_vec()))
    }
}

fn options(principal: &Principal) -> SealOptions<'_> {
    SealOptions::new().ttl(STATE_LIFE).associated_data(principal.owner.as_bytes())
}

/// A runtime that cannot be had, for the client.
pub(crate) fn unavailable(error: &VictorError) -> ErrorData {
    ErrorData::internal_error(format!("Victor cannot work here: {error}"), None)
}
