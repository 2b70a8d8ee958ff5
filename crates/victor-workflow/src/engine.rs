//! What doors and applications do with workflows: start, look, resume, cancel, list. One value for a runtime.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use victor_core::agent::{RunScope, ScopeOptions, Unanswered};
use victor_core::error::ConfigurationError;
use victor_core::event::EventKind;
use victor_core::id::RunId;
use victor_core::journal::{Journal, JournalClaim, JournalFilter, NewJournal};
use victor_core::permission::DenyUnconfigured;
use victor_core::question::{AskLater, Nobody};
use victor_core::runtime::Runtime;
use victor_core::usage::Spent;

use crate::answers::{Answer, Answers};
use crate::driver::Driver;
use crate::error::WorkflowError;
use crate::live::{Live, LiveRun};
use crate::machine::{Machine, Noted, too_large};
use crate::node::RunContext;
use crate::options::{Checkpoints, Leave, RunOptions, RunState};
use crate::record::{Begun, Entry, Record, Settings};
use crate::registry::WorkflowRegistry;
use crate::run::{Slot, WorkflowRun};
use crate::run_work::RunWork;
use crate::runner::{Runner, Told, told};
use crate::state::{Update, weight};
use crate::work_time::{Patient, WorkTime};
use crate::workflow::Workflow;
use crate::writer::Writer;

/// Answers to a live run that may wait for it.
const ANSWERS: usize = 64;

/// What doors and applications do with the workflows of a runtime. Cloning is cheap.
#[derive(Clone)]
pub struct Workflows {
    pub(crate) runtime: Runtime,
    pub(crate) registry: WorkflowRegistry,
    pub(crate) live: Live,
}

impl Workflows {
    /// The workflows of a runtime: with the [`WorkflowRegistry`] that was put into it, or an empty one.
    #[must_use]
    pub fn of(runtime: &Runtime) -> Self {
        let registry = WorkflowRegistry::clone(&runtime.get_or_insert_with(WorkflowRegistry::new));
        let live = Live::clone(&runtime.get_or_insert_with(Live::default));
        Self { runtime: runtime.clone(), registry, live }
    }

    /// The workflows that have a name.
    #[must_use]
    pub fn registry(&self) -> &WorkflowRegistry {
        &self.registry
    }

    /// Starts a workflow by name. Once this answers, the run is in the journal.
    ///
    /// # Errors
    /// There is no such workflow, the input is no object, or the journal cannot be written.
    pub async fn start_named(
        &self,
        name: &str,
        input: impl Serialize,
        options: RunOptions,
    ) -> Result<WorkflowRun, WorkflowError> {
        let workflow = self.registry.get(name)?.workflow;
        self.start(&workflow, input, options).await
    }

    /// Starts a workflow. Once this answers, the run is in the journal.
    ///
    /// # Errors
    /// The input is no object, a name in the options is unknown, or the journal cannot be written.
    pub async fn start(
        &self,
        workflow: &Workflow,
        input: impl Serialize,
        options: RunOptions,
    ) -> Result<WorkflowRun, WorkflowError> {
        let settings = Settings::of(&self.runtime, &options);
        let launch = self.prepared(workflow, input, options, settings)?;
        self.launch(launch).await
    }

    /// As [`start`](Self::start), in a journal that was begun and has nothing in it.
    pub(crate) async fn start_claimed(
        &self,
        workflow: &Workflow,
        input: impl Serialize,
        options: RunOptions,
        claim: Box<dyn JournalClaim>,
    ) -> Result<WorkflowRun, WorkflowError> {
        let settings = Settings::of(&self.runtime, &options);
        let launch = self.prepared(workflow, input, options, settings)?;
        let (journal, clock) = (Arc::clone(self.runtime.journal()), Arc::clone(self.runtime.clock()));
        let writer = Writer::new(journal, claim, clock, launch.begun.clone(), 0);
        self.go(launch, Some(writer), 0).await
    }

    /// A run that can begin: its input is checked, and its machine made.
    pub(crate) fn prepared<'a>(
        &self,
        workflow: &'a Workflow,
        input: impl Serialize,
        options: RunOptions,
        settings: Settings,
    ) -> Result<Launch<'a>, WorkflowError> {
        let input = workflow.prepare(json(serde_json::to_value(input))?)?;
        check_size(workflow, &input)?;
        check_names(workflow, options.pause_before.iter().chain(&options.pause_after))?;
        let begun = begun(workflow, input, &options, settings);
        let id = options.id.unwrap_or_else(|| RunId(self.runtime.clock().uuid()));
        let now = self.runtime.clock().now();
        let machine = Machine::begin(id, workflow, &begun, now);
        let first = Entry { at: now, what: Record::Begun(Box::new(begun.clone())) };
        let (first, noted, spent, worked) = (Some(first), Vec::new(), Spent::default(), Duration::ZERO);
        Ok(Launch { workflow, machine, begun, first, noted, options, id, spent, worked })
    }

    /// Where a run stands. Nothing is changed by looking: when the time of a question is up, its fallback acts where
    /// [`tend`](Self::tend) works, and else when the run is resumed.
    ///
    /// # Errors
    /// There is no such run; the journal failed.
    pub async fn status(&self, id: RunId) -> Result<RunState, WorkflowError> {
        let info = self.runtime.journal().info(id).await?;
        Ok(self.state_of(&info))
    }

    /// Runs, latest first.
    ///
    /// # Errors
    /// The journal failed.
    pub async fn list(&self, filter: &JournalFilter) -> Result<Vec<RunState>, WorkflowError> {
        let found = self.runtime.journal().list(filter).await?;
        Ok(found.iter().map(|info| self.state_of(info)).collect())
    }

    fn state_of(&self, info: &victor_core::journal::JournalInfo) -> RunState {
        let here = self.live.get(info.id).map(|_| self.runtime.clock().now());
        RunState::of(info, here)
    }

    /// Brings a machine to life: journal, scope, stream of events, and a task that drives it.
    pub(crate) async fn launch(&self, launch: Launch<'_>) -> Result<WorkflowRun, WorkflowError> {
        let writer = self.new_journal(&launch).await?;
        self.go(launch, writer, 0).await
    }

    pub(crate) async fn new_journal(&self, launch: &Launch<'_>) -> Result<Option<Writer>, WorkflowError> {
        if launch.options.checkpoints == Checkpoints::Off {
            return Ok(None);
        }
        let journal = Arc::clone(self.runtime.journal());
        let new = NewJournal {
            id: launch.id,
            name: launch.workflow.name().to_owned(),
            owner: launch.options.owner.clone().unwrap_or_else(|| self.runtime.owner().to_owned()),
            workspace: Some(self.runtime.workspace().root.to_string_lossy().into_owned()),
            at: self.runtime.clock().now(),
        };
        let claim = Journal::create(&*journal, new, self.runtime.holder()).await?;
        let clock = Arc::clone(self.runtime.clock());
        Ok(Some(Writer::new(journal, claim, clock, launch.begun.clone(), 0)))
    }

    /// Drives a machine from now on, as a run of its own.
    pub(crate) async fn go(
        &self,
        launch: Launch<'_>,
        writer: Option<Writer>,
        next_event: u64,
    ) -> Result<WorkflowRun, WorkflowError> {
        if self.runtime.is_closed() {
            return Err(WorkflowError::ShuttingDown);
        }
        let (id, options, settings) = (launch.id, &launch.options, launch.begun.settings.clone());
        let time = WorkTime::new(Arc::clone(self.runtime.clock()), settings.budget.max_time, launch.worked);
        let approver = match (&options.approver, settings.leave) {
            (Some(approver), _) => Arc::clone(approver),
            (None, Leave::Later) => Arc::new(AskLater),
            (None, Leave::Never) => Arc::new(DenyUnconfigured),
            (None, Leave::Now) => Arc::clone(self.runtime.approver()),
        };
        let name = Arc::clone(&launch.workflow.0.name);
        let scope_options = ScopeOptions {
            run: Some(id),
            mode: settings.mode,
            sandbox: settings.sandbox,
            dry_run: settings.dry_run,
            approver: Some(Arc::new(Patient { approver, time: Arc::clone(&time) })),
            budget: settings.budget,
            tools: settings.tools,
            spent: launch.spent,
            next_event,
            owner: options.owner.clone(),
            within: settings.within.iter().map(|name| Arc::from(&**name)).chain([name]).collect(),
        };
        let (scope, events, end) = RunScope::open(&self.runtime, scope_options).await;
        // What is not kept cannot wait.
        let unanswered = if writer.is_some() { Unanswered::Wait } else { Unanswered::Deny };
        let work = self.work(launch, writer, scope, (unanswered, time)).await?;
        let (slot, put_down) = (Slot::default(), Arc::clone(&work.put_down));
        let left = Arc::clone(&slot);
        self.runtime.spawn(async move {
            let (outcome, told, error) = work.drive().await;
            *left.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            end.finish(told, error);
        });
        Ok(WorkflowRun::new(id, events, slot, self.runtime.clone(), put_down))
    }

    /// What drives a machine in `scope`. Once this answers, the run is in the journal.
    pub(crate) async fn work(
        &self,
        launch: Launch<'_>,
        mut writer: Option<Writer>,
        scope: RunScope,
        (unanswered, time): (Unanswered, Arc<WorkTime>),
    ) -> Result<RunWork, WorkflowError> {
        let Launch { workflow, machine, begun, first, noted, options, id, spent: _, worked: _ } = launch;
        let (resumed, is_told) = (first.is_none(), !noted.is_empty());
        if let (Some(writer), Some(first)) = (&mut writer, first) {
            match first.what {
                Record::Snapshot { .. } => writer.push_snapshot(&machine)?,
                _ => writer.push(&first)?,
            }
        }
        let (answers, incoming) = mpsc::channel::<Answer>(ANSWERS);
        let (changed, put_down) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let live = LiveRun { cancel: scope.cancellation().clone(), answers, changed, put_down: Arc::clone(&put_down) };
        let listed = self.live.list(id, live.clone());
        let listed = listed.ok_or_else(|| WorkflowError::State(format!("run {id} works already")))?;
        let interviewer = options.interviewer.unwrap_or_else(|| Arc::new(Nobody));
        let denied = scope.denials().len();
        let (name, session) = (Arc::clone(&workflow.0.name), begun.settings.session);
        let context = RunContext { scope, workflow: name, session, unanswered };
        let incoming = Answers::new(incoming);
        let mut driver = Driver::new(context, workflow.clone(), writer, interviewer, incoming, &live, time);
        let name = workflow.name().to_owned();
        driver.tell(Told { path: Arc::from([]), kind: EventKind::WorkflowStarted { workflow: name, resumed } });
        for note in noted {
            driver.record(&note, &machine)?;
            told(note).into_iter().for_each(|told| driver.tell(told));
        }
        if !resumed {
            // Whoever is told the run's id finds it in the journal.
            driver.settle(&machine).await?;
        } else if is_told {
            // Whoever has answered is told so, and does not answer again.
            driver.keep(&machine).await?;
        }
        let workflows = self.clone();
        Ok(RunWork { workflows, driver, machine, workflow: workflow.clone(), listed, put_down, denied })
    }
}

impl std::fmt::Debug for Workflows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workflows").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// What is needed to drive a run.
pub(crate) struct Launch<'a> {
    pub(crate) workflow: &'a Workflow,
    pub(crate) machine: Machine,
    pub(crate) begun: Begun,
    /// The first record of a new journal; `None` for a run that goes on in its own.
    pub(crate) first: Option<Entry>,
    /// What was just told to a machine that goes on.
    pub(crate) noted: Vec<Noted>,
    pub(crate) options: RunOptions,
    pub(crate) id: RunId,
    pub(crate) spent: Spent,
    /// How long it has worked already.
    pub(crate) worked: Duration,
}

fn begun(workflow: &Workflow, input: Update, options: &RunOptions, settings: Settings) -> Begun {
    Begun {
        workflow: workflow.name().to_owned(),
        hash: workflow.hash().to_owned(),
        prints: workflow.0.prints.clone(),
        input,
        pause_before: options.pause_before.clone(),
        pause_after: options.pause_after.clone(),
        settings,
        keeper: options.keeper,
        file: options.file.clone(),
        from: None,
    }
}

fn json(input: Result<Value, serde_json::Error>) -> Result<Value, ConfigurationError> {
    input.map_err(|e| ConfigurationError::new(format!("the input of the workflow has no JSON form: {e}")))
}

/// What is too large is not even journaled.
fn check_size(workflow: &Workflow, input: &Update) -> Result<(), ConfigurationError> {
    let most = workflow.0.limits.max_state_bytes;
    let size: usize = input.iter().map(|(key, value)| key.len() + weight(value)).sum();
    match size > most {
        true => Err(ConfigurationError::with_code("TOO_LARGE", too_large(size, most).message)),
        false => Ok(()),
    }
}

fn check_names<'a>(workflow: &Workflow, names: impl Iterator<Item = &'a String>) -> Result<(), ConfigurationError> {
    let known = &workflow.0.by_name;
    for name in names {
        if !known.contains_key(name.as_str()) {
            return Err(ConfigurationError::unknown("node", "INVALID_VALUE", name, known.keys().map(|k| &**k)));
        }
    }
    Ok(())
}
