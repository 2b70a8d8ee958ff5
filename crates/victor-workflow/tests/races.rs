//! Things that happen at a bad moment: answers and cancels as a run is put down, writers that fail, closures that crash,
//! loops that keep the run's task busy.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use support::{run, runtime_on, runtime_with, seen};
use victor_core::event::EventKind;
use victor_core::id::{RunId, Timestamp};
use victor_core::journal::{
    Journal, JournalClaim, JournalError, JournalFilter, JournalInfo, NewJournal, NewRecord, RunStatus, StoredRecord,
    Summary,
};
use victor_core::memory_journal::MemoryJournal;
use victor_core::question::{AskLater, Interviewer, Question, Reply};
use victor_workflow::Workflows;
use victor_workflow::graph::{Limits, StateGraph, Subgraph};
use victor_workflow::human::HumanNode;
use victor_workflow::node::{ComputeNode, NodeOutput};
use victor_workflow::options::{Changed, RunOptions};
use victor_workflow::resume::Resumed;
use victor_workflow::route::{Route, Send};
use victor_workflow::state::Reducer;
use victor_workflow::workflow::Workflow;

fn later() -> RunOptions {
    RunOptions { interviewer: Some(Arc::new(AskLater)), ..RunOptions::default() }
}

/// A journal with faults of its own.
#[derive(Clone, Default)]
struct Faulty {
    inner: MemoryJournal,
    /// How many appends still work.
    appends: Arc<AtomicUsize>,
    /// Whether nobody can look at a run.
    blind: Arc<AtomicBool>,
    /// How long an append takes.
    delay: Duration,
}

impl Faulty {
    fn after(appends: usize) -> Self {
        Self { appends: Arc::new(AtomicUsize::new(appends)), ..Self::default() }
    }
}

#[async_trait::async_trait]
impl Journal for Faulty {
    async fn create(&self, new: NewJournal, holder: &str) -> Result<Box<dyn JournalClaim>, JournalError> {
        self.inner.create(new, holder).await
    }
    async fn claim(&self, id: RunId, holder: &str) -> Result<Box<dyn JournalClaim>, JournalError> {
        self.inner.claim(id, holder).await
    }
    async fn append(
        &self,
        claim: &dyn JournalClaim,
        expected_seq: u64,
        at: Timestamp,
        records: Vec<NewRecord>,
        summary: Summary,
    ) -> Result<u64, JournalError> {
        tokio::time::sleep(self.delay).await;
        let left = self.appends.load(Ordering::Relaxed);
        if left == 0 {
            return Err(JournalError::Storage("no space is left".to_owned()));
        }
        self.appends.store(left - 1, Ordering::Relaxed);
        self.inner.append(claim, expected_seq, at, records, summary).await
    }
    async fn records(&self, id: RunId, after: u64, limit: usize) -> Result<Vec<StoredRecord>, JournalError> {
        self.inner.records(id, after, limit).await
    }
    async fn info(&self, id: RunId) -> Result<JournalInfo, JournalError> {
        if self.blind.load(Ordering::Relaxed) {
            return Err(JournalError::Storage("the disk does not answer".to_owned()));
        }
        self.inner.info(id).await
    }
    async fn list(&self, filter: &JournalFilter) -> Result<Vec<JournalInfo>, JournalError> {
        self.inner.list(filter).await
    }
    async fn request_cancel(&self, id: RunId) -> Result<(), JournalError> {
        self.inner.request_cancel(id).await
    }
    async fn delete(&self, id: RunId) -> Result<(), JournalError> {
        self.inner.delete(id).await
    }
    async fn prune(&self, before: Timestamp) -> Result<u64, JournalError> {
        self.inner.prune(before).await
    }
}

fn gate() -> Workflow {
    let mut graph = StateGraph::new("gate");
    seen(&mut graph, &["before", "after"]);
    graph.add("gate", HumanNode::approval("?"));
    graph.edge("before", "gate").edge("gate", "after");
    graph.compile().unwrap()
}

/// Answers later, but not before it is let go.
struct Held(Arc<tokio::sync::Semaphore>);

#[async_trait::async_trait]
impl Interviewer for Held {
    async fn ask(&self, _: &Question) -> Reply {
        let _go = self.0.acquire().await.unwrap();
        Reply::Later
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_as_the_run_is_put_down_is_not_lost() {
    // The answer meets the run at every moment between its question and its end.
    for moment in 0..12 {
        let journal = Faulty { delay: Duration::from_millis(2), ..Faulty::after(usize::MAX) };
        let workflows = Workflows::of(&runtime_with(Arc::new(journal)));
        let workflow = gate();
        let held = Arc::new(tokio::sync::Semaphore::new(0));
        let options = RunOptions { interviewer: Some(Arc::new(Held(Arc::clone(&held)))), ..RunOptions::default() };
        let mut run = workflows.start(&workflow, json!({}), options).await.unwrap();
        let id = run.id();
        while let Some(event) = run.next().await {
            if matches!(event.kind, EventKind::Question { .. }) {
                break;
            }
        }
        run.detach();
        held.add_permits(1);
        tokio::time::sleep(Duration::from_micros(500 * moment)).await;
        for _ in 0..moment % 4 {
            tokio::task::yield_now().await;
        }
        let answers = vec![("gate".to_owned(), json!(true))];
        if let Resumed::Run(run) = workflows.resume_with(&workflow, id, answers, later()).await.unwrap() {
            run.outcome().await.unwrap();
        }
        // What was acknowledged counts: nobody has to answer again.
        let ended: Vec<_> = workflows.events(id, 0).map(Result::unwrap).collect().await;
        let state = workflows.status(id).await.unwrap();
        assert_eq!(state.status, RunStatus::Completed, "moment {moment}: {state:?} {}", ended.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_told_so() {
    let workflows = Workflows::of(&support::runtime());
    let workflow = gate();
    let held = Arc::new(tokio::sync::Semaphore::new(0));
    let options = RunOptions { interviewer: Some(Arc::new(Held(held))), ..RunOptions::default() };
    let mut run = workflows.start(&workflow, json!({}), options).await.unwrap();
    while let Some(event) = run.next().await {
        if matches!(event.kind, EventKind::Question { .. }) {
            break;
        }
    }
    let answer = || vec![("gate".to_owned(), json!(true))];
    let both = tokio::join!(
        workflows.resume_with(&workflow, run.id(), answer(), later()),
        workflows.resume_with(&workflow, run.id(), answer(), later()),
    );
    assert!(both.0.is_ok(), "{both:?}");
    // Whether its question is known to be closed, or the run has ended: it is not taken for an answer that counts.
    assert!(both.1.is_err(), "{both:?}");
    assert_eq!(run.outcome().await.unwrap().status, RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_from_another_process_is_not_lost_as_the_run_is_put_down() {
    for moment in 0..16 {
        let journal = Faulty { delay: Duration::from_millis(2), ..Faulty::after(usize::MAX) };
        let process = || Workflows::of(&runtime_with(Arc::new(journal.clone())));
        let (here, there) = (process(), process());
        let run = here.start(&gate(), json!({}), later()).await.unwrap();
        let id = run.id();
        run.detach();
        tokio::time::sleep(Duration::from_micros(700 * moment)).await;
        there.cancel(id).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(there.status(id).await.unwrap().status, RunStatus::Cancelled, "moment {moment}");
    }
}

#[tokio::test]
async fn one_of_two_processes_resumes_a_run() {
    let journal = MemoryJournal::default();
    let process = || Workflows::of(&runtime_on(&journal));
    let workflow = gate();
    let waiting = process().start(&workflow, json!({}), later()).await.unwrap().outcome().await.unwrap();
    let id = waiting.workflow_id;
    let answer = || vec![("gate".to_owned(), json!(true))];
    let (a, b) = (process(), process());
    let both =
        tokio::join!(a.resume_with(&workflow, id, answer(), later()), b.resume_with(&workflow, id, answer(), later()));
    let (Ok(Resumed::Run(run)), Err(refused)) = both else { panic!("both or none") };
    assert_eq!(refused.code(), "CONFLICT", "{refused}");
    assert_eq!(run.outcome().await.unwrap().result["seen"], json!(["before", "after"]));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_journal_fails_ends_as_failed_and_goes_on_from_what_is_kept() {
    let runs = Arc::new(AtomicUsize::new(0));
    let mut graph = StateGraph::new("steps");
    seen(&mut graph, &[]);
    for name in ["a", "b", "c"] {
        let runs = Arc::clone(&runs);
        graph.node(name, move |_: Value, _| {
            runs.fetch_add(1, Ordering::Relaxed);
            async move { Ok(json!({"seen": [name]})) }
        });
    }
    graph.edge("a", "b").edge("b", "c");
    let workflow = graph.compile().unwrap();
    let journal = Faulty::after(2);
    let workflows = Workflows::of(&runtime_with(Arc::new(journal.clone())));
    let mut run = workflows.start(&workflow, json!({}), later()).await.unwrap();
    let (id, mut last) = (run.id(), None);
    while let Some(event) = run.next().await {
        last = Some(event);
    }
    let Some(EventKind::Finished { outcome }) = last.map(|event| event.kind) else { panic!("no end") };
    assert_eq!(outcome.status, victor_core::agent::Status::Failed);
    assert!(run.taken().unwrap_err().to_string().contains("no space is left"));
    let state = workflows.status(id).await.unwrap();
    assert!(state.status == RunStatus::Running && state.interrupted, "{state:?}");
    journal.appends.store(usize::MAX, Ordering::Relaxed);
    let Resumed::Run(run) = workflows.resume_with(&workflow, id, vec![], later()).await.unwrap() else { panic!() };
    assert_eq!(run.outcome().await.unwrap().result["seen"], json!(["a", "b", "c"]));
    assert_eq!(runs.load(Ordering::Relaxed), 4, "only what was not kept ran again");
}

#[tokio::test(start_paused = true)]
async fn a_look_at_the_journal_that_fails_ends_no_run() {
    let mut graph = StateGraph::new("long");
    graph.node("a", async |_: Value, _| {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(json!({"a": 1}))
    });
    let journal = Faulty::after(usize::MAX);
    let workflows = Workflows::of(&runtime_with(Arc::new(journal.clone())));
    let run = workflows.start(&graph.compile().unwrap(), json!({}), later()).await.unwrap();
    journal.blind.store(true, Ordering::Relaxed);
    assert_eq!(run.outcome().await.unwrap().status, RunStatus::Completed);
}

#[tokio::test]
async fn a_loop_that_only_computes_lets_other_branches_work() {
    let done = Arc::new(AtomicBool::new(false));
    let mut graph = StateGraph::new("spin");
    graph.limits(Limits { max_iterations: 50_000, max_steps: u64::MAX, ..Limits::default() });
    graph.add("start", ComputeNode::passthrough());
    let looked = Arc::clone(&done);
    graph.compute("spin", |_| Ok(NodeOutput::nothing()));
    graph.branch("spin", ["spin", "end"], move |_| {
        Ok(Route::to(if looked.load(Ordering::Relaxed) { "end" } else { "spin" }))
    });
    graph.node("work", move |_: Value, _| {
        let done = Arc::clone(&done);
        async move {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            done.store(true, Ordering::Relaxed);
            Ok(json!({"work": 1}))
        }
    });
    graph.compute("end", |_| Ok(NodeOutput::nothing()));
    graph.edge("start", "spin").edge("start", "work").edge("work", "end");
    let outcome = run(&graph.compile().unwrap(), json!({})).await;
    assert_eq!(outcome.result, json!({"work": 1}), "{outcome:?}");
}

#[tokio::test]
async fn closures_that_crash_fail_their_node_and_nothing_else() {
    let crash = || assert!(std::env::args().count() > 1_000_000, "a defect");
    let ends = async |graph: StateGraph, what: &str| {
        let outcome = run(&graph.compile().unwrap(), json!({})).await;
        let message = outcome.error.unwrap_or_else(|| panic!("{what} has not failed")).message;
        assert!(message.contains(&format!("{what} crashed")), "{message}");
    };
    let mut graph = StateGraph::new("decide");
    seen(&mut graph, &["a", "b"]);
    graph.branch("a", ["b"], move |_| {
        crash();
        Ok(Route::to("b"))
    });
    ends(graph, "the condition of an edge").await;
    let mut graph = StateGraph::new("reduce");
    seen(&mut graph, &["a"]);
    graph.reducer(
        "seen",
        Reducer::custom(move |_, new| {
            crash();
            Ok(new)
        }),
    );
    ends(graph, "the reducer of `seen`").await;
    for input in [true, false] {
        let mut inner = StateGraph::new("inner");
        seen(&mut inner, &["a"]);
        let subgraph = Subgraph::new(inner.compile().unwrap());
        let subgraph = match input {
            true => subgraph.input(move |_, _| {
                crash();
                Ok(serde_json::Map::new())
            }),
            false => subgraph.output(move |_| {
                crash();
                Ok(serde_json::Map::new())
            }),
        };
        let mut graph = StateGraph::new("outer");
        graph.subgraph("sub", subgraph);
        ends(graph, if input { "the mapping of its input" } else { "the mapping of its output" }).await;
    }
}

#[tokio::test]
async fn what_many_pieces_of_work_have_changed_counts_before_it_is_put_together() {
    let mut graph = StateGraph::new("wide");
    graph.limits(Limits { max_state_bytes: 1 << 20, concurrency: 1, ..Limits::default() });
    graph.reducer("out", Reducer::Append);
    graph.add("split", ComputeNode::passthrough());
    let ran = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ran);
    graph.node("work", move |_: Value, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok(json!({"out": ["x".repeat(100_000)]})) }
    });
    graph.branch("split", ["work"], |_| Ok(Route::send((0..100).map(|n| Send::new("work", json!(n))))));
    let outcome = run(&graph.compile().unwrap(), json!({})).await;
    assert_eq!(outcome.error.unwrap().code, "TOO_LARGE");
    assert!(ran.load(Ordering::Relaxed) < 12, "{ran:?} of 100 ran before it was told");
}

#[tokio::test]
async fn a_run_that_goes_on_in_a_changed_workflow_works_at_the_nodes_of_the_same_names() {
    let journal = MemoryJournal::default();
    let steps = |names: &[&str]| {
        let mut graph = StateGraph::new("steps");
        seen(&mut graph, names);
        graph.entry("a").edge("a", "b").edge("b", "c");
        graph.compile()
    };
    let old = steps(&["a", "b", "c"]).unwrap();
    let process = || Workflows::of(&runtime_on(&journal));
    let options = RunOptions { pause_before: vec!["b".into()], ..later() };
    let paused = process().start(&old, json!({}), options).await.unwrap().outcome().await.unwrap();
    // Taken up from its last point, the run's journal begins with all of the machine.
    let options = || RunOptions { changed: Changed::Accept, ..later() };
    let seq = process().history(paused.workflow_id).await;
    assert!(seq.is_ok());
    let again = process().replay_from_with(&old, paused.workflow_id, 2, options()).await.unwrap();
    let id = again.outcome().await.unwrap().workflow_id;
    let mut graph = StateGraph::new("steps");
    seen(&mut graph, &["c", "new", "b", "a"]);
    graph.entry("a").edge("a", "b").edge("b", "c").edge("a", "new");
    let new = graph.compile().unwrap();
    let Resumed::Run(run) = process().resume_with(&new, id, vec![], options()).await.unwrap() else { panic!() };
    assert_eq!(run.outcome().await.unwrap().result["seen"], json!(["a", "b", "c"]));
}

#[tokio::test]
async fn an_answer_that_cannot_be_kept_is_an_error_for_whoever_gave_it() {
    let journal = Faulty::after(100);
    let workflows = Workflows::of(&runtime_with(Arc::new(journal.clone())));
    let mut graph = StateGraph::new("gate");
    graph.add("ok", HumanNode::approval("Go on?"));
    let gate = graph.compile().unwrap();
    let id = workflows.start(&gate, json!({}), later()).await.unwrap().outcome().await.unwrap().workflow_id;
    let yes = || workflows.resume_with(&gate, id, vec![("ok".to_owned(), json!(true))], later());
    journal.appends.store(0, Ordering::Relaxed);
    let lost = yes().await.unwrap_err().to_string();
    assert!(lost.contains("no space is left"), "{lost}");
    journal.appends.store(100, Ordering::Relaxed);
    let ended = match yes().await.unwrap() {
        Resumed::Run(run) => run.outcome().await.unwrap().status,
        Resumed::Delivered => RunStatus::Running,
    };
    assert_eq!(ended, RunStatus::Completed);
}
