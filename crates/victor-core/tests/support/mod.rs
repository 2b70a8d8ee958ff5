//! What the tests of cancels and of bounds have in common: tools that count or hang, agents, approvers.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use victor_core::agent::{Agent, AgentSpec, Status};
use victor_core::error::{ProviderError, ToolError};
use victor_core::event::{Event, EventKind};
use victor_core::permission::{Answer, ApprovalRequest, Approver};
use victor_core::provider::{Chunk, Model, ModelInfo};
use victor_core::runtime::{Runtime, RuntimeBuilder};
use victor_core::testing::{ScriptedProvider, TestClock, reply_calls};
use victor_core::tool::{DynTool, Effects, Plan, ToolCx, ToolOutput, ToolSpec};
use victor_core::usage::Budget;

pub const LONG: Duration = Duration::from_mins(10);

pub type Planner = Box<dyn Fn(Value) -> Plan + Send + Sync>;

pub struct Probe(pub Arc<ToolSpec>, pub Planner);

#[async_trait]
impl DynTool for Probe {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.0
    }

    async fn plan(&self, args: Value, _: &ToolCx) -> Result<Plan, ToolError> {
        Ok((self.1)(args))
    }
}

pub fn planned(name: &str, effects: Effects, plan: impl Fn(Value) -> Plan + Send + Sync + 'static) -> Arc<dyn DynTool> {
    let spec = ToolSpec::new(name, "", "test", json!({"type": "object"}), effects);
    Arc::new(Probe(Arc::new(spec), Box::new(plan)))
}

pub fn tool<F>(name: &str, effects: Effects, run: F) -> Arc<dyn DynTool>
where
    F: Fn(ToolCx) -> BoxFuture<'static, Result<ToolOutput, ToolError>> + Clone + Send + Sync + 'static,
{
    planned(name, effects, move |_| {
        let run = run.clone();
        Plan::new(effects, move |_, cx| run(cx))
    })
}

pub fn counting(name: &str, effects: Effects) -> (Arc<dyn DynTool>, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let made = tool(name, effects, move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(ToolOutput::text("done")) })
    });
    (made, calls)
}

pub fn hanging(name: &str) -> Arc<dyn DynTool> {
    tool(name, Effects::READ, |cx| {
        Box::pin(async move {
            cx.cancel.cancelled().await;
            Err(ToolError::model("stopped"))
        })
    })
}

pub fn runtime() -> RuntimeBuilder {
    Runtime::builder().clock(TestClock::default())
}

pub async fn agent(provider: &Arc<ScriptedProvider>, rt: &Runtime, tools: &[Arc<dyn DynTool>]) -> Agent {
    of(provider.model(), rt, tools, Budget::default()).await
}

pub async fn of(model: Model, rt: &Runtime, tools: &[Arc<dyn DynTool>], budget: Budget) -> Agent {
    let spec = AgentSpec { budget, ..AgentSpec::default() };
    let builder = Agent::builder().model(model).spec(spec);
    tools.iter().cloned().fold(builder, |b, t| b.tool(t)).build(rt).await.unwrap()
}

pub fn with_info(provider: &Arc<ScriptedProvider>, change: impl FnOnce(&mut ModelInfo)) -> Model {
    let mut model = provider.model();
    change(Arc::make_mut(&mut model.info));
    model
}

pub fn one(name: &str) -> Vec<Result<Chunk, ProviderError>> {
    reply_calls(&[(name, json!({}))])
}

pub fn ask(child: &str) -> Vec<Result<Chunk, ProviderError>> {
    reply_calls(&[(child, json!({"task": "go"}))])
}

pub async fn until_called(run: &mut victor_core::agent::Run) {
    while let Some(event) = run.next().await {
        if matches!(event.kind, EventKind::ToolCall { .. }) {
            return;
        }
    }
    panic!("no tool was called");
}

pub async fn rest(run: victor_core::agent::Run) -> Vec<Event> {
    run.collect().await
}

pub fn ended(events: &[Event]) -> Status {
    let EventKind::Finished { outcome } = &events.last().expect("no event").kind else { panic!("no end: {events:?}") };
    outcome.status
}

pub struct Answers(pub fn(&ApprovalRequest) -> Answer, pub Mutex<Vec<ApprovalRequest>>);

impl Answers {
    pub fn with(answer: fn(&ApprovalRequest) -> Answer) -> Arc<Self> {
        Arc::new(Self(answer, Mutex::default()))
    }
}

#[async_trait]
impl Approver for Answers {
    async fn ask(&self, request: &ApprovalRequest) -> Answer {
        self.1.lock().unwrap().push(request.clone());
        (self.0)(request)
    }
}

pub fn later() -> Arc<Answers> {
    Answers::with(|_| Answer::Later)
}
