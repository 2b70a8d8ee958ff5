//! One request on its way: who sent it, what its client can do, and how it is told of progress.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::request::Parts;
use rmcp::RoleServer;
use rmcp::model::{
    ClientCapabilities, LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam, ProgressToken,
    ProtocolVersion,
};
use rmcp::service::RequestContext;
use serde_json::Value;
use tokio::time::{Interval, MissedTickBehavior, interval};
use victor_core::token::Principal;

use super::session::Session;

/// Which of the protocol's two forms a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// Up to 2025-11-25: a session, in which the server may ask the client.
    Sessions,
    /// From 2026-07-28: every request stands for itself, and a question is a kind of answer.
    Requests,
}

/// One request of a client.
pub struct Call<'a> {
    pub(crate) session: &'a Session,
    pub(crate) cx: &'a RequestContext<RoleServer>,
    progress: AtomicU64,
}

impl<'a> Call<'a> {
    pub(crate) fn new(session: &'a Session, cx: &'a RequestContext<RoleServer>) -> Self {
        Self { session, cx, progress: AtomicU64::new(0) }
    }

    /// The request as the protocol's library has it.
    #[cfg(feature = "conformance")]
    #[must_use]
    pub fn context(&self) -> &RequestContext<RoleServer> {
        self.cx
    }

    pub(crate) fn era(&self) -> Era {
        era(self.cx)
    }

    pub(crate) fn capabilities(&self) -> ClientCapabilities {
        self.cx.client_capabilities().unwrap_or_default()
    }

    /// Whether its person can be asked with a form.
    pub(crate) fn can_elicit(&self) -> bool {
        // A client that names no kind of elicitation means forms: there was nothing else at first.
        self.capabilities().elicitation.is_some_and(|e| e.form.is_some() || e.url.is_none())
    }

    /// Who sent it.
    pub(crate) fn principal(&self) -> Principal {
        let parts = self.cx.extensions.get::<Parts>();
        parts.and_then(|p| p.extensions.get::<Principal>()).cloned().unwrap_or_else(Principal::local)
    }

    /// When a call under way says that it lives.
    pub(crate) fn heartbeat(&self) -> Interval {
        let every = self.session.door.config.heartbeat;
        let mut heartbeat = interval(every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        heartbeat
    }

    /// Waits for the client's answer. Whoever waits for the call hears meanwhile that it lives; `None` if nobody does any
    /// more.
    pub(crate) async fn waiting<T>(&self, answer: impl Future<Output = T>, what: &str) -> Option<T> {
        let mut answer = Box::pin(answer);
        let mut heartbeat = self.heartbeat();
        loop {
            tokio::select! {
                answer = &mut answer => return Some(answer),
                () = self.gone() => return None,
                _ = heartbeat.tick() => self.progress(what).await,
            }
        }
    }

    /// Whether its client has cancelled it, or is gone.
    pub(crate) fn is_given_up(&self) -> bool {
        self.cx.ct.is_cancelled() || self.session.closing.is_cancelled()
    }

    /// Ends when it is given up.
    pub(crate) async fn gone(&self) {
        tokio::select! {
            () = self.cx.ct.cancelled() => {}
            () = self.session.closing.cancelled() => {}
        }
    }

    pub(crate) fn progress_token(&self) -> Option<ProgressToken> {
        self.cx.meta.get_progress_token()
    }

    /// What the client keeps and brings back with its answer, so that nobody can change it on the way.
    #[cfg(feature = "conformance")]
    #[must_use]
    pub fn seal(&self, value: &Value) -> String {
        self.session.door.seal(value, &self.principal())
    }

    /// What the client brought back.
    ///
    /// # Errors
    /// It is not what the server gave it.
    #[cfg(feature = "conformance")]
    pub fn open(&self, sealed: &str) -> Result<Value, rmcp::ErrorData> {
        self.session.door.open(sealed, &self.principal())
    }

    /// Tells the client how far the work is, where it wants to know.
    pub async fn progress(&self, message: &str) {
        let Some(token) = self.progress_token() else { return };
        let count = self.progress.fetch_add(1, Ordering::Relaxed) + 1;
        #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
        let params = ProgressNotificationParam::new(token, count as f64).with_message(message);
        tell(self.cx, self.cx.peer.notify_progress(params)).await;
    }

    /// Sends a line of the log to the client, where it wants lines of this level.
    pub async fn log(&self, level: LoggingLevel, logger: &str, data: Value) {
        let wanted = match self.era() {
            Era::Sessions => self.session.log_level(),
            Era::Requests => self.cx.meta.log_level(),
        };
        if wanted.is_some_and(|wanted| rank(level) >= rank(wanted)) {
            let params = LoggingMessageNotificationParam::new(level, data).with_logger(logger);
            tell(self.cx, self.cx.peer.notify_logging_message(params)).await;
        }
    }
}

/// A notification that nobody takes is lost; a client that is gone is found out by the transport.
async fn tell<E>(cx: &RequestContext<RoleServer>, sent: impl Future<Output = Result<(), E>>) {
    cx.ct.run_until_cancelled(sent).await;
}

pub(crate) fn era(cx: &RequestContext<RoleServer>) -> Era {
    match cx.protocol_version() {
        Some(version) if version.as_str() >= ProtocolVersion::V_2026_07_28.as_str() => Era::Requests,
        _ => Era::Sessions,
    }
}

fn rank(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 0,
        LoggingLevel::Info => 1,
        LoggingLevel::Notice => 2,
        LoggingLevel::Warning => 3,
        LoggingLevel::Error => 4,
        LoggingLevel::Critical => 5,
        LoggingLevel::Alert => 6,
        LoggingLevel::Emergency => 7,
    }
}

/// What a client sends with a request that it repeats because something was asked.
#[derive(Clone, Debug, Default)]
pub struct Retry {
    /// What the server gave it to bring back.
    pub state: Option<String>,
    /// The answers.
    pub responses: std::collections::BTreeMap<String, Value>,
}
