//! Keeps file tools away from the user's own Victor folder, also where it lies inside the workspace: an agent that
//! could write there could trust folders and allow commands by itself.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use victor_core::error::ConfigurationError;
use victor_core::hook::{BeforeTool, Hook, PlannedCall};
use victor_core::permission::{Access, PermissionKey, Rule, RuleEffect};

use crate::home::Home;

/// Rules that keep the saved keys and the tokens of MCP logins from being read, also in passing.
///
/// # Errors
/// The home's path makes no rule.
pub(crate) fn secrets(home: &Home) -> Result<Vec<Rule>, ConfigurationError> {
    let root = globset::escape(&home.real().display().to_string());
    let rules = ["keys.yaml", "mcp"].map(|name| format!("read({root}/{name})"));
    let rules = rules.iter().map(|rule| Rule::parse(RuleEffect::Deny, rule, "what Victor keeps secret"));
    rules.collect::<Result<_, _>>().map_err(|e| ConfigurationError::new(e.to_string()))
}

/// Denies writing in the home.
#[derive(Debug)]
pub(crate) struct HomeGuard {
    root: PathBuf,
    writable: PathBuf,
}

impl HomeGuard {
    pub(crate) fn new(home: &Home) -> Self {
        let root = home.real();
        Self { writable: root.join("outputs"), root }
    }

    fn denies(&self, key: &PermissionKey) -> Option<String> {
        let PermissionKey::Path { access: Access::Write, absolute, .. } = key else { return None };
        let path = Path::new(absolute);
        let denied = path.starts_with(&self.root) && !path.starts_with(&self.writable);
        denied.then(|| format!("`{absolute}` belongs to Victor's own settings, which no tool may change"))
    }
}

#[async_trait]
impl Hook for HomeGuard {
    async fn before_tool(&self, call: PlannedCall<'_>) -> BeforeTool {
        call.keys.iter().find_map(|key| self.denies(key)).map_or(BeforeTool::Continue, BeforeTool::Deny)
    }
}
