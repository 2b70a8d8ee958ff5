//! Random graphs, run with random crashes: they end in the same state as without, and what was done is done once.
//! A crash takes everything but the journal; the next process reads it back.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the whole file is tests")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use proptest::prelude::*;
use serde_json::{Value, json};
use victor_core::id::{RunId, Timestamp};
use victor_core::journal::{
    Journal, JournalClaim, JournalError, JournalFilter, JournalInfo, NewJournal, NewRecord, RunStatus, StoredRecord,
    Summary,
};
use victor_core::memory_journal::MemoryJournal;
use victor_core::question::AskLater;
use victor_workflow::Workflows;
use victor_workflow::error::NodeError;
use victor_workflow::graph::{END, Retry, StateGraph, Subgraph};
use victor_workflow::human::HumanNode;
use victor_workflow::node::{ComputeNode, NodeCx, NodeOutput};
use victor_workflow::options::RunOptions;
use victor_workflow::resume::Resumed;
use victor_workflow::route::{Join, Route, Send};
use victor_workflow::run::WorkflowRun;
use victor_workflow::state::Reducer;
use victor_workflow::workflow::Workflow;

/// A journal that takes a moment to write: what is on its way when the process dies is lost.
#[derive(Clone, Default)]
struct SlowJournal(MemoryJournal);

#[async_trait::async_trait]
impl Journal for SlowJournal {
    async fn create(&self, new: NewJournal, holder: &str) -> Result<Box<dyn JournalClaim>, JournalError> {
        self.0.create(new, holder).await
    }
    async fn claim(&self, id: RunId, holder: &str) -> Result<Box<dyn JournalClaim>, JournalError> {
        self.0.claim(id, holder).await
    }
    async fn append(
        &self,
        claim: &dyn JournalClaim,
        expected_seq: u64,
        at: Timestamp,
        records: Vec<NewRecord>,
        summary: Summary,
    ) -> Result<u64, JournalError> {
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.0.append(claim, expected_seq, at, records, summary).await
    }
    async fn records(&self, id: RunId, after: u64, limit: usize) -> Result<Vec<StoredRecord>, JournalError> {
        self.0.records(id, after, limit).await
    }
    async fn info(&self, id: RunId) -> Result<JournalInfo, JournalError> {
        self.0.info(id).await
    }
    async fn list(&self, filter: &JournalFilter) -> Result<Vec<JournalInfo>, JournalError> {
        self.0.list(filter).await
    }
    async fn request_cancel(&self, id: RunId) -> Result<(), JournalError> {
        self.0.request_cancel(id).await
    }
    async fn delete(&self, id: RunId) -> Result<(), JournalError> {
        self.0.delete(id).await
    }
    async fn prune(&self, before: Timestamp) -> Result<u64, JournalError> {
        self.0.prune(before).await
    }
}

/// What the nodes of a run have in common: its journal, and what was done again though the journal knew of it.
#[derive(Clone, Default)]
struct World {
    journal: SlowJournal,
    repeated: Arc<Mutex<Vec<String>>>,
    /// Who is quicker.
    pace: u64,
}

impl World {
    /// A process of its own, which dies when `work` has come to its end: nothing of it is polled any more.
    fn process<T>(&self, work: impl AsyncFnOnce(Workflows) -> T) -> T {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        tokio.block_on(work(Workflows::of(&support::runtime_with(Arc::new(self.journal.clone())))))
    }

    async fn is_done(&self, cx: &NodeCx) -> bool {
        let records = self.journal.records(cx.run_id(), 0, usize::MAX).await.unwrap();
        let task = serde_json::to_value(cx.task()).unwrap();
        let entries = records.iter().map(|r| serde_json::from_str::<Value>(&r.json).unwrap());
        entries.into_iter().any(|entry| entry["what"]["done"]["task"] == task)
    }
}

/// One node of a random graph: what it is, and the later nodes that it leads to.
#[derive(Clone, Debug)]
struct Plan {
    kind: u8,
    to: Vec<usize>,
    join: bool,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let plan = (0..8_u8, prop::collection::vec(1..4_usize, 0..3), any::<bool>());
    prop::collection::vec(plan, 2..9).prop_map(|plans| {
        let count = plans.len();
        let all = plans.into_iter().enumerate().map(|(at, (kind, steps, join))| {
            let mut to: Vec<usize> = steps.iter().map(|s| at + s).filter(|n| *n < count).collect();
            // Every node is reached from the one before it.
            if at + 1 < count {
                to.push(at + 1);
            }
            to.sort_unstable();
            to.dedup();
            Plan { kind, to, join }
        });
        all.collect()
    })
}

type Effect = BoxFuture<'static, Result<Value, NodeError>>;

/// A node with effects: it takes a while, and fails the first time where it is told to.
fn effect(world: &World, fails: bool) -> impl Fn(Value, NodeCx) -> Effect + use<> {
    let world = world.clone();
    move |state, cx| {
        let world = world.clone();
        Box::pin(async move {
            let name: u64 = cx.node().bytes().map(u64::from).sum();
            tokio::time::sleep(Duration::from_millis(3 + (name * world.pace) % 23)).await;
            if fails && cx.attempt() == 1 {
                return Err(NodeError::new("the first time"));
            }
            if world.is_done(&cx).await {
                world.repeated.lock().unwrap().push(cx.idempotency_key());
            }
            let length = state["seen"].as_array().map_or(0, Vec::len);
            Ok(json!({"seen": [format!("{}{length}", cx.node())], "last": cx.node()}))
        })
    }
}

fn build(plans: &[Plan], world: &World) -> Workflow {
    let mut graph = StateGraph::new("random");
    graph.reducer("seen", Reducer::Append).reducer("sum", Reducer::Add);
    let name = |n: usize| format!("n{n}");
    for (n, plan) in plans.iter().enumerate() {
        let (me, fails) = (name(n), plan.kind == 1);
        let slot = match plan.kind {
            0 | 1 => graph.node(me, effect(world, fails)).retry(Retry::new(1, Duration::from_millis(2))),
            2 => graph.add(me, HumanNode::approval("?")),
            3 => graph.subgraph(me, Subgraph::new(inner(world))),
            4 => graph.add(me, ComputeNode::passthrough()),
            _ => graph.compute(me, |cx| {
                Ok(NodeOutput::update(json!({"sum": 1, "seen": [cx.node()]}).as_object().unwrap().clone()))
            }),
        };
        if plan.join && n > 0 {
            slot.join(Join::Any);
        }
        let targets: Vec<String> = plan.to.iter().map(|n| name(*n)).collect();
        match plan.kind {
            // A loop back to itself, twice.
            5 => {
                let (me, to) = (name(n), targets.clone());
                let all = targets.into_iter().chain([me.clone(), END.to_owned()]);
                graph.branch(name(n), all, move |state| {
                    let again = state["sum"].as_u64().unwrap_or(0) % 3 != 0;
                    Ok(if again { Route::to(&me) } else { Route::all(to.clone()) })
                });
            }
            // Pieces of work with inputs of their own.
            6 if !targets.is_empty() => {
                let to = targets.clone();
                graph.branch(name(n), targets, move |_| Ok(Route::send(to.iter().map(|t| Send::new(t, json!(1))))));
            }
            _ => {
                for to in targets {
                    graph.edge(name(n), to);
                }
            }
        }
    }
    graph.compile().unwrap()
}

fn inner(world: &World) -> Workflow {
    let mut graph = StateGraph::new("inner");
    graph.reducer("seen", Reducer::Append).reducer("sum", Reducer::Add);
    graph.node("x", effect(world, true)).retry(Retry::new(2, Duration::from_millis(1)));
    graph.node("y", effect(world, false));
    graph.add("gate", HumanNode::approval("?"));
    graph.entry("x").entry("y").edge("y", "gate");
    graph.compile().unwrap()
}

fn later() -> RunOptions {
    RunOptions { interviewer: Some(Arc::new(AskLater)), ..RunOptions::default() }
}

/// Drives a run to its end, answering each gate, one process a gate. `crashes` says after how many events each process
/// dies before that; then none dies any more.
fn to_the_end(plans: &[Plan], crashes: &[usize], pace: u64) -> (Value, RunStatus, Vec<String>) {
    let world = World { pace, ..World::default() };
    let workflow = build(plans, &world);
    let mut crashes = crashes.iter().copied().chain(std::iter::repeat(usize::MAX));
    let mut id = None;
    for _ in 0..200 {
        let events = crashes.next().unwrap();
        let ended = world.process(async |workflows| {
            let mut run = match id {
                None => workflows.start(&workflow, json!({}), later()).await.unwrap(),
                Some(id) => match go_on(&workflows, &workflow, id).await {
                    Ok(run) => run,
                    Err(ended) => return Some(ended),
                },
            };
            id = Some(run.id());
            for _ in 0..events {
                if run.next().await.is_none() {
                    break;
                }
            }
            // Dropping it would tell the run to end.
            std::mem::forget(run);
            None
        });
        if let Some((state, status)) = ended {
            return (state, status, world.repeated.lock().unwrap().clone());
        }
    }
    panic!("no end in sight")
}

/// Resumes a run with the answer to its first question; gives its end, if it has ended.
async fn go_on(workflows: &Workflows, workflow: &Workflow, id: RunId) -> Result<WorkflowRun, (Value, RunStatus)> {
    let state = workflows.status(id).await.unwrap();
    if state.status.is_final() {
        return Err((workflows.get_state_with(workflow, id).await.unwrap(), state.status));
    }
    let answers = match state.status {
        RunStatus::Waiting => state.waiting.iter().take(1).map(|q| (q.id.clone(), json!(true))).collect(),
        _ => Vec::new(),
    };
    match workflows.resume_with(workflow, id, answers, later()).await.unwrap() {
        Resumed::Run(run) => Ok(run),
        Resumed::Delivered => panic!("driven by a process that is dead"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_run_with_crashes_ends_as_one_without_whoever_is_quicker(
        plans in plans(),
        crashes in prop::collection::vec(0..25_usize, 0..8),
        pace in 0..23_u64,
    ) {
        let (state, status, _) = to_the_end(&plans, &[], 0);
        let (after, ended, repeated) = to_the_end(&plans, &crashes, pace);
        prop_assert_eq!((after, ended), (state, status));
        prop_assert_eq!(repeated, Vec::<String>::new());
    }
}
