//! Branches that run side by side: each goes on by itself, and what comes of it never depends on who was quicker.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the whole file is tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::{follow, lines, run, runtime_on, seen};
use victor_core::event::Event;
use victor_core::journal::RunStatus;
use victor_core::memory_journal::MemoryJournal;
use victor_core::question::AskLater;
use victor_workflow::Workflows;
use victor_workflow::error::NodeError;
use victor_workflow::graph::{END, StateGraph, Subgraph};
use victor_workflow::human::HumanNode;
use victor_workflow::node::{NodeCx, NodeOutput};
use victor_workflow::options::RunOptions;
use victor_workflow::resume::Resumed;
use victor_workflow::route::{Join, Route};
use victor_workflow::state::Reducer;

/// Nodes that note their names, and those that they found, after so many milliseconds each.
fn timed(graph: &mut StateGraph, nodes: &[(&'static str, u64)]) {
    graph.reducer("seen", Reducer::Append);
    for (name, ms) in nodes.iter().copied() {
        graph.node(name, move |state: Value, _| async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            let found = state["seen"].as_array().map_or(0, Vec::len);
            Ok(json!({"seen": [name], name: found}))
        });
    }
}

/// Edges `from>to`; a run begins with `start`, if there is one.
fn edges(graph: &mut StateGraph, edges: &str) {
    if edges.starts_with("start>") {
        graph.entry("start");
    }
    for edge in edges.split_whitespace() {
        let (from, to) = edge.split_once('>').unwrap();
        graph.edge(from, to);
    }
}

fn place(events: &[Event], line: &str) -> usize {
    let lines = lines(events);
    lines.iter().position(|l| l == line).unwrap_or_else(|| panic!("no `{line}` in {lines:?}"))
}

#[tokio::test(start_paused = true)]
async fn a_slow_node_does_not_hold_back_the_other_branch() {
    let mut results = Vec::new();
    for (slow, quick) in [(100, 1), (1, 100)] {
        let mut graph = StateGraph::new("two");
        timed(&mut graph, &[("slow", slow), ("after", 1), ("a", quick), ("b", quick), ("c", quick)]);
        seen(&mut graph, &["start", "end"]);
        edges(&mut graph, "start>slow start>a slow>after after>end a>b b>c c>end");
        let (events, outcome) = follow(&graph.compile().unwrap(), json!({})).await;
        if slow > quick {
            assert!(place(&events, "c completed") < place(&events, "slow completed"), "{:?}", lines(&events));
        } else {
            assert!(place(&events, "after completed") < place(&events, "a completed"), "{:?}", lines(&events));
        }
        results.push(outcome.result);
    }
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0]["seen"], json!(["start", "slow", "after", "a", "b", "c", "end"]));
    // Each saw what came before it on its own way.
    let found = ["slow", "after", "a", "b", "c"].map(|name| results[0][name].as_u64().unwrap());
    assert_eq!(found, [1, 2, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn paths_of_a_parallel_node_go_on_by_themselves() {
    let mut inner = StateGraph::new("inner");
    timed(&mut inner, &[("slow", 50), ("last", 1), ("a", 1), ("b", 1), ("c", 1)]);
    inner.entry("slow").entry("a");
    edges(&mut inner, "slow>last a>b b>c");
    let inner = inner.compile().unwrap();
    let outer = |join| {
        let mut graph = StateGraph::new("outer");
        graph.reducer("seen", Reducer::Append);
        graph.subgraph("both", Subgraph::new(inner.clone()).join(join));
        seen(&mut graph, &["end"]);
        graph.edge("both", "end");
        graph.compile().unwrap()
    };
    let (events, outcome) = follow(&outer(Join::All), json!({})).await;
    assert!(place(&events, "both/c completed") < place(&events, "both/slow completed"));
    assert_eq!(outcome.result["seen"], json!(["slow", "last", "a", "b", "c", "end"]));
    let (_, outcome) = follow(&outer(Join::Any), json!({})).await;
    assert_eq!(outcome.result["seen"], json!(["a", "b", "c", "end"]), "the first path that ends is enough");
}

#[tokio::test(start_paused = true)]
async fn branches_meet_where_their_ways_do_and_not_later() {
    let mut graph = StateGraph::new("three");
    timed(&mut graph, &[("p", 1), ("q", 2), ("q2", 1), ("d", 1), ("r", 100), ("r2", 1)]);
    seen(&mut graph, &["start", "end"]);
    edges(&mut graph, "start>p start>q start>r p>d q>q2 q2>d d>end r>r2 r2>end");
    let (events, outcome) = follow(&graph.compile().unwrap(), json!({})).await;
    assert!(place(&events, "d completed") < place(&events, "r completed"), "{:?}", lines(&events));
    assert_eq!(outcome.result["seen"], json!(["start", "p", "q", "q2", "d", "r", "r2", "end"]));
}

#[tokio::test(start_paused = true)]
async fn a_way_that_leads_elsewhere_is_not_waited_for_in_vain() {
    let mut graph = StateGraph::new("leaves");
    timed(&mut graph, &[("a", 1), ("a2", 1), ("b", 1), ("b2", 1)]);
    seen(&mut graph, &["start", "end"]);
    edges(&mut graph, "start>a start>b a>a2 a2>end b>b2");
    graph.branch("b2", ["end", END], |_| Ok(Route::End));
    let outcome = run(&graph.compile().unwrap(), json!({})).await;
    assert_eq!(outcome.result["seen"], json!(["start", "a", "a2", "b", "b2", "end"]));
}

#[tokio::test(start_paused = true)]
async fn loops_of_branches_have_their_bounds() {
    let looping = |times: u64| {
        let mut graph = StateGraph::new("loops");
        timed(&mut graph, &[("slow", 50), ("again", 1)]);
        graph.reducer("n", Reducer::Add);
        seen(&mut graph, &["start", "end"]);
        graph.compute("count", |_| Ok(NodeOutput::set("n", 1))).max_iterations(5);
        edges(&mut graph, "start>slow start>count slow>end count>again");
        graph.branch("again", ["count", "end"], move |state| {
            Ok(Route::to(if state["n"].as_u64() < Some(times) { "count" } else { "end" }))
        });
        graph.compile().unwrap()
    };
    let (events, outcome) = follow(&looping(4), json!({})).await;
    assert_eq!((outcome.status, &outcome.result["n"]), (RunStatus::Completed, &json!(4)));
    assert_eq!(lines(&events).iter().filter(|l| *l == "end started").count(), 1);
    let outcome = run(&looping(6), json!({})).await;
    assert!(outcome.error.unwrap().message.contains("`count` would run more than 5 times"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_a_branch_ends_the_run_or_takes_its_error_edge() {
    let failing = |mended: bool| {
        let mut graph = StateGraph::new("fails");
        timed(&mut graph, &[("slow", 50), ("slow2", 50), ("a", 1)]);
        seen(&mut graph, &["start", "mend", "end"]);
        let slot = graph.node("b", |_: Value, _: NodeCx| async { Err::<(), _>(NodeError::invalid("no")) });
        if mended {
            slot.error_to("mend");
        } else {
            graph.edge("b", "mend");
        }
        edges(&mut graph, "start>slow start>a slow>slow2 slow2>end a>b mend>end");
        graph.compile().unwrap()
    };
    let (events, outcome) = follow(&failing(false), json!({})).await;
    assert_eq!(outcome.error.unwrap().message, "node `b`: no");
    assert!(!lines(&events).contains(&"slow completed".to_owned()));
    let outcome = run(&failing(true), json!({})).await;
    assert_eq!(outcome.result["seen"], json!(["start", "slow", "slow2", "a", "mend", "end"]));
}

#[tokio::test]
async fn questions_and_pauses_of_branches_survive_the_process() {
    let journal = MemoryJournal::default();
    let mut graph = StateGraph::new("gates");
    seen(&mut graph, &["start", "a", "a2", "b", "end"]);
    graph.add("gate", HumanNode::approval("?"));
    edges(&mut graph, "start>a start>gate a>a2 a2>end gate>b b>end");
    let workflow = graph.compile().unwrap();
    let later = || RunOptions { interviewer: Some(Arc::new(AskLater)), ..RunOptions::default() };
    let options = RunOptions { pause_after: vec!["a2".into()], pause_before: vec!["b".into()], ..later() };
    let process = || Workflows::of(&runtime_on(&journal));
    let waiting = process().start(&workflow, json!({}), options).await.unwrap().outcome().await.unwrap();
    let id = waiting.workflow_id;
    assert_eq!(waiting.waiting.iter().map(|q| q.id.as_str()).collect::<Vec<_>>(), ["gate"]);
    let state = process().status(id).await.unwrap();
    assert_eq!(state.completed_nodes, ["start", "a", "a2"]);
    let answers = vec![("gate".to_owned(), json!(true))];
    let resume = async |answers| {
        let Resumed::Run(run) = process().resume_with(&workflow, id, answers, later()).await.unwrap() else { panic!() };
        run.outcome().await.unwrap()
    };
    assert_eq!(resume(answers).await.status, RunStatus::Waiting);
    assert_eq!(process().status(id).await.unwrap().paused, ["b"]);
    // Where the branches meet is after `a2`, too.
    assert_eq!(resume(vec![]).await.status, RunStatus::Waiting);
    assert_eq!(process().status(id).await.unwrap().paused, ["end"]);
    assert_eq!(resume(vec![]).await.result["seen"], json!(["start", "a", "a2", "b", "end"]));
}
