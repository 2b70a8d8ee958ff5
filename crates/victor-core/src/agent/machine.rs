//! The loop's rules: what comes next, given what happened. No I/O, no clock, no random, no messages; it can be
//! written down after any step and read back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ProviderErrorKind;
use crate::id::{CallId, RunId, Timestamp};
use crate::provider::StopReason;
use crate::usage::{Budget, Limit, Spent};

/// Tries of one model call after the first.
const RETRIES: u32 = 4;
/// Longest wait that a provider may ask for before another model is tried instead.
const LONGEST_WAIT: Duration = Duration::from_mins(2);
/// Turns in a row in which every call was denied, until the run ends as denied.
const DENIED_TURNS: u32 = 3;
/// Compactions without an answer between them.
const COMPACTIONS: u32 = 2;
/// Answers in a row that a provider may break off to be called again.
const PAUSES: u32 = 16;

/// What the driver has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Call the model; then [`Machine::model_done`] or [`Machine::model_failed`].
    CallModel {
        /// Which turn this is, counted from 1.
        turn: u32,
    },
    /// Plan and judge these calls; then [`Machine::planned`].
    Plan(Vec<CallId>),
    /// Ask about these calls; then [`Machine::answered`] for each.
    Ask(Vec<CallId>),
    /// Run these calls, then append one result for every call of the turn; then [`Machine::tools_done`].
    Run(Vec<CallId>),
    /// Make the conversation shorter; then [`Machine::compacted`] or [`Machine::compaction_failed`].
    Compact,
    /// The run is over: close what is open, save and tell.
    Done(End),
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The model was done.
    Completed,
    /// A limit was reached.
    Limit(Limit),
    /// It could not be done because something was denied.
    Denied,
    /// It was cancelled.
    Cancelled,
    /// The driver failed or the model's call did, for good.
    Failed,
    /// The model refused and said nothing.
    Refused,
    /// It waits for answers.
    Waiting,
}

/// What the machine is told of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The tool calls in it, in order.
    pub calls: Vec<CallId>,
    /// Why it ended.
    pub stop: StopReason,
    /// Whether it holds text.
    pub has_text: bool,
    /// Tokens of the whole conversation with this answer.
    pub context: u64,
}

/// What the pipeline said of a planned call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// It may run.
    Run,
    /// Somebody has to say yes.
    Ask,
    /// It may not run.
    Denied,
    /// It could not be planned; the model is told why.
    Failed,
    /// A hook ends the run.
    Abort,
}

/// What was answered to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It may run.
    Allow,
    /// It may not run.
    Deny,
    /// It may not run, and the run ends.
    Abort,
    /// It will be answered later.
    Later,
}

/// What to do about a failed model call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Wait, then follow [`Machine::next`].
    Retry {
        /// How long.
        after: Duration,
        /// Which try failed, counted from 1.
        attempt: u32,
    },
    /// Go on with the next model, then follow [`Machine::next`].
    Fallback,
    /// The conversation is too long: follow [`Machine::next`], which compacts it.
    Compact,
    /// It cannot be helped: follow [`Machine::next`], which ends the run.
    Fail,
}

/// An input that does not fit the step that the machine is at: a defect of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` came while the machine was at `{phase}`")]
pub struct OutOfTurn {
    input: &'static str,
    phase: &'static str,
}

/// The rules of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    run: RunId,
    started: Timestamp,
    #[serde(default)]
    worked: Duration,
    budget: Budget,
    window: Option<u64>,
    fallbacks: u32,
    turn: u32,
    attempt: u32,
    context: u64,
    compactions: u32,
    denied_turns: u32,
    pauses: u32,
    denied_any: bool,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Ready,
    Calling,
    Planning(Vec<CallId>),
    Asking { calls: Vec<(CallId, Judgement)> },
    Running { calls: Vec<(CallId, Judgement)> },
    Compacting,
    Done(End),
}

impl Phase {
    fn name(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Calling => "calling",
            Self::Planning(_) => "planning",
            Self::Asking { .. } => "asking",
            Self::Running { .. } => "running",
            Self::Compacting => "compacting",
            Self::Done(_) => "done",
        }
    }
}

/// What a machine is made of.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The run.
    pub run: RunId,
    /// What it may use at most.
    pub budget: Budget,
    /// The model's context window in tokens, where it is known.
    pub window: Option<u32>,
    /// How many further models can be tried.
    pub fallbacks: u32,
    /// Tokens of the conversation so far, estimated.
    pub context: u64,
}

impl Machine {
    /// A run that begins now, with the user's message already in the conversation.
    #[must_use]
    pub fn new(setup: Setup, now: Timestamp) -> Self {
        Self {
            run: setup.run,
            started: now,
            worked: Duration::ZERO,
            budget: setup.budget,
            window: setup.window.map(u64::from),
            fallbacks: setup.fallbacks,
            turn: 0,
            attempt: 0,
            context: setup.context,
            compactions: 0,
            denied_turns: 0,
            pauses: 0,
            denied_any: false,
            phase: Phase::Ready,
        }
    }

    /// What comes next. `spent` is what the whole run has used, its children's part included. Asking again without an
    /// input gives the same step.
    pub fn next(&mut self, spent: &Spent, now: Timestamp) -> Step {
        if matches!(self.phase, Phase::Ready) {
            self.phase = match self.reached(spent, now) {
                Some(limit) => Phase::Done(End::Limit(limit)),
                None if self.is_too_long() => Phase::Compacting,
                None => Phase::Calling,
            };
        }
        match &self.phase {
            Phase::Ready | Phase::Calling => Step::CallModel { turn: self.turn + 1 },
            Phase::Planning(calls) => Step::Plan(calls.clone()),
            Phase::Asking { calls } => Step::Ask(with(calls, Judgement::Ask)),
            Phase::Running { calls } => Step::Run(with(calls, Judgement::Run)),
            Phase::Compacting => Step::Compact,
            Phase::Done(end) => Step::Done(end.clone()),
        }
    }

    /// The model answered.
    ///
    /// # Errors
    /// No answer was due.
    pub fn model_done(&mut self, answer: Answered) -> Result<(), OutOfTurn> {
        let Phase::Calling = self.phase else { return self.refuse("model_done") };
        self.turn += 1;
        self.attempt = 0;
        self.compactions = 0;
        self.context = answer.context;
        if !answer.calls.is_empty() {
            self.pauses = 0;
            self.phase = Phase::Planning(answer.calls);
            return Ok(());
        }
        self.phase = match answer.stop {
            StopReason::Pause if self.pauses < PAUSES => {
                self.pauses += 1;
                Phase::Ready
            }
            StopReason::MaxTokens => Phase::Done(End::Limit(Limit::Output)),
            StopReason::Refusal if !answer.has_text => Phase::Done(End::Refused),
            _ if self.denied_any && !answer.has_text => Phase::Done(End::Denied),
            StopReason::EndTurn
            | StopReason::ToolUse
            | StopReason::StopSequence
            | StopReason::Refusal
            | StopReason::Pause
            | StopReason::Other(_) => Phase::Done(End::Completed),
        };
        Ok(())
    }

    /// The model's call failed. `retry_after` is what the provider asked for.
    pub fn model_failed(&mut self, kind: ProviderErrorKind, retry_after: Option<Duration>) -> Recovery {
        let Phase::Calling = self.phase else { return Recovery::Fail };
        if kind == ProviderErrorKind::ContextLength && self.compactions < COMPACTIONS {
            self.phase = Phase::Compacting;
            return Recovery::Compact;
        }
        let patient = retry_after.is_none_or(|after| after <= LONGEST_WAIT);
        if kind.is_retryable() && self.attempt < RETRIES && patient {
            self.attempt += 1;
            self.phase = Phase::Ready;
            let after = retry_after.unwrap_or_else(|| backoff(self.run, self.turn, self.attempt));
            return Recovery::Retry { after, attempt: self.attempt };
        }
        if self.fallbacks > 0 && kind != ProviderErrorKind::InvalidRequest {
            self.fallbacks -= 1;
            self.attempt = 0;
            self.phase = Phase::Ready;
            return Recovery::Fallback;
        }
        self.phase = match kind {
            ProviderErrorKind::ContextLength => Phase::Done(End::Limit(Limit::Context)),
            _ => Phase::Done(End::Failed),
        };
        Recovery::Fail
    }

    /// Another model answers from now on, with this context window.
    pub fn switched(&mut self, window: Option<u32>) {
        self.window = window.map(u64::from);
    }

    /// All calls of the turn were planned and judged, in order.
    ///
    /// # Errors
    /// No plan was due.
    pub fn planned(&mut self, calls: Vec<(CallId, Judgement)>) -> Result<(), OutOfTurn> {
        let Phase::Planning(_) = self.phase else { return self.refuse("planned") };
        self.judged(calls);
        Ok(())
    }

    /// A question was answered.
    ///
    /// # Errors
    /// It was not asked.
    pub fn answered(&mut self, call: &CallId, reply: Reply) -> Result<(), OutOfTurn> {
        let Phase::Asking { calls } = &mut self.phase else { return self.refuse("answered") };
        let asked = calls.iter_mut().find(|(id, judgement)| id == call && *judgement == Judgement::Ask);
        let Some((_, judgement)) = asked else { return self.refuse("answered") };
        *judgement = match reply {
            Reply::Allow => Judgement::Run,
            Reply::Deny => Judgement::Denied,
            Reply::Abort => Judgement::Abort,
            Reply::Later => {
                self.phase = Phase::Done(End::Waiting);
                return Ok(());
            }
        };
        let calls = std::mem::take(calls);
        self.judged(calls);
        Ok(())
    }

    /// A waiting run is put down: the time that it waits does not count, the time that it has worked does.
    pub fn pause(&mut self, now: Timestamp) {
        if self.phase == Phase::Done(End::Waiting) {
            self.worked = self.worked.saturating_add(now.since(self.started));
            self.started = now;
        }
    }

    /// A waiting run goes on: its calls are planned and judged again, since the world may have changed.
    pub fn resume(&mut self, calls: Vec<CallId>, now: Timestamp) {
        if self.phase == Phase::Done(End::Waiting) {
            self.started = now;
            self.phase = Phase::Planning(calls);
        }
    }

    /// Every call of the turn has its result in the conversation. `context` is the conversation's size in tokens.
    ///
    /// # Errors
    /// Nothing was running.
    pub fn tools_done(&mut self, context: u64) -> Result<(), OutOfTurn> {
        let Phase::Running { calls } = &self.phase else { return self.refuse("tools_done") };
        let denied = calls.iter().any(|(_, j)| *j == Judgement::Denied);
        let all_denied = denied && calls.iter().all(|(_, j)| *j == Judgement::Denied);
        self.denied_any |= denied;
        self.denied_turns = if all_denied { self.denied_turns + 1 } else { 0 };
        self.context = context;
        self.phase = if self.denied_turns >= DENIED_TURNS { Phase::Done(End::Denied) } else { Phase::Ready };
        Ok(())
    }

    /// The conversation was made shorter, from `before` to `after` tokens. Without real progress the run ends, so that
    /// it never compacts for ever.
    ///
    /// # Errors
    /// No compaction was due.
    pub fn compacted(&mut self, before: u64, after: u64) -> Result<(), OutOfTurn> {
        let Phase::Compacting = self.phase else { return self.refuse("compacted") };
        self.compactions += 1;
        self.context = after;
        let progress = after <= before - before / 10;
        let enough = !self.is_too_long() && self.compactions <= COMPACTIONS;
        self.phase = if progress && enough { Phase::Ready } else { Phase::Done(End::Limit(Limit::Context)) };
        Ok(())
    }

    /// The conversation could not be made shorter.
    pub fn compaction_failed(&mut self) {
        if self.phase == Phase::Compacting {
            self.phase = Phase::Done(End::Limit(Limit::Context));
        }
    }

    /// A completed run goes on: the driver had something to say to the answer.
    pub fn go_on(&mut self) {
        if self.phase == Phase::Done(End::Completed) {
            self.phase = Phase::Ready;
        }
    }

    /// A hook ends the run after a call; its results are in the conversation.
    pub fn abort(&mut self) {
        self.finish(End::Denied);
    }

    /// The run is cancelled.
    pub fn cancel(&mut self) {
        self.finish(End::Cancelled);
    }

    /// A limit of the whole run is reached, of which this is a part.
    pub fn reach(&mut self, limit: Limit) {
        self.finish(End::Limit(limit));
    }

    /// The run's time is up.
    pub fn expire(&mut self) {
        self.finish(End::Limit(Limit::Time));
    }

    /// The driver cannot go on.
    pub fn fail(&mut self) {
        self.finish(End::Failed);
    }

    /// Model calls that answered.
    #[must_use]
    pub fn turns(&self) -> u32 {
        self.turn
    }

    /// When the run began, or was last resumed.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// The time that is left; `None` for any.
    #[must_use]
    pub fn time_left(&self, now: Timestamp) -> Option<Duration> {
        let worked = self.worked.saturating_add(now.since(self.started));
        self.budget.max_time.map(|max| max.saturating_sub(worked))
    }

    fn judged(&mut self, calls: Vec<(CallId, Judgement)>) {
        let has = |wanted| calls.iter().any(|(_, j)| *j == wanted);
        self.phase = if has(Judgement::Abort) {
            Phase::Done(End::Denied)
        } else if has(Judgement::Ask) {
            Phase::Asking { calls }
        } else {
            Phase::Running { calls }
        };
    }

    fn reached(&self, spent: &Spent, now: Timestamp) -> Option<Limit> {
        let budget = &self.budget;
        if budget.max_turns.is_some_and(|max| self.turn.max(spent.turns) >= max) {
            return Some(Limit::Turns);
        }
        if budget.max_tokens.is_some_and(|max| spent.usage.total() >= max) {
            return Some(Limit::Tokens);
        }
        if budget.max_cost.is_some_and(|max| spent.cost >= max) {
            return Some(Limit::Cost);
        }
        self.time_left(now).is_some_and(|left| left.is_zero()).then_some(Limit::Time)
    }

    /// Four fifths of the window: the rest is for the answer and for the error of the estimate.
    fn is_too_long(&self) -> bool {
        self.window.is_some_and(|window| self.context > window / 5 * 4)
    }

    fn finish(&mut self, end: End) {
        if !matches!(self.phase, Phase::Done(_)) {
            self.phase = Phase::Done(end);
        }
    }

    fn refuse(&self, input: &'static str) -> Result<(), OutOfTurn> {
        Err(OutOfTurn { input, phase: self.phase.name() })
    }
}

fn with(calls: &[(CallId, Judgement)], wanted: Judgement) -> Vec<CallId> {
    calls.iter().filter(|(_, j)| *j == wanted).map(|(id, _)| id.clone()).collect()
}

/// Half a second, doubled with each try, up to 30 s; up to a quarter more by a hash of run, turn and try, so that many
/// runs do not come back at once and one run always waits the same.
fn backoff(run: RunId, turn: u32, attempt: u32) -> Duration {
    let base = Duration::from_millis(500).saturating_mul(1 << (attempt - 1).min(6)).min(Duration::from_secs(30));
    let seed = run.0.as_u128() ^ (u128::from(turn) << 32) ^ u128::from(attempt);
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 64;
    let part = u32::try_from(mixed % 250).unwrap_or(0);
    base + base * part / 1000
}
