//! Limits from the environment: the folders that may be reached, the paths that may not, and no network at all. They
//! narrow whatever the configuration says.

use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;
use victor_core::error::ConfigurationError;
use victor_core::hook::{BeforeTool, Hook, PlannedCall};
use victor_core::permission::{Access, PermissionKey, Rule, RuleEffect};
use victor_core::sandbox::Workspace;
use victor_core::tool::Effects;

use crate::env::Env;

const ALLOWED: &str = "VICTOR_ALLOWED_PATHS";
const DENIED: &str = "VICTOR_DENIED_PATHS";
const AIRGAPPED: &str = "VICTOR_AIRGAPPED_MODE";

/// Whether anything but this machine may be spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Other machines too.
    #[default]
    Network,
    /// This one alone (`VICTOR_AIRGAPPED_MODE`).
    Machine,
}

/// How far Victor may reach.
///
/// # Errors
/// The variable is neither true nor false.
pub(crate) fn reach(env: &Env) -> Result<Reach, ConfigurationError> {
    match env.var(AIRGAPPED).map(|v| v.trim().to_ascii_lowercase()).as_deref() {
        None | Some("0" | "false" | "no" | "off") => Ok(Reach::Network),
        Some("1" | "true" | "yes" | "on") => Ok(Reach::Machine),
        Some(other) => Err(ConfigurationError::new(format!(
            "environment variable {AIRGAPPED}: `{other}` is neither true nor false"
        ))),
    }
}

/// The folders of `VICTOR_ALLOWED_PATHS`, canonical; empty if there is no such limit.
///
/// # Errors
/// One of them is no folder.
pub(crate) fn allowed(env: &Env) -> Result<Vec<PathBuf>, ConfigurationError> {
    let real = |path: PathBuf| match path.canonicalize() {
        Ok(real) if real.is_dir() => Ok(real),
        Ok(_) => Err(fault(&path, "it is not a folder")),
        Err(e) => Err(fault(&path, &e.to_string())),
    };
    listed(env, ALLOWED).map(|path| real(env.current_dir().join(path))).collect()
}

/// Whether all these folders lie in those of `VICTOR_ALLOWED_PATHS`.
///
/// # Errors
/// One of them does not.
pub(crate) fn check<'a>(env: &Env, folders: impl Iterator<Item = &'a PathBuf>) -> Result<(), ConfigurationError> {
    let allowed = allowed(env)?;
    if allowed.is_empty() {
        return Ok(());
    }
    for folder in folders {
        let full = env.current_dir().join(folder);
        let real = full.canonicalize().unwrap_or(full);
        if !allowed.iter().any(|a| real.starts_with(a)) {
            let message = format!("`{}` is in none of the folders of {ALLOWED}; work in one of them", real.display());
            return Err(ConfigurationError::new(message));
        }
    }
    Ok(())
}

fn fault(path: &Path, why: &str) -> ConfigurationError {
    ConfigurationError::new(format!("environment variable {ALLOWED}: `{}`: {why}", path.display()))
}

/// Rules that deny the paths and globs of `VICTOR_DENIED_PATHS`, and all below them, to every tool.
///
/// # Errors
/// One of them is no glob.
pub(crate) fn denied(env: &Env) -> Result<Vec<Rule>, ConfigurationError> {
    let mut rules = Vec::new();
    for pattern in listed(env, DENIED).flat_map(|path| patterns(env, &path)) {
        for access in ["read", "write"] {
            let rule = Rule::parse(RuleEffect::Deny, &format!("{access}({pattern})"), DENIED);
            rules.push(rule.map_err(|e| ConfigurationError::new(format!("environment variable {DENIED}: {e}")))?);
        }
    }
    Ok(rules)
}

/// What a path to be denied stands for: itself and where it leads, as rules see that. A relative one means what is so
/// called wherever it is, in every folder that is open, and what lies there from the current one.
fn patterns(env: &Env, path: &Path) -> Vec<String> {
    let named = env.current_dir().join(path);
    let full = plain(&named);
    let upwards = path.components().find(|part| *part != Component::CurDir) == Some(Component::ParentDir);
    let anywhere =
        (path.is_relative() && !upwards).then(|| format!("**{}", plain(&Path::new("/").join(path)).display()));
    anywhere.into_iter().chain([led(&named), led(&full), full.display().to_string()]).collect()
}

/// An absolute path without what means nothing in it: rules compare texts.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// Where a path leads, as far as it is there; the rest may be a glob.
fn led(path: &Path) -> String {
    let there = path.ancestors().find_map(|a| Some((a.canonicalize().ok()?, path.strip_prefix(a).ok()?)));
    let (real, rest) = there.unwrap_or((PathBuf::from("/"), path));
    Path::new(&globset::escape(&real.display().to_string())).join(rest).display().to_string()
}

/// The paths of a variable; `~` is the user's home.
fn listed(env: &Env, name: &str) -> impl Iterator<Item = PathBuf> {
    let home = env.path("HOME");
    let value = env.var(name).unwrap_or_default();
    let paths: Vec<PathBuf> = std::env::split_paths(value).filter(|p| !p.as_os_str().is_empty()).collect();
    paths.into_iter().map(move |path| match (path.strip_prefix("~"), &home) {
        (Ok(below), Some(home)) => home.join(below),
        _ => path,
    })
}

/// Denies paths outside of the folders of `VICTOR_ALLOWED_PATHS`, whatever rules open.
#[derive(Debug)]
pub(crate) struct Fence {
    open: Vec<PathBuf>,
    readable: Vec<PathBuf>,
}

impl Fence {
    /// The fence around those folders, and what Victor itself keeps for the agent to read; `None` without such a limit.
    ///
    /// # Errors
    /// One of them is no folder.
    pub(crate) fn new(env: &Env, workspace: &Workspace) -> Result<Option<Self>, ConfigurationError> {
        let open = allowed(env)?;
        Ok((!open.is_empty()).then(|| Self { open, readable: workspace.readable.clone() }))
    }

    fn denies(&self, key: &PermissionKey) -> Option<String> {
        let PermissionKey::Path { access, absolute, .. } = key else { return None };
        let path = Path::new(absolute);
        let readable = self.readable.iter().filter(|_| *access == Access::Read);
        let inside = self.open.iter().chain(readable).any(|folder| path.starts_with(folder));
        (!inside).then(|| format!("`{absolute}` is in none of the folders of {ALLOWED}"))
    }
}

#[async_trait]
impl Hook for Fence {
    async fn before_tool(&self, call: PlannedCall<'_>) -> BeforeTool {
        call.keys.iter().find_map(|key| self.denies(key)).map_or(BeforeTool::Continue, BeforeTool::Deny)
    }
}

/// Denies whatever could speak to other machines.
#[derive(Debug)]
pub(crate) struct Airgap;

#[async_trait]
impl Hook for Airgap {
    async fn before_tool(&self, call: PlannedCall<'_>) -> BeforeTool {
        if call.effects.intersects(Effects::NETWORK | Effects::UNSANDBOXED) {
            return BeforeTool::Deny(format!("{AIRGAPPED} is on: nothing may reach the network, or leave the sandbox"));
        }
        BeforeTool::Continue
    }
}
