//! Every kind of edge and join, and what a graph that cannot work is told.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

mod support;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::{follow, lines, run, seen};
use victor_core::journal::RunStatus;
use victor_workflow::error::{MistakeKind, NodeError};
use victor_workflow::graph::{END, Limits, Retry, StateGraph, Subgraph};
use victor_workflow::node::{ComputeNode, NodeOutput, Patch};
use victor_workflow::route::{Join, Route, Send};
use victor_workflow::state::Reducer;

#[tokio::test]
async fn static_edges_lead_from_node_to_node_and_nothing_falls_through() {
    let mut graph = StateGraph::new("line");
    seen(&mut graph, &["a", "b", "c"]);
    graph.edge("a", "b").branch("a", ["c"], |_| Ok(Route::End));
    let (events, outcome) = follow(&graph.compile().unwrap(), json!({})).await;
    assert_eq!(outcome.status, RunStatus::Completed, "{outcome:?}");
    assert_eq!(outcome.result, json!({"seen": ["a", "b"]}));
    assert_eq!(lines(&events), ["a started", "a completed", "b started", "b completed"]);
    assert_eq!(events.iter().map(|e| e.seq).collect::<Vec<_>>(), (0..events.len() as u64).collect::<Vec<_>>());
    assert!(matches!(events.last().unwrap().kind, victor_core::event::EventKind::Finished { .. }));
}

#[tokio::test]
async fn conditions_see_what_their_node_changed_and_choose_one_way() {
    let mut graph = StateGraph::new("choice");
    graph.compute("score", |cx| Ok(NodeOutput::set("score", cx.state()["n"].as_i64().unwrap_or(0) * 2)));
    seen(&mut graph, &["high", "low"]);
    graph.branch("score", ["high", "low"], |state| {
        Ok(Route::to(if state["score"].as_i64() > Some(10) { "high" } else { "low" }))
    });
    let workflow = graph.compile().unwrap();
    assert_eq!(run(&workflow, json!({"n": 6})).await.result["seen"], json!(["high"]));
    assert_eq!(run(&workflow, json!({"n": 5})).await.result["seen"], json!(["low"]));
}

#[tokio::test]
async fn a_condition_node_chooses_and_may_not_go_astray() {
    let mut graph = StateGraph::new("choice");
    let decide = |cx: &victor_workflow::node::NodeCx| Ok(Route::to(cx.state()["to"].as_str().unwrap_or_default()));
    graph.add("check", ComputeNode::condition(["yes", "no"], decide));
    seen(&mut graph, &["yes", "no"]);
    let workflow = graph.compile().unwrap();
    assert_eq!(run(&workflow, json!({"to": "no"})).await.result["seen"], json!(["no"]));
    let outcome = run(&workflow, json!({"to": "check"})).await;
    assert_eq!(outcome.status, RunStatus::Failed);
    let message = outcome.error.unwrap().message;
    assert!(message.contains("node `check` goes to `check`") && message.contains("yes, no"), "{message}");
}

#[tokio::test]
async fn sends_give_each_its_own_input_and_results_come_in_order() {
    let mut graph = StateGraph::new("fan");
    graph.reducer("out", Reducer::Append);
    graph.add("split", ComputeNode::passthrough());
    graph.node("work", async |_: Value, cx: victor_workflow::node::NodeCx| {
        let n = cx.input().and_then(Value::as_u64).unwrap();
        // Later ones are done earlier.
        tokio::time::sleep(Duration::from_millis(20 - n)).await;
        Ok(json!({"out": [n * n]}))
    });
    graph.add(
        "after",
        ComputeNode::new("count", |cx| Ok(NodeOutput::set("n", cx.state()["out"].as_array().unwrap().len()))),
    );
    graph.branch("split", ["work"], |state| {
        let n = state["n"].as_u64().unwrap();
        Ok(Route::send((0..n).map(|i| Send::new("work", json!(i)))))
    });
    graph.edge("work", "after");
    let workflow = graph.compile().unwrap();
    let outcome = run(&workflow, json!({"n": 10})).await;
    assert_eq!(outcome.result, json!({"n": 10, "out": [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]}), "{outcome:?}");
    // Nothing to send ends the path.
    assert_eq!(run(&workflow, json!({"n": 0})).await.result, json!({"n": 0}));
}

#[tokio::test]
async fn parallel_branches_merge_in_the_order_of_the_edges() {
    let mut graph = StateGraph::new("diamond");
    graph.add("start", ComputeNode::passthrough());
    for (name, ms) in [("slow", 20), ("quick", 1)] {
        graph.node(name, move |_: Value, _| async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(json!({"seen": [name], "last": name}))
        });
    }
    seen(&mut graph, &["end"]);
    graph.edge("start", "slow").edge("start", "quick").edge("slow", "end").edge("quick", "end");
    let (events, outcome) = follow(&graph.compile().unwrap(), json!({})).await;
    assert_eq!(outcome.result, json!({"seen": ["slow", "quick", "end"], "last": "quick"}));
    let lines = lines(&events);
    assert_eq!(lines.iter().filter(|l| *l == "end started").count(), 1, "{lines:?}");
    assert!(lines.iter().position(|l| l == "quick completed") < lines.iter().position(|l| l == "slow completed"));
}

/// A start, a way of one step and one of two, and an end that joins them.
fn uneven(join: Option<Join>) -> StateGraph {
    let mut graph = StateGraph::new("uneven");
    seen(&mut graph, &["start", "short", "long1", "long2"]);
    let slot = graph.compute("end", |cx| Ok(NodeOutput::set("seen", json!([cx.node()]))));
    if let Some(join) = join {
        slot.join(join);
    }
    graph.edge("start", "short").edge("start", "long1").edge("long1", "long2");
    graph.edge("short", "end").edge("long2", "end");
    graph
}

#[tokio::test]
async fn joins_wait_for_all_that_come_or_for_all_or_for_the_first() {
    let ends = async |join| {
        let outcome = run(&uneven(join).compile().unwrap(), json!({})).await;
        assert_eq!(outcome.status, RunStatus::Completed, "{outcome:?}");
        let seen: Vec<_> =
            outcome.result["seen"].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect();
        seen.join(" ")
    };
    assert_eq!(ends(None).await, "start short long1 long2 end");
    assert_eq!(ends(Some(Join::All)).await, "start short long1 long2 end");
    assert_eq!(ends(Some(Join::Any)).await, "start short long1 end long2");
    assert_eq!(ends(Some(Join::Count(2))).await, "start short long1 long2 end");
}

#[tokio::test]
async fn a_join_that_can_never_happen_is_told() {
    let mut graph = StateGraph::new("stuck");
    seen(&mut graph, &["start", "a", "b"]);
    graph.compute("end", |_| Ok(NodeOutput::nothing())).join(Join::All);
    graph.branch("start", ["a", "b"], |_| Ok(Route::to("a"))).edge("a", "end").edge("b", "end");
    let outcome = run(&graph.compile().unwrap(), json!({})).await;
    assert_eq!(outcome.status, RunStatus::Failed);
    let message = outcome.error.unwrap().message;
    assert!(message.contains("`end` waits for 2 of the 2 nodes") && message.contains("only `a` came"), "{message}");
}

/// Three paths that take 5, 40 and 80 ms.
fn race(join: Join) -> StateGraph {
    let mut inner = StateGraph::new("race");
    inner.reducer("won", Reducer::Append);
    for (name, ms) in [("slowest", 80), ("quick", 5), ("slow", 40)] {
        inner.node(name, move |_: Value, _| async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(json!({"won": [name]}))
        });
        inner.entry(name);
    }
    let mut graph = StateGraph::new("outer");
    graph.reducer("won", Reducer::Append);
    graph.subgraph("fan", Subgraph::new(inner.compile().unwrap()).join(join));
    seen(&mut graph, &["after"]);
    graph.edge("fan", "after");
    graph
}

#[tokio::test(start_paused = true)]
async fn parallel_nodes_wait_for_all_any_or_n_and_stop_the_others() {
    for (join, won) in [
        (Join::All, json!(["slowest", "quick", "slow"])),
        (Join::Any, json!(["quick"])),
        (Join::Count(2), json!(["quick", "slow"])),
    ] {
        let (events, outcome) = follow(&race(join).compile().unwrap(), json!({})).await;
        assert_eq!(outcome.result["won"], won, "{join:?} {outcome:?}");
        assert_eq!(outcome.result["seen"], json!(["after"]));
        assert!(lines(&events).contains(&"fan/quick completed".to_owned()), "{:?}", lines(&events));
        let told: Vec<_> = lines(&events).into_iter().filter(|l| l.starts_with("fan ")).collect();
        assert_eq!(told, ["fan started", "fan completed"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_parallel_node_has_a_timeout_of_its_own() {
    let mut inner = StateGraph::new("inner");
    inner.node("forever", async |_: Value, _| {
        std::future::pending::<()>().await;
        Ok(())
    });
    let mut graph = StateGraph::new("outer");
    graph
        .subgraph("fan", Subgraph::new(inner.compile().unwrap()))
        .timeout(Duration::from_secs(3))
        .retry(Retry::new(1, Duration::from_secs(1)))
        .error_to("late");
    seen(&mut graph, &["late"]);
    let (events, outcome) = follow(&graph.compile().unwrap(), json!({})).await;
    assert_eq!(outcome.result["seen"], json!(["late"]), "{outcome:?}");
    assert_eq!(outcome.result["error"]["code"], "TIMEOUT");
    assert_eq!(outcome.result["error"]["attempts"], 2);
    assert!(lines(&events).contains(&"fan retrying".to_owned()), "{:?}", lines(&events));
}

#[tokio::test]
async fn subgraphs_may_have_a_state_of_their_own() {
    let mut inner = StateGraph::new("inner");
    inner.compute("double", |cx| Ok(NodeOutput::set("x", cx.state()["x"].as_i64().unwrap() * 2)));
    let inner = inner.compile().unwrap();
    let mut graph = StateGraph::new("outer");
    let subgraph = Subgraph::new(inner)
        .input(|state, _| Ok(json!({"x": state["n"]}).as_object().unwrap().clone()))
        .output(|state| Ok(json!({"twice": state["x"]}).as_object().unwrap().clone()));
    graph.subgraph("sub", subgraph);
    assert_eq!(run(&graph.compile().unwrap(), json!({"n": 4})).await.result, json!({"n": 4, "twice": 8}));
}

#[tokio::test]
async fn loops_end_by_their_condition_or_by_their_bound() {
    let looping = |until: i64| {
        let mut graph = StateGraph::new("loop");
        graph.limits(Limits { max_iterations: 20, ..Limits::default() });
        graph.reducer("n", Reducer::Add);
        graph.compute("a", |_| Ok(NodeOutput::set("n", 1)));
        graph.add("b", ComputeNode::passthrough());
        graph.edge("a", "b").branch("b", ["a", END], move |state| {
            Ok(if state["n"].as_i64() < Some(until) { Route::to("a") } else { Route::End })
        });
        graph.compile().unwrap()
    };
    assert_eq!(run(&looping(15), json!({"n": 0})).await.result, json!({"n": 15}));
    let outcome = run(&looping(1000), json!({"n": 0})).await;
    assert_eq!(outcome.status, RunStatus::Failed);
    let error = outcome.error.unwrap();
    assert_eq!(error.code, "LIMIT_EXCEEDED");
    assert!(error.message.contains("node `a` would run more than 20 times"), "{}", error.message);
    assert_eq!(outcome.state["n"], 20);
}

#[tokio::test]
async fn typed_state_is_read_and_written() {
    #[derive(Serialize, Deserialize)]
    struct Story {
        words: Vec<String>,
        length: usize,
    }
    #[derive(Serialize)]
    struct Measured {
        length: usize,
    }
    let mut graph = StateGraph::<Story>::typed("story");
    graph.reducer("words", Reducer::Append);
    graph.node("say", async |_: Story, _| Ok(json!({"words": ["again"]})));
    graph.node("measure", async |story: Story, _| Ok(Patch(Measured { length: story.words.len() })));
    graph.edge("say", "measure");
    let workflow = graph.compile().unwrap();
    let outcome = run(&workflow, serde_json::to_value(Story { words: vec!["once".into()], length: 0 }).unwrap()).await;
    assert_eq!(outcome.result, json!({"words": ["once", "again"], "length": 2}));
    let wrong = run(&workflow, json!({"words": 3, "length": 0})).await;
    assert!(wrong.error.unwrap().message.contains("node `say`"), "names the node");
}

#[tokio::test]
async fn reducers_put_values_together() {
    let mut graph = StateGraph::new("reducers");
    graph.reducer("list", Reducer::Append).reducer("map", Reducer::Merge).reducer("sum", Reducer::Add);
    graph.reducer("most", Reducer::custom(|old, new| Ok(json!(old.and_then(|v| v.as_i64()).max(new.as_i64())))));
    graph.compute("a", |_| {
        let update = json!({"list": [2, 3], "map": {"x": {"y": 2}, "z": 3}, "sum": 2, "most": 4, "plain": "new"});
        Ok(NodeOutput::update(update.as_object().unwrap().clone()))
    });
    let workflow = graph.compile().unwrap();
    let input = json!({"list": [1], "map": {"x": {"w": 1}}, "sum": 40, "most": 7, "plain": "old"});
    let result = run(&workflow, input).await.result;
    let expected =
        json!({"list": [1, 2, 3], "map": {"x": {"w": 1, "y": 2}, "z": 3}, "sum": 42, "most": 7, "plain": "new"});
    assert_eq!(result, expected);
    let outcome = run(&workflow, json!({"list": "text"})).await;
    assert!(outcome.error.unwrap().message.contains("`list` cannot be appended to: it is a text"));
}

#[tokio::test]
async fn outputs_pick_the_result_and_large_states_are_refused() {
    let mut graph = StateGraph::new("large");
    graph.outputs(["size"]);
    graph.compute("grow", |cx| {
        let size = cx.state()["size"].as_u64().unwrap();
        Ok(NodeOutput::set("text", "x".repeat(usize::try_from(size).unwrap())))
    });
    let workflow = graph.compile().unwrap();
    assert_eq!(run(&workflow, json!({"size": 10})).await.result, json!({"size": 10}));
    let outcome = run(&workflow, json!({"size": 50 << 20})).await;
    let error = outcome.error.unwrap();
    assert_eq!(error.code, "TOO_LARGE");
    assert!(error.message.contains("51200 KB") && error.message.contains("16384 KB"), "{}", error.message);
    let input = json!({"size": 1, "text": "x".repeat(50 << 20)});
    let refused = victor_workflow::Workflows::of(&support::runtime()).start(&workflow, input, Default::default()).await;
    let refused = refused.map(drop).unwrap_err();
    assert_eq!(refused.code(), "TOO_LARGE");
    assert!(refused.to_string().contains("51200 KB"), "{refused}");
}

#[test]
fn all_mistakes_of_a_graph_are_told_at_once() {
    let mut graph = StateGraph::new("wrong");
    for name in ["start", "round", "again", "alone", "start"] {
        graph.add(name, ComputeNode::passthrough()).max_iterations(u32::from(name != "alone"));
    }
    graph.edge("start", "round").edge("round", "again").edge("again", "round");
    let mistakes = graph.compile().unwrap_err().0;
    let of = |kind| mistakes.iter().filter(|m| m.kind == kind).collect::<Vec<_>>();
    assert_eq!(of(MistakeKind::DuplicateNode).len(), 1);
    assert_eq!(of(MistakeKind::BadLimit)[0].node.as_deref(), Some("alone"));
    assert!(of(MistakeKind::Unreachable).iter().any(|m| m.node.as_deref() == Some("alone")));
    let stuck = &of(MistakeKind::NoExit)[0].message;
    assert!(stuck.contains("`round`, `again` go round without a way out"), "{stuck}");

    let mut graph = StateGraph::new("unknown");
    graph.add("start", ComputeNode::condition(["revise", "merge"], |_| Ok(Route::End))).error_to("gone");
    graph.add("reviser", ComputeNode::passthrough());
    graph.entry("strat").edge("start", "revieser");
    let mistakes = graph.compile().unwrap_err().0;
    let text = victor_workflow::error::Mistakes(mistakes.clone()).to_string();
    assert_eq!(mistakes.len(), 5, "{text}");
    assert!(text.contains("the entry names `strat`, which is no node; did you mean `start`?"), "{text}");
    assert!(
        text.contains("node `start`: an edge names `revieser`, which is no node; did you mean `reviser`?"),
        "{text}"
    );
    assert!(text.contains("its error edge names `gone`"), "{text}");
    assert!(matches!(StateGraph::new("none").compile(), Err(m) if m.0[0].kind == MistakeKind::Empty));
}

#[tokio::test]
async fn ten_thousand_pieces_of_work_are_one_step() {
    let mut graph = StateGraph::new("fan");
    graph.reducer("sum", Reducer::Add);
    graph.add("split", ComputeNode::passthrough());
    graph.compute("work", |cx| Ok(NodeOutput::set("sum", cx.input().cloned().unwrap_or_default())));
    graph.branch("split", ["work"], |_| Ok(Route::send((0..10_000).map(|n| Send::new("work", json!(n))))));
    let outcome = run(&graph.compile().unwrap(), json!({})).await;
    assert_eq!(outcome.result, json!({"sum": 49_995_000}));
}

#[test]
fn errors_of_nodes_say_whether_a_retry_helps() {
    use victor_core::error::ToolError;
    use victor_workflow::error::Again;
    assert_eq!(NodeError::from(ToolError::Denied("no".into())).again, Again::Pointless);
    assert_eq!(NodeError::from(ToolError::Model("busy".into())).again, Again::Worthwhile);
    assert_eq!(NodeError::from(ToolError::Denied("no".into())).code, "PERMISSION_DENIED");
}
