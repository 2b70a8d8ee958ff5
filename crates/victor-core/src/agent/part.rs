//! Runs of agents that are a part of another run: a tool's, a team's, a workflow's.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use futures::FutureExt;

use crate::conversation::Conversation;
use crate::error::VictorError;
use crate::estimate::{message_tokens, text_tokens};
use crate::event::EventKind;
use crate::message::{Input, Message, Role};
use crate::permission::{Answer, ApprovalRequest, Approver, Decision};
use crate::request::OutputSchema;
use crate::tool::{DynTool, ToolSet};
use crate::usage::Budget;

use super::create::check_price;
use super::dispatch::{RunScope, Scope};
use super::driver::Driver;
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
}

/// How a part of a run ended.
#[derive(Clone, Debug)]
pub struct PartEnd {
    /// How; its tokens and tools are its own, its children's among them.
    pub outcome: Outcome,
    /// What failed.
    pub error: Option<VictorError>,
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
                PartEnd { outcome, error: Some(e) }
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
        let message = Message { role: Role::User, content: input.0 };
        let context = text_tokens(&agent.inner.parts.system) + message_tokens(&message);
        let mut conversation = Conversation::default();
        conversation.push(Arc::new(message)).map_err(|e| VictorError::Internal(e.to_string()))?;
        let started = above.emitter.now();
        let setup = Setup {
            run: above.run,
            // What is above is kept by the ledger; time is this part's own, and never more than above.
            budget: Budget { max_time: budget.max_time, ..own },
            window: agent.inner.model.info.context_window,
            fallbacks: u32::try_from(fallbacks.len()).unwrap_or(u32::MAX),
            context,
        };
        let slot = ErrorSlot::default();
        let parts = AgentParts {
            system: Arc::clone(&agent.inner.parts.system),
            params: agent.inner.parts.params.clone(),
            output_schema: part.output_schema.clone().or_else(|| agent.inner.parts.output_schema.clone()),
        };
        let driver = Driver {
            parts: &parts,
            scope: self.of_part(agent, part, own).await,
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
        let error = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(PartEnd { outcome, error })
    }

    async fn of_part(&self, agent: &Agent, part: Part, own: Budget) -> Self {
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
            approver: Arc::new(NoWaiting(Arc::clone(&above.approver))),
            budget: own.within(&above.budget),
            grants: Arc::clone(&above.grants),
            emitter: above.emitter.child(part.name),
            ledger: Arc::new(Ledger::part(&above.ledger, own)),
            cancel: above.cancel.child_token(),
            log: above.log.clone(),
            marks: Arc::clone(&above.marks),
            denied: Arc::default(),
            used: Arc::default(),
            nested: AtomicU64::new(0),
        };
        Self { inner: Arc::new(scope) }
    }
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
