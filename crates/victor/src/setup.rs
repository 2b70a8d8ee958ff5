//! The composition root: options and configuration become a [`Runtime`]. The only place that names concrete parts.

use std::path::PathBuf;
use std::sync::Arc;

use victor_core::agent::{AgentSpec, DryRun};
use victor_core::error::{ConfigurationError, VictorError};
use victor_core::id::Clock as _;
use victor_core::permission::Rules;
use victor_core::provider::Selector;
use victor_core::request::Params;
use victor_core::runtime::{Runtime, RuntimeBuilder};
use victor_core::sandbox::SandboxMode;
use victor_core::tool::ToolSource;
use victor_core::usage::{Budget, NanoUsd};
use victor_mcp::client::{ServerConfig, Servers};
use victor_store::{Durability, SqliteStore};
use victor_tools::{BuiltinTools, FileResources, GitResources};
use victor_workflow::registry::WorkflowRegistry;
use victor_workflow::workflow_tool::WorkflowTools;

use crate::clock::SystemClock;
use crate::config::{self, Flags, Project, Settings, Sync};
use crate::env::Env;
use crate::guard::{self, HomeGuard};
use crate::instructions::{Instructions, Surroundings};
use crate::keys::Keys;
use crate::limits::{self, Airgap, Fence, Reach};
use crate::mcp;
use crate::nowhere::Unplaced;
use crate::outputs::Outputs;
use crate::profiles;
use crate::prompts::Prompts;
use crate::providers::Providers;
use crate::trust::TrustState;
use crate::workflows::{self, WorkflowFolders};
use crate::workspace::{self, Place};

/// What a door wants of a runtime.
#[derive(Clone, Debug)]
pub struct Options {
    /// The environment.
    pub env: Env,
    /// What flags say.
    pub flags: Flags,
    /// `--workspace`.
    pub workspace: Option<PathBuf>,
    /// `--add-dir`: further folders that may be read and written.
    pub add_dirs: Vec<PathBuf>,
    /// Whether the folder's configuration counts without saved trust (`--trust`).
    pub trust: Trust,
    /// Whether conversations are saved.
    pub save: Save,
    /// Whether calls that change something are carried out.
    pub dry_run: DryRun,
    /// Why there is no folder to work in, and what to do: then no file is reachable. `None` where there is one.
    pub nowhere: Option<Arc<str>>,
}

/// Whose word on the folder's own configuration counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// What the user has said before.
    #[default]
    Saved,
    /// It is trusted for this one call.
    Once,
}

/// Whether conversations are saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Save {
    /// They are.
    #[default]
    On,
    /// Nothing is kept (`--no-save`).
    Off,
}

impl Options {
    /// Everything as configured.
    #[must_use]
    pub fn new(env: Env) -> Self {
        Self {
            env,
            flags: Flags::default(),
            workspace: None,
            add_dirs: Vec::new(),
            trust: Trust::default(),
            save: Save::default(),
            dry_run: DryRun::default(),
            nowhere: None,
        }
    }
}

/// The configuration of one call, before anything is opened or connected.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What holds, and where it comes from.
    pub settings: Settings,
    /// Home, folder and trust.
    pub place: Place,
    /// The saved keys.
    pub keys: Keys,
    servers: Vec<ServerConfig>,
    options: Options,
    reach: Reach,
}

impl Setup {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A file, a variable or a flag is wrong: names which, the line, and the nearest key.
    pub fn load(mut options: Options) -> Result<Self, ConfigurationError> {
        split_provider(&mut options.flags);
        let mut place = match options.nowhere {
            None => Place::find(&options.env, options.workspace.as_deref())?,
            Some(_) => Place::nowhere(&options.env)?,
        };
        if options.nowhere.is_none() {
            limits::check(&options.env, std::iter::once(&place.root).chain(&options.add_dirs))?;
        }
        let is_empty = || place.trust == TrustState::NothingToTrust && workflows::hash(&place.root).is_none();
        if options.trust == Trust::Once && !is_empty() {
            place.trust = TrustState::TrustedOnce;
        }
        let project = Project { root: place.root.clone(), files: &place.files, trust: place.trust };
        let mut settings = config::load(&place.home, &options.env, &project, &options.flags)?;
        settings.rules.extend(limits::denied(&options.env)?);
        let reach = limits::reach(&options.env)?;
        if reach == Reach::Machine && settings.config.sandbox == Some(SandboxMode::Off) {
            let message = "VICTOR_AIRGAPPED_MODE needs the sandbox: leave out `--sandbox off` and `sandbox: off`";
            return Err(ConfigurationError::new(message));
        }
        let trusted = place.trust.is_trusted().then_some(&place.files);
        let mut servers = mcp::definitions(&mut settings, trusted, &place.root, &options.env)?;
        if reach == Reach::Machine && !servers.is_empty() {
            // Their programs run outside of the sandbox, so nobody could hold them to it.
            settings.notices.push("VICTOR_AIRGAPPED_MODE is on: no MCP server is used".to_owned());
            servers.clear();
        }
        let keys = Keys::new(place.home.clone(), options.env.clone());
        Ok(Self { settings, place, keys, servers, options, reach })
    }

    pub(crate) fn env(&self) -> &Env {
        &self.options.env
    }

    /// The agent that flags describe; the runtime's defaults fill what they leave open.
    #[must_use]
    pub fn spec(&self) -> AgentSpec {
        let flags = &self.options.flags;
        AgentSpec {
            selector: Selector { provider: flags.provider.clone(), model: flags.model.clone() },
            profile: flags.profile.clone(),
            mode: flags.mode,
            tools: flags.tools.clone(),
            params: Params { temperature: flags.temperature, max_tokens: flags.max_tokens, ..Params::default() },
            budget: Budget {
                max_turns: flags.max_turns,
                max_cost: flags.max_cost.map(NanoUsd::from_dollars),
                ..Budget::default()
            },
            sandbox: flags.sandbox,
            dry_run: self.options.dry_run,
            ..AgentSpec::default()
        }
    }

    /// The providers; nothing is called.
    ///
    /// # Errors
    /// A name or an address is unusable; `provider`, `model` or `fallback` names a variable that is not set.
    pub fn providers(&self) -> Result<Arc<Providers>, ConfigurationError> {
        let keys = Arc::new(self.keys.clone());
        let providers = Providers::new(&self.settings.config, &self.options.env, keys, self.reach)?;
        #[cfg(feature = "local")]
        let providers = providers.with_embedded(Arc::new(crate::local::Local::new(self.weights())));
        Ok(Arc::new(providers))
    }

    /// The MCP servers that agents may use; nothing is started.
    #[must_use]
    pub fn mcp_servers(&self) -> Servers {
        let Self { place, options, .. } = self;
        mcp::servers(self.servers.clone(), &place.home, &options.env, &place.root, options.save)
    }

    /// The models that run in this process: which are here, and the way to more.
    #[cfg(feature = "local")]
    #[must_use]
    pub fn weights(&self) -> crate::local::Weights {
        crate::local::weights(&self.place.home, &self.options.env).tuned(self.settings.config.local.into())
    }

    /// Checks that the profile exists which is used where a door names none.
    ///
    /// # Errors
    /// It does not (names the nearest).
    pub fn check_profile(&self) -> Result<(), ConfigurationError> {
        let config = &self.settings.config;
        config.profile.as_deref().map_or(Ok(()), |name| profiles::check(config, name))
    }

    /// The choice of the flags, else of the profile; the registry knows the rest.
    #[must_use]
    pub fn selector(&self) -> Selector {
        let spec = self.spec();
        let config = &self.settings.config;
        let named = spec.profile.as_ref().or(config.profile.as_ref());
        let profile = named.and_then(|name| config.profiles.get(name));
        profile.map_or(spec.selector.clone(), |profile| spec.over(profile).selector)
    }

    /// Whether nobody chose a provider or a model, so that the documented order did.
    #[must_use]
    pub fn leaves_model_open(&self) -> bool {
        let config = &self.settings.config;
        self.selector() == Selector::default() && config.provider.is_none() && config.model.is_none()
    }

    /// The store of sessions; the file is opened when it is first used.
    ///
    /// # Errors
    /// The home is no folder that a file can be in.
    pub fn store(&self) -> Result<Arc<SqliteStore>, VictorError> {
        self.place.home.check()?;
        let durability = match self.settings.config.store.sync.unwrap_or(Sync::Normal) {
            Sync::Normal => Durability::Normal,
            Sync::Full => Durability::Full,
        };
        let options = victor_store::Options { durability, ..victor_store::Options::default() };
        Ok(Arc::new(SqliteStore::open(&self.place.home.database(), options)?))
    }

    /// The folders of workflows; nothing is read yet.
    #[must_use]
    pub fn workflow_folders(&self) -> Arc<WorkflowFolders> {
        Arc::new(WorkflowFolders::new(&self.place, &self.options.env))
    }

    /// The system prompt's parts, and a line for each instruction file that is left out.
    ///
    /// # Errors
    /// A folder of `--add-dir` cannot be used, or `.victor/init.md` is no text.
    pub fn instructions(&self) -> Result<(Instructions, Vec<String>), ConfigurationError> {
        let (env, home) = (&self.options.env, &self.place.home);
        let workspace = workspace::workspace(&self.place.root, &self.options.add_dirs, env, home.outputs(), home)?;
        let mut instructions = Instructions::new(Surroundings::find(&workspace, env));
        let current = env.current_dir().canonicalize().unwrap_or_else(|_| self.place.root.clone());
        let init = if self.place.trust.is_trusted() { self.place.files.text(".victor/init.md")? } else { None };
        let notices = instructions.add_project(&self.place.root, &current, init);
        Ok((instructions, notices))
    }

    /// The runtime, with what a door adds to it (its approver, hooks, further tools).
    ///
    /// # Errors
    /// A setting that is used now is wrong, or a folder cannot be used.
    pub fn runtime_with(&self, add: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder) -> Result<Runtime, VictorError> {
        let env = &self.options.env;
        let outputs = match self.options.save {
            Save::On => Outputs::kept(&self.place.home, SystemClock.now()),
            Save::Off => Outputs::temporary(env)?,
        };
        let folder = outputs.folder().to_owned();
        let workspace = workspace::workspace(&self.place.root, &self.options.add_dirs, env, folder, &self.place.home)?;
        let fence = Fence::new(env, &workspace)?;
        let (instructions, notices) = self.instructions()?;
        for notice in notices {
            tracing::warn!("{notice}");
        }
        let files = Arc::new(FileResources::new(self.options.nowhere.clone()));
        let git = Arc::new(GitResources::default());
        let workflows = WorkflowRegistry::with_source(self.workflow_folders());
        let short = instructions.clone();
        let mut builder = Runtime::builder()
            .clock(SystemClock)
            .providers(self.providers()?)
            .tools(self.tools())
            .tools(Arc::new(WorkflowTools::new(workflows.clone())))
            .resources(Arc::clone(&files) as _)
            .resources(Arc::clone(&git) as _)
            .prompts(Arc::new(Prompts::new(&self.place, Arc::clone(&files))))
            .workspace(workspace)
            .rules(Rules::new(self.settings.rules.clone()).with_secrets(guard::secrets(&self.place.home)?))
            .hook(Arc::new(HomeGuard::new(&self.place.home)))
            .defaults(self.defaults())
            .profiles(self.settings.config.profiles.clone())
            .short_instructions(move |mode| short.short_prompt(mode))
            .instructions(move |mode| instructions.prompt(mode))
            .holder(format!("victor (process {})", std::process::id()));
        let store = match self.options.save {
            Save::On => Some(self.store()?),
            Save::Off => None,
        };
        if let Some(store) = &store {
            builder =
                builder.sessions(Arc::clone(store) as _).blobs(Arc::clone(store) as _).journal(Arc::clone(store) as _);
        }
        #[cfg(feature = "local")]
        {
            builder = builder.embedder(crate::local::embedder(self.weights(), ""));
        }
        if let Some(fence) = fence {
            builder = builder.hook(Arc::new(fence));
        }
        if self.reach == Reach::Machine {
            builder = builder.hook(Arc::new(Airgap));
        }
        if let Some(timeout) = self.settings.config.limits.idle_timeout() {
            builder = builder.idle_timeout(timeout);
        }
        let servers = self.mcp_servers();
        if !servers.is_empty() {
            builder = builder.tools(Arc::new(servers.clone()));
            builder = servers.resources().fold(builder, RuntimeBuilder::resources);
            builder = servers.prompts().fold(builder, RuntimeBuilder::prompts);
        }
        let runtime = add(builder).build()?;
        files.attach(&runtime);
        git.attach(&runtime);
        runtime.insert(outputs);
        runtime.insert(servers);
        runtime.insert(workflows);
        // For a door that keeps tokens and answers beside the sessions.
        if let Some(store) = store {
            runtime.insert(store);
        }
        Ok(runtime)
    }

    /// Victor's own tools, as far as they may do anything here.
    fn tools(&self) -> Arc<dyn ToolSource> {
        let own = Arc::new(BuiltinTools::new());
        match &self.options.nowhere {
            None => own,
            Some(why) => Arc::new(Unplaced::new(own, Arc::clone(why))),
        }
    }

    /// The runtime as it is configured. Nobody is asked: what would ask is denied.
    ///
    /// # Errors
    /// As [`runtime_with`](Self::runtime_with).
    pub fn runtime(&self) -> Result<Runtime, VictorError> {
        self.runtime_with(|builder| builder)
    }

    /// Provider and model stay out: the registry knows the configured ones and the order after them.
    fn defaults(&self) -> AgentSpec {
        let config = &self.settings.config;
        AgentSpec {
            profile: config.profile.clone(),
            mode: config.mode,
            budget: config.limits.into(),
            sandbox: config.sandbox,
            dry_run: self.options.dry_run,
            ..AgentSpec::default()
        }
    }
}

/// `--provider a/b` means provider `a` with model `b`.
fn split_provider(flags: &mut Flags) {
    if let (Some(provider), None) = (&flags.provider, &flags.model)
        && let Some((name, model)) = provider.split_once('/')
    {
        (flags.model, flags.provider) = (Some(model.to_owned()), Some(name.to_owned()));
    }
}

/// A runtime of these options.
///
/// # Errors
/// As [`Setup::load`] and [`Setup::runtime`].
pub async fn open(options: Options) -> Result<Runtime, VictorError> {
    Setup::load(options)?.runtime()
}

/// A runtime with the command line's configuration, for the current folder.
///
/// # Errors
/// As [`open`].
pub async fn from_env() -> Result<Runtime, VictorError> {
    open(Options::new(Env::process())).await
}
