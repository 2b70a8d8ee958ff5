//! `VICTOR_HOME`: the folder that holds everything of the user, and the names of what is in it.

use std::fs::File;
use std::path::{Path, PathBuf};

use victor_core::error::ConfigurationError;

use crate::env::Env;
use crate::platform;

/// The user's folder. It is made when something is first written to it, for its owner alone (0700).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// `VICTOR_HOME`, or `.victor` in the user's home folder.
    ///
    /// # Errors
    /// Neither `VICTOR_HOME` nor `HOME` is set.
    pub fn find(env: &Env) -> Result<Self, ConfigurationError> {
        let root = env.path("VICTOR_HOME").or_else(|| Some(env.path("HOME")?.join(".victor")));
        let root = root.ok_or_else(|| {
            ConfigurationError::new("neither VICTOR_HOME nor HOME is set; set VICTOR_HOME to a folder of your own")
        })?;
        Ok(Self { root })
    }

    /// A home in this folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder, canonical where it exists already.
    pub(crate) fn real(&self) -> PathBuf {
        self.root.canonicalize().unwrap_or_else(|_| self.root.clone())
    }

    /// The user's configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join("config.yaml")
    }

    /// The saved keys.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys.yaml")
    }

    /// The folders that are trusted.
    #[must_use]
    pub fn trust(&self) -> PathBuf {
        self.root.join("trust.yaml")
    }

    /// The folder of the user's own workflows.
    #[must_use]
    pub fn workflows(&self) -> PathBuf {
        self.root.join("workflows")
    }

    /// The sessions.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.root.join("victor.db")
    }

    /// The folder of the log files.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The folder of the models that run in this process.
    #[must_use]
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// The folder of tool outputs that were too long for an answer.
    #[must_use]
    pub fn outputs(&self) -> PathBuf {
        self.root.join("outputs")
    }

    /// The folder of the user's own prompt templates.
    #[must_use]
    pub fn prompts(&self) -> PathBuf {
        self.root.join("prompts")
    }

    /// The folder of what is known of MCP servers, and of logins to them.
    #[must_use]
    pub fn mcp(&self) -> PathBuf {
        self.root.join("mcp")
    }

    /// The history of the chat's editor.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.root.join("history")
    }

    /// Whether it can be a folder.
    ///
    /// # Errors
    /// Something else is in its place.
    pub(crate) fn check(&self) -> Result<(), ConfigurationError> {
        if self.root.exists() && !self.root.is_dir() {
            let message = format!("`{}` is not a folder; set VICTOR_HOME to a folder of your own", self.root.display());
            return Err(ConfigurationError::new(message));
        }
        Ok(())
    }

    /// Makes the folder where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(&self) -> Result<(), ConfigurationError> {
        platform::private_folder(&self.root).map_err(|e| self.fault(&self.root, "made", &e))
    }

    /// Holds off other processes that change files of this folder, until dropped.
    pub(crate) fn lock(&self) -> Result<File, ConfigurationError> {
        self.create()?;
        let path = self.root.join("lock");
        platform::lock(&path).map_err(|e| self.fault(&path, "locked", &e))
    }

    /// Replaces one of the folder's files, for its owner alone.
    pub(crate) fn write_private(&self, path: &Path, text: &str) -> Result<(), ConfigurationError> {
        platform::replace_private_file(path, text.as_bytes()).map_err(|e| self.fault(path, "written", &e))
    }

    fn fault(&self, path: &Path, done: &str, e: &std::io::Error) -> ConfigurationError {
        ConfigurationError::new(format!(
            "`{}` cannot be {done}: {e}; set VICTOR_HOME to a folder that you can write to",
            path.display()
        ))
    }
}
