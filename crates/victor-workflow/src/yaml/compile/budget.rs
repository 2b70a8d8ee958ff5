//! Tools of an agent that may be called only so often together.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::Deserialize as _;
use serde_json::{Value, json};
use victor_core::error::ToolError;
use victor_core::id::CallId;
use victor_core::tool::{DynTool, Plan, ToolCx, ToolSpec};

use crate::node::NodeOutput;

/// Where the calls that were made are kept while a node waits.
const KEPT: &str = "calls";

/// Calls that are left; a call that is planned again counts once.
pub(super) struct Calls {
    limit: u32,
    made: Mutex<HashSet<CallId>>,
}

impl Calls {
    /// So many calls, without those that were made before the node was put down.
    pub(super) fn going_on(limit: u32, kept: Option<&Value>) -> Arc<Self> {
        let made = kept.and_then(|kept| kept.get(KEPT)).and_then(|made| HashSet::deserialize(made).ok());
        Arc::new(Self { limit, made: Mutex::new(made.unwrap_or_default()) })
    }

    /// Keeps the calls that were made with a question of the node.
    pub(super) fn keep(&self, output: &mut NodeOutput) {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let NodeOutput::Ask(ask) = output
            && let Some(Value::Object(kept)) = &mut ask.kept
        {
            kept.insert(KEPT.to_owned(), json!(*made));
        }
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
