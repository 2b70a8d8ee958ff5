//! `victor mcp`: serves one client on stdin and stdout, or any number over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use victor::config::Level;
use victor::http::{HttpDoor, Serves};
use victor::mcp_server::{self, Host as _, McpHost, McpServer, Questions, Roots};
use victor::server::{Exposure, ServeFlags, Serving};

use crate::app::App;
use crate::args::{AgentFlags, McpServe};
use crate::exit::{Exit, Failure};

use super::wire::{self, Wire};

/// How long what still runs may take to settle when the client is gone.
const GRACE: Duration = Duration::from_millis(100);

/// Serves until the client goes away, or a signal.
///
/// # Errors
/// The configuration is wrong, or the address cannot be listened on.
pub(crate) fn serve(app: &App, args: McpServe) -> Result<Exit, Failure> {
    if args.http.is_none() && !args.stdio && app.terminal.stdin {
        return Err(Failure::usage(
            "an MCP client starts this and talks to it on stdin; `victor mcp install claude-code` tells one to. \
             --stdio serves this terminal, --http 127.0.0.1:8081 serves HTTP",
        ));
    }
    let given = args.log_level.or(mcp_server::log_level(&app.env)?);
    let questions = if args.call.yes { Questions::Yes } else { Questions::Client };
    let tools = args.tools.clone();
    let http = args.http;
    // Before anything else could write.
    let wire = if http.is_none() { Some(Wire::take().map_err(|e| no_wire(&e))?) } else { None };
    let roots = if http.is_some() { Roots::Ignored } else { Roots::Taken };
    let mut host = McpHost::new(app.options(&flags(args)), roots)?;
    if let Some(level) = given {
        host.log_at(level);
    }
    app.tell(&host.setup().settings.notices);
    app.start_log_with(host.setup(), Some(given.unwrap_or(Level::Warn)));
    let host = Arc::new(host);
    let door = mcp_server::door(Arc::clone(&host) as _, &app.env, questions, tools.as_deref())?;
    crate::to_end(crate::threads()?, async {
        app.tell(&mcp_server::strangers(&door).await?);
        match (wire, http) {
            (Some(wire), _) => Box::pin(stdio(wire, host, door)).await,
            (None, Some(address)) => over_http(&host, &door, address).await,
            (None, None) => Ok(Exit::Done),
        }
    })
}

fn flags(args: McpServe) -> AgentFlags {
    AgentFlags {
        choice: args.choice,
        max_turns: args.max_turns,
        no_save: args.no_save,
        call: args.call,
        ..AgentFlags::default()
    }
}

/// The same gate as the HTTP API's, without the API.
async fn over_http(host: &McpHost, door: &McpServer, address: SocketAddr) -> Result<Exit, Failure> {
    let flags = ServeFlags {
        host: Some(address.ip().to_string()),
        port: Some(address.port()),
        mcp: Some(()),
        exposure: Exposure::Never,
        ..ServeFlags::default()
    };
    let serving = Serving { api: false, ..host.setup().serving(host.setup().store()?, &flags).await? };
    let http = HttpDoor::new(host.open()?, serving.config.clone())?.serving(Serves::Health);
    let exit = crate::serve::listen(&serving, mcp_server::behind(door, http), Some(door)).await;
    host.shutdown(GRACE).await;
    exit
}

fn no_wire(error: &std::io::Error) -> Failure {
    Failure::failed(format!("standard input and output cannot be set aside for the protocol: {error}"))
}

async fn stdio(wire: Wire, host: Arc<McpHost>, door: McpServer) -> Result<Exit, Failure> {
    let failed = |e| Failure::failed(format!("signals cannot be waited for: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let serving = door.serve(wire::reader(wire.read), wire::writer(wire.write));
    let exit = tokio::select! {
        () = serving => Exit::Done,
        _ = terminate.recv() => Exit::Done,
        _ = interrupt.recv() => Exit::Interrupted,
    };
    door.close();
    host.shutdown(GRACE).await;
    Ok(exit)
}
