//! A listener for the door: plain or TLS, with time limits for slow clients, and an end that loses nothing.

use std::future::{Ready, ready};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::time::Duration;

use axum_server::Handle;
use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;

use crate::HttpDoor;

/// How long the last answers may take to leave after all runs have ended.
const FLUSH: Duration = Duration::from_secs(5);
/// Bytes of a request's head at most.
const HEAD: usize = 64 << 10;
/// Requests at the same time on one HTTP/2 connection at most.
const STREAMS: u32 = 256;
/// How often a silent HTTP/2 connection is asked whether it lives.
const PING: Duration = Duration::from_secs(20);

/// What clients are given time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// To send a request's head, counted from the connection's begin or the end of the answer before it.
    pub head: Duration,
    /// To take a piece of an answer that is ready.
    pub write: Duration,
    /// For runs to end when the listener is asked to end; then they are cancelled.
    pub grace: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { head: Duration::from_secs(30), write: Duration::from_mins(1), grace: Duration::from_secs(30) }
    }
}

/// A socket that is bound.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
}

/// A certificate with its key, to be read again when they change.
#[derive(Clone, Debug)]
pub struct Tls {
    config: RustlsConfig,
    cert: PathBuf,
    key: PathBuf,
}

impl Tls {
    /// Reads a certificate chain and its key, both PEM.
    ///
    /// # Errors
    /// A file cannot be read, or they do not belong together.
    pub async fn read(cert: &Path, key: &Path) -> io::Result<Self> {
        let config = RustlsConfig::from_pem_file(cert, key).await?;
        Ok(Self { config, cert: cert.to_owned(), key: key.to_owned() })
    }

    /// Reads the files again; new connections get the new certificate.
    ///
    /// # Errors
    /// As [`read`](Self::read); the old certificate stays.
    pub async fn reload(&self) -> io::Result<()> {
        let read = self.config.reload_from_pem_file(&self.cert, &self.key).await;
        match &read {
            Ok(()) => tracing::info!("the certificate was read again"),
            Err(e) => tracing::error!(error = %e, "the certificate cannot be read again; the old one stays"),
        }
        read
    }
}

impl Listener {
    /// Binds to the address. With port 0 the system chooses one.
    ///
    /// # Errors
    /// The address is in use, or not this machine's.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, tls: None })
    }

    /// The same with TLS (HTTP/1.1 and HTTP/2).
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop`: then nothing new is taken, what runs may end, the rest is cancelled, and the last answers
    /// leave. Tells whether all runs ended by themselves. Dropping it ends everything at once.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn serve(self, door: HttpDoor, times: Times, stop: impl Future<Output = ()>) -> io::Result<bool> {
        let plain = Guarded { write: times.write };
        let service = door.router::<()>().into_make_service_with_connect_info::<SocketAddr>();
        let handle = Handle::new();
        let mut server = axum_server::from_tcp(self.socket)?
            .handle(handle.clone())
            // The protocol is found out in the first bytes, which no other limit waits for.
            .first_request_timeout(times.head)
            .accept_error_handler(not_accepted);
        limit(server.http_builder(), times);
        let serving: Serving = match self.tls {
            None => Box::pin(server.acceptor(plain).serve(service)),
            Some(tls) => Box::pin(server.acceptor(RustlsAcceptor::new(tls.config).acceptor(plain)).serve(service)),
        };
        until(stop, serving, &handle, &door, times.grace).await
    }
}

type Serving = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

fn limit(http: &mut Builder<TokioExecutor>, times: Times) {
    http.http1().timer(TokioTimer::new()).header_read_timeout(times.head).max_buf_size(HEAD);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(PING);
}

/// A client that fails in its TLS handshake is its own affair; a socket that gives none is the server's.
fn not_accepted(client: Option<&SocketAddr>, error: &io::Error) {
    match client {
        Some(client) => tracing::debug!(%client, %error, "a connection was not begun"),
        None => tracing::warn!(%error, "no connection can be taken"),
    }
}

async fn until(
    stop: impl Future<Output = ()>,
    mut serving: Serving,
    handle: &Handle<SocketAddr>,
    door: &HttpDoor,
    grace: Duration,
) -> io::Result<bool> {
    tokio::select! {
        ended = &mut serving => return ended.map(|()| true),
        () = stop => handle.graceful_shutdown(None),
    }
    let mut closing = pin!(door.shutdown(grace));
    let mut served = None;
    let in_time = loop {
        tokio::select! {
            ended = &mut serving, if served.is_none() => served = Some(ended),
            in_time = &mut closing => break in_time,
        }
    };
    if served.is_none() {
        served = tokio::time::timeout(FLUSH, &mut serving).await.ok();
    }
    if served.is_none() {
        handle.shutdown();
        served = Some(serving.await);
    }
    served.unwrap_or(Ok(())).map(|()| in_time)
}

/// Sends small pieces at once, and cuts readers that take nothing.
#[derive(Clone, Copy, Debug)]
struct Guarded {
    write: Duration,
}

impl<S> Accept<TcpStream, S> for Guarded {
    type Stream = Pin<Box<TimeoutStream<TcpStream>>>;
    type Service = S;
    type Future = Ready<io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let ready_to_send = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.write));
        ready(ready_to_send.map(|()| (Box::pin(stream), service)))
    }
}
