//! All servers that are configured: a source of tools, and a source of resources and prompts for each.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use victor_core::prompt::{Prompt, PromptSource};
use victor_core::resource::{Resource, ResourceSource};
use victor_core::tool::{DynTool, Origin, ToolSource};

use super::config::{Link, ServerConfig, Setting};
use super::host::{Elicitor, Host};
use super::login::{Login, LoginError};
use super::name;
use super::prompt::Prompts;
use super::resource::Resources;
use super::server::{Report, Server, Wait};
use super::state::Status;

/// The servers that are configured. Cloning is cheap and gives the same; with the last of them all programs end.
#[derive(Clone)]
pub struct Servers {
    servers: Arc<[Arc<Server>]>,
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.servers.iter().map(|s| &s.config().name)).finish()
    }
}

impl Servers {
    /// These servers; nothing is started.
    #[must_use]
    pub fn new(configs: Vec<ServerConfig>, host: Host) -> Self {
        let host = Arc::new(host);
        let mut parts: BTreeMap<String, String> = BTreeMap::new();
        let servers = configs.into_iter().map(|mut config| {
            // Two servers whose tools had the same names could stand in for each other.
            let first = parts.entry(name::part(&config.name)).or_insert_with(|| config.name.clone());
            if *first != config.name {
                let why = format!("its tools would be named like those of `{first}`; give it another name");
                config.setting = Setting::Broken(why);
            }
            Server::new(config, Arc::clone(&host))
        });
        Self { servers: servers.collect() }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// How they all stand, in the order of their names.
    #[must_use]
    pub fn statuses(&self) -> Vec<Status> {
        self.servers.iter().map(|s| s.status()).collect()
    }

    /// The names of those that cannot be used, as far as this process has found that out, and why.
    #[must_use]
    pub fn failures(&self) -> Vec<(String, String)> {
        let failure = |s: &Arc<Server>| Some((s.config().name.clone(), s.failure()?));
        self.servers.iter().filter_map(failure).collect()
    }

    /// How one stands.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<Status> {
        self.find(name).map(|s| s.status())
    }

    /// The sources of their resources.
    pub fn resources(&self) -> impl Iterator<Item = Arc<dyn ResourceSource>> {
        self.servers.iter().map(|s| Arc::new(Resources::new(Arc::clone(s))) as _)
    }

    /// The sources of their prompts.
    pub fn prompts(&self) -> impl Iterator<Item = Arc<dyn PromptSource>> {
        self.servers.iter().map(|s| Arc::new(Prompts::new(Arc::clone(s))) as _)
    }

    /// The prompts and the first resources of each, as far as they are known; nothing is started.
    #[must_use]
    pub fn known(&self) -> Vec<(String, Vec<Prompt>, Vec<Resource>)> {
        let known = |s: &Arc<Server>| {
            let (prompts, resources) = s.known();
            (s.config().name.clone(), prompts, resources)
        };
        self.servers.iter().map(known).collect()
    }

    /// Starts one, and asks it all that it has. `None` where none has this name.
    ///
    /// # Errors
    /// It cannot be used; says why.
    pub async fn test(&self, name: &str) -> Option<Result<Report, String>> {
        let server = self.find(name)?;
        Some(test(server).await)
    }

    /// Begins a login to one. `None` where none has this name.
    ///
    /// # Errors
    /// It has no address, or where one logs in cannot be found out.
    pub async fn login(&self, name: &str) -> Option<Result<Login, LoginError>> {
        let server = self.find(name)?;
        let config = server.config();
        let Setting::Enabled(Link::Address(address)) = &config.setting else {
            let why = format!("`{name}` is no server at an address that can be used; only those have logins");
            return Some(Err(LoginError(why)));
        };
        Some(Login::begin(config, address, server.host(), server.challenge()).await)
    }

    /// Forgets the login to one.
    ///
    /// # Errors
    /// What is kept cannot be changed.
    pub fn logout(&self, name: &str) -> Result<(), String> {
        self.find(name).map_or(Ok(()), |s| s.host().tokens.clear(name))
    }

    /// Has servers that are started from now on ask this one for input. Only the first one counts.
    pub fn set_elicitor(&self, elicitor: Arc<dyn Elicitor>) {
        if let Some(server) = self.servers.first() {
            let _ = server.host().elicitor.set(elicitor);
        }
    }

    /// Ends all of them.
    pub async fn close(&self) {
        join_all(self.servers.iter().map(|s| s.close())).await;
    }

    fn find(&self, name: &str) -> Option<&Arc<Server>> {
        self.servers.iter().find(|s| s.config().name == name)
    }
}

async fn test(server: &Arc<Server>) -> Result<Report, String> {
    server.connection(Wait::Bearable).await?;
    let resources = Resources::new(Arc::clone(server));
    let prompts = Prompts::new(Arc::clone(server));
    let (prompts, listed, templates) = futures::join!(prompts.list(), resources.list(None), resources.templates());
    let tools = server.tools().await;
    let mut status = server.status();
    let mut note = |what: &str, e: &dyn std::fmt::Display| status.problems.push(format!("{what}: {e}"));
    let prompts = prompts.unwrap_or_else(|e| {
        note("prompts", &e);
        Vec::new()
    });
    let resources = listed.map(|page| page.items).unwrap_or_else(|e| {
        note("resources", &e);
        Vec::new()
    });
    // Many servers have no templates and say so with an error.
    let templates = templates.unwrap_or_default();
    let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let tool_list = tools.iter().map(|t| (t.spec().name.clone(), first_line(&t.spec().description))).collect();
    Ok(Report { status, instructions: server.instructions(), tool_list, prompts, resources, templates })
}

#[async_trait]
impl ToolSource for Servers {
    fn name(&self) -> &str {
        "mcp"
    }

    fn origin(&self) -> Origin {
        Origin::Foreign
    }

    async fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        join_all(self.servers.iter().map(|s| s.tools())).await.into_iter().flatten().collect()
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}
