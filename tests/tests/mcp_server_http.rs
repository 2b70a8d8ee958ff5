//! MCP over HTTP: `victor mcp --http` and `victor serve --mcp`, behind the gate of the HTTP API.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use victor_tests::product::{Bench, told};
use victor_tests::served::{Answer, Served};

const JSON: (&str, &str) = ("content-type", "application/json");
const ACCEPT: (&str, &str) = ("accept", "application/json, text/event-stream");

fn hello() -> String {
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).to_string()
}

fn post(served: &Served, headers: &[(&str, &str)], body: &str) -> Answer {
    served.send("POST", "/mcp", &[&[JSON, ACCEPT], headers].concat(), body)
}

/// The header of an answer.
fn header(answer: &Answer, name: &str) -> Option<String> {
    let lines = answer.head.lines().filter_map(|l| l.split_once(':'));
    lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim().to_owned()).next()
}

#[test]
fn one_address_serves_both_forms_of_the_protocol_and_nothing_else() {
    let bench = Bench::new();
    bench.file("a.txt", "hello\n");
    let served = Served::start(bench.victor(&["mcp", "--http", "0"]));
    assert!(served.announced.contains("/mcp") && served.announced.contains("/sse"), "{}", served.announced);
    let answer = post(&served, &[], &hello());
    assert!(answer.status == 200 && answer.body.contains("\"victor\""), "{answer:?}");
    let session = header(&answer, "mcp-session-id").unwrap();
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}).to_string();
    let listed = post(&served, &[("mcp-session-id", &session)], &list);
    assert!(listed.body.contains("\"read\""), "{listed:?}");
    let prefix = "io.modelcontextprotocol";
    let meta = json!({
        format!("{prefix}/protocolVersion"): "2026-07-28",
        format!("{prefix}/clientCapabilities"): {},
    });
    let call = json!({
        "jsonrpc": "2.0", "id": 3, "method": "tools/call",
        "params": {"name": "read", "arguments": {"path": "a.txt"}, "_meta": meta},
    });
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "read")];
    let called = post(&served, &headers, &call.to_string());
    assert!(called.status == 200 && called.body.contains("hello"), "{called:?}");
    assert_eq!((served.get("/health").status, served.get("/api/v1/tools").status), (200, 404));
}

#[test]
fn pages_and_other_names_of_this_machine_get_nowhere() {
    let bench = Bench::new();
    let served = Served::start(bench.victor(&["mcp", "--http", "0"]));
    assert_eq!(post(&served, &[("origin", "http://evil.example")], &hello()).status, 403);
    assert_eq!(post(&served, &[("sec-fetch-site", "cross-site")], &hello()).status, 403);
    assert_eq!(served.send("GET", "/sse", &[("origin", "http://evil.example")], "").status, 403);
}

#[test]
fn keys_and_scopes_of_the_api_hold_for_it() {
    let bench = Bench::new();
    let mut command = bench.victor(&["serve", "--port", "0", "--mcp"]);
    command.env("VICTOR_API_KEY", "the-key-of-the-test");
    let served = Served::start(command);
    assert_eq!(post(&served, &[], &hello()).status, 401);
    assert_eq!(served.get("/sse").status, 401);
    assert_eq!(post(&served, &[("x-api-key", "the-key-of-the-test")], &hello()).status, 200);
    let token = |name: &str, scope: &str| {
        let (out, err, code) = told(&bench.victor(&["tokens", "create", name, "--scope", scope]).output().unwrap());
        assert_eq!(code, 0, "{err}");
        format!("Bearer {}", out.trim())
    };
    let (reads, calls) = (token("reads", "read"), token("calls", "tools"));
    assert_eq!(post(&served, &[("authorization", &reads)], &hello()).status, 403);
    let begun = post(&served, &[("authorization", &calls)], &hello());
    let session = header(&begun, "mcp-session-id").unwrap();
    let run = json!({
        "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "run_agent", "arguments": {"task": "x"}},
    });
    let headers = [("authorization", calls.as_str()), ("mcp-session-id", &session)];
    let refused = post(&served, &headers, &run.to_string());
    assert!(refused.body.contains("does not have the scope `chat`"), "{refused:?}");
}

#[test]
fn a_session_belongs_to_the_token_that_opened_it() {
    let bench = Bench::new();
    let mut command = bench.victor(&["serve", "--port", "0", "--mcp"]);
    command.env("VICTOR_API_KEY", "the-key-of-the-test");
    let served = Served::start(command);
    let token = |name: &str| {
        let (out, err, code) = told(&bench.victor(&["tokens", "create", name, "--scope", "tools"]).output().unwrap());
        assert_eq!(code, 0, "{err}");
        format!("Bearer {}", out.trim())
    };
    let (ada, eve) = (token("ada"), token("eve"));
    let begun = post(&served, &[("authorization", &ada)], &hello());
    let session = header(&begun, "mcp-session-id").unwrap();
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}).to_string();
    let answer = json!({"jsonrpc": "2.0", "id": 7, "result": {"action": "accept", "content": {}}}).to_string();
    let of = |token: &str, session: &str, body: &str| {
        post(&served, &[("authorization", token), ("mcp-session-id", session)], body)
    };
    for body in [&list, &answer] {
        assert_eq!(of(&eve, &session, body).status, 404, "{body}");
    }
    let headers = [ACCEPT, ("authorization", eve.as_str()), ("mcp-session-id", session.as_str())];
    assert_eq!(served.send("GET", "/mcp", &headers, "").status, 404);
    assert!(!served.send("DELETE", "/mcp", &headers, "").body.contains(&session));
    let bare = session.split('.').next().unwrap();
    for broken in [bare, "", ".", "none", &format!("{bare}.{}", "0".repeat(32)), &format!("{session}0")] {
        assert_ne!(of(&ada, broken, &list).status, 200, "{broken}");
    }
    assert!(of(&ada, &session, &list).body.contains("\"read\""), "the session is over");
    assert!(
        served.send("DELETE", "/mcp", &[ACCEPT, ("authorization", &ada), ("mcp-session-id", &session)], "").status
            < 300
    );
    assert_eq!(of(&ada, &session, &list).status, 404);
}

#[test]
fn clients_without_end_replace_those_that_nobody_uses() {
    let bench = Bench::new();
    let served = Served::start(bench.victor(&["mcp", "--http", "0"]));
    let open = || header(&post(&served, &[], &hello()), "mcp-session-id").unwrap();
    let sessions: Vec<String> = (0..260).map(|_| open()).collect();
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}).to_string();
    let status = |id: &str| post(&served, &[("mcp-session-id", id)], &list).status;
    assert_eq!((status(&sessions[0]), status(&sessions[3]), status(&sessions[4])), (404, 404, 200));
    assert!(served.send("DELETE", "/mcp", &[ACCEPT, ("mcp-session-id", &sessions[5])], "").status < 300);
    assert_eq!(status(&sessions[5]), 404);
    assert_eq!(status(&sessions[259]), 200);
}

#[test]
fn the_older_transport_is_a_stream_and_posts() {
    let bench = Bench::new();
    bench.file("a.txt", "hello\n");
    let served = Served::start(bench.victor(&["mcp", "--http", "0"]));
    let mut stream = TcpStream::connect(served.address()).unwrap();
    write!(stream, "GET /sse HTTP/1.1\r\nHost: {}\r\n\r\n", served.address()).unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut data = || lines.find_map(|l| l.strip_prefix("data: ").map(ToOwned::to_owned)).unwrap();
    let place = data();
    let send = |message: &Value| served.send("POST", &place, &[JSON], &message.to_string()).status;
    assert_eq!(served.send("POST", &place, &[JSON], &hello()).status, 202);
    assert!(data().contains("\"victor\""));
    assert_eq!(send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})), 202);
    let params = json!({"name": "read", "arguments": {"path": "a.txt"}});
    assert_eq!(send(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})), 202);
    assert!(data().contains("hello"));
    assert_eq!(served.send("POST", "/messages?sessionId=other", &[JSON], &hello()).status, 404);
    assert_eq!(served.send("POST", &place, &[JSON], "garbage").status, 400);
}
