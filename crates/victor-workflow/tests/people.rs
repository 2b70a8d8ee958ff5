//! People in the loop: questions, answers, fallbacks, time; runs that wait and survive their process; pauses.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use support::{run, run_with, runtime_on, seen};
use victor_core::journal::RunStatus;
use victor_core::memory_journal::MemoryJournal;
use victor_core::question::{AskLater, Interviewer, Question, QuestionKind, Reply};
use victor_workflow::Workflows;
use victor_workflow::graph::StateGraph;
use victor_workflow::human::HumanNode;
use victor_workflow::node::{Fallback, NodeOutput};
use victor_workflow::options::{Changed, Keeper, RunOptions};
use victor_workflow::resume::Resumed;
use victor_workflow::workflow::Workflow;

fn gate(fallback: Fallback) -> Workflow {
    let mut graph = StateGraph::new("gate");
    seen(&mut graph, &["before"]);
    graph.add("ok", HumanNode::approval("Merge?").timeout(Duration::from_secs(600)).fallback(fallback));
    seen(&mut graph, &["merge", "other"]);
    graph
        .edge("before", "ok")
        .edge("ok", "merge")
        .branch("merge", ["other"], |_| Ok(victor_workflow::route::Route::End));
    graph.compile().unwrap()
}

fn later() -> RunOptions {
    RunOptions { interviewer: Some(Arc::new(AskLater)), ..RunOptions::default() }
}

#[tokio::test]
async fn without_anyone_to_ask_the_fallback_holds() {
    let aborted = run(&gate(Fallback::Abort), json!({})).await;
    assert_eq!((aborted.status, aborted.error.unwrap().code.as_str()), (RunStatus::Failed, "ABORTED"));
    let went_on = run(&gate(Fallback::Continue), json!({})).await.result;
    assert_eq!(went_on, json!({"seen": ["before", "merge"], "ok": null}));
    let elsewhere = run(&gate(Fallback::Goto("other".into())), json!({})).await.result;
    assert_eq!(elsewhere["seen"], json!(["before", "other"]));
    let value = run(&gate(Fallback::Value(json!(true))), json!({})).await.result;
    assert_eq!(value, json!({"seen": ["before", "merge"], "ok": true}));
    let no = run(&gate(Fallback::Value(json!(false))), json!({})).await;
    assert_eq!(no.error.unwrap().code, "ABORTED");
}

/// Says what it was told to say, and notes what it was asked.
struct Says(Vec<Reply>, AtomicU32, Mutex<Vec<Question>>);

#[async_trait::async_trait]
impl Interviewer for Says {
    async fn ask(&self, question: &Question) -> Reply {
        self.2.lock().unwrap().push(question.clone());
        let n = self.1.fetch_add(1, Ordering::Relaxed) as usize;
        self.0[n.min(self.0.len() - 1)].clone()
    }
}

#[tokio::test]
async fn a_person_answers_on_the_spot_and_a_wrong_answer_is_asked_again() {
    let says = |replies: Vec<Reply>| Arc::new(Says(replies, AtomicU32::new(0), Mutex::default()));
    let ask = async |replies: Vec<Reply>, node: HumanNode| {
        let mut graph = StateGraph::new("ask");
        graph.add("q", node);
        let says = says(replies);
        let options = RunOptions { interviewer: Some(Arc::clone(&says) as _), ..RunOptions::default() };
        (run_with(&graph.compile().unwrap(), json!({"x": 1}), options).await, says)
    };
    let choice =
        || HumanNode::new(QuestionKind::Choice, |cx| Ok(format!("x is {}", cx.state()["x"]))).options(["red", "blue"]);
    let (outcome, says) = ask(vec![Reply::Answer(json!("bleu")), Reply::Answer(json!("blue"))], choice()).await;
    assert_eq!(outcome.result["q"], "blue");
    let asked = says.2.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    assert_eq!((asked[0].prompt.as_str(), &asked[0].options), ("x is 1", &vec!["red".to_owned(), "blue".to_owned()]));
    let (outcome, _) = ask(vec![Reply::Answer(json!("green"))], choice()).await;
    assert_eq!(outcome.error.unwrap().code, "ABORTED", "three times wrong is no answer");
    let (outcome, _) = ask(vec![Reply::Answer(json!("no"))], HumanNode::approval("?")).await;
    assert_eq!(outcome.error.unwrap().code, "ABORTED");
    let input = HumanNode::new(QuestionKind::Input, |_| Ok("?".to_owned()));
    assert_eq!(ask(vec![Reply::Answer(json!({"a": 1}))], input).await.0.result["q"], json!({"a": 1}));
}

#[tokio::test]
async fn a_waiting_run_survives_its_process_and_goes_on_with_the_answer() {
    let journal = MemoryJournal::default();
    let workflow = gate(Fallback::Abort);
    let first = Workflows::of(&runtime_on(&journal));
    let waiting = first.start(&workflow, json!({}), later()).await.unwrap().outcome().await.unwrap();
    assert_eq!(waiting.status, RunStatus::Waiting);
    let id = waiting.workflow_id;
    let question = &waiting.waiting[0];
    assert_eq!((question.id.as_str(), question.node.as_str(), question.prompt.as_str()), ("ok", "ok", "Merge?"));
    drop(first);

    let second = Workflows::of(&runtime_on(&journal));
    let state = second.status(id).await.unwrap();
    assert_eq!(state.status, RunStatus::Waiting);
    assert_eq!((state.completed_nodes, state.current_node), (vec!["before".to_owned()], Some("ok".to_owned())));
    assert_eq!(&state.waiting, &waiting.waiting);
    let answer = |id: &str, value: Value| vec![(id.to_owned(), value)];
    let resume = async |answers| second.resume_with(&workflow, id, answers, later()).await;
    assert!(resume(vec![]).await.unwrap_err().to_string().contains("waits for an answer to `ok`: Merge?"));
    assert!(resume(answer("okay", json!(true))).await.unwrap_err().to_string().contains("did you mean `ok`?"));
    assert!(resume(answer("ok", json!("perhaps"))).await.unwrap_err().to_string().contains("neither yes nor no"));
    assert_eq!(second.status(id).await.unwrap().status, RunStatus::Waiting, "wrong answers change nothing");
    let Resumed::Run(run) = resume(answer("ok", json!(true))).await.unwrap() else { panic!("driven elsewhere") };
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.result, json!({"seen": ["before", "merge"], "ok": true}));
    let ended = resume(answer("ok", json!(true))).await.unwrap_err();
    assert!(ended.to_string().contains("has ended as completed"), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn time_is_up_where_a_server_tends_the_runs_that_it_keeps() {
    for keeper in [Keeper::Server, Keeper::Caller] {
        let journal = MemoryJournal::default();
        let workflow = {
            let mut graph = StateGraph::new("gate");
            let node = HumanNode::approval("?").timeout(Duration::from_secs(86_400)).fallback(Fallback::Continue);
            graph.add("ok", node);
            graph.compile().unwrap()
        };
        let runtime = runtime_on(&journal);
        let workflows = Workflows::of(&runtime);
        workflows.registry().add(workflow.clone());
        let options = RunOptions { keeper, ..later() };
        let id = workflows.start(&workflow, json!({}), options).await.unwrap().outcome().await.unwrap().workflow_id;
        assert_eq!(workflows.status(id).await.unwrap().status, RunStatus::Waiting);
        tokio::time::advance(Duration::from_secs(86_500)).await;
        workflows.tend_once().await;
        if keeper == Keeper::Caller {
            assert_eq!(workflows.status(id).await.unwrap().status, RunStatus::Waiting, "it is its caller's");
            workflows.resume(id, vec![], later()).await.unwrap().detach();
        }
        let mut state = workflows.status(id).await.unwrap();
        while state.status != RunStatus::Completed {
            tokio::task::yield_now().await;
            state = workflows.status(id).await.unwrap();
        }
        assert_eq!(state.result, Some(json!({"ok": null})));
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_on_the_spot_is_given_up_when_its_time_is_up() {
    struct Silent;
    #[async_trait::async_trait]
    impl Interviewer for Silent {
        async fn ask(&self, _: &Question) -> Reply {
            std::future::pending().await
        }
    }
    let options = RunOptions { interviewer: Some(Arc::new(Silent)), ..RunOptions::default() };
    let outcome = run_with(&gate(Fallback::Continue), json!({}), options).await;
    assert_eq!(outcome.result["seen"], json!(["before", "merge"]));
}

#[tokio::test]
async fn gates_in_parallel_branches_are_asked_once_each_under_stable_ids() {
    let journal = MemoryJournal::default();
    let mut graph = StateGraph::new("gates");
    graph.compute("start", |_| Ok(NodeOutput::nothing()));
    seen(&mut graph, &["end"]);
    for name in ["left", "right"] {
        graph.add(name, HumanNode::approval(name));
        graph.edge("start", name).edge(name, "end");
    }
    let workflow = graph.compile().unwrap();
    let workflows = Workflows::of(&runtime_on(&journal));
    let mut run = workflows.start(&workflow, json!({}), later()).await.unwrap();
    let mut asked = Vec::new();
    while let Some(event) = run.next().await {
        if let victor_core::event::EventKind::Question { question } = event.kind {
            asked.push(question.id);
        }
    }
    assert_eq!(asked, ["left", "right"]);
    let id = run.id();
    drop(run);
    for (answered, open) in [("right", vec!["left"]), ("left", vec![])] {
        // Each time as another process.
        let workflows = Workflows::of(&runtime_on(&journal));
        let answers = vec![(answered.to_owned(), json!(true))];
        let Resumed::Run(run) = workflows.resume_with(&workflow, id, answers, later()).await.unwrap() else { panic!() };
        let outcome = run.outcome().await.unwrap();
        assert_eq!(outcome.waiting.iter().map(|q| q.id.as_str()).collect::<Vec<_>>(), open);
    }
    let events: Vec<_> = workflows.events(id, 0).map(Result::unwrap).collect().await;
    let kinds: Vec<_> =
        events.iter().map(|e| serde_json::to_value(e).unwrap()["type"].as_str().unwrap().to_owned()).collect();
    let expected = "workflow_started node question question answered node answered node node finished";
    assert_eq!(kinds.join(" "), expected);
    let state = workflows.status(id).await.unwrap();
    assert_eq!(state.result, Some(json!({"left": true, "right": true, "seen": ["end"]})));
    let history = workflows.history(id).await.unwrap();
    assert_eq!(history.iter().filter(|c| c.what == "asked").count(), 2);
    assert_eq!(history.iter().filter(|c| c.what == "answered").count(), 2);
}

#[tokio::test]
async fn a_run_is_paused_before_and_after_nodes() {
    let journal = MemoryJournal::default();
    let mut graph = StateGraph::new("steps");
    seen(&mut graph, &["a", "b", "c"]);
    graph.edge("a", "b").edge("b", "c");
    let workflow = graph.compile().unwrap();
    let workflows = Workflows::of(&runtime_on(&journal));
    let options = RunOptions { pause_before: vec!["b".into()], pause_after: vec!["b".into()], ..RunOptions::default() };
    let paused = workflows.start(&workflow, json!({}), options).await.unwrap().outcome().await.unwrap();
    let id = paused.workflow_id;
    for (seen, before) in [(json!(["a"]), "b"), (json!(["a", "b"]), "c")] {
        let state = workflows.status(id).await.unwrap();
        assert_eq!((state.status, state.paused), (RunStatus::Waiting, vec![before.to_owned()]));
        assert_eq!(workflows.get_state_with(&workflow, id).await.unwrap()["seen"], seen);
        let options = RunOptions::default();
        let Resumed::Run(run) = workflows.resume_with(&workflow, id, vec![], options).await.unwrap() else { panic!() };
        run.outcome().await.unwrap();
    }
    assert_eq!(workflows.status(id).await.unwrap().result, Some(json!({"seen": ["a", "b", "c"]})));
    let unknown = RunOptions { pause_before: vec!["bb".into()], ..RunOptions::default() };
    assert!(
        workflows.start(&workflow, json!({}), unknown).await.unwrap_err().to_string().contains("unknown node `bb`")
    );
}

#[tokio::test]
async fn a_changed_workflow_is_told_and_a_run_is_taken_up_from_any_point() {
    let journal = MemoryJournal::default();
    let build = |more: bool| {
        let mut graph = StateGraph::new("gate");
        seen(&mut graph, &["before"]);
        graph.add(
            "ok",
            HumanNode::approval(if more { "Really?" } else { "Merge?" }).output(if more { "yes" } else { "ok" }),
        );
        seen(&mut graph, &["merge"]);
        if more {
            seen(&mut graph, &["extra"]);
            graph.edge("merge", "extra");
        }
        graph.edge("before", "ok").edge("ok", "merge");
        graph.compile().unwrap()
    };
    let workflows = Workflows::of(&runtime_on(&journal));
    let id = workflows.start(&build(false), json!({}), later()).await.unwrap().outcome().await.unwrap().workflow_id;
    let yes = || vec![("ok".to_owned(), json!(true))];
    let refused = workflows.resume_with(&build(true), id, yes(), later()).await.unwrap_err().to_string();
    for part in ["`gate` has changed since run", "node `ok` changed", "node `merge` changed", "node `extra` is new"] {
        assert!(refused.contains(part), "{refused}");
    }
    assert!(!refused.contains("`before`"), "{refused}");
    let options = RunOptions { changed: Changed::Accept, ..later() };
    let Resumed::Run(run) = workflows.resume_with(&build(true), id, yes(), options).await.unwrap() else { panic!() };
    assert_eq!(run.outcome().await.unwrap().result, json!({"seen": ["before", "merge", "extra"], "yes": true}));

    let history = workflows.history(id).await.unwrap();
    let what: Vec<_> = history.iter().map(|c| c.what.as_str()).collect();
    assert_eq!(what, ["begun", "done", "asked", "answered", "done", "done", "done"]);
    let run = workflows.replay_from_with(&build(false), id, 3, later()).await.unwrap();
    assert_ne!(run.id(), id);
    let (new, again) = (run.id(), run.outcome().await.unwrap());
    assert_eq!((again.status, again.waiting[0].id.as_str()), (RunStatus::Waiting, "ok"));
    let Resumed::Run(run) = workflows.resume_with(&build(false), new, yes(), later()).await.unwrap() else { panic!() };
    assert_eq!(run.outcome().await.unwrap().result, json!({"seen": ["before", "merge"], "ok": true}));
    let missing = workflows.replay_from_with(&build(false), id, 99, later()).await.unwrap_err().to_string();
    assert!(missing.contains("has no checkpoint 99; it has 1 to 7"), "{missing}");
    workflows.cancel(id).await.unwrap_err();
}

#[tokio::test]
async fn a_waiting_run_is_cancelled_without_its_workflow() {
    let journal = MemoryJournal::default();
    let workflows = Workflows::of(&runtime_on(&journal));
    let run = workflows.start(&gate(Fallback::Abort), json!({}), later()).await.unwrap();
    let id = run.outcome().await.unwrap().workflow_id;
    let other = Workflows::of(&runtime_on(&journal));
    other.cancel(id).await.unwrap();
    let state = other.status(id).await.unwrap();
    assert_eq!((state.status, state.waiting.len(), state.current_node), (RunStatus::Cancelled, 0, None));
    assert!(other.resume_with(&gate(Fallback::Abort), id, vec![], later()).await.is_err());
}

#[tokio::test]
async fn a_run_on_its_way_to_a_question_is_cancelled_when_that_was_said() {
    let journal = MemoryJournal::default();
    let workflows = Workflows::of(&runtime_on(&journal));
    let run = workflows.start(&gate(Fallback::Abort), json!({}), later()).await.unwrap();
    workflows.cancel(run.id()).await.unwrap();
    let state = workflows.status(run.id()).await.unwrap();
    assert_eq!((state.status, state.waiting.len()), (RunStatus::Cancelled, 0));
    assert_eq!(run.outcome().await.unwrap().status, RunStatus::Cancelled);
}

#[tokio::test]
async fn large_states_are_written_as_changes_with_all_of_it_now_and_then() {
    let journal = MemoryJournal::default();
    let mut inner = StateGraph::new("inner");
    seen(&mut inner, &["x"]);
    inner.add("ok", HumanNode::approval("?"));
    inner.entry("x").entry("ok");
    let mut graph = StateGraph::new("large");
    graph.compute("grow", |_| Ok(NodeOutput::set("text", "x".repeat(1 << 20))));
    graph.reducer("n", victor_workflow::state::Reducer::Add);
    graph.compute("step", |_| Ok(NodeOutput::set("n", 1))).max_iterations(500);
    graph.subgraph("fan", victor_workflow::graph::Subgraph::new(inner.compile().unwrap()));
    seen(&mut graph, &["end"]);
    graph.edge("grow", "step").edge("fan", "end").branch("step", ["step", "fan"], |state| {
        Ok(victor_workflow::route::Route::to(if state["n"].as_u64() < Some(400) { "step" } else { "fan" }))
    });
    let workflow = graph.compile().unwrap();
    let workflows = Workflows::of(&runtime_on(&journal));
    let id = workflows.start(&workflow, json!({}), later()).await.unwrap().outcome().await.unwrap().workflow_id;
    let journal_of = || async {
        let records = victor_core::journal::Journal::records(&journal, id, 0, usize::MAX).await.unwrap();
        (records.iter().map(|r| r.json.len()).sum::<usize>(), records.iter().filter(|r| r.kind == "snapshot").count())
    };
    let (bytes, snapshots) = journal_of().await;
    assert!(bytes < 3 << 20, "{bytes} bytes for 400 steps of a state of 1 MB");
    assert_eq!(snapshots, 1);
    // Read back from the snapshot, in another process.
    let workflows = Workflows::of(&runtime_on(&journal));
    let answers = vec![("fan/ok".to_owned(), json!(true))];
    let Resumed::Run(mut run) = workflows.resume_with(&workflow, id, answers, later()).await.unwrap() else { panic!() };
    let first: Vec<_> = [run.next().await, run.next().await].into_iter().flatten().map(|e| e.kind).collect();
    assert!(matches!(&first[0], victor_core::event::EventKind::WorkflowStarted { resumed: true, .. }), "{first:?}");
    assert!(matches!(&first[1], victor_core::event::EventKind::Answered { id, .. } if id == "fan/ok"), "{first:?}");
    let outcome = run.outcome().await.unwrap();
    assert_eq!((outcome.state["n"].as_u64(), outcome.state["text"].as_str().map(str::len)), (Some(400), Some(1 << 20)));
    assert_eq!(outcome.state["seen"], json!(["x", "end"]));
}
