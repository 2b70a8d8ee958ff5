//! A connection to one server, from its handshake to its end.

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use rmcp::model::{ProtocolVersion, ServerPeerInfo, SubscriptionFilter};
use rmcp::service::{ClientInitializeError, RunningService, Subscription};
use rmcp::transport::IntoTransport;
use rmcp::transport::streamable_http_client::StreamableHttpError;
use rmcp::{ClientLifecycleMode, ClientServiceExt, Peer, RoleClient, ServiceError};

use super::catalog::{self, Catalog, list_tools};
use super::config::{Link, Program, ServerConfig};
use super::content;
use super::handler::Handler;
use super::host::Host;
use super::http;
use super::lines::{Lines, Verdict};
use super::process::{Process, Streams};
use super::throttle::Throttled;

/// How long a server may take to agree to tell of changes.
const LISTEN: Duration = Duration::from_secs(2);

/// A connection that is made. Dropping it ends the server's program.
pub(super) struct Connection {
    pub(super) service: RunningService<RoleClient, Handler>,
    pub(super) handler: Handler,
    process: Option<Process>,
    verdict: Verdict,
    /// What the server tells of changes, where it has to be asked for that (2026-07-28).
    changes: Mutex<Option<Subscription>>,
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(super) struct Unopened {
    /// Why, for a person.
    pub(super) reason: String,
    /// What the server says about logging in, where it wants one.
    pub(super) challenge: Option<String>,
}

impl From<String> for Unopened {
    fn from(reason: String) -> Self {
        Self { reason, challenge: None }
    }
}

impl Connection {
    /// Connects, and asks the server what it has. `known` is what was known before.
    pub(super) async fn open(
        config: &ServerConfig,
        link: &Link,
        host: &Host,
        known: Option<&Catalog>,
    ) -> Result<(Self, Catalog, Vec<String>), Unopened> {
        let handler = Handler::new(&config.name, &host.root, host.elicitor.get().cloned());
        let (connection, sse) = match link {
            Link::Program(program) => (Self::start(config, program, host, handler, known).await?, false),
            Link::Address(address) => {
                let opened = http::open(&config.name, address, host, &handler, known).await?;
                let (service, sse) = opened;
                (Self { service, handler, process: None, verdict: Verdict::default(), changes: Mutex::default() }, sse)
            }
        };
        match connection.catalog(sse).await {
            Ok((catalog, problems)) => {
                connection.listen(&catalog).await;
                Ok((connection, catalog, problems))
            }
            Err(e) => {
                let challenge = e.auth_challenge().map(ToOwned::to_owned);
                Err(Unopened { reason: connection.explain(&e).await, challenge })
            }
        }
    }

    async fn start(
        config: &ServerConfig,
        program: &Program,
        host: &Host,
        handler: Handler,
        known: Option<&Catalog>,
    ) -> Result<Self, Unopened> {
        match Self::start_once(config, program, host, handler.clone(), known).await {
            Err((error, _)) if is_lost(&error, known) => {
                let again = Self::start_once(config, program, host, handler, Some(&Catalog::legacy())).await;
                again.map_err(|(_, unopened)| unopened)
            }
            started => started.map_err(|(_, unopened)| unopened),
        }
    }

    async fn start_once(
        config: &ServerConfig,
        program: &Program,
        host: &Host,
        handler: Handler,
        known: Option<&Catalog>,
    ) -> Result<Self, (ClientInitializeError, Unopened)> {
        let started = Process::start(&config.name, program, &host.env);
        let (process, streams) = started.map_err(|why| (ClientInitializeError::Cancelled, why.into()))?;
        let Streams { stdin, stdout } = streams;
        let verdict = Verdict::default();
        let lines = Lines::new(&config.name, stdout, stdin, Arc::clone(&verdict));
        match serve(handler.clone(), lines, host, known).await {
            Ok(service) => Ok(Self { service, handler, process: Some(process), verdict, changes: Mutex::default() }),
            Err(e) => {
                let given_up = verdict.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let ended = match given_up {
                    Some(why) => Some(why),
                    None => process.epitaph().await,
                };
                let reason = ended.unwrap_or_else(|| format!("{}{}", told(&e), process.last_words()));
                Err((e, reason.into()))
            }
        }
    }

    /// Asks to be told of changes, where that has to be asked. A server that does not do it is used without.
    async fn listen(&self, catalog: &Catalog) {
        let info = self.info();
        let changes = info.and_then(|i| i.capabilities.tools.clone()).and_then(|t| t.list_changed).unwrap_or(false);
        if catalog.legacy || !changes {
            return;
        }
        let filter = SubscriptionFilter::builder().tools_list_changed().build();
        if let Ok(Ok(changes)) = tokio::time::timeout(LISTEN, self.peer().listen(filter)).await {
            *self.changes.lock().unwrap_or_else(PoisonError::into_inner) = Some(changes);
        }
    }

    /// Whether the server has said since the last time that its tools are others now.
    pub(super) fn take_stale(&self) -> bool {
        let mut stale = self.handler.take_stale();
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(told) = changes.as_mut().and_then(|c| c.next().now_or_never()) {
            stale = true;
            if !matches!(told, Ok(Some(_))) {
                *changes = None;
            }
        }
        stale
    }

    /// What the server has, fresh.
    pub(super) async fn catalog(&self, sse: bool) -> Result<(Catalog, Vec<String>), ServiceError> {
        let mut catalog = Catalog::new();
        let mut problems = Vec::new();
        if let Some(info) = self.info() {
            catalog.server = info.server_info.as_ref().map(|s| format!("{} {}", s.name, s.version));
            info.protocol_version.as_str().clone_into(&mut catalog.protocol);
            catalog.legacy = info.protocol_version.has_initialize();
            catalog.instructions = info.instructions.as_ref().map(|text| content::cut(text, catalog::ABOUT));
            catalog.has_prompts = info.capabilities.prompts.is_some();
            catalog.has_resources = info.capabilities.resources.is_some();
            if info.capabilities.tools.is_some() {
                (catalog.tools, problems) = list_tools(self.peer()).await?;
            }
            if catalog.has_prompts {
                catalog.prompts = catalog::prompts(self.peer()).await;
            }
            if catalog.has_resources {
                catalog.resources = catalog::resources(self.peer()).await;
            }
        }
        catalog.sse = sse;
        Ok((catalog, problems))
    }

    pub(super) fn peer(&self) -> &Peer<RoleClient> {
        self.service.peer()
    }

    pub(super) fn info(&self) -> Option<Arc<ServerPeerInfo>> {
        self.service.peer().peer_info()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.service.is_closed() || self.peer().is_transport_closed()
    }

    /// An error of this connection in words; what ended the connection stands for what that made fail.
    pub(super) async fn explain(&self, error: &ServiceError) -> String {
        let closed = matches!(error, ServiceError::TransportClosed | ServiceError::TransportSend(_));
        if closed && let Some(why) = self.ending().await {
            return why;
        }
        match error {
            ServiceError::McpError(e) => e.message.to_string(),
            ServiceError::TransportClosed => "the connection was closed".to_owned(),
            ServiceError::UnexpectedResponse => "its answer has another form than the protocol says".to_owned(),
            other => causes(other),
        }
    }

    /// Why the connection ended, where that is known.
    pub(super) async fn ending(&self) -> Option<String> {
        let given_up = self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (given_up, &self.process) {
            (Some(why), _) => Some(why),
            (None, Some(process)) => process.epitaph().await,
            (None, None) => None,
        }
    }

    /// Ends the connection and the server's program.
    pub(super) async fn close(&self) {
        self.service.cancellation_token().cancel();
        if let Some(process) = &self.process {
            process.end().await;
            return;
        }
        // A session is given back over the same connection.
        for _ in 0..50 {
            if self.peer().is_transport_closed() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The handshake: the newest revision first, unless the server is known to be older.
pub(super) async fn serve<T, E, A>(
    handler: Handler,
    transport: T,
    host: &Host,
    known: Option<&Catalog>,
) -> Result<RunningService<RoleClient, Handler>, ClientInitializeError>
where
    T: IntoTransport<RoleClient, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let transport = Throttled::new(transport.into_transport(), Arc::clone(&host.clock));
    let lifecycle = match known.is_some_and(|k| k.legacy) {
        true => ClientLifecycleMode::Initialize,
        false => ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
        },
    };
    Box::pin(handler.serve_with_lifecycle(transport, lifecycle)).await
}

/// Whether a server may have lost its way over the newest revision's first question; the older handshake is worth a try.
pub(super) fn is_lost(error: &ClientInitializeError, known: Option<&Catalog>) -> bool {
    let lost = matches!(
        error,
        ClientInitializeError::ExpectedInitResult(_)
            | ClientInitializeError::ConflictInitResponseId(..)
            | ClientInitializeError::UncorrelatedErrorResponse { .. }
            | ClientInitializeError::ConnectionClosed(_)
    );
    lost && !known.is_some_and(|k| k.legacy)
}

/// A failed handshake in words.
pub(super) fn told(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::JsonRpcError(e) => format!("it refuses the connection: {}", e.message),
        ClientInitializeError::ConnectionClosed(_) => "it closed the connection before it had answered".to_owned(),
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => told(fallback),
        ClientInitializeError::TransportError { error, .. } => causes(error.error.as_ref()),
        ClientInitializeError::NoCompatibleProtocolVersion { server_supported, .. } => {
            let theirs: Vec<_> = server_supported.iter().map(ProtocolVersion::as_str).collect();
            format!("it speaks no revision of the protocol that is spoken here, only {}", theirs.join(", "))
        }
        other => {
            let text = causes(other);
            content::cut(&text, 500)
        }
    }
}

/// An error with all that is behind it.
pub(super) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = behind(error);
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = behind(cause);
    }
    content::cut(&text, 1_000)
}

/// The transport's error has the client's inside, and does not say so.
fn behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
        Some(StreamableHttpError::Client(inner)) => inner.source(),
        _ => error.source(),
    }
}
