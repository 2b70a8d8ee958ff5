//! A folder to work in, and a bench with Victor's tools.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use victor_core::error::ToolError;
use victor_core::message::text_of;
use victor_core::permission::{Rule, RuleEffect};
use victor_core::sandbox::{SandboxMode, Workspace};
use victor_core::testing::ToolBench;
use victor_core::tool::{DynTool, Plan, ToolOutput, ToolSource};
use victor_tools::BuiltinTools;

pub struct Bench {
    pub bench: ToolBench,
    /// The workspace's root, canonical.
    pub root: PathBuf,
    /// A folder beside the workspace.
    pub outside: PathBuf,
    _home: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let base = home.path().canonicalize().unwrap();
        let (root, outside, spill) = (base.join("ws"), base.join("outside"), base.join("spill"));
        for folder in [&root, &outside, &spill] {
            std::fs::create_dir(folder).unwrap();
        }
        let mut workspace = Workspace::new(&root);
        workspace.readable.push(spill.clone());
        workspace.spill = Some(spill);
        Self { bench: ToolBench::new(workspace), root, outside, _home: home }
    }

    pub fn sandboxed(mode: SandboxMode) -> Self {
        let mut bench = Self::new();
        bench.bench.sandbox = mode;
        bench
    }

    pub fn rule(mut self, effect: RuleEffect, text: &str) -> Self {
        self.bench.rules.push(Rule::parse(effect, text, "test").unwrap());
        self
    }

    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn content(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.root.join(path)).unwrap()
    }

    pub fn link(&self, path: &str, target: impl AsRef<Path>) {
        std::os::unix::fs::symlink(target, self.root.join(path)).unwrap();
    }

    pub async fn plan(&self, name: &str, args: Value) -> Plan {
        self.bench.plan(&tool(name).await, args).await.unwrap()
    }

    pub async fn try_call(&self, name: &str, args: Value) -> Result<ToolOutput, ToolError> {
        self.bench.call(&tool(name).await, args).await
    }

    pub async fn run(&self, name: &str, plan: Plan) -> Result<ToolOutput, ToolError> {
        self.bench.run(&tool(name).await, plan).await
    }

    pub async fn call(&self, name: &str, args: Value) -> String {
        text(&self.try_call(name, args).await.unwrap())
    }

    pub async fn fails(&self, name: &str, args: Value) -> String {
        self.try_call(name, args).await.unwrap_err().to_string()
    }
}

pub fn text(output: &ToolOutput) -> String {
    text_of(&output.content)
}

pub async fn tool(name: &str) -> Arc<dyn DynTool> {
    let tools = BuiltinTools::new().tools().await;
    tools.into_iter().find(|t| t.spec().name == name).unwrap()
}
