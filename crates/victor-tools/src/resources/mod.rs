//! Resources: the files of the workspace and what git knows of them. They are read through core's pipeline, like the
//! tools of the same names: rules, hooks and the border of the workspace hold for them too.

mod files;
mod git;
mod raw;

pub use files::FileResources;
pub use git::GitResources;

use std::sync::{Arc, OnceLock};

use serde_json::Value;
use victor_core::error::ToolError;
use victor_core::permission::DenyAll;
use victor_core::resource::SourceError;
use victor_core::runtime::{CallOptions, Runtime, WeakRuntime};
use victor_core::tool::{DynTool, ToolOutput};

/// The runtime that a source belongs to, known once it is made.
#[derive(Default)]
struct Link {
    runtime: OnceLock<WeakRuntime>,
}

impl Link {
    fn attach(&self, runtime: &Runtime) {
        // A source belongs to the first runtime that it was given.
        let _ = self.runtime.set(runtime.downgrade());
    }

    fn runtime(&self) -> Result<Runtime, SourceError> {
        let runtime = self.runtime.get().and_then(WeakRuntime::upgrade);
        runtime.ok_or_else(|| SourceError::Failed("the runtime of this source is gone".to_owned()))
    }

    /// Calls a tool that the runtime's agents do not have. Nobody is asked: what would ask is denied.
    async fn call(&self, tool: Arc<dyn DynTool>, args: Value) -> Result<ToolOutput, SourceError> {
        let options = CallOptions { approver: Some(Arc::new(DenyAll)), ..CallOptions::default() };
        self.runtime()?.call(tool, args, options).await.map_err(refusal)
    }

    /// Calls one of the runtime's tools.
    async fn call_named(&self, tool: &str, args: Value) -> Result<ToolOutput, SourceError> {
        let options = CallOptions { approver: Some(Arc::new(DenyAll)), ..CallOptions::default() };
        self.runtime()?.call_tool(tool, args, options).await.map_err(refusal)
    }
}

fn refusal(error: ToolError) -> SourceError {
    match error {
        ToolError::Denied(why) => SourceError::Denied(why),
        ToolError::Model(why) => SourceError::NotFound(why),
        other => SourceError::Failed(other.to_string()),
    }
}
