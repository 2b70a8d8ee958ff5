//! The folder that Victor works in, and what its user thinks of it.

use std::path::{Path, PathBuf};

use victor_core::error::ConfigurationError;
use victor_core::sandbox::Workspace;

use crate::env::Env;
use crate::home::Home;
use crate::trust::{self, ProjectFiles, TrustState};
use crate::workflows;

/// The root of a workspace that does not exist: nothing lies below it, and nothing can be made there.
const NOWHERE: &str = "/nonexistent";

/// A folder with its own configuration files, read once.
#[derive(Clone, Debug)]
pub struct Place {
    /// The user's home of Victor.
    pub home: Home,
    /// The folder, canonical.
    pub root: PathBuf,
    /// Whether its own configuration counts in full.
    pub trust: TrustState,
    pub(crate) files: ProjectFiles,
}

impl Place {
    /// `workspace` (`--workspace`), else `VICTOR_WORKSPACE`, else the current folder.
    ///
    /// # Errors
    /// It is no folder or cannot be read; one of its configuration files is a link, too long or unreadable.
    pub fn find(env: &Env, workspace: Option<&Path>) -> Result<Self, ConfigurationError> {
        let home = Home::find(env)?;
        let chosen = workspace.map(|w| env.current_dir().join(w)).or_else(|| env.path("VICTOR_WORKSPACE"));
        let root = folder(&chosen.unwrap_or_else(|| env.current_dir().to_owned()), "the workspace")?;
        let files = ProjectFiles::read(&root, &home)?;
        let trust = trust::state(&home, &root, &files)?;
        Ok(Self { home, root, trust, files })
    }

    /// No folder at all.
    ///
    /// # Errors
    /// The environment names no home.
    pub(crate) fn nowhere(env: &Env) -> Result<Self, ConfigurationError> {
        let (home, files) = (Home::find(env)?, ProjectFiles::none());
        Ok(Self { home, root: PathBuf::from(NOWHERE), trust: TrustState::NothingToTrust, files })
    }

    /// Trusts the folder's configuration as it was read.
    ///
    /// # Errors
    /// The user's home cannot be written to.
    pub fn trust(&mut self) -> Result<(), ConfigurationError> {
        trust::trust(&self.home, &self.root, &self.files)?;
        self.trust = trust::state(&self.home, &self.root, &self.files)?;
        Ok(())
    }

    /// Remembers that the user was asked and does not trust the folder's configuration as it was read.
    ///
    /// # Errors
    /// The user's home cannot be written to.
    pub fn decline(&mut self) -> Result<(), ConfigurationError> {
        trust::decline(&self.home, &self.root, &self.files)?;
        self.trust = trust::state(&self.home, &self.root, &self.files)?;
        Ok(())
    }

    /// Trusts the folder no longer; tells whether it was trusted.
    ///
    /// # Errors
    /// The user's home cannot be written to.
    pub fn untrust(&mut self) -> Result<bool, ConfigurationError> {
        let was = trust::untrust(&self.home, &self.root)?;
        self.trust = trust::state(&self.home, &self.root, &self.files)?;
        Ok(was)
    }

    /// How many workflow files the folder brings along, and whether they are trusted as they are now.
    #[must_use]
    pub fn workflows(&self) -> (usize, bool) {
        let count = workflows::hash(&self.root).map_or(0, |(_, count)| count);
        (count, count > 0 && workflows::trusts(&self.home, &self.root, self.trust))
    }

    /// The folder's own files that wait for trust, relative to it.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.present()
    }
}

/// The folder and those added to it, canonical, with the place for long outputs.
pub(crate) fn workspace(
    root: &Path,
    added: &[PathBuf],
    env: &Env,
    outputs: PathBuf,
    home: &Home,
) -> Result<Workspace, ConfigurationError> {
    let mut workspace = Workspace::new(root);
    workspace.closed.push(home.real());
    for extra in added {
        workspace.added.push(folder(&env.current_dir().join(extra), "`--add-dir`")?);
    }
    workspace.readable.push(outputs.clone());
    workspace.spill = Some(outputs);
    Ok(workspace)
}

fn folder(path: &Path, what: &str) -> Result<PathBuf, ConfigurationError> {
    if path.as_os_str().is_empty() {
        let message = "the current folder does not exist any more; go to another one, or name one with --workspace";
        return Err(ConfigurationError::new(message));
    }
    let fail = |why: String| ConfigurationError::new(format!("{what} `{}` cannot be used: {why}", path.display()));
    let real = path.canonicalize().map_err(|e| fail(e.to_string()))?;
    if !real.is_dir() {
        return Err(fail("it is not a folder".to_owned()));
    }
    std::fs::read_dir(&real).map_err(|e| fail(e.to_string()))?;
    Ok(real)
}
