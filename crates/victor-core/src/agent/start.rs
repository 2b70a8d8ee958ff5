//! How runs begin: a chat's own, and those of an agent that another one uses as a tool.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::conversation::Conversation;
use crate::error::{ConfigurationError, VictorError};
use crate::estimate::{message_tokens, text_tokens};
use crate::event::{Event, EventKind};
use crate::id::{CallId, RunId, SessionId, Timestamp};
use crate::message::{Input, Message, Role};
use crate::permission::{Answer, ApprovalRequest, Approver, Decision};
use crate::provider::Model;
use crate::runtime::Runtime;
use crate::session::Entry;
use crate::usage::{Budget, Spent};

use super::Agent;
use super::chat::{Begin, ChatState};
use super::create::check_price;
use super::dispatch::{RunScope, Scope};
use super::driver::Driver;
use super::emit::Emitter;
use super::ledger::Ledger;
use super::machine::{Machine, Setup};
use super::outcome::{Failure, Outcome, Status, Suspended};
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
        let outcome = Outcome {
            run_id: self.run,
            session_id: None,
            status: Status::Failed,
            text: String::new(),
            structured: None,
            provider: agent.inner.model.info.provider.clone(),
            model: agent.inner.model.info.id.clone(),
            usage: crate::usage::Usage::default(),
            cost: None,
            turns: 0,
            tools_used: Vec::new(),
            denied: Vec::new(),
            limit: None,
            error: Some(Failure::from(&e)),
            waiting: Vec::new(),
            duration_ms: u64::try_from(self.emitter.now().since(self.begun).as_millis()).unwrap_or(u64::MAX),
        };
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
async fn fallbacks(agent: &Agent, budget: &Budget, cancel: &CancellationToken) -> VecDeque<Model> {
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
        approver: agent.approver(),
        budget: agent.inner.budget,
        grants: Arc::clone(&state.grants),
        emitter: out.emitter.clone(),
        ledger: Arc::new(Ledger::resumed(spent, agent.inner.model.info.price.as_ref())),
        cancel: out.cancel.clone(),
        log: state.log.as_ref().map(Arc::downgrade),
        marks: Arc::default(),
        denied: Arc::default(),
        used: Arc::default(),
        nested: AtomicU64::new(0),
    };
    RunScope { inner: Arc::new(scope) }
}

/// A part of a run cannot be put down by itself: what cannot be answered now is denied.
struct NoWaiting(Arc<dyn Approver>);

#[async_trait]
impl Approver for NoWaiting {
    async fn ask(&self, request: &ApprovalRequest) -> Answer {
        match self.0.ask(request).await {
            Answer::Later => {
                let reason = "an agent that works for another one cannot wait for an answer".to_owned();
                Answer::Decided(Decision::Deny { reason })
            }
            decided @ Answer::Decided(_) => decided,
        }
    }
}

/// Runs an agent as a part of another run: same budget, approver, cancellation and stream of events, own history.
pub(super) async fn run_child(
    agent: &Agent,
    parent: &RunScope,
    call: &CallId,
    input: Input,
) -> Result<Outcome, VictorError> {
    let above = &parent.inner;
    let budget = agent.inner.budget.beyond(&above.ledger.spent()).within(&above.budget);
    if budget.max_cost.is_some() {
        check_price(&agent.inner.model)?;
    }
    let emitter = above.emitter.child(call.as_str());
    let scope = Scope {
        runtime: above.runtime.clone(),
        run: above.run,
        mode: agent.inner.mode,
        sandbox: above.sandbox.max(agent.inner.sandbox),
        dry_run: above.dry_run.max(agent.inner.spec.dry_run),
        tools: above.cancel.run_until_cancelled(agent.tools()).await.unwrap_or_default(),
        approver: Arc::new(NoWaiting(Arc::clone(&above.approver))),
        budget,
        grants: Arc::clone(&above.grants),
        emitter: emitter.clone(),
        ledger: Arc::clone(&above.ledger),
        cancel: above.cancel.child_token(),
        log: above.log.clone(),
        marks: Arc::clone(&above.marks),
        denied: Arc::default(),
        used: Arc::default(),
        nested: AtomicU64::new(0),
    };
    let fallbacks = fallbacks(agent, &budget, &above.cancel).await;
    let message = Message { role: Role::User, content: input.0 };
    let context = text_tokens(&agent.inner.parts.system) + message_tokens(&message);
    let mut conversation = Conversation::default();
    conversation.push(Arc::new(message)).map_err(|e| VictorError::Internal(e.to_string()))?;
    let started = above.emitter.now();
    let setup = Setup {
        run: above.run,
        budget,
        window: agent.inner.model.info.context_window,
        fallbacks: u32::try_from(fallbacks.len()).unwrap_or(u32::MAX),
        context,
    };
    let slot = ErrorSlot::default();
    let driver = Driver {
        parts: &agent.inner.parts,
        scope: RunScope { inner: Arc::new(scope) },
        conversation: &mut conversation,
        log: None,
        session: None,
        machine: Machine::new(setup, started),
        model: agent.inner.model.clone(),
        fallbacks,
        begin: Vec::new(),
        begun: false,
        answers: std::collections::HashMap::new(),
        waiting: Vec::new(),
        suspended: None,
        turn: Turn::default(),
        error: None,
        structured: None,
        revisions: 0,
        started,
        context,
        slot: Arc::clone(&slot),
    };
    let outcome = driver.drive().await.outcome;
    for denial in &outcome.denied {
        parent.note_denial(&denial.tool, &denial.reason);
    }
    for tool in &outcome.tools_used {
        parent.note_use(tool);
    }
    emitter.emit(EventKind::Finished { outcome: Box::new(outcome.clone()) }).await;
    match slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(e) => Err(e),
        None => Ok(outcome),
    }
}
