//! A chat: the agent's two verbs, with history that is saved as it happens.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::conversation::Conversation;
use crate::error::{ConfigurationError, SessionError, VictorError};
use crate::estimate::{message_tokens, text_tokens};
use crate::id::{CallId, SessionId};
use crate::message::{Input, Message, Role};
use crate::permission::{ApprovalRequest, Decision, Grants, Mode};
use crate::provider::Selector;
use crate::request::CallCx;
use crate::session::{Entry, NewSession, SavedFile, SessionSettings, StoredEntry};

use super::Agent;
use super::driver::compact;
use super::log::SessionLog;
use super::outcome::{Outcome, Suspended};
use super::run::Run;
use super::start::{Outlet, converse};

/// Events that wait for the reader at most.
const QUEUE: usize = 256;

/// A conversation with an agent. One run at a time.
pub struct Chat {
    agent: Agent,
    session: SessionId,
    origin: Origin,
    state: Arc<tokio::sync::Mutex<ChatState>>,
    /// What cancels the run that was started last.
    latest: CancellationToken,
}

/// Where a chat's history comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It begins with this chat and is saved.
    New,
    /// It was saved.
    Saved,
    /// Nobody keeps it.
    Unsaved,
}

/// What a chat keeps between runs.
#[derive(Default)]
pub(super) struct ChatState {
    pub(super) conversation: Conversation,
    pub(super) log: Option<Arc<SessionLog>>,
    pub(super) loaded: bool,
    pub(super) settings: SessionSettings,
    pub(super) suspended: Option<Suspended>,
    pub(super) grants: Arc<Mutex<Grants>>,
    pub(super) context: u64,
}

/// How full the model's window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextUse {
    /// Tokens of the conversation, as counted by the provider, else estimated.
    pub tokens: u64,
    /// The model's window, where it is known.
    pub window: Option<u32>,
    /// Messages of the conversation.
    pub messages: usize,
}

/// What a compaction brought, in tokens, estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// The latest turn of a saved chat, to be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoPoint {
    /// The last entry before the turn.
    pub before: u64,
    /// The files that the turn changed, each once, as they were before it and as it left them.
    pub files: Vec<SavedFile>,
    /// What the user had said.
    pub message: String,
    /// The tools that the turn called.
    pub called: BTreeSet<String>,
}

/// How a run of a chat begins.
pub(super) enum Begin {
    /// The user says something.
    Say(Input),
    /// The user answers the questions of a waiting run.
    Resume(Vec<(CallId, Decision)>),
}

/// Whether a new chat is saved now, though nothing was said yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Save {
    Now,
    WithFirstWord,
}

impl Chat {
    pub(super) fn new(agent: Agent, session: SessionId, origin: Origin) -> Self {
        Self { agent, session, origin, state: Arc::default(), latest: CancellationToken::new() }
    }

    /// The session's id.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// The agent that answers now.
    #[must_use]
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Says something and waits for the end of the run.
    ///
    /// # Errors
    /// What made the run fail. A limit, a denial and a cancellation are outcomes, not errors.
    pub async fn run(&mut self, input: impl Into<Input>) -> Result<Outcome, VictorError> {
        self.astream(input).outcome().await
    }

    /// Says something and follows the run.
    pub fn astream(&mut self, input: impl Into<Input>) -> Run {
        self.start(Begin::Say(input.into()))
    }

    /// Answers the questions of a waiting run, and follows it on. Questions without an answer are asked again.
    pub fn resume(&mut self, answers: Vec<(CallId, Decision)>) -> Run {
        self.start(Begin::Resume(answers))
    }

    /// The questions that a waiting run of this chat asks.
    ///
    /// # Errors
    /// The session cannot be read.
    pub async fn questions(&mut self) -> Result<Vec<ApprovalRequest>, VictorError> {
        let state = self.ready(Save::WithFirstWord).await?;
        Ok(state.suspended.as_ref().map(|s| s.questions.clone()).unwrap_or_default())
    }

    /// Reads the session and takes it for writing now, not at the first run.
    ///
    /// # Errors
    /// It does not exist, is in use, or cannot be read.
    pub async fn load(&mut self) -> Result<(), VictorError> {
        let settings = self.ready(Save::WithFirstWord).await?.settings.clone();
        self.agent = self.agent.under(&settings).await?;
        Ok(())
    }

    /// Another provider or model answers from now on.
    ///
    /// # Errors
    /// It does not exist or is not configured; the chat is as before.
    pub async fn switch(&mut self, selector: impl Into<Selector>) -> Result<(), VictorError> {
        let selector = selector.into();
        let agent = self.agent.with_selector(selector.clone()).await?;
        self.change(|settings| settings.selector = selector).await?;
        self.agent = agent;
        Ok(())
    }

    /// Another mode holds from now on.
    ///
    /// # Errors
    /// The session cannot be written.
    pub async fn set_mode(&mut self, mode: Mode) -> Result<(), VictorError> {
        let agent = self.agent.with_mode(mode).await?;
        self.change(|settings| settings.mode = Some(mode)).await?;
        self.agent = agent;
        Ok(())
    }

    /// Another profile holds from now on, with its provider, model and mode instead of what was switched to before.
    ///
    /// # Errors
    /// It does not exist, or what it names is not configured; the chat is as before.
    pub async fn set_profile(&mut self, name: &str) -> Result<(), VictorError> {
        let agent = self.agent.with_profile(name).await?;
        let name = name.to_owned();
        self.change(|settings| {
            settings.profile = Some(name);
            settings.selector = Selector::default();
            settings.mode = None;
        })
        .await?;
        self.agent = agent;
        Ok(())
    }

    /// The title that lists show from now on.
    ///
    /// # Errors
    /// The session cannot be written.
    pub async fn set_title(&mut self, title: impl Into<String>) -> Result<(), VictorError> {
        let title = Some(title.into());
        self.change(|settings| settings.title = title).await
    }

    /// What was saved of how this chat is answered; empty where it follows its agent.
    ///
    /// # Errors
    /// The session cannot be read.
    pub async fn settings(&mut self) -> Result<SessionSettings, VictorError> {
        Ok(self.ready(Save::WithFirstWord).await?.settings.clone())
    }

    /// The chat with what was allowed for its session before, shared: what this one is allowed is added.
    #[must_use]
    pub fn with_grants(self, grants: Arc<Mutex<Grants>>) -> Self {
        if let Ok(mut state) = self.state.try_lock() {
            state.grants = grants;
        }
        self
    }

    /// Adds a message of the user that nobody answers yet: the output of a command of their own, say.
    ///
    /// # Errors
    /// The session cannot be written.
    pub async fn note(&mut self, input: impl Into<Input>) -> Result<(), VictorError> {
        let mut state = self.ready(Save::Now).await?;
        let closing = state.conversation.close_open("not answered").map(Arc::new);
        let message = Arc::new(Message { role: Role::User, content: input.into().0 });
        let said: Vec<_> = closing.into_iter().chain([message]).collect();
        if let Some(log) = state.doubted() {
            log.append(said.iter().map(|m| Entry::Message { message: Arc::clone(m) }).collect()).await?;
        }
        state.suspended = None;
        for message in said {
            state.context += message_tokens(&message);
            state.conversation.push(message).map_err(|e| VictorError::Internal(e.to_string()))?;
        }
        state.sure();
        Ok(())
    }

    /// Makes the conversation shorter now.
    ///
    /// # Errors
    /// Nothing can be gained, a run waits for an answer, or the session cannot be written.
    pub async fn compact(&mut self) -> Result<Compacted, VictorError> {
        let agent = self.agent.clone();
        let mut state = self.ready(Save::WithFirstWord).await?;
        if !state.conversation.open_calls().is_empty() {
            let text = "a run of this chat waits for an answer: give it first";
            return Err(ConfigurationError::with_code("CONFLICT", text).into());
        }
        let inner = &agent.inner.runtime.inner;
        let cx = CallCx { cancel: inner.cancel.child_token(), idle_timeout: inner.idle_timeout };
        let log = state.doubted();
        let (_, made) =
            compact(inner.compactor.as_ref(), agent.model(), &mut state.conversation, log.as_deref(), cx).await?;
        state.sure();
        let made = made.ok_or_else(|| ConfigurationError::new("there is nothing to make shorter"))?;
        state.context = made.after + text_tokens(&agent.inner.system);
        Ok(made)
    }

    /// How full the model's window is.
    ///
    /// # Errors
    /// The session cannot be read.
    pub async fn context(&mut self) -> Result<ContextUse, VictorError> {
        let window = self.agent.model().info.context_window;
        let state = self.ready(Save::WithFirstWord).await?;
        Ok(ContextUse { tokens: state.context, window, messages: state.conversation.messages().len() })
    }

    /// All that was said so far.
    ///
    /// # Errors
    /// The session cannot be read.
    pub async fn history(&mut self) -> Result<crate::conversation::History, VictorError> {
        Ok(self.ready(Save::WithFirstWord).await?.conversation.history())
    }

    /// The latest turn, to be taken back; `None` where there is none or nothing is saved.
    ///
    /// # Errors
    /// The session cannot be read.
    pub async fn undo_point(&mut self) -> Result<Option<UndoPoint>, VictorError> {
        let Some(log) = self.ready(Save::WithFirstWord).await?.log.clone() else { return Ok(None) };
        Ok(undo_point(&log.entries().await?))
    }

    /// Takes back everything after the entry `to`.
    ///
    /// # Errors
    /// The session cannot be written.
    pub async fn rewind(&mut self, to: u64) -> Result<(), VictorError> {
        let system = text_tokens(&self.agent.inner.system);
        let mut state = self.ready(Save::WithFirstWord).await?;
        let Some(log) = state.doubted() else { return Ok(()) };
        log.append(vec![Entry::Rewind { to }]).await?;
        state.reload(&log, system).await?;
        Ok(())
    }

    /// The state, loaded, while no run is under way.
    async fn ready(&mut self, save: Save) -> Result<OwnedMutexGuard<ChatState>, VictorError> {
        let mut state = self.idle()?.get().await;
        if self.origin != Origin::New || save == Save::Now {
            load(&self.agent, &self.session, self.origin, &mut state).await?;
        }
        Ok(state)
    }

    /// The state, unless a run is under way. One that was cancelled is on its way out and is waited for.
    fn idle(&self) -> Result<Idle, VictorError> {
        match Arc::clone(&self.state).try_lock_owned() {
            Ok(state) => Ok(Idle::Now(state)),
            Err(_) if self.latest.is_cancelled() => Ok(Idle::Soon(Arc::clone(&self.state))),
            Err(_) => {
                let holder = "a run of the same chat that has not ended yet".to_owned();
                Err(SessionError::Conflict { session: self.session.to_string(), holder }.into())
            }
        }
    }

    async fn change(&mut self, change: impl FnOnce(&mut SessionSettings)) -> Result<(), VictorError> {
        let mut state = self.ready(Save::WithFirstWord).await?;
        let mut settings = state.settings.clone();
        change(&mut settings);
        if let Some(log) = state.doubted() {
            log.append(vec![Entry::Settings { settings: settings.clone() }]).await?;
        }
        state.sure();
        state.settings = settings;
        Ok(())
    }

    fn start(&mut self, begin: Begin) -> Run {
        let runtime = &self.agent.inner.runtime;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut out = Outlet::new(runtime, sender);
        let handle = Run::new(receiver, out.cancel.clone(), Arc::clone(&out.error));
        let (agent, session, origin, state) = (self.agent.clone(), self.session.clone(), self.origin, self.idle());
        // Counted before it is looked whether the runtime still takes runs: a shutdown in between waits for this one.
        let tracker = &runtime.inner.tracker;
        let _counted = tracker.token();
        let closed = tracker.is_closed();
        if state.is_ok() {
            self.latest = out.cancel.clone();
        }
        let work = async move {
            let ready = async {
                if closed {
                    return Err(ConfigurationError::with_code("SHUTTING_DOWN", "shutting down: no new run").into());
                }
                let mut state = state?.get().await;
                load(&agent, &session, origin, &mut state).await?;
                let agent = agent.under(&state.settings).await?;
                Ok::<_, VictorError>((state, agent))
            };
            let started = match ready.await {
                Ok((mut state, agent)) => {
                    let run = AssertUnwindSafe(converse(&agent, &session, &mut state, begin, &mut out)).catch_unwind();
                    run.await.unwrap_or_else(|_| {
                        state.loaded = false;
                        Err(VictorError::Internal(
                            "the run crashed; this is a defect of a provider or of Victor".into(),
                        ))
                    })
                }
                Err(e) => Err(e),
            };
            match started {
                Ok(outcome) => out.finish(outcome),
                Err(e) => out.refuse(&agent, e),
            }
        };
        // What it logs belongs to whatever asked for it: a request of a server.
        tracker.spawn(work.in_current_span());
        handle
    }
}

/// A chat's state, to be had now or when a cancelled run has let go of it.
enum Idle {
    Now(OwnedMutexGuard<ChatState>),
    Soon(Arc<tokio::sync::Mutex<ChatState>>),
}

impl Idle {
    async fn get(self) -> OwnedMutexGuard<ChatState> {
        match self {
            Self::Now(state) => state,
            Self::Soon(state) => state.lock_owned().await,
        }
    }
}

impl ChatState {
    /// The log, to write to. Until the writer is [`sure`](Self::sure) that memory and log say the same - it may fail or
    /// go away - the next one reads the log first.
    fn doubted(&mut self) -> Option<Arc<SessionLog>> {
        self.loaded &= self.log.is_none();
        self.log.clone()
    }

    fn sure(&mut self) {
        self.loaded |= self.log.is_some();
    }

    async fn reload(&mut self, log: &SessionLog, system: u64) -> Result<(), VictorError> {
        let loaded = log.load().await?;
        self.context = weigh(&loaded.conversation, system);
        self.conversation = loaded.conversation;
        self.settings = loaded.settings;
        self.suspended = loaded.suspended;
        self.loaded = true;
        Ok(())
    }
}

fn undo_point(entries: &[StoredEntry]) -> Option<UndoPoint> {
    let started = |e: &StoredEntry| match e.entry {
        Entry::RunStarted { run_id } => Some(run_id),
        _ => None,
    };
    // A run that was resumed has started more than once.
    let latest = entries.iter().rev().find_map(started)?;
    let at = entries.iter().position(|e| started(e) == Some(latest))?;
    let messages = || {
        entries[at..].iter().filter_map(|e| match &e.entry {
            Entry::Message { message } => Some(message),
            _ => None,
        })
    };
    let message = messages().find(|m| m.role == Role::User).map(|m| m.text());
    let called = messages().flat_map(|m| m.tool_calls()).map(|call| call.name.clone()).collect();
    let mut files: Vec<SavedFile> = Vec::new();
    for stored in &entries[at..] {
        let Entry::Checkpoint { files: saved, .. } = &stored.entry else { continue };
        for file in saved {
            match files.iter_mut().find(|f| f.path == file.path) {
                Some(known) => known.after.clone_from(&file.after),
                None => files.push(file.clone()),
            }
        }
    }
    let before = entries[at].seq.saturating_sub(1);
    Some(UndoPoint { before, files, message: message.unwrap_or_default(), called })
}

/// Reads a saved session, or begins a new one, once.
async fn load(agent: &Agent, session: &SessionId, origin: Origin, state: &mut ChatState) -> Result<(), VictorError> {
    if state.loaded {
        return Ok(());
    }
    let inner = &agent.inner.runtime.inner;
    let (store, clock) = (Arc::clone(&inner.sessions), Arc::clone(&inner.clock));
    let system = text_tokens(&agent.inner.system);
    if let Some(log) = state.log.clone() {
        return state.reload(&log, system).await;
    }
    match origin {
        Origin::Unsaved if state.context > 0 => {}
        Origin::Unsaved => state.context = system,
        Origin::New => {
            let workspace = inner.workspace.root.to_string_lossy().into_owned();
            let new =
                NewSession { id: session.clone(), owner: agent.owner(), workspace: Some(workspace), at: clock.now() };
            let log = SessionLog::create(store, clock, new, &inner.holder).await?;
            if state.settings != SessionSettings::default() {
                log.append(vec![Entry::Settings { settings: state.settings.clone() }]).await?;
            }
            state.log = Some(Arc::new(log));
            state.context = system;
        }
        Origin::Saved => {
            let log = SessionLog::claim(store, clock, session, &inner.holder).await?;
            state.reload(&log, system).await?;
            state.log = Some(Arc::new(log));
        }
    }
    state.loaded = true;
    Ok(())
}

fn weigh(conversation: &Conversation, system: u64) -> u64 {
    system + conversation.messages().iter().map(|m| message_tokens(m)).sum::<u64>()
}
