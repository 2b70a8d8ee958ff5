//! A run on its way to the client that began it: events are translated, kept and sent as they come. Whoever goes away
//! cancels it, unless it was said that it goes on by itself.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};
use victor_core::agent::{Chat, Outcome, Run, Status};
use victor_core::error::VictorError;
use victor_core::event::{Event, EventKind};
use victor_core::id::SessionId;
use victor_core::question::Question;

use super::Record;
use crate::answer::dollars;
use crate::approvals::Approvals;
use crate::door::Door;
use crate::error::ApiError;
use crate::meters::Active;
use crate::sse::{self, HEARTBEAT, StreamEvent};
use crate::turns::Turn;

/// Bytes of events that are joined into one write at most.
const WRITE: usize = 16 << 10;

/// What becomes of a run whose client goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detach {
    /// It is cancelled.
    Cancel,
    /// It goes on.
    GoOn,
    /// It is gone already: what is left of the run is brought to its end.
    Settle,
}

/// A run that is about to begin, with all that it holds until its end.
pub(crate) struct Work {
    pub(crate) run: Run,
    pub(crate) holds: Holds,
    pub(crate) asks: Asks,
}

/// What a run holds until its end, in the order in which it is let go of.
pub(crate) struct Holds {
    /// The claim of the session.
    pub(crate) chat: Chat,
    /// The conversation's turn.
    pub(crate) turn: Option<Turn>,
    /// Its part of the room for runs.
    pub(crate) permit: OwnedSemaphorePermit,
    /// That it counts as active.
    pub(crate) active: Active,
}

/// A run under way. As a stream it gives what goes onto the wire.
pub(crate) struct Live {
    door: Door,
    run: Option<Run>,
    holds: Option<Holds>,
    record: Arc<Record>,
    told: Teller,
    detach: Detach,
    heartbeat: Interval,
    /// How it ended, once it has.
    outcome: Option<Box<Outcome>>,
    /// Whether its last event was told.
    over: bool,
    /// The next bytes, where something is waiting to be sent.
    ready: BytesMut,
    /// Whether anybody takes what is made ready.
    sends: bool,
}

/// Turns core's events into the API's.
struct Teller {
    request_id: Arc<str>,
    conversation: Option<SessionId>,
    tokens: u64,
    question_timeout: u64,
    asks: Asks,
}

/// Who is asked what a run wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// The client that follows it.
    Client,
    /// Nobody.
    Nobody,
}

impl Live {
    /// Waits for the run's beginning: by then the user's message is stored.
    ///
    /// # Errors
    /// What kept it from beginning.
    pub(crate) async fn begin(
        door: Door,
        mut work: Work,
        owner: Arc<str>,
        request_id: Arc<str>,
        detach: Detach,
    ) -> Result<Self, VictorError> {
        let begun = loop {
            match work.run.next().await {
                Some(event) if matches!(event.kind, EventKind::Started { .. }) => break event,
                Some(event) if !matches!(event.kind, EventKind::Finished { .. }) => {}
                _ => return Err(failure(work.run).await),
            }
        };
        let conversation = match &begun.kind {
            EventKind::Started { session_id, .. } => session_id.clone(),
            _ => None,
        };
        let record = Arc::new(Record::new(begun.run_id, owner, conversation.clone(), work.run.canceller()));
        door.runs.begin(Arc::clone(&record));
        if let Some(turn) = &work.holds.turn {
            turn.runs(begun.run_id);
        }
        let mut heartbeat = interval(door.config.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        let question_timeout = door.config.approval_timeout.as_secs();
        let mut live = Self {
            told: Teller { request_id, conversation, tokens: 0, question_timeout, asks: work.asks },
            run: Some(work.run),
            holds: Some(work.holds),
            record,
            detach,
            heartbeat,
            outcome: None,
            over: false,
            ready: BytesMut::new(),
            sends: true,
            door,
        };
        live.tell(begun);
        Ok(live)
    }

    /// Waits for the end without sending anything.
    ///
    /// # Errors
    /// What made the run fail.
    pub(crate) async fn finish(mut self) -> Result<Outcome, VictorError> {
        self.sends = false;
        self.ready.clear();
        while let Some(event) = self.next_event().await {
            self.tell(event);
        }
        match self.outcome.take() {
            Some(outcome) if outcome.status != Status::Failed => Ok(*outcome),
            _ => match self.run.take() {
                Some(run) => Err(failure(run).await),
                None => Err(VictorError::Internal("a run was followed twice".to_owned())),
            },
        }
    }

    async fn next_event(&mut self) -> Option<Event> {
        match &mut self.run {
            Some(run) => run.next().await,
            None => None,
        }
    }

    /// Counts, keeps and makes ready what an event tells.
    fn tell(&mut self, event: Event) {
        self.door.meters.seen(&event);
        // Where nobody is asked, core tells the question all the same; it is answered with no already.
        if let EventKind::Approval { request } = &event.kind
            && self.told.asks == Asks::Client
        {
            self.door.approvals.told(request, &self.record.owner);
        }
        if let EventKind::Question { question } = &event.kind
            && self.told.asks == Asks::Client
        {
            self.door.approvals.told_person(self.record.run, question, &self.record.owner);
        }
        let (id, root) = (event.seq, event.path.is_empty());
        let stored = root && self.told.conversation.is_some() && matches!(event.kind, EventKind::Message { .. });
        let outcome = match &event.kind {
            EventKind::Finished { outcome } if root => Some(outcome.clone()),
            _ => None,
        };
        if outcome.is_some() {
            self.let_go();
        }
        for event in self.told.tell(event) {
            self.record.push(id, &event);
            if self.sends {
                sse::write(&mut self.ready, id, event.name(), &event.json());
            }
        }
        if stored {
            self.record.stored(id);
        }
        if outcome.is_some() {
            (self.outcome, self.over) = (outcome, true);
            self.door.runs.end(&self.record);
        }
    }

    /// Before the end is told nothing is held any more: whoever hears of it may go on in the conversation at once.
    fn let_go(&mut self) {
        self.door.approvals.close(self.record.run);
        if let Some(Holds { chat, turn, permit, active }) = self.holds.take() {
            drop(chat);
            drop(turn);
            drop((permit, active));
        }
    }
}

/// The typed error of a run that ended by it.
async fn failure(run: Run) -> VictorError {
    match run.outcome().await {
        Err(e) => e,
        Ok(_) => VictorError::Internal("the run ended without an outcome".to_owned()),
    }
}

impl Stream for Live {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while self.ready.len() < WRITE && !self.over {
            let Some(run) = &mut self.run else { break };
            match run.poll_next_unpin(cx) {
                Poll::Ready(Some(event)) => self.tell(event),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if !self.ready.is_empty() {
            return Poll::Ready(Some(Ok(self.ready.split().freeze())));
        }
        if self.over {
            return Poll::Ready(None);
        }
        self.heartbeat.poll_tick(cx).map(|_| Some(Ok(HEARTBEAT)))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.over || self.detach == Detach::Settle {
            return;
        }
        let Some(run) = self.run.take() else { return };
        if self.detach == Detach::Cancel {
            run.cancel();
        }
        let rest = Self {
            door: self.door.clone(),
            run: Some(run),
            holds: self.holds.take(),
            record: Arc::clone(&self.record),
            told: self.told.moved(),
            detach: Detach::Settle,
            heartbeat: interval(self.door.config.heartbeat),
            outcome: None,
            over: false,
            ready: BytesMut::new(),
            sends: false,
        };
        // To the end: the last events are kept for whoever follows, and what the run holds is let go of in time.
        self.door.runtime.spawn(async move { drop(rest.finish().await) });
    }
}

impl Teller {
    fn moved(&self) -> Self {
        let Self { request_id, conversation, tokens, question_timeout, asks } = self;
        let (request_id, conversation) = (Arc::clone(request_id), conversation.clone());
        Self { request_id, conversation, tokens: *tokens, question_timeout: *question_timeout, asks: *asks }
    }

    /// What the API tells of an event; text of sub-agents stays inside.
    fn tell(&mut self, event: Event) -> impl Iterator<Item = StreamEvent> + use<> {
        let Event { run_id, path, at, kind, .. } = event;
        let root = path.is_empty();
        let mut last = None;
        let first = match kind {
            EventKind::Started { session_id, provider, model } if root => Some(StreamEvent::Start {
                run_id,
                request_id: self.request_id.to_string(),
                conversation_id: session_id,
                provider,
                model,
                timestamp: at,
            }),
            EventKind::Text { delta } if root => {
                self.tokens += 1;
                Some(StreamEvent::Token { content: delta, index: self.tokens - 1 })
            }
            EventKind::Thinking { delta } if root => Some(StreamEvent::Thinking { content: delta }),
            EventKind::ToolCall { id, tool, arguments, .. } => {
                Some(StreamEvent::ToolCall { id, tool, arguments, path })
            }
            EventKind::ToolResult { id, tool, success, output, duration_ms, denied, .. } => {
                let output = sse::output(&output);
                Some(StreamEvent::ToolResult { id, tool, success, output, denied, duration_ms, path })
            }
            EventKind::Approval { request } if self.asks == Asks::Client => Some(StreamEvent::Approval {
                id: Approvals::id(request.run_id, &request.call),
                tool: request.tool,
                arguments: request.arguments,
                reason: request.reason,
                preview: request.preview,
                timeout_seconds: self.question_timeout,
            }),
            EventKind::Question { question } if self.asks == Asks::Client => {
                let id = Approvals::person_id(&question);
                let Question { kind, node, prompt, options, details, .. } = *question;
                let timeout_seconds = self.question_timeout;
                Some(StreamEvent::Question { id, kind, node, prompt, options, details, timeout_seconds })
            }
            EventKind::Node { node, status, error, .. } => {
                let error = error.map(|e| e.message);
                Some(StreamEvent::Node { node: node.to_string(), status, path, error })
            }
            EventKind::TeamStarted { formation, members } => {
                Some(StreamEvent::TeamStarted { formation, members, path })
            }
            EventKind::MemberMessage { from, text } => Some(StreamEvent::MemberMessage { from, text, path }),
            EventKind::Usage { run, cost, .. } if root => {
                Some(StreamEvent::Usage { tokens_used: run.into(), cost: cost.map(dollars) })
            }
            EventKind::Retrying { attempt, delay_ms, error, .. } if root => {
                Some(StreamEvent::Retrying { attempt, delay_ms, error: error.to_string() })
            }
            EventKind::Compacted { before, after } if root => Some(StreamEvent::Compacted { before, after }),
            EventKind::Warning { message } => Some(StreamEvent::Warning { message }),
            EventKind::Finished { outcome } if root => {
                let outcome = *outcome;
                last = Some(StreamEvent::End {
                    run_id,
                    request_id: self.request_id.to_string(),
                    conversation_id: self.conversation.clone(),
                    tokens_used: outcome.usage.into(),
                    cost: outcome.cost.map(dollars),
                    duration_ms: outcome.duration_ms,
                    status: outcome.status,
                    denied: outcome.denied,
                    structured: outcome.structured,
                    timestamp: at,
                });
                outcome.error.map(|e| {
                    let (error, error_code) = ApiError::told(&e);
                    StreamEvent::Error { error, error_code }
                })
            }
            _ => None,
        };
        first.into_iter().chain(last)
    }
}
