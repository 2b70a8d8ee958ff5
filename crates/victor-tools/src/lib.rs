//! Victor's own tools: files, search, shell, git and planning, and the sandbox that commands run in.
//!
//! Every tool plans before it runs, and what it planned is what it does: files stay open between the two.
#![forbid(unsafe_code)]

pub mod compose;
mod exec;
mod fs;
mod git;
mod path;
mod platform;
pub mod sandbox;
mod search;
mod todo;
pub mod undo;

use std::sync::Arc;

use async_trait::async_trait;
use victor_core::error::ToolError;
use victor_core::tool::{DynTool, Tool, ToolSource, erase};

pub use exec::{Bash, Split, split_command};
pub use fs::{Edit, Ls, Read, Write, media_type_of};
pub use git::{GitDiff, GitLog, GitStatus};
pub use search::{FindFiles, Grep};
pub use todo::Todo;

/// The tools that Victor brings along, by category: files, search, shell, git, planning.
pub struct BuiltinTools {
    tools: Vec<Arc<dyn DynTool>>,
}

impl BuiltinTools {
    /// All of them.
    #[must_use]
    pub fn new() -> Self {
        let tools = vec![
            erase(Read),
            erase(Write),
            erase(Edit),
            erase(Ls),
            erase(FindFiles),
            erase(Grep),
            erase(Bash),
            erase(GitStatus),
            erase(GitDiff),
            erase(GitLog),
            erase(Todo::default()),
        ];
        Self { tools }
    }

    /// Their names.
    #[must_use]
    pub fn names() -> [&'static str; 11] {
        [
            Read::NAME,
            Write::NAME,
            Edit::NAME,
            Ls::NAME,
            FindFiles::NAME,
            Grep::NAME,
            Bash::NAME,
            GitStatus::NAME,
            GitDiff::NAME,
            GitLog::NAME,
            Todo::NAME,
        ]
    }
}

impl Default for BuiltinTools {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl ToolSource for BuiltinTools {
    fn name(&self) -> &str {
        "builtin"
    }

    async fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        self.tools.clone()
    }
}

/// Runs work that waits for the disk where it holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => Err(ToolError::model(format!("the tool failed inside: {e}"))),
    }
}
