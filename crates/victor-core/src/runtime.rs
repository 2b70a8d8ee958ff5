//! What agents are made from: registries, stores, policy, approver, clock. Several runtimes can live in one process.

mod builder;

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::{AgentSpec, DryRun, Profile};
use crate::blob::BlobStore;
use crate::bus::EventBus;
use crate::compact::Compactor;
use crate::embed::Embedder;
use crate::error::ToolError;
use crate::hook::Hook;
use crate::id::{Clock, RunId};
use crate::journal::Journal;
use crate::permission::{Approver, Grants, Mode, Rules};
use crate::prompt::PromptSource;
use crate::provider::ProviderRegistry;
use crate::resource::ResourceSource;
use crate::sandbox::{SandboxMode, Workspace};
use crate::session::SessionStore;
use crate::tool::{DynTool, Origin, ToolOutput, ToolSet, ToolSource};

pub use builder::RuntimeBuilder;

/// Makes the system prompt of a mode. The same mode must give the same text for as long as the runtime lives.
pub type Instructions = Arc<dyn Fn(Mode) -> String + Send + Sync>;

/// The largest window, in tokens, that counts as small: models that run in the process or on small machines.
pub const SMALL_WINDOW: u32 = 8192;

/// Everything that agents share. Cloning is cheap and gives the same runtime.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) providers: Option<Arc<dyn ProviderRegistry>>,
    pub(crate) tools: Vec<Arc<dyn ToolSource>>,
    pub(crate) resources: Vec<Arc<dyn ResourceSource>>,
    pub(crate) prompts: Vec<Arc<dyn PromptSource>>,
    pub(crate) sessions: Arc<dyn SessionStore>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) blobs: Option<Arc<dyn BlobStore>>,
    pub(crate) embedder: Option<Arc<dyn Embedder>>,
    pub(crate) workspace: Arc<Workspace>,
    pub(crate) rules: RwLock<Arc<Rules>>,
    pub(crate) approver: Arc<dyn Approver>,
    pub(crate) hooks: Vec<Arc<dyn Hook>>,
    pub(crate) defaults: AgentSpec,
    pub(crate) profiles: BTreeMap<String, Profile>,
    pub(crate) instructions: Instructions,
    pub(crate) short_instructions: Option<Instructions>,
    pub(crate) compactor: Arc<dyn Compactor>,
    pub(crate) idle_timeout: Duration,
    pub(crate) owner: String,
    pub(crate) holder: String,
    pub(crate) events: EventBus,
    pub(crate) tracker: TaskTracker,
    pub(crate) cancel: CancellationToken,
    extensions: RwLock<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Runtime {
    /// Begins a runtime; [`RuntimeBuilder::clock`] is the one part that it cannot do without.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }

    /// The event bus.
    #[must_use]
    pub fn events(&self) -> &EventBus {
        &self.inner.events
    }

    /// The providers and models, where the runtime has a registry.
    #[must_use]
    pub fn providers(&self) -> Option<&Arc<dyn ProviderRegistry>> {
        self.inner.providers.as_ref()
    }

    /// The tools of all sources, as they are now.
    pub async fn tool_set(&self) -> ToolSet {
        let mut tools = Vec::new();
        for source in &self.inner.tools {
            tools.extend(source.tools().await);
        }
        ToolSet::new(tools)
    }

    /// The tools that are no other server's, as they are now; no server is asked or started for them.
    pub async fn own_tool_set(&self) -> ToolSet {
        let mut tools = Vec::new();
        for source in self.inner.tools.iter().filter(|source| source.origin() == Origin::Own) {
            tools.extend(source.tools().await);
        }
        ToolSet::new(tools)
    }

    /// The sources of resources.
    #[must_use]
    pub fn resources(&self) -> &[Arc<dyn ResourceSource>] {
        &self.inner.resources
    }

    /// The sources of prompts.
    #[must_use]
    pub fn prompts(&self) -> &[Arc<dyn PromptSource>] {
        &self.inner.prompts
    }

    /// The saved sessions.
    #[must_use]
    pub fn sessions(&self) -> &Arc<dyn SessionStore> {
        &self.inner.sessions
    }

    /// The journals of workflow runs.
    #[must_use]
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.inner.journal
    }

    /// Who new sessions and runs belong to.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.inner.owner
    }

    /// Who is asked about calls where a run names nobody else.
    #[must_use]
    pub fn approver(&self) -> &Arc<dyn Approver> {
        &self.inner.approver
    }

    /// How this process calls itself to others that want the same session or run.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.inner.holder
    }

    /// What files were before they were changed, where the runtime keeps that.
    #[must_use]
    pub fn blobs(&self) -> Option<&Arc<dyn BlobStore>> {
        self.inner.blobs.as_ref()
    }

    /// What turns texts into vectors, where the runtime has it; [`Runtime::embed`] is the short way to it.
    #[must_use]
    pub fn embedder(&self) -> Option<&Arc<dyn Embedder>> {
        self.inner.embedder.as_ref()
    }

    /// The folders that file tools may reach.
    #[must_use]
    pub fn workspace(&self) -> &Arc<Workspace> {
        &self.inner.workspace
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// What holds for agents whose spec leaves it open.
    #[must_use]
    pub fn defaults(&self) -> &AgentSpec {
        &self.inner.defaults
    }

    /// The saved profiles, by name.
    #[must_use]
    pub fn profiles(&self) -> &BTreeMap<String, Profile> {
        &self.inner.profiles
    }

    /// The permission rules as they are now.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.inner.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a permission rule, for all calls that are judged from now on.
    pub fn add_rule(&self, rule: crate::permission::Rule) {
        let mut rules = self.inner.rules.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut rules).push(rule);
    }

    /// Calls one tool outside of any run, through the same checks as an agent's call.
    ///
    /// # Errors
    /// Unknown tool, wrong arguments, denial, failure.
    pub async fn call_tool(&self, name: &str, args: Value, options: CallOptions) -> Result<ToolOutput, ToolError> {
        let tools = match &options.tools {
            Some(tools) => tools.clone(),
            None => self.tool_set().await,
        };
        crate::agent::call_tool(self, tools, name, args, options).await
    }

    /// Calls a tool that need not be one of the runtime's, through the same checks: what rules and hooks say of a tool
    /// of its name counts.
    ///
    /// # Errors
    /// Wrong arguments, denial, failure.
    pub async fn call(
        &self,
        tool: Arc<dyn DynTool>,
        args: Value,
        options: CallOptions,
    ) -> Result<ToolOutput, ToolError> {
        let name = tool.spec().name.clone();
        crate::agent::call_tool(self, ToolSet::new([tool]), &name, args, options).await
    }

    /// The runtime for a part of it, which must not keep it alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakRuntime {
        WeakRuntime { inner: Arc::downgrade(&self.inner) }
    }

    /// Puts in what core does not know, for a door to find by its type.
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) {
        let mut extensions = self.inner.extensions.write().unwrap_or_else(PoisonError::into_inner);
        extensions.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// What was put in of this type.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let extensions = self.inner.extensions.read().unwrap_or_else(PoisonError::into_inner);
        extensions.get(&TypeId::of::<T>()).and_then(|v| Arc::clone(v).downcast().ok())
    }

    /// What was put in of this type; if there is none, what `make` gives is put in first.
    pub fn get_or_insert_with<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(known) = self.get() {
            return known;
        }
        let mut extensions = self.inner.extensions.write().unwrap_or_else(PoisonError::into_inner);
        let entry = extensions.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(make()));
        // The key is the type itself, so the cast cannot fail.
        Arc::clone(entry).downcast().unwrap_or_else(|_| unreachable!("an extension is kept under its own type"))
    }

    /// Runs work of a door beside its callers: counted like a run, so that a shutdown waits for it.
    pub fn spawn<F>(&self, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.inner.tracker.spawn(work);
    }

    /// Waits until a shutdown has cancelled what did not end within its grace.
    pub async fn cancelled(&self) {
        self.inner.cancel.cancelled().await;
    }

    /// Whether it is shutting down: no new run begins.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.tracker.is_closed()
    }

    /// Lets running runs end within `grace`, then cancels them and waits for them to settle; then ends what the sources
    /// of tools have started. No run can be started afterwards. Tells whether all ended by themselves.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        self.inner.tracker.close();
        let in_time = tokio::time::timeout(grace, self.inner.tracker.wait()).await.is_ok();
        if !in_time {
            self.inner.cancel.cancel();
            self.inner.tracker.wait().await;
        }
        for source in &self.inner.tools {
            source.close().await;
        }
        in_time
    }

    pub(crate) fn run_id(&self) -> RunId {
        RunId(self.inner.clock.uuid())
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("workspace", &self.workspace).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("workspace", &self.inner.workspace).finish_non_exhaustive()
    }
}

/// A runtime that may be gone.
#[derive(Clone, Debug, Default)]
pub struct WeakRuntime {
    inner: Weak<Inner>,
}

impl WeakRuntime {
    /// The runtime, as long as somebody else keeps it.
    #[must_use]
    pub fn upgrade(&self) -> Option<Runtime> {
        Some(Runtime { inner: self.inner.upgrade()? })
    }
}

/// How a single call of [`Runtime::call_tool`] is judged.
#[derive(Clone, Default)]
pub struct CallOptions {
    /// The mode; `None` for the runtime's default.
    pub mode: Option<Mode>,
    /// Who is asked; `None` for the runtime's approver.
    pub approver: Option<Arc<dyn Approver>>,
    /// Whether a call that changes something is carried out.
    pub dry_run: DryRun,
    /// How far programs may reach; `None` for the runtime's default.
    pub sandbox: Option<SandboxMode>,
    /// Ends the call when cancelled.
    pub cancel: CancellationToken,
    /// What was allowed before for as long as these are shared, and what is allowed so from now on.
    pub grants: Option<Arc<Mutex<Grants>>>,
    /// The tools that there are for this call; `None` for all of the runtime.
    pub tools: Option<ToolSet>,
    /// Who is told how far the call is.
    pub progress: Option<Progress>,
    /// Who the runs belong to that the call begins; `None` for the runtime's owner.
    pub owner: Option<String>,
}

/// Takes what a call tells while it works. It must not wait.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;
