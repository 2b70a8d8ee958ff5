//! Runs of agents that are a part of another run: a tool's, a team's, a workflow's.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError};

use futures::FutureExt;

use crate::conversation::Conversation;
use crate::error::VictorError;
use crate::estimate::{message_tokens, text_tokens};
use crate::event::EventKind;
use crate::id::{CallId, Timestamp};
use crate::message::{Input, Message, Role};
use crate::permission::{ApprovalRequest, Decision};
use crate::request::OutputSchema;
use crate::tool::{DynTool, ToolSet};
use crate::usage::{Budget, Spent};

use super::create::check_price;
use super::dispatch::{RunScope, Scope};
use super::driver::{Driven, Driver};
use super::later::{NoWaiting, PutDown, TakenUp, Unanswered};
use super::ledger::Ledger;
use super::machine::{Machine, Setup};
use super::outcome::Outcome;
use super::run::ErrorSlot;
use super::start::fallbacks;
use super::turn::Turn;
use super::{Agent, AgentParts};

/// What an agent gets as a part of another run, beside what it is made of.
#[derive(Clone, Default)]
pub struct Part {
    /// What stands at the end of its events' path. Two at once must not have the same.
    pub name: String,
    /// Further tools, whatever its own filter of tools says; its mode still holds.
    pub tools: Vec<Arc<dyn DynTool>>,
    /// The form of its answer, in place of its own.
    pub output_schema: Option<Arc<OutputSchema>>,
    /// Its share of what is left; can only narrow.
    pub budget: Budget,
    /// What becomes of it when a question cannot be answered now.
    pub unanswered: Unanswered,
    /// Where it was put down before, and what was decided since; its input is not read then.
    pub taken_up: Option<Box<TakenUp>>,
}

/// How a part of a run ended.
#[derive(Clone, Debug)]
pub struct PartEnd {
    /// How; its tokens and tools are its own, its children's among them.
    pub outcome: Outcome,
    /// What failed.
    pub error: Option<VictorError>,
    /// Where it was put down, if its status is `waiting`.
    pub put_down: Option<Box<PutDown>>,
}

impl Part {
    /// A part of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

impl PartEnd {
    /// The outcome, if it did not fail.
    ///
    /// # Errors
    /// What failed.
    pub fn into_result(self) -> Result<Outcome, VictorError> {
        match self.error {
            Some(e) => Err(e),
            None => Ok(self.outcome),
        }
    }
}

impl RunScope {
    /// Runs an agent as a part of this run: same budget, approver, cancellation and stream of events, own history. A
    /// crash of its provider is a failure of this part alone.
    pub async fn run_part(&self, agent: &Agent, part: Part, input: impl Into<Input>) -> PartEnd {
        let begun = self.inner.emitter.now();
        let emitter = self.inner.emitter.child(&part.name);
        let work = std::panic::AssertUnwindSafe(Box::pin(self.drive_part(agent, part, input.into()))).catch_unwind();
        let crashed = || Err(VictorError::Internal("the agent crashed; this is a defect of its provider".to_owned()));
        let end = match work.await.unwrap_or_else(|_| crashed()) {
            Ok(end) => end,
            Err(e) => {
                let took = self.inner.emitter.now().since(begun);
                let outcome = Outcome::refused(self.inner.run, Some(&agent.inner.model), &e, took);
                PartEnd { outcome, error: Some(e), put_down: None }
            }
        };
        for denial in &end.outcome.denied {
            self.note_denial(&denial.tool, &denial.reason);
        }
        for tool in &end.outcome.tools_used {
            self.note_use(tool);
        }
        emitter.emit(EventKind::Finished { outcome: Box::new(end.outcome.clone()) }).await;
        end
    }

    async fn drive_part(&self, agent: &Agent, part: Part, input: Input) -> Result<PartEnd, VictorError> {
        let above = &self.inner;
        let own = part.budget.within(&agent.inner.budget);
        let budget = own.within(&above.budget);
        if budget.max_cost.is_some() {
            check_price(&agent.inner.model)?;
        }
        let fallbacks = fallbacks(agent, &budget, &above.cancel).await;
        let started = above.emitter.now();
        let setup = Setup {
            run: above.run,
            // What is above is kept by the ledger; time is this part's own, and never more than above.
            budget: Budget { max_time: budget.max_time, ..own },
            window: agent.inner.model.info.context_window,
            fallbacks: u32::try_from(fallbacks.len()).unwrap_or(u32::MAX),
            context: 0,
        };
        let mut part = part;
        let Begin { mut conversation, machine, turn, context, spent, answers } = match part.taken_up.take() {
            None => Begin::anew(agent, input, setup, started)?,
            Some(taken_up) => Begin::again(*taken_up, started)?,
        };
        let slot = ErrorSlot::default();
        let parts = AgentParts {
            system: Arc::clone(&agent.inner.parts.system),
            params: agent.inner.parts.params.clone(),
            output_schema: part.output_schema.clone().or_else(|| agent.inner.parts.output_schema.clone()),
        };
        let driver = Driver {
            parts: &parts,
            scope: self.of_part(agent, part, own, spent).await,
            conversation: &mut conversation,
            log: None,
            session: None,
            machine,
            model: agent.inner.model.clone(),
            fallbacks,
            begin: Vec::new(),
            begun: false,
            answers,
            waiting: Vec::new(),
            suspended: None,
            turn,
            error: None,
            structured: None,
            revisions: 0,
            started,
            context,
            slot: Arc::clone(&slot),
        };
        let Driven { outcome, context, suspended } = driver.drive().await;
        let put_down = suspended.map(|suspended| Box::new(PutDown { suspended, conversation, context }));
        let error = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(PartEnd { outcome, error, put_down })
    }

    async fn of_part(&self, agent: &Agent, part: Part, own: Budget, spent: Spent) -> Self {
        let above = &self.inner;
        let tools = above.cancel.run_until_cancelled(agent.tools()).await.unwrap_or_default();
        let further = part.tools.into_iter().filter(|t| agent.inner.mode.permits(t.spec().effects));
        let scope = Scope {
            runtime: above.runtime.clone(),
            run: above.run,
            mode: agent.inner.mode,
            sandbox: above.sandbox.max(agent.inner.sandbox),
            dry_run: above.dry_run.max(agent.inner.spec.dry_run),
            tools: ToolSet::new(tools.tools().iter().cloned().chain(further)),
            filter: above.filter.and(agent.inner.spec.tools.as_deref()),
            approver: match part.unanswered {
                Unanswered::Wait => Arc::clone(&above.approver),
                Unanswered::Deny => Arc::new(NoWaiting(Arc::clone(&above.approver))),
            },
            budget: own.within(&above.budget),
            grants: Arc::clone(&above.grants),
            emitter: above.emitter.child(part.name),
            ledger: Arc::new(Ledger::part(&above.ledger, own, spent)),
            cancel: above.cancel.child_token(),
            log: above.log.clone(),
            owner: Arc::clone(&above.owner),
            within: Arc::clone(&above.within),
            marks: Arc::clone(&above.marks),
            denied: Arc::default(),
            used: Arc::default(),
            nested: AtomicU64::new(0),
        };
        Self { inner: Arc::new(scope) }
    }
}

/// What a part's driver begins with.
struct Begin {
    conversation: Conversation,
    machine: Machine,
    turn: Turn,
    context: u64,
    spent: Spent,
    answers: HashMap<CallId, (ApprovalRequest, Decision)>,
}

impl Begin {
    fn anew(agent: &Agent, input: Input, setup: Setup, now: Timestamp) -> Result<Self, VictorError> {
        let message = Message { role: Role::User, content: input.0 };
        let context = text_tokens(&agent.inner.parts.system) + message_tokens(&message);
        let mut conversation = Conversation::default();
        conversation.push(Arc::new(message)).map_err(|e| VictorError::Internal(e.to_string()))?;
        let machine = Machine::new(Setup { context, ..setup }, now);
        let (turn, spent, answers) = (Turn::default(), Spent::default(), HashMap::new());
        Ok(Self { conversation, machine, turn, context, spent, answers })
    }

    /// Where it was put down: its open calls are planned and judged again.
    fn again(taken_up: TakenUp, now: Timestamp) -> Result<Self, VictorError> {
        let TakenUp { put_down: PutDown { suspended, conversation, context }, decided } = taken_up;
        let calls = conversation.open_calls().to_vec();
        if calls.is_empty() {
            return Err(VictorError::Internal("a waiting agent without open calls".to_owned()));
        }
        let mut machine = suspended.machine;
        machine.resume(calls.iter().map(|c| c.id.clone()).collect(), now);
        let answers = decided.into_iter().map(|(asked, said)| (asked.call.clone(), (asked, said))).collect();
        Ok(Self { conversation, machine, turn: Turn::new(calls), context, spent: suspended.spent, answers })
    }
}
