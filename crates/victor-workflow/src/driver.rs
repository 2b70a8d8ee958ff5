//! The engine's own runner: nodes work as futures of the run's task, records go to the journal, events to the stream.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use victor_core::agent::RunScope;
use victor_core::event::{EventKind, NodeStatus};
use victor_core::id::Timestamp;
use victor_core::journal::RunStatus;
use victor_core::question::{Interviewer, Question, Reply};
use victor_core::usage::{NanoUsd, Spent};

use crate::answers::Answers;
use crate::error::{NodeError, WorkflowError};
use crate::live::LiveRun;
use crate::machine::{Machine, Noted};
use crate::node::{Node, NodeCx, NodeOutput, RunContext, Work};
use crate::runner::{Input, Runner, Told};
use crate::summary::{RunSummary, Used, status_of};
use crate::task::{Start, TaskId};
use crate::work_time::{Doing, WorkTime};
use crate::workflow::Workflow;
use crate::writer::Writer;

/// Steps that only compute between two looks at the world.
const BREATH: u32 = 32;
/// Records that may be ahead of the journal, and events that may wait for it.
const AHEAD: usize = 1024;
/// How long a stopped node whose agents or tools still work may take to clean up.
const SETTLE: Duration = Duration::from_secs(2);
/// How often it is looked whether another process wants the run to end.
const LOOK: Duration = Duration::from_secs(1);
/// How much of a run's working time may be lost where its process is killed and nothing else was written.
const BOOKED: Duration = Duration::from_secs(10);

struct Finished {
    task: TaskId,
    generation: u64,
    result: Result<NodeOutput, NodeError>,
    used: Option<(Spent, Option<NanoUsd>)>,
}

/// Drives one run in this process.
pub(crate) struct Driver {
    pub(crate) context: Arc<RunContext>,
    workflow: Workflow,
    writer: Option<Writer>,
    interviewer: Arc<dyn Interviewer>,
    answers: Answers,
    outbox: VecDeque<(u64, Told)>,
    work: FuturesUnordered<BoxFuture<'static, Finished>>,
    asks: FuturesUnordered<BoxFuture<'static, (TaskId, u64, Reply)>>,
    live: HashMap<TaskId, (u64, CancellationToken)>,
    generation: u64,
    breath: u32,
    cancelled: bool,
    used: Option<(Spent, Option<NanoUsd>)>,
    looks: Option<Pin<Box<Sleep>>>,
    time: Arc<WorkTime>,
    /// What the journal knows of what was used.
    booked: (Spent, Duration),
    changed: Arc<tokio::sync::Notify>,
    /// Whether a stop means that the run goes on later.
    put_down: Arc<AtomicBool>,
}

impl Driver {
    pub(crate) fn new(
        context: RunContext,
        workflow: Workflow,
        writer: Option<Writer>,
        interviewer: Arc<dyn Interviewer>,
        answers: Answers,
        live: &LiveRun,
        time: Arc<WorkTime>,
    ) -> Self {
        let booked = (context.scope.spent(), time.worked());
        Self {
            context: Arc::new(context),
            workflow,
            writer,
            interviewer,
            answers,
            outbox: VecDeque::new(),
            work: FuturesUnordered::new(),
            asks: FuturesUnordered::new(),
            live: HashMap::new(),
            generation: 0,
            breath: 0,
            cancelled: false,
            used: None,
            looks: None,
            time,
            booked,
            changed: Arc::clone(&live.changed),
            put_down: Arc::clone(&live.put_down),
        }
    }

    /// Tells the journal how the run stands at last, and waits until it knows.
    pub(crate) async fn close(&mut self, machine: &Machine) -> Result<(), WorkflowError> {
        self.settle(machine).await?;
        let status = status_of(machine);
        if self.writer.as_ref().is_some_and(|w| !w.has_told(status)) {
            self.send(machine)?;
            self.settle(machine).await?;
        }
        Ok(())
    }

    /// Waits until all records are kept. Nothing is told: nobody may listen yet.
    pub(crate) async fn keep(&mut self, machine: &Machine) -> Result<(), WorkflowError> {
        while self.writer.as_ref().is_some_and(|w| !w.is_settled()) {
            self.send_queued(machine)?;
            if let Some(writer) = &mut self.writer {
                writer.landed().await?;
            }
        }
        Ok(())
    }

    /// Lets what was stopped clean up.
    pub(crate) async fn tidy(&mut self) {
        self.asks.clear();
        for (_, cancel) in self.live.values() {
            cancel.cancel();
        }
        while self.work.next().await.is_some() {}
    }

    /// Whether a journal keeps the run.
    pub(crate) fn is_journaled(&self) -> bool {
        self.writer.is_some()
    }

    fn scope(&self) -> &RunScope {
        &self.context.scope
    }

    /// Sends queued records on their way, unless some are.
    fn send(&mut self, machine: &Machine) -> Result<(), WorkflowError> {
        let scope = &self.context.scope;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if writer.is_in_flight() {
            return Ok(());
        }
        if writer.wants_snapshot() {
            writer.push_snapshot(machine)?;
        }
        let ((spent, cost), worked) = (scope.used(), self.time.worked());
        self.booked = (spent, worked);
        let used = Used { spent, worked, cost, next_event: scope.next_event() };
        let summary = RunSummary::of(machine, &self.workflow, writer.begun(), used);
        let json = serde_json::to_string(&summary)
            .map_err(|e| WorkflowError::State(format!("the run's summary has no JSON form: {e}")))?;
        let status = status_of(machine);
        let wake_at = if status == RunStatus::Waiting { machine.wake_at() } else { None };
        writer.send(status, wake_at, json);
        Ok(())
    }

    /// Sends queued records on their way, if there are any.
    fn send_queued(&mut self, machine: &Machine) -> Result<(), WorkflowError> {
        match &self.writer {
            Some(writer) if writer.queued() > 0 => self.send(machine),
            _ => Ok(()),
        }
    }

    /// Lets events leave whose records are kept.
    async fn flush(&mut self) {
        let kept = self.writer.as_ref().map_or(u64::MAX, Writer::kept_to);
        self.answers.kept(kept);
        let mut any = false;
        while let Some((after, _)) = self.outbox.front() {
            if *after > kept {
                break;
            }
            if let Some((_, told)) = self.outbox.pop_front() {
                self.context.scope.emit_at(&told.path, told.kind).await;
                any = true;
            }
        }
        if any {
            self.changed.notify_waiters();
        }
    }

    fn finished(&mut self, finished: Finished) -> Option<Input> {
        let (generation, _) = self.live.get(&finished.task)?;
        if *generation != finished.generation {
            return None;
        }
        self.live.remove(&finished.task);
        self.used = finished.used;
        Some(Input::Output { task: finished.task, result: finished.result })
    }

    fn replied(&mut self, (task, generation, reply): (TaskId, u64, Reply)) -> Option<Input> {
        let (current, _) = self.live.get(&task)?;
        if *current != generation {
            return None;
        }
        self.live.remove(&task);
        Some(Input::Reply { task, reply })
    }

    /// Whether the run is to end now: somebody wants it to, or it has used up its time.
    fn interrupting(&mut self) -> Result<Option<Input>, WorkflowError> {
        if let Some(cancel) = self.cancelled()? {
            return Ok(Some(cancel));
        }
        Ok(if self.cancelled { None } else { self.time.is_up().map(Input::Limited) })
    }

    /// What has happened meanwhile, without waiting for it.
    async fn happened(&mut self, machine: &Machine) -> Option<Input> {
        while let Poll::Ready(Some(finished)) = futures::poll!(self.work.next()) {
            if let Some(input) = self.finished(finished) {
                return Some(input);
            }
        }
        while let Poll::Ready(Some(reply)) = futures::poll!(self.asks.next()) {
            if let Some(input) = self.replied(reply) {
                return Some(input);
            }
        }
        while let Some(answer) = self.answers.ready() {
            if let Some(input) = self.answers.take(answer, machine) {
                return Some(input);
            }
        }
        machine.wake_at().is_some_and(|at| at <= self.now()).then_some(Input::Time)
    }

    /// Whether the run is to end now, and was not told so before. With its runtime it is only put down, where a journal
    /// keeps it.
    fn cancelled(&mut self) -> Result<Option<Input>, WorkflowError> {
        if self.cancelled || !self.scope().cancellation().is_cancelled() {
            return Ok(None);
        }
        self.cancelled = true;
        if self.writer.is_some() && self.scope().runtime().cancelled().now_or_never().is_some() {
            return Err(WorkflowError::ShuttingDown);
        }
        if self.writer.is_some() && self.put_down.load(Ordering::Acquire) {
            return Err(WorkflowError::Interrupted);
        }
        Ok(Some(Input::Cancel))
    }

    /// Looks now and then whether another process wants the run to end, and keeps what it has used.
    async fn look(&mut self, machine: &Machine) -> Result<(), WorkflowError> {
        self.looks = None;
        let Some(writer) = &self.writer else { return Ok(()) };
        let (journal, run) = (Arc::clone(writer.journal()), writer.run());
        match journal.info(run).await {
            Ok(info) if info.cancel_requested => self.scope().cancellation().cancel(),
            Ok(_) => {}
            // Whether the journal still works, the next record shows.
            Err(e) => tracing::debug!(%run, error = %e, "it is not known whether the run is to end"),
        }
        let (spent, worked) = self.booked;
        if self.scope().spent() != spent || self.time.worked().saturating_sub(worked) >= BOOKED {
            self.send(machine)?;
        }
        Ok(())
    }

    fn work_of(&mut self, cx: NodeCx, node: Arc<dyn Node>, task: TaskId, cancel: CancellationToken) {
        self.generation += 1;
        let (generation, part) = (self.generation, cx.part());
        self.live.insert(task, (generation, cancel.clone()));
        self.work.push(Box::pin(async move {
            let used = Arc::clone(&part);
            let working = AssertUnwindSafe(async move { node.run(cx).await }).catch_unwind();
            let stopped = async {
                cancel.cancelled().await;
                if part.get().is_some() {
                    tokio::time::sleep(SETTLE).await;
                }
            };
            let result = tokio::select! {
                biased;
                result = working => result.unwrap_or_else(|_| Err(panicked())),
                () = stopped => Err(NodeError::cancelled()),
            };
            Finished { task, generation, result, used: used.get().map(|scope| scope.used()) }
        }));
    }
}

fn panicked() -> NodeError {
    NodeError::new("the node crashed; this is a defect of the node")
}

impl Runner for Driver {
    fn now(&self) -> Timestamp {
        self.context.scope.now()
    }

    fn record(&mut self, noted: &Noted, _: &Machine) -> Result<(), WorkflowError> {
        if let Some(writer) = &mut self.writer {
            writer.push(&noted.entry)?;
        }
        self.answers.recorded(&noted.entry.what, self.writer.as_ref().map_or(0, Writer::queued_to));
        Ok(())
    }

    fn tell(&mut self, mut told: Told) {
        match &mut told.kind {
            EventKind::Node { status, usage, cost, .. } if *status != NodeStatus::Started => {
                if let Some((spent, price)) = self.used.take() {
                    (*usage, *cost) = (Some(spent.usage), price);
                }
            }
            // What a node that asks has used is told when it is done.
            EventKind::Question { .. } => self.used = None,
            _ => {}
        }
        let after = self.writer.as_ref().map_or(0, Writer::queued_to);
        self.outbox.push_back((after, told));
    }

    async fn settle(&mut self, machine: &Machine) -> Result<(), WorkflowError> {
        self.keep(machine).await?;
        self.flush().await;
        Ok(())
    }

    async fn pace(&mut self, machine: &Machine) -> Result<Option<Input>, WorkflowError> {
        self.breath += 1;
        if self.breath < BREATH {
            return Ok(None);
        }
        self.breath = 0;
        tokio::task::consume_budget().await;
        if let Some(writer) = &mut self.writer {
            writer.look()?;
        }
        self.send_queued(machine)?;
        let ahead = self.writer.as_ref().map_or(0, Writer::queued).max(self.outbox.len());
        if ahead > AHEAD {
            self.settle(machine).await?;
        } else {
            self.flush().await;
        }
        let looks = self.looks.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK)));
        if self.writer.is_some() && futures::poll!(looks).is_ready() {
            self.look(machine).await?;
        }
        match self.interrupting()? {
            Some(input) => Ok(Some(input)),
            None => Ok(self.happened(machine).await),
        }
    }

    fn start(&mut self, start: Start, node: Arc<dyn Node>) -> Option<Result<NodeOutput, NodeError>> {
        let (task, run) = (start.task, Arc::clone(&self.context));
        if node.work() == Work::Compute {
            let cancel = run.scope.cancellation().clone();
            let cx = NodeCx::new(run, start, cancel.clone());
            match catch_unwind(AssertUnwindSafe(|| node.compute(&cx))) {
                Ok(None) => self.work_of(cx, node, task, cancel.child_token()),
                Ok(done) => return done,
                Err(_) => return Some(Err(panicked())),
            }
            return None;
        }
        let cancel = run.scope.cancellation().child_token();
        let cx = NodeCx::new(run, start, cancel.clone());
        self.work_of(cx, node, task, cancel);
        None
    }

    fn stop(&mut self, task: TaskId) {
        if let Some((_, cancel)) = self.live.remove(&task) {
            cancel.cancel();
        }
    }

    fn ask(&mut self, task: TaskId, question: Question) {
        self.generation += 1;
        let (generation, interviewer) = (self.generation, Arc::clone(&self.interviewer));
        let cancel = CancellationToken::new();
        self.live.insert(task, (generation, cancel.clone()));
        self.asks.push(Box::pin(async move {
            let asking = AssertUnwindSafe(async { interviewer.ask(&question).await }).catch_unwind();
            let reply = match cancel.run_until_cancelled(asking).await {
                Some(Ok(reply)) => reply,
                Some(Err(_)) | None => Reply::Nobody,
            };
            (task, generation, reply)
        }));
    }

    async fn wait(&mut self, until: Option<Timestamp>, machine: &Machine) -> Result<Input, WorkflowError> {
        self.time.goes_on(if machine.is_working() { Doing::Work } else { Doing::Rest });
        let input = self.next_input(until, machine).await;
        self.time.goes_on(Doing::Work);
        input
    }
}

impl Driver {
    async fn next_input(&mut self, until: Option<Timestamp>, machine: &Machine) -> Result<Input, WorkflowError> {
        let (cancel, time) = (self.scope().cancellation().clone(), Arc::clone(&self.time));
        loop {
            self.send_queued(machine)?;
            self.flush().await;
            if let Some(input) = self.interrupting()? {
                return Ok(input);
            }
            let now = self.now();
            if until.is_some_and(|at| at <= now) {
                return Ok(Input::Time);
            }
            let left = until.map(|at| at.since(now)).into_iter().chain(time.left()).min();
            let looks = self.looks.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK)));
            let shared = self.writer.is_some();
            tokio::select! {
                biased;
                // Before the work: what it says once it was cancelled is no result.
                () = cancel.cancelled(), if !self.cancelled => {}
                landed = landed(&mut self.writer) => landed?,
                Some(finished) = self.work.next(), if !self.work.is_empty() => {
                    if let Some(input) = self.finished(finished) {
                        return Ok(input);
                    }
                }
                Some(reply) = self.asks.next(), if !self.asks.is_empty() => {
                    if let Some(input) = self.replied(reply) {
                        return Ok(input);
                    }
                }
                answer = self.answers.next() => {
                    if let Some(input) = self.answers.take(answer, machine) {
                        return Ok(input);
                    }
                }
                () = after(left) => {}
                () = time.changed() => {}
                () = looks, if shared && !self.cancelled => self.look(machine).await?,
            }
        }
    }
}

async fn landed(writer: &mut Option<Writer>) -> Result<(), WorkflowError> {
    match writer {
        Some(writer) if writer.is_in_flight() => writer.landed().await,
        _ => std::future::pending().await,
    }
}

async fn after(left: Option<Duration>) {
    match left {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}
