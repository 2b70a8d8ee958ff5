//! A workflow that an agent ran, taken up again by itself after a crash: as deep inside of others and with as much left
//! of the budget as it was then.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the whole file is tests")]

mod documents;

use std::sync::Arc;

use documents::{builder, script};
use serde_json::{Value, json};
use victor_core::agent::{Agent, AgentSpec};
use victor_core::id::RunId;
use victor_core::journal::JournalFilter;
use victor_core::memory_journal::MemoryJournal;
use victor_core::runtime::Runtime;
use victor_core::testing::ScriptedProvider;
use victor_core::usage::Budget;
use victor_workflow::Workflows;
use victor_workflow::graph::StateGraph;
use victor_workflow::node::{NodeCx, NodeOutput};
use victor_workflow::options::{RunOptions, WorkflowOutcome};
use victor_workflow::registry::WorkflowRegistry;
use victor_workflow::resume::Resumed;
use victor_workflow::workflow_tool::{RUN_WORKFLOW, WorkflowTools};

/// A process on the journal with the workflows `outer`, whose agent runs `inner`. In the first, `inner` never ends.
fn process(model: &Arc<ScriptedProvider>, journal: &MemoryJournal, ends: bool) -> Runtime {
    let registry = WorkflowRegistry::new();
    let mut inner = StateGraph::new("inner");
    inner.node("tell", move |_: Value, cx: NodeCx| async move {
        if !ends {
            std::future::pending::<()>().await;
        }
        let within: Vec<String> = cx.scope().within().iter().map(ToString::to_string).collect();
        Ok(NodeOutput::set("within", json!(within)))
    });
    inner.node("ask", |_: Value, cx: NodeCx| async move {
        let spec = AgentSpec { tools: Some(vec!["read".into(), RUN_WORKFLOW.into()]), ..AgentSpec::default() };
        let agent = Agent::create(cx.runtime(), spec).await?;
        Ok(NodeOutput::set("said", cx.agent(&agent, "agent", "Go on").await?.text()))
    });
    inner.edge("tell", "ask");
    registry.add(inner.compile().unwrap());
    let mut outer = StateGraph::new("outer");
    outer.node("a", |_: Value, cx: NodeCx| async move {
        let agent = Agent::create(cx.runtime(), AgentSpec { tools: Some(vec!["*".into()]), ..AgentSpec::default() });
        Ok(NodeOutput::set("a", cx.agent(&agent.await?, "agent", "Begin").await?.text()))
    });
    registry.add(outer.compile().unwrap());
    let tools = Arc::new(WorkflowTools::new(registry.clone()));
    let runtime = builder(model).journal(Arc::new(journal.clone())).tools(tools).build().unwrap();
    runtime.insert(registry);
    runtime
}

fn inner() -> Value {
    json!({"calls": [[RUN_WORKFLOW, {"workflow": "inner"}]]})
}

/// Has a process of its own begin `outer` and end in the middle of `inner`; gives the run of that.
fn crashed(journal: &MemoryJournal, budget: Budget) -> RunId {
    let process_of_its_own = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let inner = process_of_its_own.block_on(async {
        let model = script(&[json!({"calls": [["read", {"path": "x"}]]}), inner()]);
        let runtime = process(&model, journal, false);
        let workflows = Workflows::of(&runtime);
        let run =
            workflows.start_named("outer", json!({}), RunOptions { budget, ..RunOptions::default() }).await.unwrap();
        loop {
            let runs = workflows.list(&JournalFilter { limit: 10, ..JournalFilter::default() }).await.unwrap();
            if let Some(inner) = runs.iter().find(|r| r.workflow == "inner" && r.current_node.is_some()) {
                std::mem::forget(run);
                return inner.workflow_id;
            }
            tokio::task::yield_now().await;
        }
    });
    drop(process_of_its_own);
    inner
}

async fn taken_up(runtime: &Runtime, id: RunId) -> WorkflowOutcome {
    match Workflows::of(runtime).resume(id, Vec::new(), RunOptions::default()).await.unwrap() {
        Resumed::Run(run) => run.outcome().await.unwrap(),
        Resumed::Delivered => panic!("it works already"),
    }
}

#[test]
fn it_is_as_deep_as_it_was() {
    let journal = MemoryJournal::default();
    let id = crashed(&journal, Budget::default());
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        // Its agent runs it inside of itself until that is too deep: two are around it already.
        let model = script(&[inner(), inner(), inner(), json!("too deep"), json!("ok"), json!("ok"), json!("ok")]);
        let outcome = taken_up(&process(&model, &journal, true), id).await;
        assert_eq!(outcome.state["within"], json!(["outer", "inner"]));
        let heard =
            json!(model.seen().iter().flat_map(|seen| seen.iter()).map(|m| m.content.clone()).collect::<Vec<_>>())
                .to_string();
        assert!(heard.contains("outer > inner > inner > inner > inner"), "{heard}");
    });
}

#[test]
fn it_has_what_was_left_of_the_budget() {
    for (turns, status) in [(3, "completed"), (2, "failed")] {
        let journal = MemoryJournal::default();
        // Two of them were used when it began.
        let id = crashed(&journal, Budget { max_turns: Some(turns), ..Budget::default() });
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let model = script(&[json!("one more"), json!("and another")]);
            let outcome = taken_up(&process(&model, &journal, true), id).await;
            assert_eq!(outcome.status.name(), status, "{turns}: {:?}", outcome.error);
            if status == "failed" {
                assert_eq!(outcome.error.unwrap().code, "LIMIT_EXCEEDED");
            }
        });
    }
}
