//! What `victor mcp` is told: where it works, what it offers, and who answers its questions.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use victor_core::error::{ConfigurationError, VictorError, nearest};
use victor_core::runtime::Runtime;
use victor_core::token::Scope;
use victor_core::tool::Tool as _;
use victor_http::{Beside, HttpDoor};

pub use victor_mcp::server::{Config, Guard, Host, McpServer, Questions, ToolFilter};

use crate::config::Level;
use crate::env::Env;
use crate::home::Home;
use crate::limits;
use crate::setup::{Options, Setup};

/// The variable that narrows the tools.
const TOOLS: &str = "VICTOR_MCP_TOOLS";
const LOG_LEVEL: &str = "VICTOR_MCP_LOG_LEVEL";
/// Folders of the system, and those that hold the folders of all users: nothing anybody works in.
const SYSTEM: [&str; 14] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/sbin",
    "/sys",
    "/usr/bin",
    "/usr/lib",
    "/System",
    "/Library",
    "/Applications",
];
const PARENTS: [&str; 9] = ["/", "/usr", "/var", "/opt", "/tmp", "/run", "/home", "/Users", "/Volumes"];

/// Folders that a client may name at once, and how often it may name others: each time a runtime is opened.
const FOLDERS: usize = 64;
const MOVES: usize = 32;

/// What the model of a client is told.
const INSTRUCTIONS: &str = "Victor's tools read, search and change files, run commands and look at git in one folder of \
    the user's. `run_agent` hands a whole task to an agent of Victor's own; `run_status` tells how it stands. What needs \
    the user's leave is asked where the client can ask, and denied otherwise, with a line that says how to allow it. Paths \
    are relative to the folder's root.";

/// Whether the folders that a client names count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roots {
    /// They do, where nobody else named any: the client started this server.
    Taken,
    /// They do not: clients come over a network.
    Ignored,
}

/// Where the door gets its runtimes from.
pub struct McpHost {
    options: Options,
    setup: Setup,
    takes_roots: bool,
    base: Mutex<Option<Runtime>>,
    rooted: Mutex<Vec<(Vec<PathBuf>, Runtime)>>,
}

impl McpHost {
    /// Finds the folder and reads the configuration; nothing is opened yet.
    ///
    /// # Errors
    /// The configuration is wrong, or a named folder cannot be used.
    pub fn new(mut options: Options, roots: Roots) -> Result<Self, ConfigurationError> {
        let takes_roots = place(&mut options)? && roots == Roots::Taken;
        let setup = Setup::load(options.clone())?;
        Ok(Self { options, setup, takes_roots, base: Mutex::default(), rooted: Mutex::default() })
    }

    /// The configuration.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Sets the level of the log.
    pub fn log_at(&mut self, level: Level) {
        self.setup.settings.config.log.level = Some(level);
    }

    /// The runtime for a client that names no folders, opened once.
    ///
    /// # Errors
    /// A part of it cannot be opened.
    pub fn open(&self) -> Result<Runtime, VictorError> {
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*base {
            return Ok(runtime.clone());
        }
        let runtime = self.setup.runtime()?;
        *base = Some(runtime.clone());
        Ok(runtime)
    }
}

impl std::fmt::Debug for McpHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpHost").field("setup", &self.setup).finish_non_exhaustive()
    }
}

#[async_trait]
impl Host for McpHost {
    async fn runtime(&self) -> Result<Runtime, VictorError> {
        self.open()
    }

    fn has_choice(&self) -> bool {
        !self.setup.leaves_model_open()
    }

    fn takes_roots(&self) -> bool {
        self.takes_roots
    }

    async fn rooted(&self, roots: Vec<PathBuf>) -> Result<Runtime, VictorError> {
        let env = &self.options.env;
        let real = roots.into_iter().filter_map(|r| r.canonicalize().ok());
        let folders: Vec<PathBuf> = real.filter(|r| unfit(env, r).is_none()).take(FOLDERS).collect();
        let Some((first, rest)) = folders.split_first() else { return self.open() };
        let mut rooted = self.rooted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, runtime)) = rooted.iter().find(|(named, _)| *named == folders) {
            return Ok(runtime.clone());
        }
        if rooted.len() >= MOVES {
            let why = format!("the client has named {MOVES} different folders; restart it to work in another");
            return Err(ConfigurationError::new(why).into());
        }
        let mut options = Options { workspace: Some(first.clone()), nowhere: None, ..self.options.clone() };
        options.add_dirs.extend_from_slice(rest);
        let runtime = Setup::load(options)?.runtime()?;
        rooted.push((folders, runtime.clone()));
        Ok(runtime)
    }

    async fn shutdown(&self, grace: Duration) {
        let base = self.base.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let rooted = std::mem::take(&mut *self.rooted.lock().unwrap_or_else(PoisonError::into_inner));
        for runtime in base.into_iter().chain(rooted.into_iter().map(|(_, runtime)| runtime)) {
            runtime.shutdown(grace).await;
        }
    }
}

/// The door of this host. `tools` narrows what it offers, as `VICTOR_MCP_TOOLS` does.
///
/// # Errors
/// A name cannot be read, or the system gives no random bytes.
pub fn door(
    host: Arc<dyn Host>,
    env: &Env,
    questions: Questions,
    tools: Option<&[String]>,
) -> Result<McpServer, VictorError> {
    // Its list belongs to one run; every call of a client is a run of its own.
    let mut filter = ToolFilter::default().without(victor_tools::Todo::NAME);
    if let Some(list) = env.var(TOOLS) {
        filter = filter.narrow(list).map_err(|e| ConfigurationError::new(format!("{TOOLS}: {e}")))?;
    }
    if let Some(list) = tools {
        filter = filter.narrow(&list.join(","))?;
    }
    let config = Config {
        version: crate::VERSION.to_owned(),
        instructions: Some(INSTRUCTIONS.to_owned()),
        tools: filter,
        questions,
        guard: Guard::Outside,
        ..Config::default()
    };
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|e| VictorError::Internal(format!("the system gives no random bytes: {e}")))?;
    Ok(McpServer::new(host, config, key))
}

/// The door's routes behind the HTTP door's gate. What calls it needs the scope `tools`, and `chat` for `run_agent`.
pub fn behind(door: &McpServer, http: HttpDoor) -> HttpDoor {
    http.beside(Beside { scope: Scope::Tools, routes: door.router(), ended: door.ends_with() })
}

/// A line for each part of the door's tool filter that fits no tool.
///
/// # Errors
/// The runtime cannot be opened.
pub async fn strangers(door: &McpServer) -> Result<Vec<String>, VictorError> {
    if door.filter().is_open() {
        return Ok(Vec::new());
    }
    let tools: Vec<_> = door.all_tools().await?;
    let mut known: Vec<&str> = tools.iter().flat_map(|(name, category)| [name.as_str(), category.as_str()]).collect();
    known.sort_unstable();
    known.dedup();
    let line = |text: &str| {
        let hint = match nearest(text, known.iter().copied()) {
            near if near.is_empty() => format!("there are {}", known.join(", ")),
            near => format!("did you mean {}?", near.join(" or ")),
        };
        format!("warning: `{text}` is neither a tool nor a category ({TOOLS}, --tools); {hint}")
    };
    let lines: Vec<String> = door.filter().unmatched(&tools).into_iter().map(line).collect();
    for line in &lines {
        tracing::info!("{line}");
    }
    Ok(lines)
}

/// The log's level of `VICTOR_MCP_LOG_LEVEL`.
///
/// # Errors
/// It is none.
pub fn log_level(env: &Env) -> Result<Option<Level>, ConfigurationError> {
    let Some(text) = env.var(LOG_LEVEL) else { return Ok(None) };
    let level = serde_json::from_value(text.to_lowercase().into());
    level.map(Some).map_err(|_| {
        ConfigurationError::new(format!(
            "{LOG_LEVEL}: `{text}` is no level; there are off, error, warn, info, debug, trace"
        ))
    })
}

/// Finds the folder to work in: named by a flag or a variable, allowed by a variable, or the current one. Tells whether
/// the client may name others.
fn place(options: &mut Options) -> Result<bool, ConfigurationError> {
    let env = options.env.clone();
    let allowed = limits::allowed(&env)?;
    let named = options.workspace.as_ref().map(|w| env.current_dir().join(w)).or_else(|| env.path("VICTOR_WORKSPACE"));
    if named.is_some() {
        options.workspace = named;
        options.add_dirs.extend(allowed);
        return Ok(false);
    }
    if let Some((first, rest)) = allowed.split_first() {
        options.workspace = Some(first.clone());
        options.add_dirs.extend_from_slice(rest);
        return Ok(false);
    }
    let current = env.current_dir();
    let real = current.canonicalize().unwrap_or_else(|_| current.to_owned());
    options.nowhere = unfit(&env, &real).map(|what| advice(&real, what).into());
    Ok(true)
}

/// Whether somebody could want to work in this folder: it is no folder of the system, and no home.
#[must_use]
pub fn is_fit(env: &Env, folder: &Path) -> bool {
    unfit(env, folder).is_none()
}

/// Why nobody works in this folder, if so.
fn unfit(env: &Env, folder: &Path) -> Option<&'static str> {
    let home = env.path("HOME").map(|h| h.canonicalize().unwrap_or(h));
    let own = Home::find(env).ok().map(|h| h.real());
    let system = folder.as_os_str().is_empty()
        || PARENTS.iter().any(|parent| folder == Path::new(parent))
        || SYSTEM.iter().any(|system| folder.starts_with(system));
    if system {
        return Some("a folder of the system");
    }
    if home.is_some_and(|home| home.starts_with(folder)) {
        return Some("a home folder");
    }
    own.is_some_and(|own| folder.starts_with(own)).then_some("Victor's own folder")
}

fn advice(folder: &Path, what: &str) -> String {
    format!(
        "no folder is open: this server was started in `{}`, which is {what}. Name the folder to work in: add \
         \"env\": {{\"VICTOR_WORKSPACE\": \"/path/to/your/project\"}} to this server's entry in the client's \
         configuration, and restart the client",
        folder.display()
    )
}
