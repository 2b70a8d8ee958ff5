//! The seam of the runner: a second one that knows neither tokio's tasks nor a journal nor a stream drives the same
//! rules, and keeps its records as a durable engine would.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

mod support;

use std::collections::VecDeque;
use std::sync::Arc;

use futures::FutureExt;
use serde_json::json;
use support::{run, runtime};
use tokio_util::sync::CancellationToken;
use victor_core::agent::{RunScope, ScopeOptions, Unanswered};
use victor_core::id::Timestamp;
use victor_core::question::{Question, Reply};
use victor_workflow::error::{NodeError, WorkflowError};
use victor_workflow::graph::{StateGraph, Subgraph};
use victor_workflow::human::HumanNode;
use victor_workflow::machine::{End, Machine, Noted};
use victor_workflow::node::{Node, NodeCx, NodeOutput, RunContext};
use victor_workflow::record::Entry;
use victor_workflow::route::{Join, Route, Send};
use victor_workflow::runner::{Driven, Input, Runner, Told, drive};
use victor_workflow::state::Reducer;
use victor_workflow::task::{Start, TaskId};
use victor_workflow::workflow::Workflow;

/// Works off what was started from the newest to the oldest, with a clock that counts, and dies after some inputs.
struct Backwards {
    context: Arc<RunContext>,
    now: i64,
    started: VecDeque<(Start, Arc<dyn Node>)>,
    asked: Vec<TaskId>,
    journal: Vec<String>,
    left: usize,
}

impl Runner for Backwards {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now)
    }

    fn record(&mut self, noted: &Noted, _: &Machine) -> Result<(), WorkflowError> {
        self.journal.push(serde_json::to_string(&noted.entry).unwrap());
        Ok(())
    }

    fn tell(&mut self, _: Told) {}

    async fn settle(&mut self, _: &Machine) -> Result<(), WorkflowError> {
        Ok(())
    }

    async fn pace(&mut self, _: &Machine) -> Result<Option<Input>, WorkflowError> {
        Ok(None)
    }

    fn start(&mut self, start: Start, node: Arc<dyn Node>) -> Option<Result<NodeOutput, NodeError>> {
        self.started.push_front((start, node));
        None
    }

    fn stop(&mut self, task: TaskId) {
        self.started.retain(|(start, _)| start.task != task);
    }

    fn ask(&mut self, task: TaskId, _: Question) {
        self.asked.push(task);
    }

    async fn wait(&mut self, until: Option<Timestamp>, _: &Machine) -> Result<Input, WorkflowError> {
        if self.left == 0 {
            return Err(WorkflowError::State("this process is no more".to_owned()));
        }
        self.left -= 1;
        self.now += 1;
        if let Some((start, node)) = self.started.pop_front() {
            let (task, cancel) = (start.task, CancellationToken::new());
            let cx = NodeCx::new(Arc::clone(&self.context), start, cancel);
            return Ok(Input::Output { task, result: node.run(cx).now_or_never().unwrap() });
        }
        if let Some(task) = self.asked.pop() {
            return Ok(Input::Reply { task, reply: Reply::Answer(json!(true)) });
        }
        self.now = until.unwrap().as_micros();
        Ok(Input::Time)
    }
}

fn workflow() -> Workflow {
    let mut inner = StateGraph::new("inner");
    inner.reducer("seen", Reducer::Append);
    support::seen(&mut inner, &["x", "y"]);
    inner.entry("x").entry("y");
    let mut graph = StateGraph::new("outer");
    support::seen(&mut graph, &["a", "work", "end"]);
    graph
        .compute("flaky", support::flaky(2).1)
        .retry(victor_workflow::graph::Retry::new(2, std::time::Duration::from_secs(3600)));
    graph.subgraph("fan", Subgraph::new(inner.compile().unwrap()));
    graph.add("ok", HumanNode::approval("?"));
    graph.edge("a", "fan").edge("a", "flaky").edge("a", "ok");
    graph.branch("ok", ["work"], |_| Ok(Route::send((0..4).map(|n| Send::new("work", json!(n))))));
    graph.edge("work", "end").edge("fan", "end");
    graph.compile().unwrap()
}

#[tokio::test]
async fn another_runner_comes_to_the_same_end_with_and_without_crashes() {
    for each in [usize::MAX, 7, 3, 2, 1] {
        let workflow = workflow();
        let (scope, _events, _end) = RunScope::open(&runtime(), ScopeOptions::default()).await;
        let run_id = scope.run_id();
        let context =
            Arc::new(RunContext { scope, workflow: "outer".into(), session: None, unanswered: Unanswered::Deny });
        let (mut machine, first) =
            Machine::start(run_id, &workflow, json!({}).as_object().unwrap().clone(), Timestamp::from_micros(0));
        let mut journal = vec![serde_json::to_string(&first).unwrap()];
        let mut processes = 0;
        let end = loop {
            processes += 1;
            assert!(processes < 100, "no progress");
            let mut runner = Backwards {
                context: Arc::clone(&context),
                now: processes * 1_000_000_000_000,
                started: VecDeque::new(),
                asked: Vec::new(),
                journal: Vec::new(),
                left: each,
            };
            let driven = drive(&mut machine, &mut runner).await;
            journal.append(&mut runner.journal);
            if let Ok(Driven::Ended(end)) = driven {
                break end;
            }
            let entries = journal.iter().map(|line| serde_json::from_str::<Entry>(line).unwrap());
            machine = Machine::replay(run_id, &workflow, entries).unwrap().0;
            machine.restart();
            // All that there is of it can be written down.
            let text = serde_json::to_string(&machine).unwrap();
            assert_eq!(serde_json::to_string(&serde_json::from_str::<Machine>(&text).unwrap()).unwrap(), text);
        };
        assert_eq!(end, End::Completed);
        let state = machine.state();
        let expected = json!(["a", "x", "y", "work", "work", "work", "work", "end"]);
        assert_eq!(state["seen"], expected, "{each} inputs a process");
    }
}

#[tokio::test]
async fn a_join_of_a_subgraph_takes_the_first_that_the_runner_brings() {
    let mut inner = StateGraph::new("inner");
    support::seen(&mut inner, &["x", "y", "z"]);
    inner.entry("x").entry("y").entry("z");
    let mut graph = StateGraph::new("outer");
    support::seen(&mut graph, &[]);
    graph.subgraph("fan", Subgraph::new(inner.compile().unwrap()).join(Join::Any));
    let workflow = graph.compile().unwrap();
    assert_eq!(run(&workflow, json!({})).await.result["seen"], json!(["x"]));
}
