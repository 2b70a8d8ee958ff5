//! How the runs of a chat begin.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::{ConfigurationError, VictorError};
use crate::estimate::message_tokens;
use crate::event::{Event, EventKind};
use crate::id::{CallId, RunId, SessionId, Timestamp};
use crate::message::{Input, Message, Role};
use crate::permission::{ApprovalRequest, Decision};
use crate::provider::Model;
use crate::runtime::Runtime;
use crate::session::Entry;
use crate::usage::{Budget, Spent};

use super::Agent;
use super::chat::{Begin, ChatState};
use super::dispatch::{RunScope, Scope};
use super::driver::Driver;
use super::emit::Emitter;
use super::filter::ToolFilter;
use super::ledger::Ledger;
use super::machine::{Machine, Setup};
use super::outcome::{Outcome, Suspended};
use super::run::ErrorSlot;
use super::turn::Turn;

/// The way out of a root run.
pub(super) struct Outlet {
    run: RunId,
    begun: Timestamp,
    emitter: Emitter,
    pub(super) cancel: CancellationToken,
    pub(super) error: ErrorSlot,
}

impl Outlet {
    pub(super) fn new(runtime: &Runtime, events: mpsc::Sender<Event>) -> Self {
        let (run, cancel) = (runtime.run_id(), runtime.inner.cancel.child_token());
        let clock = Arc::clone(&runtime.inner.clock);
        let begun = clock.now();
        let emitter = Emitter::new(run, clock, events, cancel.clone());
        Self { run, begun, emitter, cancel, error: Arc::default() }
    }

    /// Tells the end. Nothing of the run is held any more when it is told.
    pub(super) fn finish(&self, outcome: Outcome) {
        self.emitter.finish(EventKind::Finished { outcome: Box::new(outcome) });
    }

    /// Ends a run that could not begin, or that crashed.
    pub(super) fn refuse(&self, agent: &Agent, e: VictorError) {
        let took = self.emitter.now().since(self.begun);
        let outcome = Outcome::refused(self.run, Some(&agent.inner.model), &e, took);
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
        self.finish(outcome);
    }
}

/// Runs one turn of a chat to its end.
pub(super) async fn converse(
    agent: &Agent,
    session: &SessionId,
    state: &mut ChatState,
    begin: Begin,
    out: &mut Outlet,
) -> Result<Outcome, VictorError> {
    let fallbacks = fallbacks(agent, &agent.inner.budget, &out.cancel).await;
    let (setup, resumed) = match begin {
        Begin::Say(input) => (say(agent, state, input, out, fallbacks.len()).await?, None),
        Begin::Resume(answers) => {
            let none = || ConfigurationError::with_code("CONFLICT", "no run of this conversation waits for an answer");
            let suspended = state.suspended.clone().ok_or_else(none)?;
            out.run = suspended.run_id;
            out.emitter = out.emitter.resumed(suspended.run_id, suspended.next_event);
            (resume(state, &suspended, out)?, Some((suspended, answers)))
        }
    };
    let (machine, begin, turn) = setup;
    let spent = resumed.as_ref().map(|(suspended, _)| suspended.spent).unwrap_or_default();
    let scope = scope(agent, out, state, spent).await;
    let driver = Driver {
        parts: &agent.inner.parts,
        scope,
        conversation: &mut state.conversation,
        log: state.log.clone(),
        session: state.log.is_some().then(|| session.clone()),
        machine,
        model: agent.inner.model.clone(),
        fallbacks,
        begin,
        begun: false,
        answers: resumed.into_iter().flat_map(|(suspended, answers)| matched(suspended, answers)).collect(),
        waiting: Vec::new(),
        suspended: None,
        turn,
        error: None,
        structured: None,
        revisions: 0,
        started: out.begun,
        context: state.context,
        slot: Arc::clone(&out.error),
    };
    let driven = driver.drive().await;
    state.context = driven.context;
    state.suspended = driven.suspended;
    // Where the log refused something, memory follows the log.
    let error = out.error.lock().unwrap_or_else(PoisonError::into_inner);
    state.loaded = !matches!(*error, Some(VictorError::Session(_)));
    Ok(driven.outcome)
}

/// The models to try after the agent's own; under a cost limit only those whose price is known.
pub(super) async fn fallbacks(agent: &Agent, budget: &Budget, cancel: &CancellationToken) -> VecDeque<Model> {
    let mut models = cancel.run_until_cancelled(agent.fallbacks()).await.unwrap_or_default();
    models.retain(|model| budget.max_cost.is_none() || model.info.price.is_some());
    models
}

type Begun = (Machine, Vec<Entry>, Turn);

/// The user says something: what was still open is closed first.
async fn say(
    agent: &Agent,
    state: &mut ChatState,
    input: Input,
    out: &Outlet,
    fallbacks: usize,
) -> Result<Begun, VictorError> {
    if input.is_blank() {
        return Err(ConfigurationError::with_code("MISSING_FIELD", "there is no task: say what is to be done").into());
    }
    let mut begin = vec![Entry::RunStarted { run_id: out.run }];
    state.suspended = None;
    let closing = state.conversation.close_open("not run: the question was not answered").map(Arc::new);
    let message = Arc::new(Message { role: Role::User, content: input.0 });
    for message in closing.into_iter().chain([message]) {
        state.context += message_tokens(&message);
        begin.push(Entry::Message { message: Arc::clone(&message) });
        state.conversation.push(message).map_err(|e| VictorError::Internal(e.to_string()))?;
    }
    let setup = Setup {
        run: out.run,
        budget: agent.inner.budget,
        window: agent.inner.model.info.context_window,
        fallbacks: u32::try_from(fallbacks).unwrap_or(u32::MAX),
        context: state.context,
    };
    Ok((Machine::new(setup, out.begun), begin, Turn::default()))
}

/// A waiting run goes on where it was put down.
fn resume(state: &ChatState, suspended: &Suspended, out: &Outlet) -> Result<Begun, VictorError> {
    let calls = state.conversation.open_calls();
    let mut machine = suspended.machine.clone();
    machine.resume(calls.iter().map(|c| c.id.clone()).collect(), out.begun);
    if calls.is_empty() {
        return Err(VictorError::Internal("a waiting run without open calls".to_owned()));
    }
    // In the log it waits no more: after a crash its calls count as cut short and are not made twice.
    let begin = vec![Entry::RunStarted { run_id: suspended.run_id }];
    Ok((machine, begin, Turn::new(calls.iter().cloned())))
}

fn matched(
    suspended: Suspended,
    answers: Vec<(CallId, Decision)>,
) -> impl Iterator<Item = (CallId, (ApprovalRequest, Decision))> {
    answers.into_iter().filter_map(move |(call, decision)| {
        let question = suspended.questions.iter().find(|q| q.call == call)?;
        Some((call, (question.clone(), decision)))
    })
}

async fn scope(agent: &Agent, out: &Outlet, state: &ChatState, spent: Spent) -> RunScope {
    let scope = Scope {
        runtime: agent.inner.runtime.clone(),
        run: out.run,
        mode: agent.inner.mode,
        sandbox: agent.inner.sandbox,
        dry_run: agent.inner.spec.dry_run,
        tools: out.cancel.run_until_cancelled(agent.tools()).await.unwrap_or_default(),
        filter: ToolFilter::of(agent.inner.spec.tools.as_deref()),
        approver: agent.approver(),
        budget: agent.inner.budget,
        grants: Arc::clone(&state.grants),
        emitter: out.emitter.clone(),
        ledger: Arc::new(Ledger::resumed(spent, agent.inner.model.info.price.as_ref(), agent.inner.budget)),
        cancel: out.cancel.clone(),
        log: state.log.as_ref().map(Arc::downgrade),
        owner: agent.owner().into(),
        within: Arc::from([]),
        marks: Arc::default(),
        denied: Arc::default(),
        used: Arc::default(),
        nested: AtomicU64::new(0),
    };
    RunScope { inner: Arc::new(scope) }
}
