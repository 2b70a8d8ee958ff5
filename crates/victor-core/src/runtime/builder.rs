//! How a [`Runtime`] is put together.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::{AgentSpec, Profile};
use crate::blob::BlobStore;
use crate::bus::EventBus;
use crate::compact::{Compactor, SummaryCompactor};
use crate::embed::Embedder;
use crate::error::ConfigurationError;
use crate::hook::Hook;
use crate::id::Clock;
use crate::journal::Journal;
use crate::memory::MemoryStore;
use crate::memory_journal::MemoryJournal;
use crate::permission::{Approver, DenyAll, Mode, Rules};
use crate::prompt::PromptSource;
use crate::provider::ProviderRegistry;
use crate::resource::ResourceSource;
use crate::sandbox::Workspace;
use crate::session::SessionStore;
use crate::tool::ToolSource;

use super::{Inner, Instructions, Runtime};

/// Puts a [`Runtime`] together.
#[derive(Default)]
#[must_use]
pub struct RuntimeBuilder {
    clock: Option<Arc<dyn Clock>>,
    providers: Option<Arc<dyn ProviderRegistry>>,
    tools: Vec<Arc<dyn ToolSource>>,
    resources: Vec<Arc<dyn ResourceSource>>,
    prompts: Vec<Arc<dyn PromptSource>>,
    sessions: Option<Arc<dyn SessionStore>>,
    journal: Option<Arc<dyn Journal>>,
    blobs: Option<Arc<dyn BlobStore>>,
    embedder: Option<Arc<dyn Embedder>>,
    workspace: Option<Workspace>,
    rules: Rules,
    approver: Option<Arc<dyn Approver>>,
    hooks: Vec<Arc<dyn Hook>>,
    defaults: AgentSpec,
    profiles: BTreeMap<String, Profile>,
    instructions: Option<Instructions>,
    short_instructions: Option<Instructions>,
    compactor: Option<Arc<dyn Compactor>>,
    idle_timeout: Option<Duration>,
    owner: Option<String>,
    holder: Option<String>,
}

impl RuntimeBuilder {
    /// Time and ids.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// The providers and models. Without them agents are made with [`Agent::builder`](crate::agent::Agent::builder).
    pub fn providers(mut self, providers: Arc<dyn ProviderRegistry>) -> Self {
        self.providers = Some(providers);
        self
    }

    /// Adds a source of tools.
    pub fn tools(mut self, source: Arc<dyn ToolSource>) -> Self {
        self.tools.push(source);
        self
    }

    /// Adds a source of resources.
    pub fn resources(mut self, source: Arc<dyn ResourceSource>) -> Self {
        self.resources.push(source);
        self
    }

    /// Adds a source of prompts.
    pub fn prompts(mut self, source: Arc<dyn PromptSource>) -> Self {
        self.prompts.push(source);
        self
    }

    /// Where sessions are saved; in memory unless said otherwise.
    pub fn sessions(mut self, sessions: Arc<dyn SessionStore>) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Where workflow runs are journaled; in memory unless said otherwise.
    pub fn journal(mut self, journal: Arc<dyn Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Where files are saved before they are changed; without it nothing can be undone.
    pub fn blobs(mut self, blobs: Arc<dyn BlobStore>) -> Self {
        self.blobs = Some(blobs);
        self
    }

    /// What turns texts into vectors; without it nothing can be searched by meaning.
    pub fn embedder(mut self, embedder: Arc<dyn Embedder>) -> Self {
        self.embedder = Some(embedder);
        self
    }

    /// The folders that file tools may reach; an empty one that exists nowhere unless said otherwise.
    pub fn workspace(mut self, workspace: Workspace) -> Self {
        self.workspace = Some(workspace);
        self
    }

    /// The permission rules.
    pub fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Who is asked; nobody ([`DenyAll`]) unless said otherwise.
    pub fn approver(mut self, approver: Arc<dyn Approver>) -> Self {
        self.approver = Some(approver);
        self
    }

    /// Adds a hook.
    pub fn hook(mut self, hook: Arc<dyn Hook>) -> Self {
        self.hooks.push(hook);
        self
    }

    /// What holds for agents whose spec leaves it open.
    pub fn defaults(mut self, defaults: AgentSpec) -> Self {
        self.defaults = defaults;
        self
    }

    /// The saved profiles.
    pub fn profiles(mut self, profiles: BTreeMap<String, Profile>) -> Self {
        self.profiles = profiles;
        self
    }

    /// The system prompt of each mode.
    pub fn instructions(mut self, instructions: impl Fn(Mode) -> String + Send + Sync + 'static) -> Self {
        self.instructions = Some(Arc::new(instructions));
        self
    }

    /// The system prompt of each mode for models whose window is small ([`SMALL_WINDOW`](super::SMALL_WINDOW)), which a
    /// long one would fill and confuse. Without it they get that of all models.
    pub fn short_instructions(mut self, instructions: impl Fn(Mode) -> String + Send + Sync + 'static) -> Self {
        self.short_instructions = Some(Arc::new(instructions));
        self
    }

    /// What makes long conversations shorter; a summary by the model itself unless said otherwise.
    pub fn compactor(mut self, compactor: Arc<dyn Compactor>) -> Self {
        self.compactor = Some(compactor);
        self
    }

    /// Longest wait for a provider's connection and between two bytes of its answer; 120 s unless said otherwise.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// Who new sessions belong to; `local` unless said otherwise.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// How this process calls itself to others that want the same session; `this process` unless said otherwise.
    pub fn holder(mut self, holder: impl Into<String>) -> Self {
        self.holder = Some(holder.into());
        self
    }

    /// The runtime.
    ///
    /// # Errors
    /// There is no clock.
    pub fn build(self) -> Result<Runtime, ConfigurationError> {
        let clock = self
            .clock
            .ok_or_else(|| ConfigurationError::new("a runtime needs a clock: `.clock(victor::SystemClock)`"))?;
        let inner = Inner {
            sessions: self.sessions.unwrap_or_else(|| Arc::new(MemoryStore::default())),
            journal: self.journal.unwrap_or_else(|| Arc::new(MemoryJournal::default())),
            clock,
            providers: self.providers,
            tools: self.tools,
            resources: self.resources,
            prompts: self.prompts,
            blobs: self.blobs,
            embedder: self.embedder,
            workspace: Arc::new(self.workspace.unwrap_or_else(|| Workspace::new("/nonexistent"))),
            rules: RwLock::new(Arc::new(self.rules)),
            approver: self.approver.unwrap_or_else(|| Arc::new(DenyAll)),
            hooks: self.hooks,
            defaults: self.defaults,
            profiles: self.profiles,
            instructions: self.instructions.unwrap_or_else(|| Arc::new(|_| String::new())),
            short_instructions: self.short_instructions,
            compactor: self.compactor.unwrap_or_else(|| Arc::new(SummaryCompactor)),
            idle_timeout: self.idle_timeout.unwrap_or(Duration::from_mins(2)),
            owner: self.owner.unwrap_or_else(|| "local".to_owned()),
            holder: self.holder.unwrap_or_else(|| "this process".to_owned()),
            events: EventBus::default(),
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
            extensions: RwLock::new(HashMap::new()),
        };
        Ok(Runtime { inner: Arc::new(inner) })
    }
}
