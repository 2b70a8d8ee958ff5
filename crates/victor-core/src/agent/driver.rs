//! Drives one run: does what the machine says, with real providers, tools and stores, and tells of it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use serde_json::json;

use crate::assemble::Completion;
use crate::compact::{CompactRequest, Compaction, Compactor};
use crate::conversation::Conversation;
use crate::error::{ConfigurationError, ProviderError, ProviderErrorKind, SessionError, VictorError};
use crate::estimate::{message_tokens, text_tokens};
use crate::event::EventKind;
use crate::id::{CallId, SessionId, Timestamp};
use crate::message::{Message, Role};
use crate::permission::{ApprovalRequest, Decision};
use crate::provider::Model;
use crate::request::{CallCx, OutputSchema, Request, ToolChoice};
use crate::session::Entry;
use crate::usage::{Limit, Usage};

use super::AgentParts;
use super::chat::Compacted;
use super::dispatch::RunScope;
use super::log::SessionLog;
use super::machine::{Answered, End, Machine, Recovery, Step};
use super::outcome::{Failure, Outcome, Status, Suspended};
use super::run::ErrorSlot;
use super::turn::Turn;

/// How often an answer that does not fit the output schema is sent back.
const REVISIONS: u32 = 2;

/// One run under way.
pub(super) struct Driver<'a> {
    pub(super) parts: &'a AgentParts,
    pub(super) scope: RunScope,
    pub(super) conversation: &'a mut Conversation,
    pub(super) log: Option<Arc<SessionLog>>,
    pub(super) session: Option<SessionId>,
    pub(super) machine: Machine,
    pub(super) model: Model,
    pub(super) fallbacks: VecDeque<Model>,
    pub(super) begin: Vec<Entry>,
    pub(super) begun: bool,
    pub(super) answers: HashMap<CallId, (ApprovalRequest, Decision)>,
    pub(super) waiting: Vec<ApprovalRequest>,
    pub(super) suspended: Option<Suspended>,
    pub(super) turn: Turn,
    pub(super) error: Option<VictorError>,
    pub(super) structured: Option<serde_json::Value>,
    pub(super) revisions: u32,
    pub(super) started: Timestamp,
    pub(super) context: u64,
    pub(super) slot: ErrorSlot,
}

/// What is left of a run.
pub(super) struct Driven {
    pub(super) outcome: Outcome,
    pub(super) context: u64,
    pub(super) suspended: Option<Suspended>,
}

impl Driver<'_> {
    /// Runs to the end, up to the last event, which the caller sends when it has put everything away.
    pub(super) async fn drive(mut self) -> Driven {
        loop {
            let step = self.machine.next(&self.scope.inner.ledger.spent(), self.now());
            if let Step::Done(end) = step {
                if self.revise(&end).await {
                    continue;
                }
                return self.finish(end).await;
            }
            let left = self.machine.time_left(self.now());
            let cancel = self.scope.inner.cancel.clone();
            let mut expired = false;
            let done = {
                let work = self.step(step);
                tokio::pin!(work);
                tokio::select! {
                    biased;
                    done = &mut work => done,
                    () = after(left) => {
                        expired = true;
                        cancel.cancel();
                        work.await
                    }
                }
            };
            if let Err(e) = done {
                self.fail(e);
            } else if expired {
                self.machine.expire();
            } else if cancel.is_cancelled() {
                self.machine.cancel();
            }
        }
    }

    async fn step(&mut self, step: Step) -> Result<(), VictorError> {
        match step {
            Step::CallModel { turn } => self.call_model(turn).await,
            Step::Plan(_) => self.plan().await,
            Step::Ask(calls) => self.ask(calls).await,
            Step::Run(_) => self.run_tools().await,
            Step::Compact => self.compact().await,
            Step::Done(_) => Ok(()),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.scope.inner.emitter.now()
    }

    pub(super) async fn emit(&self, kind: EventKind) {
        self.scope.inner.emitter.emit(kind).await;
    }

    pub(super) async fn append(&self, entries: Vec<Entry>) -> Result<(), SessionError> {
        match &self.log {
            Some(log) => log.append(entries).await,
            None => Ok(()),
        }
    }

    fn fail(&mut self, e: VictorError) {
        self.error.get_or_insert(e);
        self.machine.fail();
    }

    /// The first entries are committed, then the first event leaves.
    pub(super) async fn begin(&mut self) -> Result<(), VictorError> {
        if self.begun {
            return Ok(());
        }
        let entries = std::mem::take(&mut self.begin);
        if !entries.is_empty() {
            self.append(entries).await?;
        }
        self.begun = true;
        let (provider, model) = (self.model.info.provider.clone(), self.model.info.id.clone());
        self.publish("agent.start", || json!({ "provider": provider, "model": model }));
        self.emit(EventKind::Started { session_id: self.session.clone(), provider, model }).await;
        Ok(())
    }

    pub(super) fn publish(&self, topic: &'static str, data: impl FnOnce() -> serde_json::Value) {
        let scope = &self.scope.inner;
        scope.runtime.events().publish(topic, scope.run, self.now(), data);
    }

    /// Sends the request while the user's message is being committed; no event leaves before that is done.
    async fn call_model(&mut self, turn: u32) -> Result<(), VictorError> {
        let room = self.scope.inner.ledger.begin_call(&self.model, self.context);
        let Ok(room) = room.map_err(|limit| self.machine.reach(limit)) else { return Ok(()) };
        let (request, cx, model, scope) = (self.request(), self.call_cx(), self.model.clone(), self.scope.clone());
        let (provider, name) = (&model.info.provider, &model.info.id);
        self.publish("provider.request", || json!({ "provider": provider, "model": name, "turn": turn }));
        let connect = async {
            tokio::select! {
                biased;
                () = cx.cancel.cancelled() => Ok(Err(cancelled(&model))),
                chunks = model.provider.stream(&request, &cx) => Ok(chunks),
            }
        };
        let begin = async {
            self.begin().await?;
            self.emit(EventKind::TurnStarted { turn }).await;
            Ok::<_, VictorError>(())
        };
        let (chunks, ()) = tokio::try_join!(connect, begin)?;
        let answer = match chunks {
            Ok(chunks) => super::model_call::take_in(&model, chunks, &scope, self.conversation.next_call()).await,
            Err(e) => Err(e),
        };
        drop(request);
        match answer.inspect(|completion| room.answered(&model, completion.usage)) {
            Ok(completion) => self.take_answer(completion).await,
            Err(_) if scope.inner.cancel.is_cancelled() => Ok(()),
            Err(e) => self.recover(e).await,
        }
    }

    fn request(&self) -> Request {
        Request {
            model: Arc::from(self.model.info.id.as_str()),
            system: Arc::clone(&self.parts.system),
            messages: self.conversation.history(),
            tools: match self.model.info.features.tool_calling {
                true => self.scope.inner.tools.specs(),
                false => Arc::from([]),
            },
            tool_choice: ToolChoice::Auto,
            params: self.parts.params.clone(),
            output_schema: self.parts.output_schema.clone(),
        }
    }

    fn call_cx(&self) -> CallCx {
        let scope = &self.scope.inner;
        CallCx { cancel: scope.cancel.child_token(), idle_timeout: scope.runtime.inner.idle_timeout }
    }

    async fn take_answer(&mut self, completion: Completion) -> Result<(), VictorError> {
        let usage = completion.usage;
        self.publish("provider.response", || json!({ "usage": usage, "stop": completion.stop }));
        let message = Arc::new(completion.message);
        self.context = if usage.input > 0 { usage.total() } else { self.context + message_tokens(&message) };
        let calls: Vec<_> = message.tool_calls().cloned().collect();
        let answered = Answered {
            calls: calls.iter().map(|c| c.id.clone()).collect(),
            stop: completion.stop,
            has_text: !message.text().trim().is_empty(),
            context: self.context,
        };
        if !message.content.is_empty() {
            self.say(message).await?;
        }
        self.turn = Turn::new(calls);
        let whole = self.scope.inner.ledger.root();
        let (run, cost) = (whole.spent().usage, whole.cost());
        self.emit(EventKind::Usage { turn: usage, run, cost }).await;
        self.machine.model_done(answered).map_err(|e| VictorError::Internal(e.to_string()))
    }

    /// Adds a message to the conversation: to the log, to memory, to whoever listens, in this order.
    pub(super) async fn say(&mut self, message: Arc<Message>) -> Result<(), VictorError> {
        self.append(vec![Entry::Message { message: Arc::clone(&message) }]).await?;
        self.conversation.push(Arc::clone(&message)).map_err(|e| VictorError::Internal(e.to_string()))?;
        if message.role != Role::Tool {
            self.emit(EventKind::Message { message: Message::clone(&message) }).await;
        }
        Ok(())
    }

    async fn recover(&mut self, e: ProviderError) -> Result<(), VictorError> {
        self.publish("provider.error", || json!({ "kind": e.kind, "message": e.message }));
        match self.machine.model_failed(e.kind, e.retry_after) {
            Recovery::Retry { after, attempt } => {
                let delay_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                self.emit(EventKind::Retrying { attempt, delay_ms, error: e, fallback: None }).await;
                tokio::select! {
                    () = self.scope.inner.cancel.cancelled() => {}
                    () = tokio::time::sleep(after) => {}
                }
            }
            Recovery::Fallback => {
                if let Some(next) = self.fallbacks.pop_front() {
                    self.model = next;
                }
                self.machine.switched(self.model.info.context_window);
                let fallback = Some(format!("{:?}", self.model));
                self.emit(EventKind::Retrying { attempt: 1, delay_ms: 0, error: e, fallback }).await;
            }
            Recovery::Compact => {}
            Recovery::Fail => {
                self.error.get_or_insert(e.into());
            }
        }
        Ok(())
    }

    async fn compact(&mut self) -> Result<(), VictorError> {
        self.begin().await?;
        let compactor = Arc::clone(&self.scope.inner.runtime.inner.compactor);
        let (cx, log) = (self.call_cx(), self.log.as_deref());
        let (usage, gained) = compact(compactor.as_ref(), &self.model, self.conversation, log, cx).await?;
        self.scope.inner.ledger.book(&self.model, usage);
        match gained {
            Some(Compacted { before, after }) => {
                self.context = after + text_tokens(&self.parts.system);
                self.emit(EventKind::Compacted { before, after }).await;
                self.machine.compacted(before, after).map_err(|e| VictorError::Internal(e.to_string()))
            }
            None if self.scope.inner.cancel.is_cancelled() => Ok(()),
            None => {
                self.machine.compaction_failed();
                Ok(())
            }
        }
    }

    /// Holds a finished answer against the output schema; tells whether the model has to answer once more.
    async fn revise(&mut self, end: &End) -> bool {
        let Some(schema) = self.parts.output_schema.clone() else { return false };
        if *end != End::Completed || self.error.is_some() {
            return false;
        }
        match fits(&schema, &last_text(self.conversation)) {
            Ok(value) => {
                self.structured = Some(value);
                false
            }
            Err(wrong) if self.revisions < REVISIONS => {
                self.revisions += 1;
                let text = format!("Your answer does not fit the schema: {wrong}. Answer again, with the JSON alone.");
                let message = Arc::new(Message::user(text));
                if let Err(e) = self.say(message).await {
                    self.error = Some(e);
                    return false;
                }
                self.machine.go_on();
                true
            }
            Err(wrong) => {
                let text = format!("the model's answer does not fit the output schema: {wrong}");
                self.error = Some(ConfigurationError::with_code("PROVIDER_ERROR", text).into());
                false
            }
        }
    }

    /// Closes what is open, saves how it ended and tells it.
    async fn finish(mut self, mut end: End) -> Driven {
        if let Err(e) = self.begin().await {
            self.error.get_or_insert(e);
        }
        if self.error.is_some() {
            end = End::Failed;
        }
        let put_away = match end {
            End::Waiting => self.suspend().await,
            _ => self.close(&end).await,
        };
        if let Err(e) = put_away {
            self.error.get_or_insert(e);
            end = End::Failed;
        }
        if end == End::Failed && self.error.is_none() {
            self.error = Some(VictorError::Internal("the run failed without a reason".to_owned()));
        }
        let mut outcome = self.outcome(&end);
        let saved = self.append(vec![Entry::RunEnded { outcome: Box::new(outcome.clone()) }]).await;
        if let Err(e) = saved {
            let e = self.error.get_or_insert(e.into());
            outcome.status = Status::Failed;
            outcome.error = Some(Failure::from(&*e));
        }
        self.told(&outcome);
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = self.error.take();
        Driven { outcome, context: self.context, suspended: self.suspended }
    }

    fn told(&self, outcome: &Outcome) {
        let status = outcome.status.name();
        tracing::info!(
            run = %outcome.run_id, status, turns = outcome.turns, input = outcome.usage.input,
            output = outcome.usage.output, ms = outcome.duration_ms, "run ended"
        );
        match &outcome.error {
            Some(error) => self.publish("agent.error", || json!({ "code": error.code, "message": error.message })),
            None => self.publish("agent.complete", || json!({ "status": status, "usage": outcome.usage })),
        }
    }

    /// Gives every open call its result, so that the conversation can go on.
    async fn close(&mut self, end: &End) -> Result<(), VictorError> {
        let reason = match end {
            End::Cancelled => "cancelled by the user before it was done",
            End::Denied => "not run: the run was ended because something was denied",
            End::Limit(Limit::Time) => "cut short: the run's time was up",
            End::Completed | End::Limit(_) | End::Failed | End::Refused | End::Waiting => "not run: the run ended",
        };
        match self.conversation.close_open(reason) {
            Some(message) => self.say(Arc::new(message)).await,
            None => Ok(()),
        }
    }

    async fn suspend(&mut self) -> Result<(), VictorError> {
        self.machine.pause(self.now());
        let scope = &self.scope.inner;
        let suspended = Suspended {
            run_id: scope.run,
            machine: self.machine.clone(),
            questions: self.waiting.clone(),
            spent: scope.ledger.spent(),
            // The last event of this part is still to come.
            next_event: scope.emitter.next() + 1,
        };
        self.append(vec![Entry::Waiting { suspended: Box::new(suspended.clone()) }]).await?;
        self.suspended = Some(suspended);
        Ok(())
    }

    fn outcome(&mut self, end: &End) -> Outcome {
        let scope = &self.scope.inner;
        let (status, limit) = match end {
            End::Completed => (Status::Completed, None),
            End::Limit(limit) => (Status::Limit, Some(*limit)),
            End::Denied => (Status::Denied, None),
            End::Cancelled => (Status::Cancelled, None),
            End::Failed => (Status::Failed, None),
            End::Refused => (Status::Denied, None),
            End::Waiting => (Status::Waiting, None),
        };
        if *end == End::Refused {
            self.scope.note_denial("model", "the model or its provider refused to answer");
        }
        Outcome {
            run_id: scope.run,
            session_id: self.session.clone(),
            status,
            text: self.answer_text(),
            structured: self.structured.take(),
            provider: self.model.info.provider.clone(),
            model: self.model.info.id.clone(),
            usage: scope.ledger.spent().usage,
            cost: scope.ledger.cost(),
            turns: self.machine.turns(),
            tools_used: scope.used.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            denied: scope.denied.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            limit,
            error: (status == Status::Failed).then(|| self.error.as_ref().map(Failure::from)).flatten(),
            waiting: std::mem::take(&mut self.waiting),
            duration_ms: u64::try_from(self.now().since(self.started).as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The last thing that the model said in this run.
    fn answer_text(&self) -> String {
        if self.machine.turns() == 0 { String::new() } else { last_text(self.conversation) }
    }
}

/// The text of the last assistant message since the user last spoke.
fn last_text(conversation: &Conversation) -> String {
    let said = conversation.messages().iter().rev().take_while(|m| m.role != Role::User);
    said.filter(|m| m.role == Role::Assistant).map(|m| m.text()).find(|t| !t.is_empty()).unwrap_or_default()
}

/// Makes a conversation shorter, in the log too. Tells what that used, and what it brought: `None` where nothing could
/// be gained, or it was cancelled.
pub(super) async fn compact(
    compactor: &dyn Compactor,
    model: &Model,
    conversation: &mut Conversation,
    log: Option<&SessionLog>,
    cx: CallCx,
) -> Result<(Usage, Option<Compacted>), VictorError> {
    let weight = |c: &Conversation| c.messages().iter().map(|m| message_tokens(m)).sum::<u64>();
    let before = weight(conversation);
    let cancel = cx.cancel.clone();
    let request = CompactRequest { conversation, model, cx };
    let making = std::panic::AssertUnwindSafe(compactor.compact(request)).catch_unwind();
    let Some(Ok(made)) = cancel.run_until_cancelled(making).await else { return Ok((Usage::default(), None)) };
    let Compaction { summary, keep_from, usage } = made;
    if cancel.is_cancelled() {
        return Ok((usage, None));
    }
    let mut shorter = conversation.clone();
    shorter.compact(summary.clone(), keep_from);
    let after = weight(&shorter);
    if after >= before {
        return Ok((usage, None));
    }
    if let Some(log) = log {
        log.append(vec![Entry::Compaction { summary, keep_from }]).await?;
    }
    *conversation = shorter;
    Ok((usage, Some(Compacted { before, after })))
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

fn cancelled(model: &Model) -> ProviderError {
    ProviderError::new(ProviderErrorKind::Truncated, model.provider.name(), "cancelled")
}

/// The JSON of an answer, with or without a code fence around it, if it fits.
fn fits(schema: &OutputSchema, text: &str) -> Result<serde_json::Value, String> {
    let text = text.trim();
    let fenced = text.strip_prefix("```json").or(text.strip_prefix("```")).and_then(|t| t.strip_suffix("```"));
    let value = serde_json::from_str(fenced.unwrap_or(text)).map_err(|e| format!("it is no JSON ({e})"))?;
    let validator = jsonschema::validator_for(&schema.schema).map_err(|e| format!("the schema is broken: {e}"))?;
    let wrong: Vec<_> = validator.iter_errors(&value).take(5).map(|e| e.to_string()).collect();
    if wrong.is_empty() { Ok(value) } else { Err(wrong.join("; ")) }
}

/// Runs calls that only read at the same time, everything else alone and in order.
pub(super) async fn in_order<F: Future<Output = T>, T>(group: Vec<F>) -> Vec<T> {
    futures::stream::iter(group).buffered(PARALLEL).collect().await
}

/// Calls that run at the same time at most.
const PARALLEL: usize = 8;
