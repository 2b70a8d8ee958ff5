//! A bench for tools: runs single calls, judged by the real rules.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::ToolError;
use crate::id::{CallId, RunId};
use crate::permission::{Grants, Mode, Rules, Verdict, judge};
use crate::sandbox::{Network, Sandbox, SandboxMode, Workspace};
use crate::tool::{CallDoor, Callee, DynTool, Effects, Permit, Plan, ToolCx, ToolOutput};

/// Runs single calls of a tool, judged as in build mode with these rules; what would ask is allowed.
#[derive(Clone, Debug)]
pub struct ToolBench {
    /// The folders that file tools may reach.
    pub workspace: Arc<Workspace>,
    /// The rules.
    pub rules: Rules,
    /// How far programs may reach.
    pub sandbox: SandboxMode,
    /// Ends the call when cancelled.
    pub cancel: CancellationToken,
}

impl ToolBench {
    /// A bench without rules or sandbox.
    #[must_use]
    pub fn new(workspace: Workspace) -> Self {
        Self {
            workspace: Arc::new(workspace),
            rules: Rules::default(),
            sandbox: SandboxMode::Off,
            cancel: CancellationToken::new(),
        }
    }

    /// Validates and plans a call.
    ///
    /// # Errors
    /// What the tool says of it.
    pub async fn plan(&self, tool: &Arc<dyn DynTool>, args: Value) -> Result<Plan, ToolError> {
        tool.spec().validate(&args)?;
        tool.plan(args, &self.cx()).await
    }

    /// What the rules say of a planned call.
    #[must_use]
    pub fn judge(&self, tool: &Arc<dyn DynTool>, plan: &Plan) -> Verdict {
        judge(Mode::Build, self.sandbox, &self.rules, &Grants::default(), tool.spec(), plan)
    }

    /// Validates, plans, judges and runs a call.
    ///
    /// # Errors
    /// What the tool says of it; a denial.
    pub async fn call(&self, tool: &Arc<dyn DynTool>, args: Value) -> Result<ToolOutput, ToolError> {
        let plan = self.plan(tool, args).await?;
        self.run(tool, plan).await
    }

    /// Judges and runs a planned call; between planning and this a test may change the world.
    ///
    /// # Errors
    /// What the tool says of it; a denial.
    pub async fn run(&self, tool: &Arc<dyn DynTool>, plan: Plan) -> Result<ToolOutput, ToolError> {
        if let Verdict::Deny { reason } = self.judge(tool, &plan) {
            return Err(ToolError::Denied(reason));
        }
        let network = if plan.effects.contains(Effects::NETWORK) { Network::Allowed } else { Network::Denied };
        let mode = if plan.effects.contains(Effects::UNSANDBOXED) { SandboxMode::Off } else { self.sandbox };
        let permit = Permit::new(Sandbox { mode, network }, Arc::new(self.rules.path_rules()));
        plan.run(permit, self.cx()).await
    }

    fn cx(&self) -> ToolCx {
        ToolCx {
            run: RunId(Uuid::nil()),
            call: CallId::nth(0),
            workspace: Arc::clone(&self.workspace),
            sandbox: self.sandbox,
            cancel: self.cancel.clone(),
            door: Arc::new(NoDoor),
        }
    }
}

struct NoDoor;

#[async_trait]
impl CallDoor for NoDoor {
    fn progress(&self, _: &CallId, _: String) {}

    async fn call(&self, _: &ToolCx, callee: Callee<'_>, _: Value) -> Result<ToolOutput, ToolError> {
        Err(ToolError::Model(format!("no tool `{}` on a bench", callee.name())))
    }

    fn run_scope(&self) -> Option<crate::agent::RunScope> {
        None
    }
}
