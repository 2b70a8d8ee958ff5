//! `victor serve`: the HTTP API, until somebody asks it to end.

use std::io;
use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use victor::http::{HttpDoor, Listener, Times, Tls};
use victor::mcp_server::{self, McpServer, Questions};
use victor::permission::DenyUnconfigured;
use victor::server::{Exposure, ServeFlags, Serving};
use victor::workflow::Scheduler;
use victor::{Setup, SqliteStore, Workflows};

use crate::app::App;
use crate::args::{AgentFlags, ServeArgs};
use crate::exit::{Exit, Failure};
use crate::terminal::{harmless_line, note};

/// Serves until a signal.
///
/// # Errors
/// The configuration is wrong, or the port is in use.
pub(crate) fn serve(app: &App, args: ServeArgs) -> Result<Exit, Failure> {
    let setup = app.setup(&AgentFlags::default())?;
    let flags = flags(args);
    let mut threads = Builder::new_multi_thread();
    if let Some(workers) = setup.workers(&flags) {
        threads.worker_threads(workers);
    }
    crate::to_end(crate::start(&mut threads)?, until_asked(app, &setup, &flags))
}

fn flags(args: ServeArgs) -> ServeFlags {
    ServeFlags {
        host: args.host,
        port: args.port,
        cert: args.ssl_cert,
        key: args.ssl_key,
        workers: args.workers,
        grace: args.grace,
        mcp: args.mcp.then_some(()),
        exposure: if args.insecure { Exposure::Insecure } else { Exposure::Guarded },
    }
}

async fn until_asked(app: &App, setup: &Setup, flags: &ServeFlags) -> Result<Exit, Failure> {
    app.start_log(setup);
    setup.check_profile()?;
    let runtime = setup.runtime_with(|builder| builder.approver(Arc::new(DenyUnconfigured)))?;
    let store = runtime.get::<Arc<SqliteStore>>().ok_or_else(|| Failure::failed("there is no store to serve from"))?;
    let serving = setup.serving(Arc::clone(&store), flags).await?;
    let mut door = HttpDoor::new(runtime.clone(), serving.config.clone())?;
    let workflows = Workflows::of(&runtime);
    let scheduler = setup.scheduler(&runtime)?.in_room(door.room());
    tell_schedules(&scheduler);
    let mut mcp = None;
    if serving.mcp {
        let server = mcp_server::door(Arc::new(runtime), &app.env, Questions::Client, None)?;
        app.tell(&mcp_server::strangers(&server).await?);
        door = mcp_server::behind(&server, door);
        mcp = Some(server);
    }
    tokio::select! {
        exit = listen(&serving, door, mcp.as_ref()) => exit,
        () = victor::workflow::tend(&workflows) => Ok(Exit::Done),
        () = victor::workflow::follow(&scheduler) => Ok(Exit::Done),
    }
}

/// What is run on a schedule, and what of it cannot be run as it is configured.
fn tell_schedules(scheduler: &Scheduler) {
    if let Some((schedule, at)) = scheduler.next() {
        let count = match scheduler.count() {
            1 => "1 schedule is followed".to_owned(),
            count => format!("{count} schedules are followed"),
        };
        note(format!("{count}; `{}` is due next, at {}", schedule.name, schedule.cron.local(at)));
    }
    scheduler.problems().iter().for_each(|problem| note(harmless_line(problem)));
}

/// Serves a door until a signal, with the MCP door that stands behind it.
///
/// # Errors
/// The address cannot be listened on, or the certificate cannot be used.
pub(crate) async fn listen(serving: &Serving, door: HttpDoor, mcp: Option<&McpServer>) -> Result<Exit, Failure> {
    victor::raise_file_limit();
    let mut listener = Listener::bind(serving.address).map_err(|e| unbound(serving, &e))?;
    let tls = tls(serving).await?;
    if let Some(tls) = &tls {
        listener = listener.with_tls(tls.clone());
    }
    let mut signals = Signals::new().map_err(|e| Failure::failed(format!("signals cannot be waited for: {e}")))?;
    let address = listener.address().map_err(|e| unbound(serving, &e))?;
    announce(serving, &address.to_string());
    let times = Times { grace: serving.grace, ..Times::default() };
    let (end, asked) = tokio::sync::oneshot::channel::<()>();
    let served = listener.serve(door, times, async move {
        drop(asked.await);
        if let Some(mcp) = mcp {
            mcp.quiet();
        }
    });
    tokio::select! {
        ended = served => {
            let in_time = ended.map_err(|e| Failure::failed(format!("the server failed: {e}")))?;
            if !in_time {
                note("runs that did not end in time were cancelled; their conversations are saved");
            }
            Ok(Exit::Done)
        }
        () = signals.twice(tls.as_ref(), end, serving) => Ok(Exit::Interrupted),
    }
}

async fn tls(serving: &Serving) -> Result<Option<Tls>, Failure> {
    let Some((cert, key)) = &serving.tls else { return Ok(None) };
    let tls = Tls::read(cert, key).await.map_err(|e| {
        let message = format!("the certificate {} with the key {} cannot be used: {e}", cert.display(), key.display());
        Failure::new(Exit::Configuration, message)
    })?;
    Ok(Some(tls))
}

fn announce(serving: &Serving, address: &str) {
    let scheme = if serving.tls.is_some() { "https" } else { "http" };
    let key = if serving.asks_for_key { "a key is needed" } else { "no key is needed" };
    let base = format!("{scheme}://{address}");
    if serving.api {
        note(format!("Victor serves on {base}/api/v1 ({key}); {base}/docs describes it"));
    }
    if serving.mcp {
        note(format!("Victor serves MCP clients on {base}/mcp and, for older ones, {base}/sse ({key})"));
    }
}

fn unbound(serving: &Serving, e: &io::Error) -> Failure {
    let address = serving.address;
    let hint = match e.kind() {
        io::ErrorKind::AddrInUse => ": another program uses the port; choose one with --port",
        io::ErrorKind::PermissionDenied => ": ports below 1024 need more rights; choose another with --port",
        io::ErrorKind::AddrNotAvailable => ": it is no address of this machine; choose one with --host",
        _ => "",
    };
    Failure::failed(format!("cannot listen on {address} ({e}){hint}"))
}

/// What the server is asked by signals.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The first request to end is passed on as `end`; returns at the second. SIGHUP reads the certificate again; where
    /// there is none it is a terminal that was closed, and asks to end.
    async fn twice(&mut self, tls: Option<&Tls>, end: tokio::sync::oneshot::Sender<()>, serving: &Serving) {
        let mut end = Some(end);
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                _ = self.hangup.recv() => if let Some(tls) = tls {
                    reload(tls).await;
                    continue;
                },
            }
            let Some(end) = end.take() else { return };
            let _ = end.send(());
            note(format!("ending: runs have {} s; a second signal ends at once", serving.grace.as_secs()));
        }
    }
}

async fn reload(tls: &Tls) {
    if let Err(e) = tls.reload().await {
        note(format!("the certificate cannot be read again; the old one stays: {e}"));
    }
}
