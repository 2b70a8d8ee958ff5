//! What servers may ask of the client and tell it: progress, logs, changes, roots, input. Sampling is declined.
#![expect(deprecated, reason = "roots and logging are deprecated for servers, and old servers still use them")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::{
    ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationCapability,
    ErrorData, FormElicitationCapability, Implementation, InputRequest, ListRootsResult,
    LoggingMessageNotificationParam, ProgressNotificationParam, ProgressToken, ProtocolVersion, Root,
    RootsCapabilities, UrlElicitationCapability,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ClientHandler, RoleClient};
use serde_json::Value;
use tokio::sync::mpsc;

use super::host::{Elicitation, Elicited, Elicitor};

/// Log messages of one connection that are kept; those after them are passed over.
const LOGGED: u32 = 2_000;
/// Pieces of progress that may wait for a slow reader; more are dropped.
const WAITING: usize = 8;

/// The client's side of one connection. Cloning is cheap and gives the same.
#[derive(Clone)]
pub(super) struct Handler {
    inner: Arc<Inner>,
}

struct Inner {
    server: String,
    root: PathBuf,
    elicitor: Option<Arc<dyn Elicitor>>,
    progress: Mutex<HashMap<ProgressToken, mpsc::Sender<String>>>,
    stale: AtomicBool,
    logged: AtomicU32,
}

/// Progress of one call, for as long as it is held.
pub(super) struct Progress {
    inner: Arc<Inner>,
    token: ProgressToken,
    pub(super) pieces: mpsc::Receiver<String>,
}

impl Handler {
    pub(super) fn new(server: &str, root: &Path, elicitor: Option<Arc<dyn Elicitor>>) -> Self {
        let inner = Inner {
            server: server.to_owned(),
            root: root.to_owned(),
            elicitor,
            progress: Mutex::default(),
            stale: AtomicBool::new(false),
            logged: AtomicU32::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The progress that is told under this token from now on.
    pub(super) fn follow(&self, token: ProgressToken) -> Progress {
        let (sender, pieces) = mpsc::channel(WAITING);
        self.inner.progress().insert(token.clone(), sender);
        Progress { inner: Arc::clone(&self.inner), token, pieces }
    }

    /// Whether the server has said since the last time that its tools are others now.
    pub(super) fn take_stale(&self) -> bool {
        self.inner.stale.swap(false, Ordering::Relaxed)
    }

    /// Marks what is known of the tools as old.
    pub(super) fn mark_stale(&self) {
        self.inner.stale.store(true, Ordering::Relaxed);
    }

    /// Answers what a server wants to know before it goes on (2026-07-28).
    pub(super) async fn input(&self, request: InputRequest) -> Result<Value, ErrorData> {
        let answer = match request {
            InputRequest::Elicitation(request) => serde_json::to_value(self.elicit(request.params).await),
            InputRequest::ListRoots(_) => serde_json::to_value(self.roots()),
            _ => return Err(no_sampling()),
        };
        answer.map_err(|e| ErrorData::internal_error(e.to_string(), None))
    }

    async fn elicit(&self, request: ElicitRequestParams) -> ElicitResult {
        let decline = || ElicitResult::new(ElicitationAction::Decline);
        let Some(elicitor) = &self.inner.elicitor else { return decline() };
        let server = self.inner.server.clone();
        let question = match request {
            ElicitRequestParams::FormElicitationParams { message, requested_schema, .. } => {
                let form = serde_json::to_value(requested_schema).unwrap_or_default();
                Elicitation { server, message, form: Some(form), url: None }
            }
            ElicitRequestParams::UrlElicitationParams { message, url, .. } => {
                Elicitation { server, message, form: None, url: Some(url) }
            }
            _ => return decline(),
        };
        match elicitor.ask(question).await {
            Elicited::Accepted(content) => ElicitResult::new(ElicitationAction::Accept).with_content(content),
            Elicited::Declined => decline(),
            Elicited::Cancelled => ElicitResult::new(ElicitationAction::Cancel),
        }
    }

    fn roots(&self) -> ListRootsResult {
        let uri = reqwest::Url::from_directory_path(&self.inner.root).map(String::from).unwrap_or_default();
        let uri = uri.trim_end_matches('/').to_owned();
        let name = self.inner.root.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        ListRootsResult::new(vec![Root::new(uri).with_name(name)])
    }
}

impl Inner {
    fn progress(&self) -> MutexGuard<'_, HashMap<ProgressToken, mpsc::Sender<String>>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.inner.progress().remove(&self.token);
    }
}

fn no_sampling() -> ErrorData {
    ErrorData::invalid_request("this client lends its model to no server", None)
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::default();
        capabilities.roots = Some(RootsCapabilities::default());
        if self.inner.elicitor.is_some() {
            let form = FormElicitationCapability::new().with_schema_validation(true);
            let both = ElicitationCapability::new().with_form(form).with_url(UrlElicitationCapability::default());
            capabilities.elicitation = Some(both);
        }
        ClientConfig::new(capabilities, Implementation::new("victor", env!("CARGO_PKG_VERSION")).with_title("Victor"))
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        Ok(self.roots())
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        cx: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let answer = cx.ct.run_until_cancelled(self.elicit(request)).await;
        Ok(answer.unwrap_or_else(|| ElicitResult::new(ElicitationAction::Cancel)))
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        let sender = self.inner.progress().get(&params.progress_token).cloned();
        let Some(sender) = sender else { return };
        let count = match params.total {
            Some(total) => format!("{} of {total}", params.progress),
            None => params.progress.to_string(),
        };
        let text = match params.message {
            Some(message) => format!("{count}: {}", super::content::cut(&message, 1_000)),
            None => count,
        };
        // A reader that does not keep up misses pieces.
        let _ = sender.try_send(text);
    }

    async fn on_logging_message(&self, params: LoggingMessageNotificationParam, _: NotificationContext<RoleClient>) {
        if self.inner.logged.fetch_add(1, Ordering::Relaxed) >= LOGGED {
            return;
        }
        let text: String = match &params.data {
            Value::String(text) => text.chars().take(1_000).collect(),
            other => other.to_string().chars().take(1_000).collect(),
        };
        tracing::info!(server = %self.inner.server, level = ?params.level, "{text}");
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.mark_stale();
    }
}
