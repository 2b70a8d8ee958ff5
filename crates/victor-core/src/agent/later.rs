//! Leave that is given later: agents and calls of a run that are put down with a question, and taken up again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use futures::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::conversation::Conversation;
use crate::error::ToolError;
use crate::event::EventKind;
use crate::id::CallId;
use crate::message::{Block, ToolCall};
use crate::permission::{Answer, ApprovalRequest, Approver, Decision};
use crate::question::{Question, Reply};
use crate::tool::{Preview, ToolOutput};

use super::dispatch::{Admission, RunScope};
use super::outcome::Suspended;

/// What becomes of a part of a run when a question about a call cannot be answered now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unanswered {
    /// The call is denied, and the part goes on.
    #[default]
    Deny,
    /// The part is put down: it ends as `waiting`, and can be taken up with the answer.
    Wait,
}

/// An agent that was put down: all that another process needs to go on with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PutDown {
    /// Where it stands, and what it asks.
    pub suspended: Suspended,
    /// What was said so far.
    pub(super) conversation: Conversation,
    /// Tokens of that, estimated.
    pub(super) context: u64,
}

/// An agent that goes on where it was put down.
#[derive(Clone, Debug)]
pub struct TakenUp {
    /// Where.
    pub put_down: PutDown,
    /// All that was decided on its questions so far. An answer counts for just the call that was asked about.
    pub decided: Vec<(ApprovalRequest, Decision)>,
}

/// What a call has come to that may be put down.
#[derive(Clone, Debug, PartialEq)]
pub enum Called {
    /// It was carried out.
    Done(ToolOutput),
    /// It needs leave that is given later; nothing was done.
    Asks(Box<ApprovalRequest>),
}

impl RunScope {
    /// Calls a tool as a part of this run, on the same permission path as an agent's call, and tells of it.
    ///
    /// # Errors
    /// Unknown tool, wrong arguments, denial, failure.
    pub async fn call_tool(&self, name: &str, arguments: Value) -> Result<ToolOutput, ToolError> {
        match self.call_or_ask(name, arguments, &[]).await? {
            Called::Done(output) => Ok(output),
            Called::Asks(question) => {
                let reason = cannot_wait(&question, "this call");
                self.note_denial(name, &reason);
                Err(ToolError::Denied(reason))
            }
        }
    }

    /// As [`call_tool`](Self::call_tool), for a caller that can make the call again with what was decided meanwhile.
    ///
    /// # Errors
    /// Unknown tool, wrong arguments, denial, failure.
    pub async fn call_or_ask(
        &self,
        name: &str,
        arguments: Value,
        decided: &[(ApprovalRequest, Decision)],
    ) -> Result<Called, ToolError> {
        let id = CallId::nth(self.inner.nested.fetch_add(1, Ordering::Relaxed));
        let call = ToolCall { id, provider_id: None, name: name.to_owned(), arguments, malformed: None };
        let begun = self.now();
        let admitted = match self.prepare(&call).await {
            Ok(prepared) => self.admission(prepared, decided).await,
            Err(e) => Err(e),
        };
        let prepared = match admitted {
            Ok(Admission::Asks(question)) => return Ok(Called::Asks(question)),
            Ok(Admission::Granted(prepared)) => Ok(prepared),
            Err(e) => Err(e),
        };
        let prepared = self.noted(name, prepared);
        let preview = prepared.as_ref().ok().and_then(|p| p.plan.preview.clone());
        self.tell_begin(&call, preview).await;
        let result = match prepared {
            Ok(prepared) => self.run(*prepared).await,
            Err(e) => Err(e),
        };
        self.note_use(name);
        self.tell_end(call, &result, begun).await;
        result.map(Called::Done)
    }

    async fn tell_begin(&self, call: &ToolCall, preview: Option<Preview>) {
        let (id, tool, arguments) = (call.id.clone(), call.name.clone(), call.arguments.clone());
        self.emit(EventKind::ToolCall { id, tool, arguments, preview }).await;
    }

    async fn tell_end(&self, call: ToolCall, result: &Result<ToolOutput, ToolError>, begun: crate::id::Timestamp) {
        let (success, output, structured, denied) = match result {
            Ok(output) => (!output.is_error, output.content.clone(), output.structured.clone(), false),
            Err(e) => (false, vec![Block::text(e.to_string())], None, matches!(e, ToolError::Denied(_))),
        };
        let duration_ms = u64::try_from(self.now().since(begun).as_millis()).unwrap_or(u64::MAX);
        let (id, tool) = (call.id, call.name);
        self.emit(EventKind::ToolResult { id, tool, success, output, structured, duration_ms, denied }).await;
    }

    /// Puts a question to whoever is asked about calls, in place. Nobody where it cannot be answered now; an approver
    /// that crashes has found nobody.
    pub async fn ask_person(&self, question: &Question) -> Reply {
        let asking = AssertUnwindSafe(self.inner.approver.question(question)).catch_unwind();
        match self.inner.cancel.run_until_cancelled(asking).await {
            Some(Ok(reply @ Reply::Answer(_))) => reply,
            Some(Ok(Reply::Later | Reply::Nobody) | Err(_)) | None => Reply::Nobody,
        }
    }
}

/// A part of a run that cannot be put down by itself: what cannot be answered now is denied.
pub(super) struct NoWaiting(pub(super) Arc<dyn Approver>);

#[async_trait]
impl Approver for NoWaiting {
    async fn ask(&self, request: &ApprovalRequest) -> Answer {
        match self.0.ask(request).await {
            Answer::Later => {
                let reason = cannot_wait(request, "an agent that works for another one");
                Answer::Decided(Decision::Deny { reason })
            }
            decided @ Answer::Decided(_) => decided,
        }
    }

    async fn question(&self, question: &Question) -> Reply {
        self.0.question(question).await
    }
}

/// The denial of what cannot wait, with what would allow it.
pub(super) fn cannot_wait(request: &ApprovalRequest, who: &str) -> String {
    format!("{}; {who} cannot wait for an answer: {}", request.reason, request.how_to_configure())
}
