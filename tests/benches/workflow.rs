//! What the workflow engine itself costs: steps a second of a cycle of three nodes, a fan-out, and the memory of a
//! waiting run. An item is one node's end; every run's events are read to their end. Beside the wall time, which a busy
//! machine makes longer, stands the processor time of an item.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use divan::Bencher;
use divan::counter::ItemsCount;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;
use victor_core::id::{Clock, Timestamp};
use victor_core::journal::{Journal, RunStatus};
use victor_core::memory_journal::MemoryJournal;
use victor_core::question::AskLater;
use victor_core::runtime::Runtime;
use victor_store::{Options, SqliteStore};
use victor_workflow::Workflows;
use victor_workflow::graph::{END, Limits, StateGraph};
use victor_workflow::human::HumanNode;
use victor_workflow::node::{ComputeNode, NodeOutput};
use victor_workflow::options::{Checkpoints, RunOptions};
use victor_workflow::route::{Route, Send};
use victor_workflow::state::Reducer;
use victor_workflow::workflow::Workflow;

/// Waiting runs of the memory figure.
const WAITING: usize = 5_000;

fn main() {
    divan::main();
    let mut args = std::env::args().skip(1);
    if args.any(|arg| "waiting_runs" == arg) {
        waiting_runs();
    }
}

/// Prints the processor time that `items` took altogether.
#[expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "it is what a bench is for")]
fn report(name: &str, items: u64, begun: u64) {
    let micros = cpu().saturating_sub(begun) as f64 / 1000.0 / items.max(1) as f64;
    println!("{name}: {micros:.2} us of processor time an item ({items} items)");
}

/// The processor time of all threads so far, in nanoseconds (man page proc_pid_schedstat, first field).
fn cpu() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let text = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    text.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum()
}

struct SystemTime;

impl Clock for SystemTime {
    fn now(&self) -> Timestamp {
        let passed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        Timestamp::from_micros(i64::try_from(passed.as_micros()).unwrap())
    }

    fn uuid(&self) -> Uuid {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(NEXT.fetch_add(1, Ordering::Relaxed)))
    }
}

struct Bench {
    tokio: tokio::runtime::Runtime,
    workflows: Workflows,
    _folder: TempDir,
}

impl Bench {
    fn new(journal: impl FnOnce(&TempDir) -> Arc<dyn Journal>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let runtime = Runtime::builder().clock(SystemTime).journal(journal(&folder)).build().unwrap();
        Self { tokio, workflows: Workflows::of(&runtime), _folder: folder }
    }

    fn memory() -> Self {
        Self::new(|_| Arc::new(MemoryJournal::default()))
    }

    fn sqlite() -> Self {
        Self::new(|folder| Arc::new(SqliteStore::open(&folder.path().join("victor.db"), Options::default()).unwrap()))
    }

    /// Runs it so many times at once, and waits for all.
    fn run(&self, workflow: &Workflow, input: &Value, runs: usize, checkpoints: Checkpoints) {
        self.tokio.block_on(async {
            let mut all = tokio::task::JoinSet::new();
            for _ in 0..runs {
                let (workflows, workflow, input) = (self.workflows.clone(), workflow.clone(), input.clone());
                all.spawn(async move {
                    let options = RunOptions { checkpoints, ..RunOptions::default() };
                    let run = workflows.start(&workflow, input, options).await.unwrap();
                    assert_eq!(run.outcome().await.unwrap().status, RunStatus::Completed);
                });
            }
            all.join_all().await;
        });
    }
}

#[derive(Clone, Copy)]
enum Nodes {
    Compute,
    Effects,
}

/// Three nodes in a circle that count to `n`.
fn cycle(nodes: Nodes) -> Workflow {
    let mut graph = StateGraph::new("cycle");
    graph.limits(Limits { max_iterations: u32::MAX, max_steps: u64::MAX, ..Limits::default() });
    graph.reducer("steps", Reducer::Add);
    for name in ["a", "b", "c"] {
        match nodes {
            Nodes::Compute => drop(graph.compute(name, |_| Ok(NodeOutput::set("steps", 1)))),
            Nodes::Effects => drop(graph.node(name, async |_: Value, _| Ok(json!({"steps": 1})))),
        }
    }
    graph.edge("a", "b").edge("b", "c").branch("c", ["a", END], |state| {
        Ok(if state["steps"].as_u64() < state["n"].as_u64() { Route::to("a") } else { Route::End })
    });
    graph.compile().unwrap()
}

fn steps(bencher: Bencher<'_, '_>, bench: &Bench, nodes: Nodes, n: u64, runs: usize, checkpoints: Checkpoints) {
    let workflow = cycle(nodes);
    let input = json!({"n": n, "steps": 0});
    measure(bencher, bench, "cycle", &workflow, &input, n, runs, checkpoints);
}

#[expect(clippy::too_many_arguments, reason = "a bench says all that it varies")]
fn measure(
    bencher: Bencher<'_, '_>,
    bench: &Bench,
    name: &str,
    workflow: &Workflow,
    input: &Value,
    n: u64,
    runs: usize,
    checkpoints: Checkpoints,
) {
    let (begun, mut times, each) = (cpu(), 0, n * runs as u64);
    bencher.counter(ItemsCount::new(each)).bench_local(|| {
        bench.run(workflow, input, runs, checkpoints);
        times += 1;
    });
    report(name, times * each, begun);
}

#[divan::bench(sample_count = 10)]
fn cycle_without_checkpoints(bencher: Bencher<'_, '_>) {
    steps(bencher, &Bench::memory(), Nodes::Compute, 60_000, 1, Checkpoints::Off);
}

#[divan::bench(sample_count = 10)]
fn cycle_in_memory(bencher: Bencher<'_, '_>) {
    steps(bencher, &Bench::memory(), Nodes::Compute, 60_000, 1, Checkpoints::On);
}

#[divan::bench(sample_count = 10)]
fn cycle_in_memory_each_awaited(bencher: Bencher<'_, '_>) {
    steps(bencher, &Bench::memory(), Nodes::Effects, 30_000, 1, Checkpoints::On);
}

#[divan::bench(sample_count = 10)]
fn cycle_durable_each_awaited(bencher: Bencher<'_, '_>) {
    steps(bencher, &Bench::sqlite(), Nodes::Effects, 3_000, 1, Checkpoints::On);
}

#[divan::bench(sample_count = 10)]
fn cycle_durable_compute_ahead(bencher: Bencher<'_, '_>) {
    steps(bencher, &Bench::sqlite(), Nodes::Compute, 15_000, 1, Checkpoints::On);
}

#[divan::bench(sample_count = 10)]
fn cycle_durable_64_runs_each_awaited(bencher: Bencher<'_, '_>) {
    steps(bencher, &Bench::sqlite(), Nodes::Effects, 300, 64, Checkpoints::On);
}

#[divan::bench(sample_count = 10)]
fn fan_out_10_000(bencher: Bencher<'_, '_>) {
    let mut graph = StateGraph::new("fan");
    graph.reducer("sum", Reducer::Add);
    graph.add("split", ComputeNode::passthrough());
    graph.node("work", async |_: Value, cx: victor_workflow::node::NodeCx| {
        Ok(json!({"sum": cx.input().cloned().unwrap_or_default()}))
    });
    graph.branch("split", ["work"], |_| Ok(Route::send((0..10_000).map(|n| Send::new("work", json!(n))))));
    let workflow = graph.compile().unwrap();
    let bench = Bench::memory();
    measure(bencher, &bench, "fan-out", &workflow, &json!({}), 10_000, 1, Checkpoints::On);
}

/// Prints what a run costs that waits for a person.
#[expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "it is what a bench is for")]
fn waiting_runs() {
    let mut graph = StateGraph::new("gate");
    graph.add("ok", HumanNode::approval("go on?"));
    let workflow = graph.compile().unwrap();
    let bench = Bench::sqlite();
    let wait = |runs: usize| {
        bench.tokio.block_on(async {
            for _ in 0..runs {
                let options = RunOptions { interviewer: Some(Arc::new(AskLater)), ..RunOptions::default() };
                let run = bench.workflows.start(&workflow, json!({}), options).await.unwrap();
                assert_eq!(run.outcome().await.unwrap().status, RunStatus::Waiting);
            }
        });
    };
    wait(500);
    let before = resident();
    wait(WAITING);
    let grown = resident().saturating_sub(before);
    println!("memory of a waiting run: {:.1} bytes ({WAITING} runs)", grown as f64 / WAITING as f64);
}

/// Resident memory in bytes (man page proc_pid_statm, second field, in pages of 4 KiB).
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 4096
}
