//! One call of a tool: its progress, its limits, its end when the run is cancelled, and what the server asks meanwhile.

use std::time::Duration;

use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientRequest, InputRequiredResult, ServerResult,
};
use rmcp::service::{PeerRequestOptions, RequestHandle};
use rmcp::{RoleClient, ServiceError};
use serde_json::{Map, Value};
use victor_core::tool::ToolCx;

use super::connection::{Connection, causes};

/// Times that a server may ask for something before it answers.
const ROUNDS: usize = 10;
/// How long the last pieces of progress of a call that told some may come after its answer: each takes its own way.
const LAST: Duration = Duration::from_millis(20);
/// A call that shows progress may go on for so many times its limit.
const STRETCH: u32 = 10;

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum Uncalled {
    /// The run was cancelled; the server was told.
    Cancelled,
    /// The connection is gone.
    Gone(String),
    /// The server did not answer in time; it was told.
    Late(Duration),
    /// The server wants a login, or one with more rights; what it says about that, and why.
    Login(String, String),
    /// The server refuses it.
    Refused(String),
}

impl Connection {
    /// Calls a tool by the server's own name for it.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
        limit: Duration,
        cx: &ToolCx,
    ) -> Result<CallToolResult, Uncalled> {
        let mut params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        for round in 0..ROUNDS {
            let request = CallToolRequest::new(params.clone());
            match self.answer(ClientRequest::CallToolRequest(request), limit, cx).await? {
                ServerResult::CallToolResult(result) => return Ok(result),
                ServerResult::EmptyResult(_) => return Ok(CallToolResult::default()),
                ServerResult::InputRequiredResult(asked) => {
                    if asked.input_requests.as_ref().is_none_or(std::collections::BTreeMap::is_empty) {
                        let pause = Duration::from_millis(50 << round.min(3));
                        tokio::time::sleep(pause).await;
                    }
                    (params.input_responses, params.request_state) = self.inputs(asked).await?;
                }
                ServerResult::CreateTaskResult(_) => {
                    return Err(Uncalled::Refused("it answers with a task, which is not followed here".to_owned()));
                }
                ServerResult::CustomResult(other) if other.0.as_object().is_some_and(|o| o.keys().eq(["_meta"])) => {
                    return Ok(CallToolResult::default());
                }
                _ => return Err(Uncalled::Refused("its answer is no result of a tool".to_owned())),
            }
        }
        Err(Uncalled::Refused(format!("it asked for input {ROUNDS} times and gave no result")))
    }

    async fn inputs(
        &self,
        asked: InputRequiredResult,
    ) -> Result<(Option<std::collections::BTreeMap<String, Value>>, Option<String>), Uncalled> {
        let mut given = std::collections::BTreeMap::new();
        for (key, request) in asked.input_requests.unwrap_or_default() {
            let answer = self.handler.input(request).await;
            given.insert(key, answer.map_err(|e| Uncalled::Refused(e.message.to_string()))?);
        }
        Ok(((!given.is_empty()).then_some(given), asked.request_state))
    }

    async fn answer(&self, request: ClientRequest, limit: Duration, cx: &ToolCx) -> Result<ServerResult, Uncalled> {
        let sent = self.peer().send_cancellable_request(request, PeerRequestOptions::no_options()).await;
        let mut handle = match sent {
            Ok(handle) => handle,
            Err(e) => return Err(self.uncalled(&e).await),
        };
        let mut progress = self.handler.follow(handle.progress_token.clone());
        let mut idle = Box::pin(tokio::time::sleep(limit));
        let mut whole = Box::pin(tokio::time::sleep(limit * STRETCH));
        let mut patience = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                answer = &mut handle.rx => {
                    while let Ok(Some(piece)) = tokio::time::timeout(patience, progress.pieces.recv()).await {
                        cx.progress(piece);
                    }
                    return match answer {
                        Ok(Ok(result)) => Ok(result),
                        Ok(Err(e)) => Err(self.uncalled(&e).await),
                        Err(_) => Err(self.uncalled(&ServiceError::TransportClosed).await),
                    };
                }
                () = cx.cancel.cancelled() => {
                    give_up(handle, "the run was cancelled").await;
                    return Err(Uncalled::Cancelled);
                }
                Some(piece) = progress.pieces.recv() => {
                    cx.progress(piece);
                    patience = LAST;
                    idle.set(tokio::time::sleep(limit));
                }
                () = &mut idle => {
                    give_up(handle, "it took too long").await;
                    return Err(Uncalled::Late(limit));
                }
                () = &mut whole => {
                    give_up(handle, "it took too long").await;
                    return Err(Uncalled::Late(limit * STRETCH));
                }
            }
        }
    }

    async fn uncalled(&self, error: &ServiceError) -> Uncalled {
        if let Some(challenge) = error.auth_challenge() {
            return Uncalled::Login(challenge.to_owned(), causes(error));
        }
        let why = self.explain(error).await;
        match error {
            ServiceError::TransportClosed | ServiceError::TransportSend(_) => Uncalled::Gone(why),
            _ => Uncalled::Refused(why),
        }
    }
}

/// Tells the server that nobody waits any more. One that does not read is not waited for.
async fn give_up(handle: RequestHandle<RoleClient>, why: &str) {
    let told = handle.cancel(Some(why.to_owned()));
    let _ = tokio::time::timeout(Duration::from_millis(500), told).await;
}
