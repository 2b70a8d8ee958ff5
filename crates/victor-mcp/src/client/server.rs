//! One server: started when it is first needed, started again after it was lost, and given up for a while when that fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rmcp::model::CallToolResult;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use victor_core::error::ToolError;
use victor_core::id::Timestamp;
use victor_core::prompt::Prompt;
use victor_core::resource::{Resource, ResourceTemplate};
use victor_core::tool::{DynTool, ToolCx};

use super::call::Uncalled;
use super::catalog::Catalog;
use super::config::{Link, ServerConfig, Setting};
use super::connection::{Connection, Unopened};
use super::host::Host;
use super::prompt::prompt;
use super::resource::resource;
use super::state::{State, Status};
use super::tool;

/// Wait before the second start; each failure makes it longer.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait before the next start.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// A wait that a call sits out; a longer one fails the call.
const BEARABLE: Duration = Duration::from_secs(3);
/// How long a fresh list of tools may take when a run begins.
const RELIST: Duration = Duration::from_secs(5);

/// One server.
pub(super) struct Server {
    me: Weak<Self>,
    config: ServerConfig,
    host: Arc<Host>,
    /// One start at a time.
    turn: Semaphore,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    live: Option<Arc<Connection>>,
    offered: Option<Arc<Offered>>,
    failure: Option<Failure>,
    looked: bool,
}

/// What a server has, made ready.
struct Offered {
    catalog: Catalog,
    tools: Vec<Arc<dyn DynTool>>,
    problems: Vec<String>,
}

#[derive(Clone)]
struct Failure {
    reason: String,
    challenge: Option<String>,
    /// Failures without a success between.
    count: u32,
    /// Before then nothing is started; `None` for what an earlier process saw.
    until: Option<Timestamp>,
}

/// Whether somebody waits for the server who can bear it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// A short pause before the next start is waited for.
    Bearable,
    /// Nothing is started while a pause lasts.
    No,
}

/// What a server said of itself when it was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How it stands.
    #[serde(flatten)]
    pub status: Status,
    /// What it says about its use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// The names of its tools, as agents call them, with the first line about each.
    pub tool_list: Vec<(String, String)>,
    /// Its prompts.
    pub prompts: Vec<Prompt>,
    /// Its resources, the first page of them.
    pub resources: Vec<Resource>,
    /// Its templates of resources.
    pub templates: Vec<ResourceTemplate>,
}

impl Server {
    pub(super) fn new(config: ServerConfig, host: Arc<Host>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            config,
            host,
            turn: Semaphore::new(1),
            inner: Mutex::default(),
        })
    }

    pub(super) fn config(&self) -> &ServerConfig {
        &self.config
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// What the server says about logging in, where that is why it failed.
    pub(super) fn challenge(&self) -> Option<String> {
        self.inner().failure.as_ref().and_then(|f| f.challenge.clone())
    }

    /// The tools for a run that begins now. A server that is not known yet is started for it.
    pub(super) async fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        let Ok(link) = self.link() else { return Vec::new() };
        self.look(link);
        let (live, known) = {
            let inner = self.inner();
            (inner.live.clone(), inner.offered.is_some())
        };
        match live.filter(|l| !l.is_closed()) {
            Some(live) if known && live.take_stale() => self.list_again(link, &live).await,
            None if !known => {
                if let Err(why) = self.connection(Wait::No).await {
                    tracing::warn!(server = %self.config.name, "no tools: {why}");
                }
            }
            _ => {}
        }
        self.inner().offered.as_ref().map(|o| o.tools.clone()).unwrap_or_default()
    }

    /// How it stands.
    pub(super) fn status(&self) -> Status {
        if let Ok(link) = self.link() {
            self.look(link);
        }
        let inner = self.inner();
        let known = inner.offered.as_ref();
        Status {
            name: self.config.name.clone(),
            state: self.state(&inner),
            transport: self.config.transport().to_owned(),
            target: self.config.target(),
            place: self.config.place.clone(),
            tools: known.map(|o| o.tools.len()),
            server: known.and_then(|o| o.catalog.server.clone()),
            protocol: known.map(|o| o.catalog.protocol.clone()),
            problems: known.map(|o| o.problems.clone()).unwrap_or_default(),
        }
    }

    /// Why it cannot be used, where this process has found that out.
    pub(super) fn failure(&self) -> Option<String> {
        match &self.config.setting {
            Setting::Broken(reason) => Some(reason.clone()),
            Setting::Disabled => None,
            Setting::Enabled(_) => {
                let inner = self.inner();
                inner.failure.as_ref().filter(|f| f.until.is_some()).map(|f| f.reason.clone())
            }
        }
    }

    fn state(&self, inner: &Inner) -> State {
        match &self.config.setting {
            Setting::Disabled => return State::Disabled,
            Setting::Broken(reason) => return State::Failed { reason: reason.clone() },
            Setting::Enabled(_) => {}
        }
        match (&inner.live, &inner.failure) {
            (Some(live), _) if !live.is_closed() => State::Running,
            (Some(_), None) => State::Failed { reason: "the connection was closed".to_owned() },
            (_, Some(failure)) => State::Failed { reason: failure.reason.clone() },
            (None, None) => State::NotStarted,
        }
    }

    /// What is known of it: whether it has prompts, and resources.
    pub(super) fn has(&self, what: impl Fn(&Catalog) -> bool) -> Option<bool> {
        if let Ok(link) = self.link() {
            self.look(link);
        }
        self.inner().offered.as_ref().map(|o| what(&o.catalog))
    }

    /// Its prompts and the first of its resources, as far as they are known.
    pub(super) fn known(&self) -> (Vec<Prompt>, Vec<Resource>) {
        if let Ok(link) = self.link() {
            self.look(link);
        }
        let Some(offered) = self.inner().offered.clone() else { return (Vec::new(), Vec::new()) };
        let prompts = offered.catalog.prompts.iter().cloned().map(prompt).collect();
        let resources = offered.catalog.resources.iter().cloned().map(resource).collect();
        (prompts, resources)
    }

    pub(super) fn instructions(&self) -> Option<String> {
        self.inner().offered.as_ref().and_then(|o| o.catalog.instructions.clone())
    }

    /// A connection, made now where there is none.
    pub(super) async fn connection(&self, wait: Wait) -> Result<Arc<Connection>, String> {
        let link = self.link()?;
        self.look(link);
        let ended = || format!("the MCP server `{}` was ended", self.config.name);
        let _turn = self.turn.acquire().await.map_err(|_| ended())?;
        let live = self.inner().live.clone();
        match live {
            Some(live) if !live.is_closed() => return Ok(live),
            Some(dead) => {
                let why = dead.ending().await.unwrap_or_else(|| "the connection was closed".to_owned());
                self.lost(&dead, Unopened::from(why));
            }
            None => {}
        }
        self.pause(wait).await?;
        let known = self.inner().offered.as_ref().map(|o| o.catalog.clone());
        let opening = Connection::open(&self.config, link, &self.host, known.as_ref());
        let limit = self.config.start_timeout;
        let opened = match tokio::time::timeout(limit, Box::pin(opening)).await {
            Ok(opened) => opened,
            Err(_) => Err(Unopened::from(format!("it was not ready within {} s of its start", limit.as_secs_f32()))),
        };
        match opened {
            Ok((connection, catalog, problems)) => {
                let connection = Arc::new(connection);
                self.offer(link, catalog, problems);
                let mut inner = self.inner();
                inner.live = Some(Arc::clone(&connection));
                if let Some(failure) = &mut inner.failure {
                    failure.challenge = None;
                }
                Ok(connection)
            }
            Err(unopened) => Err(self.failed(unopened)),
        }
    }

    /// Calls a tool by the server's own name for it. A call is never made twice: the server may have carried it out.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
        cx: &ToolCx,
    ) -> Result<CallToolResult, ToolError> {
        let connecting = self.connection(Wait::Bearable);
        let connected = cx.cancel.run_until_cancelled(connecting).await;
        let cancelled = || ToolError::model("the call was cancelled");
        let connection = connected.ok_or_else(cancelled)?.map_err(ToolError::Model)?;
        let name = &self.config.name;
        match connection.call(tool, arguments, self.config.call_timeout, cx).await {
            Ok(result) => {
                self.inner().failure = None;
                Ok(result)
            }
            Err(Uncalled::Cancelled) => Err(cancelled()),
            Err(Uncalled::Refused(why)) => Err(ToolError::Model(format!("the MCP server `{name}` refuses it: {why}"))),
            Err(Uncalled::Late(limit)) => {
                let message = format!(
                    "the MCP server `{name}` did not answer within {} s; it may be at work still",
                    limit.as_secs_f32()
                );
                Err(ToolError::Model(message))
            }
            Err(Uncalled::Login(challenge, reason)) => {
                let why = self.lost(&connection, Unopened { reason, challenge: Some(challenge) });
                Err(ToolError::Model(why.unwrap_or_else(|| format!("the MCP server `{name}` wants a login"))))
            }
            Err(Uncalled::Gone(why)) => {
                self.lost(&connection, Unopened::from(why.clone()));
                Err(ToolError::Model(format!("the MCP server `{name}` was lost during the call: {why}")))
            }
        }
    }

    /// Ends it for good.
    pub(super) async fn close(&self) {
        self.turn.close();
        let live = self.inner().live.take();
        if let Some(live) = live {
            live.close().await;
        }
    }

    fn link(&self) -> Result<&Link, String> {
        let name = &self.config.name;
        match &self.config.setting {
            Setting::Enabled(link) => Ok(link),
            Setting::Disabled => Err(format!("the MCP server `{name}` is disabled ({})", self.config.place)),
            Setting::Broken(why) => Err(format!("the MCP server `{name}` cannot be used: {why}")),
        }
    }

    /// Looks once at what was kept.
    fn look(&self, link: &Link) {
        if std::mem::replace(&mut self.inner().looked, true) {
            return;
        }
        let kept = self.host.catalogs.load(&self.config.key());
        let Some(catalog) = kept.and_then(|bytes| Catalog::read(&bytes)) else { return };
        let failure = catalog.failure.clone();
        if catalog.is_known() {
            let (tools, problems) = tool::tools(&self.me, &self.config, link, &catalog);
            self.inner().offered = Some(Arc::new(Offered { catalog, tools, problems }));
        }
        self.inner().failure = failure.map(|reason| Failure { reason, challenge: None, count: 0, until: None });
    }

    async fn list_again(&self, link: &Link, live: &Connection) {
        let sse = self.inner().offered.as_ref().is_some_and(|o| o.catalog.sse);
        match tokio::time::timeout(RELIST, live.catalog(sse)).await {
            Ok(Ok((catalog, problems))) => self.offer(link, catalog, problems),
            Ok(Err(_)) | Err(_) => live.handler.mark_stale(),
        }
    }

    fn offer(&self, link: &Link, catalog: Catalog, mut problems: Vec<String>) {
        let (tools, left_out) = tool::tools(&self.me, &self.config, link, &catalog);
        problems.extend(left_out);
        for problem in &problems {
            tracing::warn!(server = %self.config.name, "{problem}");
        }
        self.host.catalogs.save(&self.config.key(), &catalog.bytes());
        self.inner().offered = Some(Arc::new(Offered { catalog, tools, problems }));
    }

    /// Notes that this connection is gone, once.
    fn lost(&self, dead: &Arc<Connection>, why: Unopened) -> Option<String> {
        self.inner().live.take_if(|live| Arc::ptr_eq(live, dead))?;
        Some(self.failed(why))
    }

    fn failed(&self, unopened: Unopened) -> String {
        let Unopened { reason, challenge } = unopened;
        let reason = match challenge {
            Some(_) => format!("it wants a login ({reason}); `victor mcp login {}` does that", self.config.name),
            None => reason,
        };
        let kept = {
            let mut inner = self.inner();
            let count = inner.failure.as_ref().map_or(0, |f| f.count) + 1;
            let wait = FIRST_WAIT.saturating_mul(4_u32.saturating_pow(count - 1)).min(LONGEST_WAIT);
            let until = Some(later(self.host.clock.now(), wait));
            inner.failure = Some(Failure { reason: reason.clone(), challenge, count, until });
            let mut kept = inner.offered.as_ref().map_or_else(Catalog::new, |o| o.catalog.clone());
            kept.failure = Some(reason.clone());
            kept
        };
        tracing::warn!(server = %self.config.name, "failed: {reason}");
        self.host.catalogs.save(&self.config.key(), &kept.bytes());
        format!("the MCP server `{}` cannot be used: {reason}", self.config.name)
    }

    /// Waits until the next start may be, where that can be borne.
    async fn pause(&self, wait: Wait) -> Result<(), String> {
        let Some(failure) = self.inner().failure.clone() else { return Ok(()) };
        let left = failure.until.map_or(Duration::ZERO, |until| until.since(self.host.clock.now()));
        if left.is_zero() {
            return Ok(());
        }
        if wait == Wait::Bearable && left <= BEARABLE {
            tokio::time::sleep(left).await;
            return Ok(());
        }
        let (name, reason) = (&self.config.name, failure.reason);
        Err(format!("the MCP server `{name}` cannot be used: {reason}; it is tried again in {} s", left.as_secs() + 1))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn later(now: Timestamp, after: Duration) -> Timestamp {
    Timestamp::from_micros(now.as_micros().saturating_add(i64::try_from(after.as_micros()).unwrap_or(i64::MAX)))
}
