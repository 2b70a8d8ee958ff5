//! How runs go on: after an answer, a pause, a crash, or from an earlier point.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;
use victor_core::error::ConfigurationError;
use victor_core::id::RunId;
use victor_core::journal::{JournalInfo, RunStatus, StoredRecord};
use victor_core::question::Reply;

use crate::answers::{Answer, Taken};
use crate::engine::{Launch, Workflows};
use crate::error::WorkflowError;
use crate::human;
use crate::live::LiveRun;
use crate::machine::{Machine, Noted};
use crate::options::{Changed, Checkpoint, RunOptions};
use crate::record::{Begun, Entry, Record, Settings};
use crate::run::WorkflowRun;
use crate::schedule::OWNER;
use crate::summary::RunSummary;
use crate::workflow::Workflow;
use crate::writer::Writer;

/// Records that are read at once.
const PAGE: usize = 4096;
/// What has become of a resumption.
#[derive(Debug)]
pub enum Resumed {
    /// The run goes on here.
    Run(WorkflowRun),
    /// The run works in this process already, and got the answers.
    Delivered,
}

impl Workflows {
    /// Continues a run by the workflow that is registered under its name: one that waits, with the answers to its
    /// questions (by their ids); one that was paused; one whose process is gone. What it may do is what both its journal
    /// and `options` with the runtime's defaults allow, from now on; a run that works in this process goes on as it is.
    ///
    /// # Errors
    /// There is no such run or workflow; the run has ended or is driven elsewhere; an answer does not fit; the
    /// workflow has changed.
    pub async fn resume(
        &self,
        id: RunId,
        answers: Vec<(String, Value)>,
        options: RunOptions,
    ) -> Result<Resumed, WorkflowError> {
        let info = self.runtime.journal().info(id).await?;
        let workflow = self.workflow_of(&info)?;
        self.resume_with(&workflow, id, answers, options).await
    }

    /// As [`resume`](Self::resume), with a workflow that need not be registered.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub async fn resume_with(
        &self,
        workflow: &Workflow,
        id: RunId,
        answers: Vec<(String, Value)>,
        options: RunOptions,
    ) -> Result<Resumed, WorkflowError> {
        let (given, mut answers) = (!answers.is_empty(), VecDeque::from(answers));
        while let Some(live) = self.live.get(id) {
            if !given {
                return Err(WorkflowError::State(format!("run {id} works already")));
            }
            self.deliver(id, &live, &mut answers).await?;
            if answers.is_empty() {
                return Ok(Resumed::Delivered);
            }
            // It was put down, or has ended, before it took them.
            self.live.gone(id, &live).await;
        }
        let journal = Arc::clone(self.runtime.journal());
        self.check_folder(&journal.info(id).await?)?;
        let claim = journal.claim(id, self.runtime.holder()).await?;
        let info = journal.info(id).await?;
        if info.status.is_final() {
            let text = format!("run {id} has ended as {}; begin another one", info.status.name());
            return Err(WorkflowError::State(text));
        }
        let (mut machine, mut begun) = self.read_back(workflow, &info, options.changed).await?;
        let is_narrowed = self.narrow(&mut begun, &options).await;
        let clock = Arc::clone(self.runtime.clock());
        let mut writer = Writer::new(journal, claim, clock, begun.clone(), info.snapshot);
        if is_narrowed {
            // Whoever goes on with it after this process has to know.
            writer.push_snapshot(&machine)?;
        }
        machine.restart();
        let noted = self.continue_with(&mut machine, answers, info.status)?;
        let summary = RunSummary::read(&info);
        let (spent, next_event) = (summary.spent, summary.next_event);
        let worked = Duration::from_millis(summary.worked_ms);
        let options = RunOptions { owner: options.owner.or(Some(info.owner)), ..options };
        let launch = Launch { workflow, machine, begun, first: None, noted, options, id, spent, worked };
        self.go(launch, Some(writer), next_event).await.map(Resumed::Run)
    }

    /// Holds a run to what is narrower: what it was told before, or what it is told now. Tells whether that is new.
    async fn narrow(&self, begun: &mut Begun, options: &RunOptions) -> bool {
        let now = Settings::of(&self.runtime, options);
        let narrowed = begun.settings.clone().narrowed(&self.runtime, &now).await;
        let is_new = narrowed != begun.settings;
        begun.settings = narrowed;
        is_new
    }

    /// The workflow that a run began with, as it is now. Where a schedule began the run, one that a schedule may run.
    fn workflow_of(&self, info: &JournalInfo) -> Result<Workflow, WorkflowError> {
        if info.owner.starts_with(OWNER) {
            return Ok(self.registry.get_trusted(&info.name)?.workflow);
        }
        let file = RunSummary::read(info).file;
        Ok(self.registry.again(&info.name, file.as_deref())?.workflow)
    }

    /// A run goes on where it was begun: its tools would work on the wrong files elsewhere.
    fn check_folder(&self, info: &JournalInfo) -> Result<(), WorkflowError> {
        if self.is_here(info) {
            return Ok(());
        }
        let folder = info.workspace.as_deref().unwrap_or_default();
        let text = format!("run {} was begun in {folder} and goes on only there: name it with --workspace", info.id);
        Err(WorkflowError::State(text))
    }

    pub(crate) fn is_here(&self, info: &JournalInfo) -> bool {
        info.workspace.as_deref().is_none_or(|folder| *self.runtime.workspace().root.to_string_lossy() == *folder)
    }

    /// Gives the answers to the machine; time and pauses go on.
    fn continue_with(
        &self,
        machine: &mut Machine,
        answers: VecDeque<(String, Value)>,
        status: RunStatus,
    ) -> Result<Vec<Noted>, WorkflowError> {
        let now = self.runtime.clock().now();
        let mut noted = machine.tick(now);
        let any = !answers.is_empty();
        for (question, value) in answers {
            let open: Vec<_> = machine.questions().collect();
            let found = open.iter().find(|(_, q)| q.id == question || question.is_empty() && open.len() == 1);
            let Some((task, _)) = found else { return Err(no_question(&question, machine).into()) };
            let given = machine.replied(*task, Reply::Answer(value), now);
            noted.extend(given.map_err(|e| ConfigurationError::new(e.message))?);
        }
        noted.extend(machine.go_on(now));
        if noted.is_empty() && !any && status == RunStatus::Waiting && machine.is_at_rest() {
            let open: Vec<String> = machine.questions().map(|(_, q)| format!("`{}`: {}", q.id, q.prompt)).collect();
            let text = format!("the run waits for an answer to {}", open.join("; "));
            return Err(ConfigurationError::with_code("MISSING_FIELD", text).into());
        }
        Ok(noted)
    }

    /// Gives answers to a run that works in this process, until it ends. What it took is not in `answers` any more.
    async fn deliver(
        &self,
        id: RunId,
        live: &LiveRun,
        answers: &mut VecDeque<(String, Value)>,
    ) -> Result<(), WorkflowError> {
        let waiting = RunSummary::read(&self.runtime.journal().info(id).await?).waiting;
        for (id, value) in answers.iter_mut() {
            let question = waiting.iter().find(|q| q.id == *id).ok_or_else(|| {
                ConfigurationError::unknown("question", "NOT_FOUND", id, waiting.iter().map(|q| q.id.as_str()))
            })?;
            *value = human::accept(question.kind, &question.options, value)
                .map_err(|e| ConfigurationError::new(e.message))?;
        }
        while let Some((question, value)) = answers.front().cloned() {
            let (taken, told) = oneshot::channel();
            if live.answers.send(Answer { question: question.clone(), value, taken }).await.is_err() {
                return Ok(());
            }
            match told.await {
                Ok(Taken::Yes) => drop(answers.pop_front()),
                Ok(Taken::Late) => {
                    let text = format!("question `{question}` of run {id} is not open any more");
                    return Err(WorkflowError::State(text));
                }
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// The state of a run as its journal says it: that of its own graph.
    ///
    /// # Errors
    /// There is no such run; its journal does not fit the registered workflow.
    pub async fn get_state(&self, id: RunId) -> Result<Value, WorkflowError> {
        let info = self.runtime.journal().info(id).await?;
        let workflow = self.workflow_of(&info)?;
        self.get_state_with(&workflow, id).await
    }

    /// As [`get_state`](Self::get_state), with a workflow that need not be registered.
    ///
    /// # Errors
    /// As [`get_state`](Self::get_state).
    pub async fn get_state_with(&self, workflow: &Workflow, id: RunId) -> Result<Value, WorkflowError> {
        let info = self.runtime.journal().info(id).await?;
        let (machine, _) = self.read_back(workflow, &info, Changed::Accept).await?;
        Ok(Arc::unwrap_or_clone(machine.state()))
    }

    /// The points that a run can be taken up from again, in order.
    ///
    /// # Errors
    /// There is no such run; the journal failed.
    pub async fn history(&self, id: RunId) -> Result<Vec<Checkpoint>, WorkflowError> {
        let records = self.all_records(id, 0).await?;
        let mut points = Vec::with_capacity(records.len());
        for stored in records {
            let entry = entry_of(&stored)?;
            let update = match &entry.what {
                Record::Done { update, .. } if !update.is_empty() => Some(Value::Object(update.clone())),
                _ => None,
            };
            let task = entry.what.task().map(|(_, node)| node.to_string());
            points.push(Checkpoint { seq: stored.seq, at: entry.at, what: stored.kind, task, update });
        }
        Ok(points)
    }

    /// Takes a run up again from a point of its history, as a new run: what was done up to there is not done again.
    ///
    /// # Errors
    /// There is no such run, workflow or point; the workflow has changed.
    pub async fn replay_from(&self, id: RunId, seq: u64, options: RunOptions) -> Result<WorkflowRun, WorkflowError> {
        let info = self.runtime.journal().info(id).await?;
        let workflow = self.workflow_of(&info)?;
        self.replay_from_with(&workflow, id, seq, options).await
    }

    /// As [`replay_from`](Self::replay_from), with a workflow that need not be registered.
    ///
    /// # Errors
    /// As [`replay_from`](Self::replay_from).
    pub async fn replay_from_with(
        &self,
        workflow: &Workflow,
        id: RunId,
        seq: u64,
        options: RunOptions,
    ) -> Result<WorkflowRun, WorkflowError> {
        let mut records = self.all_records(id, 0).await?;
        if seq == 0 || records.last().is_none_or(|last| last.seq < seq) {
            let text = format!("run {id} has no checkpoint {seq}; it has 1 to {}", records.len());
            return Err(ConfigurationError::with_code("NOT_FOUND", text).into());
        }
        records.retain(|r| r.seq <= seq);
        let entries = records.iter().map(entry_of).collect::<Result<Vec<_>, _>>()?;
        let new = options.id.unwrap_or_else(|| RunId(self.runtime.clock().uuid()));
        let (mut machine, mut begun) = Machine::replay(new, workflow, entries)?;
        check_hash(workflow, &begun, id, options.changed)?;
        begun.from = Some((id, seq));
        self.narrow(&mut begun, &options).await;
        machine.restart();
        let spent = victor_core::usage::Spent::default();
        let at = self.runtime.clock().now();
        let snapshot = Record::Snapshot { machine: Box::new(machine.clone()), begun: Box::new(begun.clone()) };
        let first = Some(Entry { at, what: snapshot });
        let (noted, worked) = (Vec::new(), Duration::ZERO);
        self.launch(Launch { workflow, machine, begun, first, noted, options, id: new, spent, worked }).await
    }

    /// Reads a run back from its last snapshot on.
    async fn read_back(
        &self,
        workflow: &Workflow,
        info: &JournalInfo,
        changed: Changed,
    ) -> Result<(Machine, Begun), WorkflowError> {
        let records = self.all_records(info.id, info.snapshot.saturating_sub(1)).await?;
        let entries = records.iter().map(entry_of).collect::<Result<Vec<_>, _>>()?;
        // What the run began with says whether the workflow is still the same; only then its records mean the same.
        if let Some(Record::Begun(begun) | Record::Snapshot { begun, .. }) = entries.first().map(|e| &e.what) {
            check_hash(workflow, begun, info.id, changed)?;
        }
        Machine::replay(info.id, workflow, entries)
    }

    pub(crate) async fn all_records(&self, id: RunId, after: u64) -> Result<Vec<StoredRecord>, WorkflowError> {
        let journal = self.runtime.journal();
        let mut all = Vec::new();
        let mut after = after;
        loop {
            let page = journal.records(id, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = last.seq;
            let full = page.len() == PAGE;
            all.extend(page);
            if !full {
                return Ok(all);
            }
        }
    }
}

impl Resumed {
    /// Lets the run go on by itself.
    pub fn detach(self) {
        if let Self::Run(run) = self {
            run.detach();
        }
    }
}

/// A record as it was written.
pub(crate) fn entry_of(stored: &StoredRecord) -> Result<Entry, WorkflowError> {
    serde_json::from_str(&stored.json).map_err(|e| {
        let text = format!("record {} of the run cannot be read: {e}; a newer version may have written it", stored.seq);
        WorkflowError::Diverged(text)
    })
}

fn no_question(id: &str, machine: &Machine) -> ConfigurationError {
    let open: Vec<String> = machine.questions().map(|(_, q)| q.id).collect();
    if open.is_empty() {
        return ConfigurationError::with_code("CONFLICT", "the run waits for no answer");
    }
    ConfigurationError::unknown("question", "NOT_FOUND", id, open.iter().map(String::as_str))
}

/// Whether the workflow is the one that the run began with; what has changed, if it is not.
fn check_hash(workflow: &Workflow, begun: &Begun, id: RunId, changed: Changed) -> Result<(), WorkflowError> {
    if begun.hash == workflow.hash() || changed == Changed::Accept {
        return Ok(());
    }
    let mut what = Vec::new();
    for (name, print) in &workflow.0.prints {
        match begun.prints.get(name) {
            None => what.push(format!("node `{name}` is new")),
            Some(old) if old != print && name.is_empty() => {
                what.push("its version, entries or limits changed".to_owned())
            }
            Some(old) if old != print => what.push(format!("node `{name}` changed")),
            Some(_) => {}
        }
    }
    let gone = begun.prints.keys().filter(|name| !workflow.0.prints.contains_key(*name));
    what.extend(gone.map(|name| format!("node `{name}` is gone")));
    let mut text = format!("workflow `{}` has changed since run {id} began: ", begun.workflow);
    let _ = write!(text, "{}. ", what.join(", "));
    text.push_str("Use the workflow as it was, start a new run, or accept the change when resuming");
    Err(WorkflowError::Changed(text))
}
