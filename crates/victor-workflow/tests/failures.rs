//! What happens when nodes fail: retries, strategies, error edges, timeouts, crashes of a node, the end of a run.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use support::{flaky, follow, lines, run, runtime, seen};
use victor_core::agent::Agent;
use victor_core::journal::RunStatus;
use victor_core::testing::{ScriptedProvider, reply_text};
use victor_core::usage::Budget;
use victor_workflow::agent::AgentNode;
use victor_workflow::error::NodeError;
use victor_workflow::graph::{OnError, Retry, StateGraph, Subgraph};
use victor_workflow::node::{NodeCx, NodeOutput};
use victor_workflow::options::RunOptions;
use victor_workflow::route::Join;
use victor_workflow::tool::ToolNode;
use victor_workflow::{RunWorkflow, Workflows};

#[tokio::test(start_paused = true)]
async fn retries_wait_longer_each_time_and_keep_the_key() {
    let keys = Arc::new(Mutex::new(Vec::new()));
    let (tries, node) = flaky(3);
    let mut graph = StateGraph::new("retry");
    let noted = Arc::clone(&keys);
    let retried = move |cx: &NodeCx| {
        noted.lock().unwrap().push((cx.idempotency_key(), cx.attempt()));
        node(cx)
    };
    graph.compute("a", retried).retry(Retry::new(3, Duration::from_secs(1)).backoff(2.0));
    #[expect(clippy::disallowed_methods, reason = "the time of the test")]
    let begun = tokio::time::Instant::now();
    let (events, outcome) = follow(&graph.compile().unwrap(), json!({})).await;
    assert_eq!((outcome.status, &outcome.result), (RunStatus::Completed, &json!({"a": true})), "{outcome:?}");
    // 1, 2 and 4 s.
    assert!((7.0..7.1).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
    assert_eq!(tries.load(Ordering::Relaxed), 4);
    let keys = keys.lock().unwrap();
    assert!(keys.iter().all(|(key, _)| *key == keys[0].0 && key.ends_with("/a")), "{keys:?}");
    assert_eq!(keys.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(lines(&events).iter().filter(|l| *l == "a retrying").count(), 3);
}

#[tokio::test(start_paused = true)]
async fn after_the_last_try_the_strategy_decides() {
    let graph = |edge: bool, on_error: OnError| {
        let mut graph = StateGraph::new("strategy");
        let slot = graph.compute("a", flaky(9).1).retry(Retry::new(1, Duration::from_secs(1))).on_error(on_error);
        if edge {
            slot.error_to("mend");
        }
        seen(&mut graph, &["after", "mend"]);
        graph.edge("a", "after").branch("after", ["mend"], |_| Ok(victor_workflow::route::Route::End));
        graph.compile().unwrap()
    };
    let failed = run(&graph(false, OnError::Fail), json!({})).await;
    assert_eq!(failed.status, RunStatus::Failed);
    assert_eq!(failed.error.unwrap().message, "node `a`: failure 2");
    let skipped = run(&graph(false, OnError::Continue), json!({})).await;
    assert_eq!(skipped.result["seen"], json!(["after"]));
    let error = json!({"node": "a", "code": "NODE_FAILED", "message": "failure 2", "attempts": 2});
    assert_eq!(skipped.result["error"], error);
    let mended = run(&graph(true, OnError::Continue), json!({})).await;
    assert_eq!((&mended.result["seen"], &mended.result["error"]), (&json!(["mend"]), &error));
}

#[tokio::test]
async fn what_no_retry_mends_is_not_retried() {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let mut graph = StateGraph::new("pointless");
    let node = move |_: &NodeCx| {
        counted.fetch_add(1, Ordering::Relaxed);
        Err(NodeError::invalid("never"))
    };
    graph.compute("a", node).retry(Retry::new(5, Duration::ZERO));
    assert_eq!(run(&graph.compile().unwrap(), json!({})).await.error.unwrap().code, "INVALID_VALUE");
    assert_eq!(tries.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn timeouts_and_panics_are_failures_of_the_node() {
    let mut graph = StateGraph::new("late");
    graph
        .node("slow", |_: Value, cx: NodeCx| async move {
            if cx.attempt() == 1 {
                std::future::pending::<()>().await;
            }
            Ok(json!({"slow": cx.attempt()}))
        })
        .timeout(Duration::from_secs(2))
        .retry(Retry::new(1, Duration::ZERO));
    assert_eq!(run(&graph.compile().unwrap(), json!({})).await.result, json!({"slow": 2}));

    let mut graph = StateGraph::new("crash");
    graph.node("a", |_: Value, _| async {
        assert!(std::env::args().count() > 1_000_000, "a defect");
        Ok(())
    });
    let outcome = run(&graph.compile().unwrap(), json!({})).await;
    assert!(outcome.error.unwrap().message.contains("node `a`: the node crashed"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_stops_the_other_branches() {
    let stopped = Arc::new(AtomicU32::new(0));
    struct Guard(Arc<AtomicU32>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let mut graph = StateGraph::new("fast");
    let guard = Arc::clone(&stopped);
    graph.node("forever", move |_: Value, _| {
        let guard = Guard(Arc::clone(&guard));
        async move {
            let _kept = guard;
            std::future::pending::<()>().await;
            Ok(())
        }
    });
    graph.node("fails", |_: Value, _| async { Err::<(), _>(NodeError::invalid("no")) });
    graph.entry("forever").entry("fails");
    let outcome = run(&graph.compile().unwrap(), json!({})).await;
    assert_eq!(outcome.error.unwrap().message, "node `fails`: no");
    assert_eq!(stopped.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_path_that_fails_is_no_loss_where_enough_others_arrive() {
    let graph = |join, fail: &'static [&'static str]| {
        let mut inner = StateGraph::new("inner");
        seen(&mut inner, &[]);
        for name in ["a", "b", "c"] {
            inner.compute(name, move |cx| match fail.contains(&name) {
                true => Err(NodeError::invalid("no")),
                false => Ok(NodeOutput::set("seen", json!([cx.node()]))),
            });
            inner.entry(name);
        }
        let mut graph = StateGraph::new("outer");
        seen(&mut graph, &[]);
        graph.subgraph("fan", Subgraph::new(inner.compile().unwrap()).join(join));
        graph.compile().unwrap()
    };
    assert_eq!(run(&graph(Join::Any, &["a"]), json!({})).await.result["seen"], json!(["b"]));
    assert_eq!(run(&graph(Join::Count(2), &["b"]), json!({})).await.result["seen"], json!(["a", "c"]));
    assert_eq!(run(&graph(Join::Count(2), &["a", "b"]), json!({})).await.status, RunStatus::Failed);
    let all = run(&graph(Join::All, &["c"]), json!({})).await;
    assert_eq!(all.error.unwrap().message, "node `fan`: node `c`: no");
}

#[tokio::test]
async fn a_cancelled_run_ends_and_says_so() {
    let mut graph = StateGraph::new("cancel");
    graph.node("forever", |_: Value, _| async {
        std::future::pending::<()>().await;
        Ok(())
    });
    let workflow = graph.compile().unwrap();
    let workflows = Workflows::of(&runtime());
    let mut run = workflows.start(&workflow, json!({}), RunOptions::default()).await.unwrap();
    let id = run.id();
    while let Some(event) = run.next().await {
        if event.path.is_empty() && matches!(event.kind, victor_core::event::EventKind::Node { .. }) {
            workflows.cancel(id).await.unwrap();
        }
    }
    assert_eq!(run.taken().unwrap().status, RunStatus::Cancelled);
    assert_eq!(workflows.status(id).await.unwrap().status, RunStatus::Cancelled);
    assert!(workflows.cancel(id).await.unwrap_err().to_string().contains("has ended as cancelled"));
    // A loop that only computes is stopped too.
    let mut graph = StateGraph::new("spin");
    graph.limits(victor_workflow::graph::Limits {
        max_iterations: u32::MAX,
        max_steps: u64::MAX,
        ..victor_workflow::graph::Limits::default()
    });
    graph.compute("a", |_| Ok(NodeOutput::nothing()));
    graph.branch("a", ["a"], |_| Ok(victor_workflow::route::Route::to("a")));
    let mut run = workflows.start(&graph.compile().unwrap(), json!({}), RunOptions::default()).await.unwrap();
    for _ in 0..100 {
        run.next().await;
    }
    run.cancel();
    assert_eq!(run.outcome().await.unwrap().status, RunStatus::Cancelled);
}

#[tokio::test]
async fn agents_share_one_budget_and_their_events_have_the_nodes_path() {
    let runtime = runtime();
    let provider = ScriptedProvider::new((0..4).map(|n| reply_text(&format!("{{\"score\": {n}}}"))));
    let agent = Agent::builder().model(provider.model()).build(&runtime).await.unwrap();
    let mut graph = StateGraph::new("agents");
    for name in ["first", "second", "third"] {
        let task =
            move |cx: &NodeCx| Ok(format!("{} says {}", cx.variable("node_id").unwrap(), cx.state()["topic"]).into());
        graph.add(name, AgentNode::new(agent.clone(), task));
    }
    graph.edge("first", "second").edge("second", "third");
    let workflow = graph.compile().unwrap();
    let workflows = Workflows::of(&runtime);
    let options = RunOptions { budget: Budget { max_turns: Some(2), ..Budget::default() }, ..RunOptions::default() };
    let mut run = workflows.start(&workflow, json!({"topic": "x"}), options).await.unwrap();
    let (mut paths, mut used) = (Vec::new(), Vec::new());
    while let Some(event) = run.next().await {
        match event.kind {
            victor_core::event::EventKind::Text { .. } => paths.push(event.path.join("/")),
            victor_core::event::EventKind::Node { node, usage: Some(usage), .. } => {
                used.push((node.to_string(), usage.total()));
            }
            _ => {}
        }
    }
    let outcome = run.taken().unwrap();
    assert_eq!(paths, ["first/agent", "second/agent"]);
    assert_eq!(used, [("first".to_owned(), 12), ("second".to_owned(), 12), ("third".to_owned(), 0)]);
    assert_eq!(outcome.state["second"]["score"], 1, "JSON is read as such");
    let error = outcome.error.unwrap();
    assert_eq!(error.code, "LIMIT_EXCEEDED");
    assert!(error.message.contains("`third`") && error.message.contains("turn limit"), "{}", error.message);
    assert_eq!(outcome.usage.total(), 24);
    assert_eq!(provider.seen()[0][0].text(), "\"first\" says \"x\"");
}

#[tokio::test]
async fn tools_take_the_permission_path_and_agents_run_workflows() {
    use std::borrow::Cow;
    use victor_core::tool::{Effects, Plan, Tool, ToolCx, ToolOutput, ToolSource, erase};
    struct Write;
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Args {
        text: String,
    }
    impl Tool for Write {
        const NAME: &'static str = "note";
        type Args = Args;
        fn description(&self) -> Cow<'static, str> {
            "Notes a text".into()
        }
        fn effects(&self) -> Effects {
            Effects::EXECUTE
        }
        async fn plan(&self, args: Args, _: &ToolCx) -> Result<Plan, victor_core::error::ToolError> {
            Ok(Plan::new(Effects::EXECUTE, move |_, _| async move {
                Ok(ToolOutput::text("noted").structured(json!({"noted": args.text})))
            }))
        }
    }
    struct Source;
    #[async_trait::async_trait]
    impl ToolSource for Source {
        fn name(&self) -> &'static str {
            "test"
        }
        async fn tools(&self) -> Vec<Arc<dyn victor_core::tool::DynTool>> {
            vec![erase(Write)]
        }
    }
    let build = || {
        victor_core::runtime::Runtime::builder()
            .clock(victor_core::testing::TestClock::default())
            .tools(Arc::new(Source))
            .build()
            .unwrap()
    };
    let mut graph = StateGraph::new("tools");
    let arguments = |cx: &NodeCx| Ok(json!({"text": cx.state()["text"]}));
    graph.add("note", ToolNode::new("note", arguments).output("result")).retry(Retry::new(3, Duration::ZERO));
    let workflow = graph.compile().unwrap();
    let workflows = Workflows::of(&build());
    let denied = workflows.start(&workflow, json!({"text": "x"}), RunOptions::default()).await.unwrap();
    let denied = denied.outcome().await.unwrap();
    assert_eq!(denied.error.unwrap().code, "PERMISSION_DENIED");
    assert_eq!(denied.denied.len(), 1, "asked once, not once a retry");
    let options = RunOptions { approver: Some(Arc::new(victor_core::permission::AllowAll)), ..RunOptions::default() };
    let allowed =
        workflows.start(&workflow, json!({"text": "x"}), options.clone()).await.unwrap().outcome().await.unwrap();
    assert_eq!(allowed.result["result"], json!({"noted": "x"}));
    let wrong = workflows.start(&workflow, json!({"text": 1}), options).await.unwrap().outcome().await.unwrap();
    assert!(wrong.error.unwrap().message.contains("do not fit the tool `note`"));

    let runtime = build();
    Workflows::of(&runtime).registry().add(workflow);
    let agent = Agent::builder()
        .model(ScriptedProvider::new([]).model())
        .approver(Arc::new(victor_core::permission::AllowAll))
        .build(&runtime)
        .await
        .unwrap();
    let outcome = agent.run_workflow("tools", json!({"text": "y"})).await.unwrap();
    assert_eq!(outcome.result["result"], json!({"noted": "y"}));
    let unknown = agent.run_workflow("tolls", json!({})).await.unwrap_err().to_string();
    assert_eq!(unknown, "unknown workflow `tolls`; did you mean `tools`?");
}
