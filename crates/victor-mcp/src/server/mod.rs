//! Victor as an MCP server: over a pair of pipes, and as a router for HTTP. It translates between the protocol and a
//! runtime; what may run is decided in core.
#![expect(deprecated, reason = "older clients know roots, logging and sampling, which the newest revision gives up")]

mod ask;
mod binding;
#[cfg_attr(not(feature = "conformance"), expect(unreachable_pub, reason = "the fixtures of the suite are made of it"))]
mod call;
mod config;
mod door;
mod host;
mod http;
mod lists;
#[cfg_attr(not(feature = "conformance"), expect(unreachable_pub, reason = "the fixtures of the suite are made of it"))]
mod own;
mod places;
mod runs;
mod sampling;
mod session;
mod sse;
mod stdio;
mod tasks;
mod tools;
mod watch;
mod workflows;

use std::sync::Arc;

use rmcp::ServiceExt as _;
use rmcp::service::ServerInitializeError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use victor_core::error::VictorError;

pub use config::{Config, Questions, ToolFilter};
pub use host::Host;
pub use http::Guard;

#[cfg(feature = "conformance")]
pub use call::{Call, Retry};
#[cfg(feature = "conformance")]
pub use own::{Card, OwnPrompt, OwnTool};

use door::Door;
use own::OwnTools;
use session::{Link, Session};
use stdio::Lines;

/// The MCP door. Cloning is cheap and gives the same door.
#[derive(Clone)]
pub struct McpServer {
    door: Arc<Door>,
}

impl McpServer {
    /// A door to the host's runtime. `key` is secret and random: with it the server knows again what it gave a client to
    /// keep.
    pub fn new(host: Arc<dyn Host>, config: Config, key: [u8; 32]) -> Self {
        Self { door: Arc::new(Door::new(host, config, OwnTools::new(), key)) }
    }

    /// The same with the suite's fixtures.
    #[cfg(feature = "conformance")]
    pub fn with_fixtures(
        host: Arc<dyn Host>,
        config: Config,
        key: [u8; 32],
        tools: Vec<Arc<dyn OwnTool>>,
        prompts: Vec<Arc<dyn OwnPrompt>>,
    ) -> Self {
        let mut door = Door::new(host, config, tools, key);
        door.fixtures = prompts;
        Self { door: Arc::new(door) }
    }

    /// All tools that can be offered, whatever the lists say: name and category.
    ///
    /// # Errors
    /// The runtime cannot be opened.
    pub async fn all_tools(&self) -> Result<Vec<(String, String)>, VictorError> {
        let runtime = self.door.host.runtime().await?;
        let specs = runtime.own_tool_set().await.specs();
        let mut all: Vec<_> = specs.iter().map(|s| (s.name.clone(), s.category.clone())).collect();
        all.extend(self.door.own.iter().map(|t| (t.card().name().to_owned(), t.card().category().to_owned())));
        all.retain(|(name, _)| !self.door.config.tools.hides(name));
        Ok(all)
    }

    /// Which tools it offers.
    #[must_use]
    pub fn filter(&self) -> &ToolFilter {
        &self.door.config.tools
    }

    /// Serves one client that writes messages as lines, until it closes its end; then what still runs is ended.
    pub async fn serve(&self, read: impl AsyncRead + Unpin + Send + 'static, write: impl AsyncWrite + Unpin + Send) {
        let config = &self.door.config;
        let gone = CancellationToken::new();
        let (lines, outbox) = Lines::new(read, config.max_message, gone.clone());
        let session = Session::new(Arc::clone(&self.door), Link::Connection);
        let closing = session.closing.clone();
        let mut writing = std::pin::pin!(outbox.write_to(write));
        let mut serving = std::pin::pin!(serve(session, lines, closing.clone()));
        let mut ending = std::pin::pin!(async {
            gone.cancelled().await;
            tokio::time::sleep(config.drain).await;
        });
        let (mut ends, mut serves) = (false, true);
        loop {
            tokio::select! {
                written = &mut writing => {
                    if let Err(error) = written {
                        tracing::debug!(%error, "the client reads no longer");
                    }
                    break;
                }
                () = &mut serving, if serves => serves = false,
                () = &mut ending, if !ends => {
                    ends = true;
                    closing.cancel();
                }
            }
        }
        closing.cancel();
    }

    /// The door as a router: `/mcp`, and `/sse` with `/messages` where something before it guards it.
    pub fn router(&self) -> axum::Router {
        http::router(&self.door)
    }

    /// Takes leave of clients that only wait for something to happen; calls under way go on.
    pub fn quiet(&self) {
        self.door.quiet.cancel();
    }

    /// What ends all clients, and all that they began, when it is cancelled.
    #[must_use]
    pub fn ends_with(&self) -> CancellationToken {
        self.door.closing.clone()
    }

    /// Ends all clients, and all that they began.
    pub fn close(&self) {
        self.door.closing.cancel();
    }
}

impl std::fmt::Debug for McpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpServer").field("config", &self.door.config).finish_non_exhaustive()
    }
}

async fn serve<R>(session: Session, lines: Lines<R>, closing: CancellationToken)
where
    R: AsyncRead + Unpin + Send + 'static,
{
    match session.serve(lines).await {
        Ok(running) => {
            let stop = running.cancellation_token();
            let mut waiting = std::pin::pin!(running.waiting());
            let ended = tokio::select! {
                ended = &mut waiting => ended,
                () = closing.cancelled() => {
                    stop.cancel();
                    waiting.await
                }
            };
            tracing::debug!(?ended, "the client is gone");
        }
        Err(ServerInitializeError::ConnectionClosed(_)) => {}
        Err(error) => tracing::warn!(%error, "the client could not be served"),
    }
}
