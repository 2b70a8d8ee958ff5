//! What a run may use as a whole: time, turns and tokens, over all its nodes and all its processes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the whole file is tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use serde_json::{Value, json};
use support::{run_with, runtime_on, seen};
use victor_core::agent::Agent;
use victor_core::event::EventKind;
use victor_core::journal::RunStatus;
use victor_core::memory_journal::MemoryJournal;
use victor_core::question::{AskLater, Interviewer, Question, Reply};
use victor_core::testing::{ScriptedProvider, reply_text};
use victor_core::usage::Budget;
use victor_workflow::Workflows;
use victor_workflow::agent::AgentNode;
use victor_workflow::graph::{Limits, OnError, StateGraph};
use victor_workflow::human::HumanNode;
use victor_workflow::node::{NodeCx, NodeOutput};
use victor_workflow::options::{RunOptions, WorkflowOutcome};
use victor_workflow::resume::Resumed;
use victor_workflow::route::Route;
use victor_workflow::workflow::Workflow;

fn seconds(max: u64) -> RunOptions {
    let budget = Budget { max_time: Some(Duration::from_secs(max)), ..Budget::default() };
    RunOptions { budget, interviewer: Some(Arc::new(AskLater)), ..RunOptions::default() }
}

/// Nodes in a row that take so many seconds each; one called `gate` asks a person.
fn row(nodes: &[(&'static str, u64)]) -> Workflow {
    let mut graph = StateGraph::new("row");
    seen(&mut graph, &[]);
    for (name, seconds) in nodes.iter().copied() {
        if name == "gate" {
            graph.add(name, HumanNode::approval("?"));
            continue;
        }
        let slot = graph.node(name, move |_: Value, _| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(json!({"seen": [name]}))
        });
        slot.on_error(OnError::Continue);
    }
    for pair in nodes.windows(2) {
        graph.edge(pair[0].0, pair[1].0);
    }
    graph.compile().unwrap()
}

fn is_too_late(outcome: &WorkflowOutcome, max: u64) {
    let error = outcome.error.as_ref().unwrap_or_else(|| panic!("it has not failed: {outcome:?}"));
    let text = format!("the run was not done within {max}s of work (`max_time`)");
    assert_eq!(
        (outcome.status, error.code.as_str(), error.message.as_str()),
        (RunStatus::Failed, "LIMIT_EXCEEDED", &*text)
    );
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_run_is_that_of_all_its_nodes() {
    let nodes = [("a", 4), ("b", 4), ("c", 4)];
    let outcome = run_with(&row(&nodes), json!({}), seconds(10)).await;
    is_too_late(&outcome, 10);
    // No strategy of a node goes on from it.
    assert_eq!(outcome.state["seen"], json!(["a", "b"]));
    assert_eq!(run_with(&row(&nodes), json!({}), seconds(13)).await.status, RunStatus::Completed);
}

#[tokio::test]
async fn a_loop_that_only_computes_runs_out_of_time() {
    let mut graph = StateGraph::new("spin");
    graph.limits(Limits { max_iterations: u32::MAX, max_steps: u64::MAX, ..Limits::default() });
    graph.compute("a", |_| Ok(NodeOutput::nothing()));
    graph.branch("a", ["a"], |_| Ok(Route::to("a")));
    let budget = Budget { max_time: Some(Duration::from_millis(20)), ..Budget::default() };
    let options = RunOptions { budget, ..RunOptions::default() };
    let outcome = run_with(&graph.compile().unwrap(), json!({}), options).await;
    assert_eq!(outcome.error.unwrap().code, "LIMIT_EXCEEDED");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_people_does_not_count_and_that_of_earlier_processes_does() {
    let journal = MemoryJournal::default();
    let process = || Workflows::of(&runtime_on(&journal));
    let workflow = row(&[("a", 6), ("gate", 0), ("b", 6)]);
    let waiting = process().start(&workflow, json!({}), seconds(10)).await.unwrap().outcome().await.unwrap();
    assert_eq!(waiting.status, RunStatus::Waiting);
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    let answers = vec![("gate".to_owned(), json!(true))];
    let id = waiting.workflow_id;
    let workflows = process();
    let Resumed::Run(run) = workflows.resume_with(&workflow, id, answers, seconds(99)).await.unwrap() else { panic!() };
    is_too_late(&run.outcome().await.unwrap(), 10);
    assert_eq!(workflows.status(id).await.unwrap().error.unwrap().code, "LIMIT_EXCEEDED");
    assert!(workflows.history(id).await.unwrap().iter().any(|point| point.what == "limited"));
}

/// Somebody who takes their time.
struct Slow(Duration);

#[async_trait]
impl Interviewer for Slow {
    async fn ask(&self, _: &Question) -> Reply {
        tokio::time::sleep(self.0).await;
        Reply::Answer(json!(true))
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_who_is_asked_on_the_spot_may_take_their_time() {
    let asked = || RunOptions { interviewer: Some(Arc::new(Slow(Duration::from_secs(3600)))), ..seconds(10) };
    let outcome = run_with(&row(&[("a", 4), ("gate", 0), ("b", 4)]), json!({}), asked()).await;
    assert_eq!(outcome.status, RunStatus::Completed, "{outcome:?}");
    // What works beside the question counts.
    let mut graph = StateGraph::new("both");
    graph.add("gate", HumanNode::approval("?"));
    graph.node("stuck", async |_: Value, _| {
        std::future::pending::<()>().await;
        Ok(())
    });
    graph.entry("gate").entry("stuck");
    is_too_late(&run_with(&graph.compile().unwrap(), json!({}), asked()).await, 10);
}

#[tokio::test(start_paused = true)]
async fn what_was_used_before_a_crash_counts() {
    let journal = MemoryJournal::default();
    let workflow = row(&[("a", 1), ("long", 30), ("b", 1)]);
    let mut id = None;
    for _ in 0..2 {
        let workflows = Workflows::of(&runtime_on(&journal));
        let mut run = match id {
            None => workflows.start(&workflow, json!({}), seconds(45)).await.unwrap(),
            Some(id) => match workflows.resume_with(&workflow, id, vec![], seconds(45)).await.unwrap() {
                Resumed::Run(run) => run,
                Resumed::Delivered => panic!(),
            },
        };
        id = Some(run.id());
        if workflows.status(run.id()).await.unwrap().completed_nodes.is_empty() {
            // 25 seconds of the long node are done when the process is put down.
            tokio::time::sleep(Duration::from_secs(26)).await;
            run.interrupt();
            while run.next().await.is_some() {}
            continue;
        }
        is_too_late(&run.outcome().await.unwrap(), 45);
        return;
    }
    panic!("the run did not go on");
}

#[tokio::test]
async fn turns_and_tokens_of_earlier_processes_count() {
    for budget in
        [Budget { max_turns: Some(2), ..Budget::default() }, Budget { max_tokens: Some(20), ..Budget::default() }]
    {
        let journal = MemoryJournal::default();
        let mut graph = StateGraph::new("agents");
        let runtime = runtime_on(&journal);
        let provider = ScriptedProvider::new((0..4).map(|n| reply_text(&format!("reply {n}"))));
        let agent = Agent::builder().model(provider.model()).build(&runtime).await.unwrap();
        for name in ["first", "second", "third"] {
            graph.add(name, AgentNode::new(agent.clone(), |_: &NodeCx| Ok("go".into())));
        }
        graph.add("gate", HumanNode::approval("?"));
        graph.edge("first", "gate").edge("gate", "second").edge("second", "third");
        let workflow = graph.compile().unwrap();
        let options = RunOptions { budget, ..seconds(1000) };
        let workflows = Workflows::of(&runtime);
        let waiting = workflows.start(&workflow, json!({}), options).await.unwrap().outcome().await.unwrap();
        assert_eq!((waiting.status, waiting.usage.total()), (RunStatus::Waiting, 12));
        let workflows = Workflows::of(&runtime_on(&journal));
        let answers = vec![("gate".to_owned(), json!(true))];
        let id = waiting.workflow_id;
        let resumed = workflows.resume_with(&workflow, id, answers, RunOptions::default()).await.unwrap();
        let Resumed::Run(run) = resumed else { panic!() };
        let outcome = run.outcome().await.unwrap();
        assert_eq!(outcome.usage.total(), 24, "{budget:?}");
        let error = outcome.error.unwrap();
        assert!(error.code == "LIMIT_EXCEEDED" && error.message.contains("`third`"), "{budget:?}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_node_under_way_has_used_is_known_after_a_crash() {
    let journal = MemoryJournal::default();
    let runtime = runtime_on(&journal);
    let provider = ScriptedProvider::new([reply_text("one")]);
    let agent = Agent::builder().model(provider.model()).build(&runtime).await.unwrap();
    let mut graph = StateGraph::new("long");
    graph.node("work", move |_: Value, cx: NodeCx| {
        let agent = agent.clone();
        async move {
            cx.agent(&agent, "agent", "go").await?;
            std::future::pending::<()>().await;
            Ok(())
        }
    });
    let workflows = Workflows::of(&runtime);
    let mut run = workflows.start(&graph.compile().unwrap(), json!({}), RunOptions::default()).await.unwrap();
    while let Some(event) = run.next().await {
        if matches!(event.kind, EventKind::Finished { .. }) {
            break;
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let info = victor_core::journal::Journal::info(&journal, run.id()).await.unwrap();
    assert_eq!(info.summary["spent"]["turns"], 1, "{}", info.summary);
}
