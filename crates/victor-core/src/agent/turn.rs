//! The tool calls of one answer: planned together, asked about in order, run - those that only read at the same
//! time - and answered by one message.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::error::{ToolError, VictorError};
use crate::estimate::message_tokens;
use crate::event::EventKind;
use crate::id::CallId;
use crate::message::{Block, Message, Role, ToolCall, ToolResult};
use crate::permission::{Answer, ApprovalRequest, Decision, GrantScope};
use crate::tool::{Preview, ToolOutput};

use super::dispatch::{Prepared, Ruling, RunScope, capped};
use super::driver::{Driver, in_order};
use super::machine::{Judgement, Reply};

/// The calls of the latest answer, each with how far it has come.
#[derive(Default)]
pub(super) struct Turn {
    calls: Vec<(ToolCall, Slot)>,
    /// How many calls had changed something when these were planned.
    writes: u64,
}

/// How far a call has come.
#[derive(Default)]
enum Slot {
    #[default]
    New,
    Ready(Box<Prepared>),
    Asking(Box<Prepared>, Box<ApprovalRequest>),
    Failed(ToolError),
    Denied(String),
}

/// What a call of the turn has come to.
struct Answered {
    result: ToolResult,
    fatal: Option<ToolError>,
}

impl Turn {
    pub(super) fn new(calls: impl IntoIterator<Item = ToolCall>) -> Self {
        Self { calls: calls.into_iter().map(|call| (call, Slot::New)).collect(), writes: 0 }
    }

    fn slot(&mut self, id: &CallId) -> Option<&mut Slot> {
        self.calls.iter_mut().find(|(call, _)| call.id == *id).map(|(_, slot)| slot)
    }
}

impl Driver<'_> {
    /// Plans and judges all calls of the turn.
    pub(super) async fn plan(&mut self) -> Result<(), VictorError> {
        self.begin().await?;
        let calls: Vec<ToolCall> = self.turn.calls.iter().map(|(call, _)| call.clone()).collect();
        let scope = self.scope.clone();
        let writes = scope.writes();
        let prepared = in_order(calls.iter().map(|call| scope.prepare(call)).collect()).await;
        let mut judgements = Vec::with_capacity(calls.len());
        let mut slots = Vec::with_capacity(calls.len());
        for (call, prepared) in calls.into_iter().zip(prepared) {
            let (slot, judgement) = self.judged(&call, prepared).await;
            judgements.push((call.id.clone(), judgement));
            slots.push((call, slot));
        }
        self.turn = Turn { calls: slots, writes };
        self.machine.planned(judgements).map_err(|e| VictorError::Internal(e.to_string()))
    }

    async fn judged(&mut self, call: &ToolCall, prepared: Result<Prepared, ToolError>) -> (Slot, Judgement) {
        let prepared = match prepared {
            Ok(prepared) => Box::new(prepared),
            Err(ToolError::Denied(reason)) => return (Slot::Denied(reason), Judgement::Denied),
            Err(e) => return (Slot::Failed(e), Judgement::Failed),
        };
        match self.scope.rule(&prepared).await {
            Ruling::Allow => (Slot::Ready(prepared), Judgement::Run),
            Ruling::Deny(reason) => (Slot::Denied(reason), Judgement::Denied),
            Ruling::Abort(reason) => {
                self.scope.note_denial(&call.name, &reason);
                self.scope.abort();
                (Slot::Denied(reason), Judgement::Abort)
            }
            Ruling::Ask(question) => match self.given_answer(&question) {
                None => (Slot::Asking(prepared, question), Judgement::Ask),
                Some(decision) => {
                    self.scope.remember(&question, &decision);
                    self.decided(prepared, decision)
                }
            },
        }
    }

    /// The answer that a resumed run was given to just this question; another question has to be asked again.
    fn given_answer(&mut self, question: &ApprovalRequest) -> Option<Decision> {
        let (asked, decision) = self.answers.remove(&question.call)?;
        asked.is_same(question).then_some(decision)
    }

    fn decided(&self, prepared: Box<Prepared>, decision: Decision) -> (Slot, Judgement) {
        match decision {
            Decision::Allow(_) => (Slot::Ready(prepared), Judgement::Run),
            Decision::Deny { reason } => (Slot::Denied(reason), Judgement::Denied),
            Decision::Abort { reason } => {
                self.scope.note_denial(&prepared.call.name, &reason);
                self.scope.abort();
                (Slot::Denied(reason), Judgement::Abort)
            }
        }
    }

    /// Asks about each of these calls, until one ends the run or waits.
    pub(super) async fn ask(&mut self, calls: Vec<CallId>) -> Result<(), VictorError> {
        let mut granted = false;
        for id in &calls {
            let Some(slot) = self.turn.slot(id) else { continue };
            let Slot::Asking(prepared, question) = std::mem::take(slot) else { continue };
            let answer = match granted && self.scope.is_granted(&prepared).await {
                true => Answer::Decided(Decision::Allow(GrantScope::Once)),
                false => self.scope.ask(&question).await,
            };
            let reply = match answer {
                Answer::Later => {
                    self.wait_for(*question).await;
                    Reply::Later
                }
                Answer::Decided(decision) => {
                    granted |= decision == Decision::Allow(GrantScope::Session);
                    let (slot, judgement) = self.decided(prepared, decision);
                    if let Some(place) = self.turn.slot(id) {
                        *place = slot;
                    }
                    match judgement {
                        Judgement::Run => Reply::Allow,
                        Judgement::Abort => Reply::Abort,
                        Judgement::Ask | Judgement::Denied | Judgement::Failed => Reply::Deny,
                    }
                }
            };
            self.machine.answered(id, reply).map_err(|e| VictorError::Internal(e.to_string()))?;
            if matches!(reply, Reply::Later | Reply::Abort) {
                break;
            }
        }
        Ok(())
    }

    /// Puts the run down with this question and all that are still to be asked.
    async fn wait_for(&mut self, question: ApprovalRequest) {
        self.waiting.push(question);
        for (_, slot) in &self.turn.calls {
            if let Slot::Asking(_, question) = slot {
                self.waiting.push(ApprovalRequest::clone(question));
            }
        }
        for question in self.waiting.iter().skip(1).cloned().collect::<Vec<_>>() {
            self.emit(EventKind::Approval { request: question }).await;
        }
    }

    /// Runs what may run and answers every call of the turn.
    pub(super) async fn run_tools(&mut self) -> Result<(), VictorError> {
        let scope = self.scope.clone();
        let Turn { calls, writes } = std::mem::take(&mut self.turn);
        let mut waiting = calls.into_iter().peekable();
        let (mut results, mut fatal) = (Vec::new(), None);
        while let Some((call, slot)) = waiting.next() {
            let mut group = vec![(call, slot)];
            while group.iter().all(|(_, s)| s.only_reads()) && waiting.peek().is_some_and(|(_, s)| s.only_reads()) {
                group.extend(waiting.next());
            }
            let (dirty, stop) = (scope.writes() != writes, scope.is_aborted() || fatal.is_some());
            let work = group.into_iter().map(|(call, slot)| scope.carry_out(call, slot, dirty, stop)).collect();
            for answered in in_order(work).await {
                fatal = fatal.or(answered.fatal);
                results.push(Block::ToolResult(answered.result));
            }
        }
        let message = Message { role: Role::Tool, content: results };
        self.context += message_tokens(&message);
        self.say(Arc::new(message)).await?;
        self.machine.tools_done(self.context).map_err(|e| VictorError::Internal(e.to_string()))?;
        if scope.is_aborted() {
            self.machine.abort();
        }
        fatal.map_or(Ok(()), |e| Err(e.into()))
    }
}

impl Slot {
    fn only_reads(&self) -> bool {
        matches!(self, Self::Ready(prepared) if prepared.plan.effects.is_read_only())
    }

    fn preview(&self) -> Option<Preview> {
        match self {
            Self::Ready(prepared) => prepared.plan.preview.clone(),
            Self::New | Self::Failed(_) | Self::Denied(_) | Self::Asking(..) => None,
        }
    }
}

impl RunScope {
    /// Answers one call. `dirty` says that a call before it may have changed what this one was planned on.
    async fn carry_out(&self, call: ToolCall, slot: Slot, dirty: bool, stop: bool) -> Answered {
        self.tell_call(&call, slot.preview()).await;
        let begin = self.inner.emitter.now();
        let admitted = match slot {
            _ if stop => Err(ToolError::model("not run: an earlier call of the same answer ended the run")),
            Slot::Ready(prepared) if dirty => self.renewed(*prepared).await,
            Slot::Ready(prepared) => Ok(*prepared),
            Slot::Failed(_) if dirty => self.again(&call).await,
            Slot::Failed(e) => Err(e),
            Slot::Denied(reason) => Err(ToolError::Denied(reason)),
            Slot::New | Slot::Asking(..) => Err(ToolError::Denied("it was not judged".to_owned())),
        };
        let result = match admitted {
            Ok(prepared) => {
                self.note_use(&call.name);
                self.run(prepared).await
            }
            Err(e) => Err(e),
        };
        let took = self.inner.emitter.now().since(begin);
        self.answer(call, result, u64::try_from(took.as_millis()).unwrap_or(u64::MAX)).await
    }

    /// A new plan, since the world has changed. What it asks for beyond the old one is judged again.
    async fn renewed(&self, prepared: Prepared) -> Result<Prepared, ToolError> {
        let renewed = self.prepare(&prepared.call).await?;
        if prepared.covers(&renewed) {
            return Ok(renewed);
        }
        self.admitted(renewed).await
    }

    /// What could not be planned before the world changed may be possible now.
    async fn again(&self, call: &ToolCall) -> Result<Prepared, ToolError> {
        let prepared = self.prepare(call).await?;
        self.admitted(prepared).await
    }

    async fn answer(&self, call: ToolCall, result: Result<ToolOutput, ToolError>, duration_ms: u64) -> Answered {
        let (output, denied, fatal) = match result {
            Ok(output) => (output, false, None),
            Err(e) => {
                let denied = matches!(e, ToolError::Denied(_));
                if let ToolError::Denied(reason) = &e {
                    self.note_denial(&call.name, reason);
                }
                let fatal = matches!(e, ToolError::Fatal(_)).then(|| e.clone());
                (capped(ToolOutput::text(e.to_string()).failed()), denied, fatal)
            }
        };
        self.tell_result(&call, &output, denied, duration_ms).await;
        let result = ToolResult {
            call: call.id,
            provider_id: call.provider_id,
            name: call.name,
            content: output.content,
            is_error: output.is_error,
        };
        Answered { result, fatal }
    }

    async fn tell_call(&self, call: &ToolCall, preview: Option<Preview>) {
        let (id, tool, arguments) = (call.id.clone(), call.name.clone(), call.arguments.clone());
        self.publish("tool.execution", || json!({ "id": id, "tool": tool, "arguments": arguments }));
        self.inner.emitter.emit(EventKind::ToolCall { id, tool, arguments, preview }).await;
    }

    async fn tell_result(&self, call: &ToolCall, output: &ToolOutput, denied: bool, duration_ms: u64) {
        let success = !output.is_error;
        tracing::info!(run = %self.inner.run, tool = call.name, success, denied, ms = duration_ms, "tool call");
        if !success {
            let text = crate::message::text_of(&output.content);
            self.publish("tool.error", || json!({ "id": call.id, "tool": call.name, "error": text }));
        }
        let kind = EventKind::ToolResult {
            id: call.id.clone(),
            tool: call.name.clone(),
            success,
            output: output.content.clone(),
            structured: output.structured.clone(),
            duration_ms,
            denied,
        };
        self.inner.emitter.emit(kind).await;
    }

    fn publish(&self, topic: &'static str, data: impl FnOnce() -> Value) {
        let scope = &self.inner;
        scope.runtime.events().publish(topic, scope.run, scope.emitter.now(), data);
    }
}
