//! What the tests of runs share: a runtime in memory, and shorthands.
#![allow(dead_code, reason = "each test program uses its part of it")]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use futures::StreamExt;
use serde_json::{Value, json};
use uuid::Uuid;
use victor_core::event::{Event, EventKind};
use victor_core::id::{Clock, Timestamp};
use victor_core::journal::Journal;
use victor_core::memory_journal::MemoryJournal;
use victor_core::runtime::Runtime;
use victor_workflow::Workflows;
use victor_workflow::error::NodeError;
use victor_workflow::graph::StateGraph;
use victor_workflow::node::NodeOutput;
use victor_workflow::options::{RunOptions, WorkflowOutcome};
use victor_workflow::workflow::Workflow;

/// Tokio's time, which stands still and jumps where a test says so; ids that count up.
struct TokioClock;

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        static BEGIN: OnceLock<tokio::time::Instant> = OnceLock::new();
        #[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
        let now = tokio::time::Instant::now();
        let passed = now.duration_since(*BEGIN.get_or_init(|| now));
        Timestamp::from_micros(1_700_000_000_000_000 + i64::try_from(passed.as_micros()).unwrap())
    }

    fn uuid(&self) -> Uuid {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(NEXT.fetch_add(1, Ordering::Relaxed)))
    }
}

pub(crate) fn runtime() -> Runtime {
    Runtime::builder().clock(TokioClock).build().unwrap()
}

/// A runtime of its own on a journal that outlives it, as another process would be.
pub(crate) fn runtime_on(journal: &MemoryJournal) -> Runtime {
    runtime_with(Arc::new(journal.clone()))
}

pub(crate) fn runtime_with(journal: Arc<dyn Journal>) -> Runtime {
    Runtime::builder().clock(TokioClock).journal(journal).build().unwrap()
}

/// Adds nodes that note their names under `seen`.
pub(crate) fn seen(graph: &mut StateGraph, names: &[&str]) {
    graph.reducer("seen", victor_workflow::state::Reducer::Append);
    for name in names {
        graph.compute(*name, |cx| Ok(NodeOutput::set("seen", json!([cx.node()]))));
    }
}

pub(crate) async fn run(workflow: &Workflow, input: Value) -> WorkflowOutcome {
    run_with(workflow, input, RunOptions::default()).await
}

pub(crate) async fn run_with(workflow: &Workflow, input: Value, options: RunOptions) -> WorkflowOutcome {
    let workflows = Workflows::of(&runtime());
    workflows.start(workflow, input, options).await.unwrap().outcome().await.unwrap()
}

/// Runs and gives all events with the outcome.
pub(crate) async fn follow(workflow: &Workflow, input: Value) -> (Vec<Event>, WorkflowOutcome) {
    let workflows = Workflows::of(&runtime());
    let mut run = workflows.start(workflow, input, RunOptions::default()).await.unwrap();
    let mut events = Vec::new();
    while let Some(event) = run.next().await {
        events.push(event);
    }
    let outcome = run.taken().unwrap();
    (events, outcome)
}

/// The events of nodes as lines: `path/node status`.
pub(crate) fn lines(events: &[Event]) -> Vec<String> {
    let line = |event: &Event| match &event.kind {
        EventKind::Node { node, status, .. } => {
            let path: String = event.path.iter().map(|p| format!("{p}/")).collect();
            Some(format!("{path}{node} {}", status.name()))
        }
        _ => None,
    };
    events.iter().filter_map(line).collect()
}

/// A node that fails so many times, then sets its name to true.
pub(crate) fn flaky(
    times: u32,
) -> (Arc<AtomicU32>, impl Fn(&victor_workflow::node::NodeCx) -> Result<NodeOutput, NodeError>) {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let node = move |cx: &victor_workflow::node::NodeCx| match counted.fetch_add(1, Ordering::Relaxed) {
        n if n < times => Err(NodeError::new(format!("failure {}", n + 1))),
        _ => Ok(NodeOutput::set(cx.node(), true)),
    };
    (tries, node)
}
