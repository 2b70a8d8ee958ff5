//! What a run may do is kept with it: whoever goes on with it, wherever, can only narrow that.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the whole file is tests")]

mod documents;

use documents::{builder, script};
use serde_json::{Value, json};
use victor_core::agent::{AgentSpec, DryRun};
use victor_core::id::RunId;
use victor_core::memory_journal::MemoryJournal;
use victor_core::message::text_of;
use victor_core::permission::Mode;
use victor_core::question::AskLater;
use victor_core::sandbox::SandboxMode;
use victor_core::usage::Budget;
use victor_workflow::Workflows;
use victor_workflow::graph::StateGraph;
use victor_workflow::node::{NodeCx, NodeOutput};
use victor_workflow::options::{Keeper, RunOptions};
use victor_workflow::resume::Resumed;
use victor_workflow::template::Environment;
use victor_workflow::workflow::Workflow;
use victor_workflow::yaml::{Known, load};

/// A workflow of several nodes, each of which tells what the run may do.
fn telling(nodes: &[&str]) -> Workflow {
    let mut graph = StateGraph::new("telling");
    for node in nodes {
        graph.compute(*node, |cx| Ok(NodeOutput::set(cx.node(), told(cx))));
    }
    for pair in nodes.windows(2) {
        graph.edge(pair[0], pair[1]);
    }
    graph.compile().unwrap()
}

fn told(cx: &NodeCx) -> Value {
    let scope = cx.scope();
    let tools: Vec<_> = scope.tool_set().tools().iter().map(|t| t.spec().name.clone()).collect();
    json!({
        "mode": scope.mode(), "sandbox": scope.sandbox(), "dry_run": scope.dry_run(), "tools": tools,
        "max_turns": scope.budget().max_turns,
    })
}

/// A server of its own on the journal, configured like this.
fn server(journal: &MemoryJournal, defaults: AgentSpec, workflow: &Workflow) -> Workflows {
    let runtime = builder(&script(&[])).journal(std::sync::Arc::new(journal.clone())).defaults(defaults);
    let workflows = Workflows::of(&runtime.build().unwrap());
    workflows.registry().add(workflow.clone());
    workflows
}

fn strict() -> AgentSpec {
    AgentSpec {
        mode: Some(Mode::Plan),
        sandbox: Some(SandboxMode::ReadOnly),
        dry_run: DryRun::On,
        budget: Budget { max_turns: Some(3), ..Budget::default() },
        ..AgentSpec::default()
    }
}

fn wide() -> AgentSpec {
    AgentSpec {
        mode: Some(Mode::Build),
        sandbox: Some(SandboxMode::Off),
        budget: Budget { max_turns: Some(99), ..Budget::default() },
        ..AgentSpec::default()
    }
}

fn pausing(before: &[&str]) -> RunOptions {
    let pause_before = before.iter().map(|n| (*n).to_owned()).collect();
    RunOptions { pause_before, interviewer: Some(std::sync::Arc::new(AskLater)), ..RunOptions::default() }
}

async fn begin(workflows: &Workflows, options: RunOptions) -> RunId {
    workflows.start_named("telling", json!({}), options).await.unwrap().outcome().await.unwrap().workflow_id
}

async fn go_on(workflows: &Workflows, id: RunId, options: RunOptions) -> Value {
    match workflows.resume(id, Vec::new(), options).await.unwrap() {
        Resumed::Run(run) => run.outcome().await.unwrap().state,
        Resumed::Delivered => panic!("it works already"),
    }
}

fn limits(told: &Value) -> (&str, &str, &str, u64) {
    let word = |key: &str| told[key].as_str().unwrap();
    (word("mode"), word("sandbox"), word("dry_run"), told["max_turns"].as_u64().unwrap())
}

const STRICT: (&str, &str, &str, u64) = ("plan", "read-only", "on", 3);

#[tokio::test]
async fn a_server_that_is_started_wider_does_not_widen_what_a_stricter_one_began() {
    let (journal, workflow) = (MemoryJournal::default(), telling(&["a", "b"]));
    let id = begin(&server(&journal, strict(), &workflow), pausing(&["b"])).await;
    let state = go_on(&server(&journal, wide(), &workflow), id, RunOptions::default()).await;
    assert_eq!((limits(&state["a"]), limits(&state["b"])), (STRICT, STRICT));
}

#[tokio::test]
async fn a_server_that_is_started_stricter_holds_what_a_wider_one_began_to_that() {
    let (journal, workflow) = (MemoryJournal::default(), telling(&["a", "b", "c"]));
    let id = begin(&server(&journal, wide(), &workflow), pausing(&["b", "c"])).await;
    let state = go_on(&server(&journal, strict(), &workflow), id, RunOptions::default()).await;
    assert_eq!((limits(&state["a"]), limits(&state["b"])), (("build", "off", "off", 99), STRICT));
    // Once narrowed it stays so, also where nobody says it again.
    let state = go_on(&server(&journal, wide(), &workflow), id, RunOptions::default()).await;
    assert_eq!(limits(&state["c"]), STRICT);
}

#[tokio::test]
async fn whoever_resumes_can_narrow_and_not_widen() {
    let (journal, workflow) = (MemoryJournal::default(), telling(&["a", "b", "c", "d"]));
    let workflows = server(&journal, AgentSpec::default(), &workflow);
    let options = RunOptions { mode: Some(Mode::Review), ..pausing(&["b", "c", "d"]) };
    let id = begin(&workflows, RunOptions { tools: Some(vec!["read".into(), "bash".into()]), ..options }).await;
    let wider = RunOptions {
        mode: Some(Mode::Build),
        sandbox: Some(SandboxMode::Off),
        tools: Some(vec!["*".into()]),
        ..RunOptions::default()
    };
    let b = go_on(&workflows, id, wider).await["b"].clone();
    assert_eq!((&b["mode"], &b["sandbox"]), (&json!("review"), &json!("workspace-write")));
    assert_eq!(b["tools"], json!(["bash", "read"]));
    // Each of these allows something else: what both allow is left.
    let other = RunOptions {
        mode: Some(Mode::Delegate),
        dry_run: DryRun::On,
        tools: Some(vec!["r*".into(), "grep".into()]),
        ..RunOptions::default()
    };
    let c = go_on(&workflows, id, other).await["c"].clone();
    assert_eq!((&c["mode"], &c["dry_run"], &c["tools"]), (&json!("explore"), &json!("on"), &json!(["read"])));
    let d = go_on(&workflows, id, RunOptions::default()).await["d"].clone();
    assert_eq!((&d["mode"], &d["dry_run"], &d["tools"]), (&c["mode"], &c["dry_run"], &c["tools"]));
    // So it is for a run that is taken up from a point of this one.
    let begun = workflows.history(id).await.unwrap()[0].seq;
    let options = RunOptions { mode: Some(Mode::Build), ..pausing(&[]) };
    let again = workflows.replay_from(id, begun, options).await.unwrap().outcome().await.unwrap();
    assert_eq!(again.state["a"]["mode"], json!("review"));
}

#[tokio::test]
async fn a_run_that_is_recovered_after_a_crash_keeps_to_what_it_was_told() {
    let journal = MemoryJournal::default();
    let mut graph = StateGraph::new("telling");
    graph.node("a", |_: Value, cx: NodeCx| async move {
        if cx.runtime().defaults().mode == Some(Mode::Plan) {
            // The first process never comes to an end.
            std::future::pending::<()>().await;
        }
        Ok(NodeOutput::set("a", told(&cx)))
    });
    let workflow = graph.compile().unwrap();
    let first = server(&journal, strict(), &workflow);
    let run = first.start_named("telling", json!({}), RunOptions { keeper: Keeper::Server, ..pausing(&[]) }).await;
    let run = run.unwrap();
    let id = run.id();
    run.interrupt();
    run.outcome().await.unwrap_err();
    let second = server(&journal, AgentSpec::default(), &workflow);
    let taken = second.recover().await.unwrap();
    assert_eq!(taken.len(), 1, "{taken:?}");
    while !second.status(id).await.unwrap().status.is_final() {
        tokio::task::yield_now().await;
    }
    assert_eq!(limits(&second.get_state(id).await.unwrap()["a"]), STRICT);
}

#[tokio::test]
async fn members_of_a_run_that_delegates_keep_to_its_tools() {
    let nodes = "{id: t, type: team, team: sequential, task: Do it, members: [{name: m}]}";
    let text = format!("workflows: {{w: {{nodes: [{nodes}]}}}}");
    let loaded = load("w.yaml", &text, &Environment::default(), &Known::default()).unwrap();
    let workflow = loaded.compile("w", &|_| None).unwrap().workflow;
    for (tools, may) in [(None, true), (Some("wr*"), true), (Some("read"), false)] {
        let model = script(&[json!({"calls": [["write", {"path": "x"}]]}), json!("done")]);
        let workflows = Workflows::of(&builder(&model).build().unwrap());
        let tools = tools.map(|tools| vec![tools.to_owned()]);
        let options = RunOptions { mode: Some(Mode::Delegate), tools: tools.clone(), ..RunOptions::default() };
        let run = workflows.start(&workflow, json!({}), options).await.unwrap();
        assert_eq!(run.outcome().await.unwrap().status.name(), "completed");
        let seen = model.seen();
        let heard: String = seen[1].last().unwrap().tool_results().map(|r| text_of(&r.content)).collect();
        assert_eq!(heard == "content of x", may, "{tools:?}: {heard}");
    }
}
