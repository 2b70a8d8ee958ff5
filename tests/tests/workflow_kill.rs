//! A process that drives a workflow is killed at random moments: on the real store, completed nodes run once, and the
//! result is the same as without. The other process is this test program, told by an environment variable what to be.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;
use victor_core::id::{Clock, RunId, Timestamp};
use victor_core::journal::{Journal, RunStatus};
use victor_core::question::AskLater;
use victor_core::runtime::Runtime;
use victor_store::{Options, SqliteStore};
use victor_workflow::Workflows;
use victor_workflow::error::NodeError;
use victor_workflow::graph::{StateGraph, Subgraph};
use victor_workflow::human::HumanNode;
use victor_workflow::node::{NodeCx, NodeOutput};
use victor_workflow::options::RunOptions;
use victor_workflow::resume::Resumed;
use victor_workflow::state::Reducer;
use victor_workflow::workflow::Workflow;

/// Names the folder to a process that is to drive the run.
const DRIVER: &str = "VICTOR_TEST_WORKFLOW";
const RUN: RunId = RunId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
/// Moments at which a process is killed.
const KILLS: u32 = 50;

struct SystemTime;

impl Clock for SystemTime {
    #[expect(clippy::disallowed_methods, reason = "the clock of this test")]
    fn now(&self) -> Timestamp {
        let passed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        Timestamp::from_micros(i64::try_from(passed.as_micros()).unwrap())
    }

    fn uuid(&self) -> Uuid {
        RUN.0
    }
}

/// Notes in a file that a node was done, before the engine knows.
fn work(
    folder: &Path,
) -> impl Fn(Value, NodeCx) -> futures::future::BoxFuture<'static, Result<Value, NodeError>> + use<> {
    let file = folder.join("done");
    move |_, cx| {
        let file = file.clone();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(3)).await;
            let line = format!("{} {}\n", cx.idempotency_key(), std::process::id());
            OpenOptions::new().append(true).create(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
            Ok(json!({"seen": [cx.node()]}))
        })
    }
}

/// Thirty nodes: chains, parallel branches that hold chains, a gate.
fn workflow(folder: &Path) -> Workflow {
    let branch = |name: &str| {
        let mut graph = StateGraph::new(name);
        graph.reducer("seen", Reducer::Append);
        for n in 0..5 {
            graph.node(format!("{name}{n}"), work(folder));
            if n > 0 {
                graph.edge(format!("{name}{}", n - 1), format!("{name}{n}"));
            }
        }
        graph.compile().unwrap()
    };
    let mut fan = StateGraph::new("fan");
    fan.reducer("seen", Reducer::Append);
    for name in ["a", "b", "c"] {
        fan.subgraph(name, Subgraph::new(branch(name)));
        fan.entry(name);
    }
    let mut graph = StateGraph::new("thirty");
    graph.reducer("seen", Reducer::Append).reducer("count", Reducer::Add);
    for n in 0..6 {
        graph.node(format!("n{n}"), work(folder));
        graph.compute(format!("m{n}"), |_| Ok(NodeOutput::set("count", 1)));
        graph.edge(format!("n{n}"), format!("m{n}"));
        if n > 0 && n != 3 {
            graph.edge(format!("m{}", n - 1), format!("n{n}"));
        }
    }
    graph.subgraph("fan", Subgraph::new(fan.compile().unwrap()));
    graph.add("gate", HumanNode::approval("go on?"));
    graph.edge("m2", "fan").edge("fan", "gate").edge("gate", "n3");
    graph.compile().unwrap()
}

fn workflows(folder: &Path) -> (Workflows, Workflow) {
    let store: Arc<dyn Journal> = Arc::new(SqliteStore::open(&folder.join("victor.db"), Options::default()).unwrap());
    let runtime = Runtime::builder().clock(SystemTime).journal(store).build().unwrap();
    (Workflows::of(&runtime), workflow(folder))
}

/// Not a test of its own: started by the test below as another process, it drives the run until it ends or is killed.
#[tokio::test]
async fn driver() {
    #[expect(clippy::disallowed_methods, reason = "the way to tell a test program what to be")]
    let Some(folder) = std::env::var_os(DRIVER) else { return };
    let (workflows, workflow) = workflows(Path::new(&folder));
    drive(&workflows, &workflow).await;
}

/// Begins the run or takes it up, and drives it to its end.
async fn drive(workflows: &Workflows, workflow: &Workflow) -> RunStatus {
    let options = || RunOptions { id: Some(RUN), interviewer: Some(Arc::new(AskLater)), ..RunOptions::default() };
    loop {
        let known = workflows.status(RUN).await.ok();
        let run = match known {
            None => workflows.start(workflow, json!({}), options()).await.unwrap(),
            Some(state) if state.status.is_final() => return state.status,
            Some(state) => {
                let answers = match state.status {
                    RunStatus::Waiting => state.waiting.iter().map(|q| (q.id.clone(), json!(true))).collect(),
                    _ => Vec::new(),
                };
                match workflows.resume_with(workflow, RUN, answers, options()).await {
                    Ok(Resumed::Run(run)) => run,
                    other => panic!("{other:?}"),
                }
            }
        };
        run.outcome().await.unwrap();
    }
}

#[tokio::test]
async fn a_run_that_is_killed_at_fifty_moments_does_everything_once() {
    let mut kills = 0;
    let mut seed = 12_345_u64;
    while kills < KILLS {
        let folder = tempfile::tempdir().unwrap();
        loop {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let after = Duration::from_millis(10 + (seed >> 33) % 60);
            let mut child = start(folder.path());
            tokio::time::sleep(after).await;
            let over = child.try_wait().unwrap().is_some();
            let known = keys_known(folder.path()).await;
            child.kill().unwrap();
            child.wait().unwrap();
            if over {
                break;
            }
            kills += 1;
            // What the journal knew before the kill is not done again after it.
            let before = done(folder.path());
            let mut next = start(folder.path());
            tokio::time::sleep(Duration::from_millis(15)).await;
            next.kill().unwrap();
            next.wait().unwrap();
            kills += 1;
            let after = done(folder.path());
            for key in known {
                assert_eq!(after.get(&key), before.get(&key), "{key} was done again");
            }
        }
        let (workflows, workflow) = workflows(folder.path());
        assert_eq!(drive(&workflows, &workflow).await, RunStatus::Completed);
        let state = workflows.get_state_with(&workflow, RUN).await.unwrap();
        let branches = ["a", "b", "c"].map(|b| (0..5).map(move |n| format!("{b}{n}")));
        let first = (0..3).map(|n| format!("n{n}"));
        let expected: Vec<_> =
            first.chain(branches.into_iter().flatten()).chain((3..6).map(|n| format!("n{n}"))).collect();
        assert_eq!(state["seen"], json!(expected));
        assert_eq!((&state["count"], &state["gate"]), (&json!(6), &json!(true)));
        let history = workflows.history(RUN).await.unwrap();
        assert_eq!(history.iter().filter(|c| c.what == "asked").count(), 1, "asked once");
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "driver"])
        .env(DRIVER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// How often each piece of work was done, by its key.
fn done(folder: &Path) -> HashMap<String, u32> {
    let mut counts = HashMap::new();
    for line in std::fs::read_to_string(folder.join("done")).unwrap_or_default().lines() {
        if let Some((key, _)) = line.split_once(' ') {
            *counts.entry(key.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// The keys of the work that the journal knows to be done.
async fn keys_known(folder: &Path) -> Vec<String> {
    let (workflows, _) = workflows(folder);
    let Ok(state) = workflows.status(RUN).await else { return Vec::new() };
    state.completed_nodes.iter().map(|place| format!("{RUN}/{place}")).collect()
}
