//! Hooks: code of the application that sees every tool call before and after it runs. A hook that fails, denies.

use async_trait::async_trait;
use serde_json::Value;

use crate::permission::PermissionKey;
use crate::tool::{Effects, ToolOutput};

/// A planned call as a hook sees it.
#[derive(Clone, Copy, Debug)]
pub struct PlannedCall<'a> {
    /// The tool.
    pub tool: &'a str,
    /// Its arguments.
    pub arguments: &'a Value,
    /// What the call does.
    pub effects: Effects,
    /// What the permission rules were matched against.
    pub keys: &'a [PermissionKey],
}

/// What a hook says before a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BeforeTool {
    /// Nothing against it; the rules hold.
    Continue,
    /// Somebody has to say yes, even where the rules allow it.
    Ask(String),
    /// It may not run; the model is told why.
    Deny(String),
    /// It may not run, and the run ends as denied.
    Abort(String),
}

impl BeforeTool {
    /// The stricter of two words; of two equally strict ones the first.
    pub(crate) fn or_stricter(self, other: Self) -> Self {
        if other.strictness() > self.strictness() { other } else { self }
    }

    fn strictness(&self) -> u8 {
        match self {
            Self::Continue => 0,
            Self::Ask(_) => 1,
            Self::Deny(_) => 2,
            Self::Abort(_) => 3,
        }
    }
}

/// What a hook says after a call.
#[derive(Clone, Debug, PartialEq)]
pub enum AfterTool {
    /// The result stands.
    Continue,
    /// The model gets this instead.
    Replace(ToolOutput),
    /// The run ends as denied; the result is kept.
    Abort(String),
}

/// Sees every tool call. Hooks are asked in the order in which they were registered; the strictest word counts.
#[async_trait]
pub trait Hook: Send + Sync + 'static {
    /// Before a call, after mode and rules and before anybody is asked. It can only make things stricter.
    async fn before_tool(&self, _call: PlannedCall<'_>) -> BeforeTool {
        BeforeTool::Continue
    }

    /// After a call.
    async fn after_tool(&self, _call: PlannedCall<'_>, _output: &ToolOutput) -> AfterTool {
        AfterTool::Continue
    }
}
