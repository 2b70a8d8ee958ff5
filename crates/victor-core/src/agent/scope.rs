//! Runs that no single agent drives: a workflow opens a scope, and its agents and tools share budget, approver,
//! cancellation and one stream of events.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError};

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::error::{ConfigurationError, VictorError};
use crate::event::EventKind;
use crate::id::{RunId, Timestamp};
use crate::message::Input;
use crate::permission::{Approver, Mode};
use crate::runtime::Runtime;
use crate::sandbox::SandboxMode;
use crate::tool::ToolSet;
use crate::usage::{Budget, NanoUsd, Spent};

use super::dispatch::{RunScope, Scope};
use super::emit::Emitter;
use super::filter::ToolFilter;
use super::ledger::Ledger;
use super::outcome::{Denial, Outcome};
use super::run::{ErrorSlot, Run};
use super::spec::DryRun;
use super::{Agent, Part, create};

/// Events that wait for the reader at most.
const QUEUE: usize = 1024;

/// How a run without a single agent is opened. What is `None` or open follows the runtime's defaults.
#[derive(Clone, Default)]
pub struct ScopeOptions {
    /// The run, where it goes on; a new one otherwise.
    pub run: Option<RunId>,
    /// What its tools and agents may do at most.
    pub mode: Option<Mode>,
    /// How far programs may reach.
    pub sandbox: Option<SandboxMode>,
    /// Whether calls that change something are carried out.
    pub dry_run: DryRun,
    /// Who is asked about calls.
    pub approver: Option<Arc<dyn Approver>>,
    /// What all agents of the run may use together.
    pub budget: Budget,
    /// The tools of the run by name or glob; `None` for all.
    pub tools: Option<Vec<String>>,
    /// What it has used already.
    pub spent: Spent,
    /// The place of its next event.
    pub next_event: u64,
    /// Who it belongs to; `None` for the runtime's owner.
    pub owner: Option<String>,
    /// What the run is, and what it is inside of, from the outside in: see [`RunScope::within`].
    pub within: Vec<Arc<str>>,
}

/// What a part of a run is opened with.
#[derive(Clone, Debug, Default)]
pub struct PartOptions {
    /// What stands at the end of its events' path.
    pub path: Vec<String>,
    /// What ends it: a child of the run's own.
    pub cancel: CancellationToken,
    /// What it may use at most; can only narrow.
    pub budget: Budget,
    /// What it has used already, where it goes on; counted above already.
    pub spent: Spent,
    /// What it is, where it could come to run inside of itself: see [`RunScope::within`].
    pub within: Option<Arc<str>>,
}

/// The end of a run that its driver holds: tells the last event, once.
pub struct ScopeEnd {
    emitter: Emitter,
    error: ErrorSlot,
}

impl ScopeEnd {
    /// Tells the end. `error` is what the reader gets as the run's error where it failed.
    pub fn finish(self, outcome: Outcome, error: Option<VictorError>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
        self.emitter.finish(EventKind::Finished { outcome: Box::new(outcome) });
    }
}

impl RunScope {
    /// Opens a run: what its parts work in, the stream of its events for whoever started it, and its end.
    /// Dropping the stream cancels the run.
    pub async fn open(runtime: &Runtime, options: ScopeOptions) -> (Self, Run, ScopeEnd) {
        let (opened, handle) = Opened::new(runtime, &options);
        let (scope, end) = opened.scope(runtime, options).await;
        (scope, handle, end)
    }

    /// Opens a run and does its work as a task of the runtime's. What the work gives is told as the run's end.
    pub fn start<F, Fut>(runtime: &Runtime, options: ScopeOptions, work: F) -> Run
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = (Outcome, Option<VictorError>)> + Send + 'static,
    {
        let (opened, handle) = Opened::new(runtime, &options);
        let tracker = &runtime.inner.tracker;
        let _counted = tracker.token();
        let closed = tracker.is_closed();
        let runtime = runtime.clone();
        let driven = async move {
            let (run, begun) = (opened.run, opened.emitter.now());
            let (scope, end) = opened.scope(&runtime, options).await;
            let refused = |e: VictorError, now: Timestamp| {
                let outcome = Outcome::refused(run, None, &e, now.since(begun));
                (outcome, Some(e))
            };
            let (outcome, error) = if closed {
                let text = "shutting down: no new run";
                refused(ConfigurationError::with_code("SHUTTING_DOWN", text).into(), begun)
            } else {
                let crashed = || VictorError::Internal("the run crashed; this is a defect of Victor".to_owned());
                let done = AssertUnwindSafe(work(scope.clone())).catch_unwind().await;
                done.unwrap_or_else(|_| refused(crashed(), scope.now()))
            };
            end.finish(outcome, error);
        };
        tracker.spawn(driven.in_current_span());
        handle
    }

    /// The same run for a part of it: its events have `path` at the end of theirs, and it ends with `cancel`, which
    /// should be a child of [`cancellation`](Self::cancellation). `budget` can only narrow.
    #[must_use]
    pub fn part(&self, path: &[String], cancel: CancellationToken, budget: Budget) -> Self {
        self.part_of(PartOptions { path: path.to_vec(), cancel, budget, spent: Spent::default(), within: None })
    }

    /// As [`part`](Self::part), with all that can be said of a part.
    #[must_use]
    pub fn part_of(&self, options: PartOptions) -> Self {
        let above = &*self.inner;
        let PartOptions { path, cancel, budget, spent, within } = options;
        let scope = Scope {
            runtime: above.runtime.clone(),
            run: above.run,
            mode: above.mode,
            sandbox: above.sandbox,
            dry_run: above.dry_run,
            tools: above.tools.clone(),
            filter: above.filter.clone(),
            approver: Arc::clone(&above.approver),
            budget: budget.within(&above.budget),
            grants: Arc::clone(&above.grants),
            emitter: above.emitter.below(&path),
            ledger: Arc::new(Ledger::part(&above.ledger, budget, spent)),
            cancel,
            log: above.log.clone(),
            owner: Arc::clone(&above.owner),
            within: match within {
                Some(name) => above.within.iter().cloned().chain([name]).collect(),
                None => Arc::clone(&above.within),
            },
            marks: Arc::clone(&above.marks),
            denied: Arc::clone(&above.denied),
            used: Arc::clone(&above.used),
            nested: AtomicU64::new(0),
        };
        Self { inner: Arc::new(scope) }
    }

    /// Runs an agent as a part of this run: same budget, approver and stream of events, own history. Its events have
    /// `name` at the end of their path. The same name must not be used by two at once.
    ///
    /// # Errors
    /// What made it fail. A limit, a denial and a cancellation are outcomes, not errors.
    pub async fn run_agent(&self, agent: &Agent, name: &str, input: impl Into<Input>) -> Result<Outcome, VictorError> {
        self.run_part(agent, Part::named(name), input).await.into_result()
    }

    /// Tells something at this part's path; waits while the reader is behind.
    pub async fn emit(&self, kind: EventKind) {
        self.inner.emitter.emit(kind).await;
    }

    /// Tells something at `path` below this part's; waits while the reader is behind.
    pub async fn emit_at(&self, path: &[String], kind: EventKind) {
        if path.is_empty() {
            return self.emit(kind).await;
        }
        self.inner.emitter.below(path).emit(kind).await;
    }

    /// The place of the next event.
    #[must_use]
    pub fn next_event(&self) -> u64 {
        self.inner.emitter.next()
    }

    /// The run.
    #[must_use]
    pub fn run_id(&self) -> RunId {
        self.inner.run
    }

    /// The runtime.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.inner.runtime
    }

    /// Who the run belongs to.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.inner.owner
    }

    /// What this part of the run is inside of, by name, from the outside in: of things that could come to run inside of
    /// themselves.
    #[must_use]
    pub fn within(&self) -> &[Arc<str>] {
        &self.inner.within
    }

    /// How far programs may reach.
    #[must_use]
    pub fn sandbox(&self) -> SandboxMode {
        self.inner.sandbox
    }

    /// Whether calls that change something are carried out.
    #[must_use]
    pub fn dry_run(&self) -> DryRun {
        self.inner.dry_run
    }

    /// What its tools and agents may do at most.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.inner.mode
    }

    /// What ends this part when cancelled.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        &self.inner.cancel
    }

    /// What the whole run has used so far.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.inner.ledger.root().spent()
    }

    /// What it may use at most.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.inner.budget
    }

    /// What is left of what this part and all above it may use; of time, all of it.
    #[must_use]
    pub fn left(&self) -> Budget {
        self.inner.ledger.left().within(&Budget { max_time: self.inner.budget.max_time, ..Budget::default() })
    }

    /// The whole run's cost so far, if the price of every call is known.
    #[must_use]
    pub fn cost(&self) -> Option<NanoUsd> {
        self.inner.ledger.root().cost()
    }

    /// What this part of the run has used by itself, and what that cost if the price of every call is known.
    #[must_use]
    pub fn used(&self) -> (Spent, Option<NanoUsd>) {
        (self.inner.ledger.spent(), self.inner.ledger.cost())
    }

    /// The tools that the run has at most.
    #[must_use]
    pub fn tool_set(&self) -> &ToolSet {
        &self.inner.tools
    }

    /// Whether a part of the run may be given this tool: one that the run has; or, where it delegates to those who may do
    /// more, one that it was not told to do without.
    #[must_use]
    pub fn may_hand_on(&self, tool: &str) -> bool {
        let delegates = self.inner.mode == Mode::Delegate && self.inner.filter.allows(tool);
        delegates || self.inner.tools.get(tool).is_some()
    }

    /// The names of the tools that ran, each once.
    #[must_use]
    pub fn tools_used(&self) -> Vec<String> {
        self.inner.used.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The calls that were denied.
    #[must_use]
    pub fn denials(&self) -> Vec<Denial> {
        self.inner.denied.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a hook or an approver has ended the whole run.
    #[must_use]
    pub fn was_aborted(&self) -> bool {
        self.is_aborted()
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.emitter.now()
    }
}

/// A run that is open, but has no tools yet.
struct Opened {
    run: RunId,
    emitter: Emitter,
    cancel: CancellationToken,
    error: ErrorSlot,
}

impl Opened {
    fn new(runtime: &Runtime, options: &ScopeOptions) -> (Self, Run) {
        let run = options.run.unwrap_or_else(|| runtime.run_id());
        let (sender, receiver) = mpsc::channel(QUEUE);
        let cancel = runtime.inner.cancel.child_token();
        let emitter = Emitter::new(run, Arc::clone(&runtime.inner.clock), sender, cancel.clone());
        let emitter = emitter.resumed(run, options.next_event);
        let error = ErrorSlot::default();
        let handle = Run::new(receiver, cancel.clone(), Arc::clone(&error));
        (Self { run, emitter, cancel, error }, handle)
    }

    async fn scope(self, runtime: &Runtime, options: ScopeOptions) -> (RunScope, ScopeEnd) {
        let defaults = &runtime.inner.defaults;
        let mode = options.mode.or(defaults.mode).unwrap_or_default();
        let budget = options.budget.over(&defaults.budget);
        // The most that its agents can name, not what they are offered.
        let all = ["*".to_owned()];
        let scope = Scope {
            runtime: runtime.clone(),
            run: self.run,
            mode,
            sandbox: options.sandbox.or(defaults.sandbox).unwrap_or_default(),
            dry_run: options.dry_run.max(defaults.dry_run),
            tools: create::tools(runtime, &[], Some(options.tools.as_deref().unwrap_or(&all)), mode).await,
            filter: ToolFilter::of(options.tools.as_deref()),
            approver: options.approver.unwrap_or_else(|| Arc::clone(&runtime.inner.approver)),
            budget,
            grants: Arc::default(),
            emitter: self.emitter.clone(),
            // Whether earlier parts had prices is not known any more; what they cost is counted.
            ledger: Arc::new(Ledger::priced(options.spent, budget)),
            cancel: self.cancel,
            log: None,
            owner: options.owner.map_or_else(|| runtime.owner().into(), Arc::from),
            within: options.within.into(),
            marks: Arc::default(),
            denied: Arc::default(),
            used: Arc::default(),
            nested: AtomicU64::new(0),
        };
        (RunScope { inner: Arc::new(scope) }, ScopeEnd { emitter: self.emitter, error: self.error })
    }
}

impl std::fmt::Debug for RunScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunScope").field("run", &self.inner.run).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ScopeEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScopeEnd").finish_non_exhaustive()
    }
}
