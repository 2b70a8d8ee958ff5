//! The listener over real sockets: clients that are slow, silent or gone, and an end that waits for nobody else.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use support::{Bench, done, write};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use victor_http::Config;
use victor_http::listener::{Listener, Times};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);
/// How long clients are given in tests that wait for it to pass.
const SHORT: Duration = Duration::from_millis(200);

struct Open {
    bench: Bench,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<bool>>,
}

fn open(config: Config, times: Times) -> Open {
    let bench = Bench::with(config, |runtime| runtime);
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.address().unwrap();
    let (stop, stopped) = oneshot::channel();
    let door = bench.door.clone();
    let served = tokio::spawn(async move { listener.serve(door, times, async { drop(stopped.await) }).await });
    Open { bench, address, stop, served }
}

fn patient() -> Times {
    Times { head: LONG, write: LONG, grace: LONG }
}

/// Everything up to the end of the connection; a reset is an end too.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let ended = timeout(LONG, stream.read_to_end(&mut bytes)).await;
    assert!(ended.is_ok(), "the connection stays open after: {}", String::from_utf8_lossy(&bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until `word` has come.
async fn up_to(stream: &mut TcpStream, word: &str) -> String {
    let mut text = String::new();
    while !text.contains(word) {
        let mut piece = [0; 4096];
        let n = timeout(LONG, stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(n > 0, "the end came before `{word}`: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    text
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

fn chat(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn clients_that_do_not_finish_a_request_are_cut() {
    let open = open(Config::default(), Times { head: SHORT, ..patient() });
    for begun in [
        "",
        "G",
        "PRI * HT",
        "GET /health HTTP/1.1\r\nhost: loc",
        "GET /health HTTP/1.1\r\nhost: localhost\r\nx-slow: 1\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ] {
        let mut stream = connect(open.address).await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        let said = rest(&mut stream).await;
        assert!(!said.contains("200 OK"), "{begun:?}: {said}");
    }
}

#[tokio::test]
async fn a_kept_connection_without_a_further_request_is_closed() {
    let open = open(Config::default(), Times { head: SHORT, ..patient() });
    let mut stream = connect(open.address).await;
    for _ in 0..2 {
        stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        assert!(up_to(&mut stream, "}").await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_told_so_whatever_headers_the_request_has() {
    let config = Config { body_timeout: SHORT, ..Config::default() };
    let open = open(config, patient());
    for header in ["", "idempotency-key: a\r\n"] {
        let mut stream = connect(open.address).await;
        let head = format!("POST /api/v1/chat HTTP/1.1\r\nhost: localhost\r\n{header}content-length: 50\r\n\r\n{{");
        stream.write_all(head.as_bytes()).await.unwrap();
        let said = up_to(&mut stream, "request_id").await;
        assert!(said.starts_with("HTTP/1.1 408") && said.contains("TIMEOUT"), "{header:?}: {said}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let open = open(Config::default(), patient());
    let mut stream = connect(open.address).await;
    let head = format!("GET /health HTTP/1.1\r\nhost: localhost\r\nx-large: {}\r\n\r\n", "x".repeat(70 << 10));
    let _ = stream.write_all(head.as_bytes()).await;
    assert!(up_to(&mut stream, "\r\n").await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_and_its_run_ends() {
    let open = open(Config::default(), Times { write: SHORT, ..patient() });
    let pen = open.bench.script.pen();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(open.address).await.unwrap();
    stream.write_all(chat("/api/v1/chat/stream", r#"{"message":"go"}"#).as_bytes()).await.unwrap();
    up_to(&mut stream, "event: start").await;
    let piece = "x".repeat(64 << 10);
    for _ in 0..256 {
        write(&pen, &piece);
    }
    assert!(timeout(LONG, pen.closed()).await.is_ok(), "the run goes on for nobody");
}

#[tokio::test]
async fn a_stream_that_waits_for_the_model_is_not_cut() {
    let config = Config { heartbeat: SHORT / 10, ..Config::default() };
    let open = open(config, Times { head: SHORT, write: SHORT, grace: LONG });
    let pen = open.bench.script.pen();
    let mut stream = connect(open.address).await;
    stream.write_all(chat("/api/v1/chat/stream", r#"{"message":"go"}"#).as_bytes()).await.unwrap();
    up_to(&mut stream, "event: start").await;
    // More heartbeats than fit into the time that a slow client has.
    for _ in 0..30 {
        up_to(&mut stream, "\n:").await;
    }
    write(&pen, "here I am");
    done(pen);
    assert!(up_to(&mut stream, "event: end").await.contains("here I am"));
}

#[tokio::test]
async fn an_end_waits_for_no_connection_that_has_nothing_to_say() {
    let open = open(Config::default(), patient());
    let mut idle = connect(open.address).await;
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    up_to(&mut idle, "}").await;
    let mut silent = connect(open.address).await;
    let mut slow = connect(open.address).await;
    slow.write_all(b"GET /health HTTP/1.1\r\nhost:").await.unwrap();
    // Another request has been served since: the server knows the two before it.
    let mut last = connect(open.address).await;
    last.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    up_to(&mut last, "}").await;
    open.stop.send(()).unwrap();
    let in_time = timeout(LONG / 2, open.served).await.expect("it ends").unwrap().unwrap();
    assert!(in_time, "there was no run");
    for stream in [&mut idle, &mut silent, &mut slow, &mut last] {
        assert!(!rest(stream).await.contains("200 OK"));
    }
    assert!(TcpStream::connect(open.address).await.is_err(), "it still listens");
}

#[tokio::test]
async fn a_run_may_end_within_the_grace_and_its_stream_ends_with_it() {
    let open = open(Config::default(), patient());
    let pen = open.bench.script.pen();
    let mut stream = connect(open.address).await;
    stream.write_all(chat("/api/v1/chat/stream", r#"{"message":"go"}"#).as_bytes()).await.unwrap();
    up_to(&mut stream, "event: start").await;
    open.stop.send(()).unwrap();
    write(&pen, "still here");
    up_to(&mut stream, "still here").await;
    assert!(!open.served.is_finished());
    done(pen);
    let said = rest(&mut stream).await;
    assert!(said.contains("\"status\":\"completed\"") && said.matches("event: end").count() == 1, "{said}");
    assert!(timeout(LONG, open.served).await.unwrap().unwrap().unwrap(), "the run ended by itself");
}

#[tokio::test]
async fn a_run_that_outlasts_the_grace_is_cancelled_and_its_stream_says_so() {
    let open = open(Config::default(), Times { grace: Duration::ZERO, ..patient() });
    let pen = open.bench.script.pen();
    let mut stream = connect(open.address).await;
    stream.write_all(chat("/api/v1/chat/stream", r#"{"message":"go"}"#).as_bytes()).await.unwrap();
    up_to(&mut stream, "event: start").await;
    open.stop.send(()).unwrap();
    let said = rest(&mut stream).await;
    assert!(said.contains("\"status\":\"cancelled\"") && said.matches("event: end").count() == 1, "{said}");
    assert!(!timeout(LONG, open.served).await.unwrap().unwrap().unwrap(), "the run was cancelled");
    drop(pen);
}

#[tokio::test]
async fn an_address_that_is_in_use_is_an_error_before_anything_is_served() {
    let taken = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let error = Listener::bind(taken.address().unwrap()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
