//! Tools of an agent that may be called only so often together.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use victor_core::error::ToolError;
use victor_core::id::CallId;
use victor_core::tool::{DynTool, Plan, ToolCx, ToolSpec};

/// Calls that are left; a call that is planned again counts once.
pub(super) struct Calls {
    limit: u32,
    made: Mutex<HashSet<CallId>>,
}

impl Calls {
    /// So many calls.
    pub(super) fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self { limit, made: Mutex::default() })
    }

    fn take(&self, call: &CallId) -> Result<(), ToolError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.contains(call) {
            return Ok(());
        }
        if made.len() >= self.limit as usize {
            let text = format!("the tool budget of {} calls is used up: answer with what you have", self.limit);
            return Err(ToolError::Model(text));
        }
        made.insert(call.clone());
        Ok(())
    }
}

/// A tool that counts its calls.
pub(super) struct Counted {
    pub(super) tool: Arc<dyn DynTool>,
    pub(super) calls: Arc<Calls>,
}

#[async_trait]
impl DynTool for Counted {
    fn spec(&self) -> &Arc<ToolSpec> {
        self.tool.spec()
    }

    async fn plan(&self, args: Value, cx: &ToolCx) -> Result<Plan, ToolError> {
        self.calls.take(&cx.call)?;
        self.tool.plan(args, cx).await
    }
}
