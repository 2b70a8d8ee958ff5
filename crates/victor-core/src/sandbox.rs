//! Where a run may work and what its programs may do: data only; the tools enforce it.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The folders that file tools may reach. All paths are absolute and canonical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// The folder that relative paths start from.
    pub root: PathBuf,
    /// Further folders that may be read and written (`--add-dir`).
    pub added: Vec<PathBuf>,
    /// Folders that may be read only: where tools put long outputs.
    pub readable: Vec<PathBuf>,
    /// Where tools put outputs that are too long for an answer; one of `readable`.
    pub spill: Option<PathBuf>,
    /// Folders that no program in the sandbox may write in, also where they lie inside of writable ones.
    pub closed: Vec<PathBuf>,
}

impl Workspace {
    /// A workspace of one folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), added: Vec::new(), readable: Vec::new(), spill: None, closed: Vec::new() }
    }

    /// The writable folders: the root first.
    pub fn writable(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.root.as_path()).chain(self.added.iter().map(PathBuf::as_path))
    }
}

/// How far a command may reach, from the widest to the strictest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// No sandbox: whatever the user may do.
    Off,
    /// Reads everything, writes in the workspace and the temporary folder.
    #[default]
    WorkspaceWrite,
    /// Reads everything, writes nothing but the temporary folder.
    ReadOnly,
}

/// What a program started by a call may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// How far it may reach.
    pub mode: SandboxMode,
    /// Whether it may use the network.
    pub network: Network,
}

/// Whether a program may use the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// No sockets but local ones (Unix domain).
    Denied,
    /// Any.
    Allowed,
}
