//! One client: its runtime, its level of logs, what it was allowed and what it watches; the protocol's methods.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams, CompleteResult, CustomRequest,
    CustomResult, ErrorCode, GetPromptRequestParams, GetPromptResponse, GetTaskParams, GetTaskResult,
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, LoggingLevel,
    PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse, ServerConfig, SetLevelRequestParams,
    SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::OnceCell;
use tokio_util::sync::{CancellationToken, DropGuard};
use victor_core::permission::Grants;
use victor_core::runtime::Runtime;

use super::call::{Call, Era, era};
use super::door::{Door, unavailable};
use super::places::Place;
use super::{lists, tasks, tools, watch};
use crate::convert;

/// Methods that exist: a request of one of them that could not be read has wrong parameters.
const METHODS: [&str; 13] = [
    "server/discover",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "subscriptions/listen",
    "completion/complete",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
];
/// Those that only the older form of the protocol has.
const OLDER: [&str; 5] = ["initialize", "ping", "resources/subscribe", "resources/unsubscribe", "logging/setLevel"];
/// How long a client may take to name its folders.
const ROOTS: Duration = Duration::from_secs(5);

type Held<T> = Arc<Mutex<T>>;

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// One client as long as the connection stands: stdio, or the older HTTP transport.
    Connection,
    /// Requests over HTTP: a session in the older form of the protocol, none in the newer.
    Http,
}

/// One client.
pub(crate) struct Session {
    pub(crate) door: Arc<Door>,
    /// Ends everything that this client began.
    pub(crate) closing: CancellationToken,
    link: Link,
    runtime: RwLock<Arc<OnceCell<Runtime>>>,
    level: Held<Option<LoggingLevel>>,
    pub(crate) grants: Held<Grants>,
    pub(crate) watched: Held<HashMap<String, DropGuard>>,
    /// Its place among the clients over HTTP.
    place: Option<Arc<Place>>,
}

impl Session {
    pub(crate) fn new(door: Arc<Door>, link: Link) -> Self {
        Self {
            closing: door.closing.child_token(),
            door,
            link,
            runtime: RwLock::default(),
            level: Held::default(),
            grants: Held::default(),
            watched: Held::default(),
            place: None,
        }
    }

    /// The same, with its place among all clients for as long as it lives.
    pub(crate) fn at(self, place: Option<Arc<Place>>) -> Self {
        Self { place, ..self }
    }

    pub(crate) fn log_level(&self) -> Option<LoggingLevel> {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what is kept here is there at the next request.
    pub(crate) fn lasts(&self, era: Era) -> bool {
        self.link == Link::Connection || era == Era::Sessions
    }

    /// The runtime of this client, opened at the first request that needs one.
    pub(crate) async fn runtime(&self, cx: &RequestContext<RoleServer>) -> Result<Runtime, ErrorData> {
        let cell = Arc::clone(&self.runtime.read().unwrap_or_else(PoisonError::into_inner));
        let opened = cell.get_or_try_init(|| self.open(cx)).await;
        opened.cloned().map_err(|e| unavailable(&e))
    }

    async fn open(&self, cx: &RequestContext<RoleServer>) -> Result<Runtime, victor_core::error::VictorError> {
        let host = &self.door.host;
        let names = host.takes_roots() && era(cx) == Era::Sessions;
        let names = names && cx.client_capabilities().is_some_and(|c| c.roots.is_some());
        match if names { roots(cx).await } else { Vec::new() } {
            none if none.is_empty() => host.runtime().await,
            roots => host.rooted(roots).await,
        }
    }
}

/// The folders that the client names.
async fn roots(cx: &RequestContext<RoleServer>) -> Vec<PathBuf> {
    let asked = tokio::time::timeout(ROOTS, cx.peer.list_roots()).await;
    let Ok(Ok(result)) = asked else { return Vec::new() };
    result.roots.iter().filter_map(|root| convert::path_of(&root.uri)).collect()
}

impl ServerHandler for Session {
    fn get_info(&self) -> ServerConfig {
        self.door.info()
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let runtime = self.runtime(&cx).await?;
        Ok(ListToolsResult::with_all_items(self.door.tools(&runtime).await))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let _working = self.place.as_ref().map(Place::works);
        Box::pin(tools::call(&Call::new(self, &cx), request)).await
    }

    /// For what HTTP headers have to repeat of a call's arguments; the runtime's tools ask for none.
    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.door.own_tool(name).map(|own| own.card().tool().clone())
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        lists::prompts(&self.runtime(&cx).await?, request).await
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        #[cfg(feature = "conformance")]
        if let Some(fixture) = self.door.fixtures.iter().find(|p| p.name() == request.name) {
            let responses = request.input_responses.unwrap_or_default();
            let retry = super::call::Retry { state: request.request_state, responses };
            return fixture.get(&Call::new(self, &cx), retry).await;
        }
        lists::prompt(&self.runtime(&cx).await?, request).await.map(Into::into)
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        lists::resources(&self.runtime(&cx).await?, request).await
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        lists::templates(&self.runtime(&cx).await?).await
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        lists::read(&self.runtime(&cx).await?, &request.uri).await.map(Into::into)
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        lists::complete(&self.runtime(&cx).await?, request).await
    }

    async fn set_level(&self, request: SetLevelRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.level);
        Ok(())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        watch::subscribe(self, &self.runtime(&cx).await?, request.uri, &cx).await
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let uris = requested.resource_subscriptions.clone().unwrap_or_default();
        let uris = uris.into_iter().take(watch::WATCHED);
        Some(uris.fold(SubscriptionFilter::builder(), |b, uri| b.resource_subscription(uri)).build())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let runtime = self.runtime(context.request_context()).await?;
        watch::listen(&self.door, &runtime, &context).await
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        tasks::get(&Call::new(self, &cx), &request.task_id).await
    }

    async fn update_task(&self, request: UpdateTaskParams, cx: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        tasks::update(&Call::new(self, &cx), &request)
    }

    async fn cancel_task(&self, request: CancelTaskParams, cx: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        tasks::cancel(&Call::new(self, &cx), &request.task_id)
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        cx: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = request.method.as_str();
        let exists = METHODS.contains(&method) || (era(&cx) == Era::Sessions && OLDER.contains(&method));
        if exists {
            let message = format!("the parameters do not fit the method `{}`", request.method);
            return Err(ErrorData::invalid_params(message, None));
        }
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("Method not found: {}", request.method), None))
    }

    async fn on_initialized(&self, _: NotificationContext<RoleServer>) {
        tracing::debug!("a client is ready");
    }

    async fn on_roots_list_changed(&self, _: NotificationContext<RoleServer>) {
        *self.runtime.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }
}
