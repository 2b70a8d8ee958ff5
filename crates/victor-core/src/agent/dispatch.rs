//! From a tool call to its result: look up, validate, plan, judge, ask, save, run. The only maker of permits.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::compact::middle_cut;
use crate::error::{ToolError, nearest};
use crate::event::EventKind;
use crate::hook::{AfterTool, BeforeTool, PlannedCall};
use crate::id::{CallId, RunId};
use crate::message::{Block, ToolCall};
use crate::permission::{Answer, ApprovalRequest, Approver, Decision, GrantScope, Grants, Mode, Verdict, judge};
use crate::runtime::Runtime;
use crate::sandbox::{Network, Sandbox, SandboxMode};
use crate::session::{Entry, SavedFile};
use crate::tool::{CallDoor, Callee, DynTool, Effects, FileChange, Permit, Plan, Preview, ToolCx, ToolOutput, ToolSet};
use crate::usage::Budget;

use super::emit::Emitter;
use super::filter::ToolFilter;
use super::later::cannot_wait;
use super::ledger::Ledger;
use super::log::SessionLog;
use super::outcome::Denial;
use super::spec::DryRun;

/// Bytes of text of one result that a model gets to see; tools with more to say cut their output themselves.
const LONGEST_RESULT: usize = 256 * 1024;
/// How long a cancelled call may take to clean up.
const SETTLE: Duration = Duration::from_secs(2);

/// What the calls of one run share. Cloning is cheap.
#[derive(Clone)]
pub struct RunScope {
    pub(crate) inner: Arc<Scope>,
}

pub(crate) struct Scope {
    pub(crate) runtime: Runtime,
    pub(crate) run: RunId,
    pub(crate) mode: Mode,
    pub(crate) sandbox: SandboxMode,
    pub(crate) dry_run: DryRun,
    pub(crate) tools: ToolSet,
    /// What it keeps to, also what its mode does not let it do itself.
    pub(crate) filter: ToolFilter,
    pub(crate) approver: Arc<dyn Approver>,
    pub(crate) budget: Budget,
    pub(crate) grants: Arc<Mutex<Grants>>,
    pub(crate) emitter: Emitter,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) cancel: CancellationToken,
    // Weak: a tool that keeps its context must not keep the session.
    pub(crate) log: Option<Weak<SessionLog>>,
    pub(crate) owner: Arc<str>,
    pub(crate) within: Arc<[Arc<str>]>,
    pub(crate) marks: Arc<Marks>,
    pub(crate) denied: Arc<Mutex<Vec<Denial>>>,
    pub(crate) used: Arc<Mutex<Vec<String>>>,
    pub(crate) nested: AtomicU64,
}

impl Scope {
    /// How far commands reach.
    fn reach(&self) -> SandboxMode {
        self.mode.sandbox(self.sandbox)
    }
}

/// What the calls of a root run and of its children have done to all of them.
#[derive(Default)]
pub(crate) struct Marks {
    aborted: AtomicBool,
    writes: AtomicU64,
}

/// A call that was looked up and planned.
pub(crate) struct Prepared {
    pub(crate) call: ToolCall,
    tool: Arc<dyn DynTool>,
    pub(crate) plan: Plan,
    cx: ToolCx,
}

/// What is to happen with a planned call, after mode, rules and hooks.
pub(crate) enum Ruling {
    Allow,
    Ask(Box<ApprovalRequest>),
    Deny(String),
    Abort(String),
}

/// What a call that was judged on the spot has come to.
pub(crate) enum Admission {
    /// It may run.
    Granted(Box<Prepared>),
    /// It will be answered later.
    Asks(Box<ApprovalRequest>),
}

impl RunScope {
    /// Looks the tool up, checks the arguments and plans.
    pub(crate) async fn prepare(&self, call: &ToolCall) -> Result<Prepared, ToolError> {
        let tool = self.inner.tools.get(&call.name).ok_or_else(|| self.unknown(&call.name))?;
        self.prepare_tool(tool, call).await
    }

    async fn prepare_tool(&self, tool: &Arc<dyn DynTool>, call: &ToolCall) -> Result<Prepared, ToolError> {
        if let Some(text) = &call.malformed {
            return Err(ToolError::Model(format!(
                "the arguments of `{}` are not a JSON object; call it again with one. They were: {}",
                call.name,
                middle_cut(text, 500)
            )));
        }
        tool.spec().validate(&call.arguments)?;
        let cx = self.cx(call.id.clone());
        let planning = AssertUnwindSafe(tool.plan(call.arguments.clone(), &cx)).catch_unwind();
        let planned = self.unless_cancelled(planning).await;
        let plan = planned.ok_or_else(cancelled)?.unwrap_or_else(|_| Err(panicked(&call.name)))?;
        Ok(Prepared { call: call.clone(), tool: Arc::clone(tool), plan, cx })
    }

    /// What mode, rules and hooks say of it.
    pub(crate) async fn rule(&self, prepared: &Prepared) -> Ruling {
        let scope = &self.inner;
        let rules = scope.runtime.rules();
        let verdict = {
            let grants = scope.grants.lock().unwrap_or_else(PoisonError::into_inner);
            judge(scope.mode, scope.reach(), &rules, &grants, prepared.tool.spec(), &prepared.plan)
        };
        let (mut ask, leaves, mut beats) = match verdict {
            Verdict::Deny { reason } => return Ruling::Deny(reason),
            Verdict::Ask { reason, leaves_sandbox, beats_rules } => (Some(reason), leaves_sandbox, beats_rules),
            Verdict::Allow => (None, false, false),
        };
        match self.before(prepared).await {
            BeforeTool::Continue => {}
            BeforeTool::Ask(reason) => (ask, beats) = (ask.or(Some(reason)), true),
            BeforeTool::Deny(reason) => return Ruling::Deny(reason),
            BeforeTool::Abort(reason) => return Ruling::Abort(reason),
        }
        match ask {
            Some(_) if scope.dry_run == DryRun::On && !prepared.plan.effects.is_read_only() => Ruling::Allow,
            Some(reason) => {
                let question = self.question(prepared, reason);
                Ruling::Ask(Box::new(ApprovalRequest { leaves_sandbox: leaves, beats_rules: beats, ..question }))
            }
            None => Ruling::Allow,
        }
    }

    /// Whether it needs no answer any more, after a yes for the session to another call.
    pub(crate) async fn is_granted(&self, prepared: &Prepared) -> bool {
        matches!(self.rule(prepared).await, Ruling::Allow)
    }

    /// The strictest word of all hooks.
    async fn before(&self, prepared: &Prepared) -> BeforeTool {
        let mut word = BeforeTool::Continue;
        for hook in &self.inner.runtime.inner.hooks {
            let asking = AssertUnwindSafe(hook.before_tool(prepared.seen())).catch_unwind();
            word = word.or_stricter(match self.unless_cancelled(asking).await {
                Some(Ok(said)) => said,
                Some(Err(_)) => BeforeTool::Deny("a hook failed, and so the call is denied".to_owned()),
                None => BeforeTool::Deny("the run was cancelled".to_owned()),
            });
        }
        word
    }

    /// Asks; a yes for the session is remembered. An approver that panics has denied.
    pub(crate) async fn ask(&self, question: &ApprovalRequest) -> Answer {
        let scope = &self.inner;
        scope.emitter.emit(EventKind::Approval { request: question.clone() }).await;
        let asking = AssertUnwindSafe(scope.approver.ask(question)).catch_unwind();
        let deny = |reason: &str| Answer::Decided(Decision::Deny { reason: reason.to_owned() });
        let answer = match self.unless_cancelled(asking).await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) => deny("the question could not be asked"),
            None => deny("the run was cancelled"),
        };
        if let Answer::Decided(decision) = &answer {
            self.remember(question, decision);
        }
        answer
    }

    /// Keeps a yes that holds for the session.
    pub(crate) fn remember(&self, question: &ApprovalRequest, decision: &Decision) {
        if *decision == Decision::Allow(GrantScope::Session) && !question.leaves_sandbox {
            let mut grants = self.inner.grants.lock().unwrap_or_else(PoisonError::into_inner);
            grants.add(&question.tool, question.effects, &question.keys);
        }
    }

    /// Saves what it will change and runs it, unless the run was cancelled.
    pub(crate) async fn run(&self, prepared: Prepared) -> Result<ToolOutput, ToolError> {
        let Prepared { call, tool: _, plan, cx } = prepared;
        let scope = &self.inner;
        if scope.dry_run == DryRun::On && !plan.effects.is_read_only() {
            return Ok(ToolOutput::text(would_do(&call, plan.preview.as_ref())));
        }
        if scope.cancel.is_cancelled() {
            return Err(cancelled());
        }
        self.checkpoint(&call.id, &plan.changes).await?;
        if !plan.effects.is_read_only() {
            scope.marks.writes.fetch_add(1, Ordering::Relaxed);
        }
        let (effects, keys) = (plan.effects, plan.keys.clone());
        let mode = if effects.contains(Effects::UNSANDBOXED) { SandboxMode::Off } else { scope.reach() };
        let network = if effects.contains(Effects::NETWORK) { Network::Allowed } else { Network::Denied };
        let permit = Permit::new(Sandbox { mode, network }, Arc::new(scope.runtime.rules().path_rules()));
        let running = AssertUnwindSafe(plan.run(permit, cx)).catch_unwind();
        let gone = async {
            scope.cancel.cancelled().await;
            tokio::time::sleep(SETTLE).await;
        };
        let ended = tokio::select! {
            biased;
            ended = running => ended,
            () = gone => Ok(Err(cancelled())),
        };
        let result = ended.unwrap_or_else(|_| Err(panicked(&call.name))).map(capped);
        let seen = PlannedCall { tool: &call.name, arguments: &call.arguments, effects, keys: &keys };
        self.after(seen, result).await
    }

    /// The whole way of a call that an agent's loop does not drive: a tool's own call, or one from a door.
    pub(crate) async fn call(&self, call: &ToolCall) -> Result<ToolOutput, ToolError> {
        let prepared = self.prepare(call).await?;
        self.complete(prepared).await
    }

    async fn complete(&self, prepared: Prepared) -> Result<ToolOutput, ToolError> {
        let name = prepared.call.name.clone();
        let admitted = self.admitted(prepared).await;
        self.run(self.noted(&name, admitted)?).await
    }

    /// What was admitted; a denial is kept.
    pub(crate) fn noted<T>(&self, tool: &str, admitted: Result<T, ToolError>) -> Result<T, ToolError> {
        if let Err(ToolError::Denied(reason)) = &admitted {
            self.note_denial(tool, reason);
        }
        admitted
    }

    /// Judges a call and asks about it on the spot.
    pub(crate) async fn admitted(&self, prepared: Prepared) -> Result<Prepared, ToolError> {
        match self.admission(prepared, &[]).await? {
            Admission::Granted(prepared) => Ok(*prepared),
            Admission::Asks(question) => Err(ToolError::Denied(cannot_wait(&question, "a call within a call"))),
        }
    }

    /// Judges a call, with what was decided before on questions like its own; else it is asked.
    pub(crate) async fn admission(
        &self,
        prepared: Prepared,
        decided: &[(ApprovalRequest, Decision)],
    ) -> Result<Admission, ToolError> {
        let decision = match self.rule(&prepared).await {
            Ruling::Allow => Decision::Allow(GrantScope::Once),
            Ruling::Deny(reason) => Decision::Deny { reason },
            Ruling::Abort(reason) => Decision::Abort { reason },
            Ruling::Ask(question) => match decided.iter().find(|(asked, _)| asked.is_same(&question)) {
                Some((_, decision)) => {
                    self.remember(&question, decision);
                    decision.clone()
                }
                None => match self.ask(&question).await {
                    Answer::Decided(decision) => decision,
                    Answer::Later => return Ok(Admission::Asks(question)),
                },
            },
        };
        match decision {
            Decision::Allow(_) => Ok(Admission::Granted(Box::new(prepared))),
            Decision::Deny { reason } => Err(ToolError::Denied(reason)),
            Decision::Abort { reason } => {
                self.abort();
                Err(ToolError::Denied(reason))
            }
        }
    }

    /// Ends the root run as denied when the calls under way are done.
    pub(crate) fn abort(&self) {
        self.inner.marks.aborted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.inner.marks.aborted.load(Ordering::Relaxed)
    }

    /// How many calls have changed something, those of children and of tools among them.
    pub(crate) fn writes(&self) -> u64 {
        self.inner.marks.writes.load(Ordering::Relaxed)
    }

    /// What `work` gives; `None` if the run is cancelled first.
    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.inner.cancel.run_until_cancelled(work).await
    }

    pub(crate) fn note_denial(&self, tool: &str, reason: &str) {
        let denial = Denial { tool: tool.to_owned(), reason: reason.to_owned() };
        self.inner.denied.lock().unwrap_or_else(PoisonError::into_inner).push(denial);
    }

    pub(crate) fn note_use(&self, tool: &str) {
        let mut used = self.inner.used.lock().unwrap_or_else(PoisonError::into_inner);
        if !used.iter().any(|t| t == tool) {
            used.push(tool.to_owned());
        }
    }

    fn cx(&self, call: CallId) -> ToolCx {
        let scope = &self.inner;
        ToolCx {
            run: scope.run,
            call,
            workspace: Arc::clone(&scope.runtime.inner.workspace),
            sandbox: scope.reach(),
            cancel: scope.cancel.child_token(),
            door: Arc::new(self.clone()),
        }
    }

    fn unknown(&self, name: &str) -> ToolError {
        let tools = self.inner.tools.tools();
        let names = || tools.iter().map(|t| t.spec().name.as_str());
        let near = nearest(name, names());
        let hint = match near.is_empty() {
            true => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
            false => format!("did you mean {}?", near.join(" or ")),
        };
        ToolError::Model(format!("no tool `{name}` here; {hint}"))
    }

    fn question(&self, prepared: &Prepared, reason: String) -> ApprovalRequest {
        ApprovalRequest {
            run_id: self.inner.run,
            call: prepared.call.id.under(self.inner.emitter.path()),
            tool: prepared.call.name.clone(),
            arguments: prepared.call.arguments.clone(),
            effects: prepared.plan.effects,
            keys: prepared.plan.keys.clone(),
            preview: prepared.plan.preview.clone(),
            reason,
            leaves_sandbox: false,
            beats_rules: false,
        }
    }

    /// Nothing is changed that could not be put back: without a saved copy the call does not run.
    async fn checkpoint(&self, call: &CallId, changes: &[FileChange]) -> Result<(), ToolError> {
        let (Some(blobs), Some(log)) = (&self.inner.runtime.inner.blobs, &self.inner.log) else { return Ok(()) };
        if changes.is_empty() {
            return Ok(());
        }
        let log = log.upgrade().ok_or_else(|| ToolError::model("the run is over"))?;
        let failed = |e| ToolError::Fatal(format!("the file could not be saved before the change: {e}"));
        let mut files = Vec::with_capacity(changes.len());
        for change in changes {
            let before = match &change.before {
                Some(bytes) => Some(blobs.put(bytes.clone()).await.map_err(failed)?),
                None => None,
            };
            let after = change.after.as_deref().map(crate::blob::BlobId::of);
            files.push(SavedFile { path: change.path.clone(), before, after });
        }
        let entry = Entry::Checkpoint { run_id: self.inner.run, call: call.clone(), files };
        log.append(vec![entry]).await.map_err(failed)
    }

    async fn after(
        &self,
        seen: PlannedCall<'_>,
        result: Result<ToolOutput, ToolError>,
    ) -> Result<ToolOutput, ToolError> {
        let mut output = result?;
        for hook in &self.inner.runtime.inner.hooks {
            let asking = AssertUnwindSafe(hook.after_tool(seen, &output)).catch_unwind();
            match self.unless_cancelled(asking).await {
                Some(Ok(AfterTool::Continue)) => {}
                Some(Ok(AfterTool::Replace(other))) => output = capped(other),
                Some(Ok(AfterTool::Abort(reason))) => {
                    self.note_denial(seen.tool, &reason);
                    self.abort();
                    return Ok(output);
                }
                Some(Err(_)) => {
                    let reason = "a hook failed after the call; its result is withheld".to_owned();
                    return Err(ToolError::Denied(reason));
                }
                None => return Err(ToolError::model("cancelled after the call was carried out")),
            }
        }
        Ok(output)
    }
}

impl Prepared {
    fn seen(&self) -> PlannedCall<'_> {
        PlannedCall {
            tool: &self.call.name,
            arguments: &self.call.arguments,
            effects: self.plan.effects,
            keys: &self.plan.keys,
        }
    }

    /// Whether `other`, planned anew, asks for nothing that was not judged for this one.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.plan.effects == other.plan.effects && self.plan.keys == other.plan.keys
    }
}

#[async_trait]
impl CallDoor for RunScope {
    fn progress(&self, call: &CallId, text: String) {
        self.inner.emitter.try_emit(EventKind::ToolProgress { id: call.clone(), text });
    }

    async fn call(&self, cx: &ToolCx, callee: Callee<'_>, args: Value) -> Result<ToolOutput, ToolError> {
        let id = cx.call.child(self.inner.nested.fetch_add(1, Ordering::Relaxed));
        let call = ToolCall { id, provider_id: None, name: callee.name().to_owned(), arguments: args, malformed: None };
        match callee {
            Callee::Named(_) => Box::pin(RunScope::call(self, &call)).await,
            Callee::Tool(tool) => {
                let prepared = self.prepare_tool(tool, &call).await?;
                Box::pin(self.complete(prepared)).await
            }
        }
    }

    fn run_scope(&self) -> Option<RunScope> {
        Some(self.clone())
    }
}

fn cancelled() -> ToolError {
    ToolError::Model("cancelled".to_owned())
}

fn panicked(tool: &str) -> ToolError {
    ToolError::Model(format!("the tool `{tool}` crashed; this is a defect of the tool"))
}

fn would_do(call: &ToolCall, preview: Option<&Preview>) -> String {
    let what = match preview {
        Some(Preview::Diff { diff }) => diff.clone(),
        Some(Preview::Command { command, cwd }) => format!("{command}\n(in {cwd})"),
        Some(Preview::Text { text }) => text.clone(),
        None => json!({ "tool": call.name, "arguments": call.arguments }).to_string(),
    };
    format!("dry run: nothing was changed. It would do this:\n{what}")
}

/// The output with all its text cut to [`LONGEST_RESULT`]; blocks for which nothing is left are dropped.
pub(super) fn capped(mut output: ToolOutput) -> ToolOutput {
    let mut left = LONGEST_RESULT;
    output.content.retain_mut(|block| {
        let Block::Text { text } = block else { return true };
        if text.len() > left {
            *text = if left == 0 { String::new() } else { middle_cut(text, left) };
        }
        let keep = left > 0 || text.is_empty();
        left = left.saturating_sub(text.len());
        keep
    });
    output
}
