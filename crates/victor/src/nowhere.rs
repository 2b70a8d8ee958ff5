//! Where no folder was named to work in, no file is reachable: each tool that would need one answers what to do.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use victor_core::error::ToolError;
use victor_core::tool::{DynTool, Effects, Plan, ToolCx, ToolSource, ToolSpec};

/// The tools of a source; those that need a folder only say that there is none.
pub(crate) struct Unplaced {
    source: Arc<dyn ToolSource>,
    why: Arc<str>,
}

impl Unplaced {
    pub(crate) fn new(source: Arc<dyn ToolSource>, why: Arc<str>) -> Self {
        Self { source, why }
    }
}

#[async_trait]
impl ToolSource for Unplaced {
    fn name(&self) -> &str {
        self.source.name()
    }

    async fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        let needs = Effects::READ | Effects::WRITE | Effects::EXECUTE;
        let closed = |tool: Arc<dyn DynTool>| match tool.spec().effects.intersects(needs) {
            true => Arc::new(Closed { spec: Arc::clone(tool.spec()), why: Arc::clone(&self.why) }) as Arc<dyn DynTool>,
            false => tool,
        };
        self.source.tools().await.into_iter().map(closed).collect()
    }
}

struct Closed {
    spec: Arc<ToolSpec>,
    why: Arc<str>,
}

#[async_trait]
impl DynTool for Closed {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn plan(&self, _: Value, _: &ToolCx) -> Result<Plan, ToolError> {
        Err(ToolError::Denied(self.why.to_string()))
    }
}
