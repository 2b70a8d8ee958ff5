//! Keeps file tools away from the user's own Victor folder, also where it lies inside the workspace: an agent that
//! could write there could trust folders and allow commands by itself.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use victor_core::hook::{BeforeTool, Hook, PlannedCall};
use victor_core::permission::{Access, PermissionKey};

use crate::home::Home;

/// Denies writing in the home, and reading its keys.
#[derive(Debug)]
pub(crate) struct HomeGuard {
    root: PathBuf,
    keys: PathBuf,
    readable: PathBuf,
}

impl HomeGuard {
    pub(crate) fn new(home: &Home) -> Self {
        let root = home.real();
        Self { keys: root.join("keys.yaml"), readable: root.join("outputs"), root }
    }

    fn denies(&self, key: &PermissionKey) -> Option<String> {
        let PermissionKey::Path { access, absolute, .. } = key else { return None };
        let path = Path::new(absolute);
        let denied = match access {
            Access::Write => path.starts_with(&self.root) && !path.starts_with(&self.readable),
            Access::Read => path.starts_with(&self.keys),
        };
        denied.then(|| format!("`{absolute}` belongs to Victor's own settings, which no tool may change or give away"))
    }
}

#[async_trait]
impl Hook for HomeGuard {
    async fn before_tool(&self, call: PlannedCall<'_>) -> BeforeTool {
        call.keys.iter().find_map(|key| self.denies(key)).map_or(BeforeTool::Continue, BeforeTool::Deny)
    }
}
