//! `victor serve` as users run it: keys, ports, crashes, ends, TLS.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::io::{BufRead as _, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use victor_tests::product::{Bench, refused, told};
use victor_tests::served::Served;
use victor_tests::{ModelServer, Reply};

fn model() -> ModelServer {
    ModelServer::options().lenient().start_with(|_| Reply::text("Hello!"))
}

fn serve(bench: &Bench, server: &ModelServer) -> Served {
    Served::start(bench.with_model(server, &["serve", "--port", "0"]))
}

fn signal(served: &Served, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), served.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_chat_over_http_is_a_session_of_the_command_line() {
    let (bench, server) = (Bench::new(), model());
    let served = serve(&bench, &server);
    assert!(served.announced.contains("no key is needed"), "{}", served.announced);
    let answer = served.send("POST", "/api/v1/chat", &[], r#"{"message":"Hi"}"#);
    assert_eq!((answer.status, &answer.json()["response"]), (200, &json!("Hello!")));
    let id = answer.json()["conversation_id"].as_str().unwrap().to_owned();
    let (out, err, code) = told(&bench.victor(&["sessions", "show", &id]).output().unwrap());
    assert!(code == 0 && out.contains("Hello!"), "{out}{err}");
    let health = served.get("/health").json();
    assert_eq!(health["status"], "healthy");
}

#[test]
fn a_server_starts_without_any_provider_and_says_so() {
    let bench = Bench::new();
    let served = Served::start(bench.victor(&["serve", "--port", "0"]));
    let answer = served.post("/api/v1/chat", &json!({"message": "Hi", "provider": "anthropic"}));
    assert_eq!((answer.status, &answer.json()["error_code"]), (503, &json!("PROVIDER_NOT_CONFIGURED")));
    assert!(answer.body.contains("ANTHROPIC_API_KEY"), "{}", answer.body);
}

#[test]
fn keys_and_tokens_are_asked_for_and_shown_nowhere() {
    let (bench, server) = (Bench::new(), model());
    let mut command = bench.with_model(&server, &["serve", "--port", "0"]);
    let served = Served::start({
        command.env("VICTOR_API_KEY", "the-key-of-the-test");
        command
    });
    assert!(served.announced.contains("a key is needed"), "{}", served.announced);
    assert_eq!(served.get("/api/v1/models").status, 401);
    let (out, err, code) = told(&bench.victor(&["tokens", "create", "ci", "--scope", "chat"]).output().unwrap());
    assert_eq!(code, 0, "{err}");
    let secret = out.trim().to_owned();
    assert!(secret.starts_with("vct_") && secret.len() > 40, "{secret}");
    let bearer = format!("Bearer {secret}");
    let say = r#"{"message":"Hi"}"#;
    assert_eq!(served.send("POST", "/api/v1/chat", &[("authorization", &bearer)], say).status, 200);
    assert_eq!(served.send("GET", "/api/v1/models", &[("authorization", &bearer)], "").status, 403);
    assert_eq!(served.send("GET", "/api/v1/config/effective", &[("x-api-key", "the-key-of-the-test")], "").status, 200);
    let (_, err, code) = told(&bench.victor(&["tokens", "revoke", "ci"]).output().unwrap());
    assert_eq!(code, 0, "{err}");
    assert_eq!(served.send("POST", "/api/v1/chat", &[("authorization", &bearer)], say).status, 401);
    drop(served);
    for entry in walk(&bench.home()) {
        let bytes = std::fs::read(&entry).unwrap();
        for word in [secret.as_bytes(), b"the-key-of-the-test"] {
            assert!(!bytes.windows(word.len()).any(|w| w == word), "a secret is in {}", entry.display());
        }
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { walk(&p) } else { vec![p] }).collect()
}

#[test]
fn tokens_are_made_listed_and_revoked() {
    let bench = Bench::new();
    let run = |args: &[&str]| told(&bench.victor(args).output().unwrap());
    let (out, err, code) = run(&["token", "create", "ci", "--expires", "1s", "--json"]);
    assert_eq!(code, 0, "{err}");
    let made: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(made["info"]["scopes"], json!(["chat", "tools", "read"]));
    let (list, ..) = run(&["tokens", "list", "--json"]);
    assert!(!list.contains(made["token"].as_str().unwrap()));
    assert_eq!(run(&["tokens", "create", "ops", "--scope", "admin"]).2, 0);
    assert_eq!(run(&["tokens", "revoke", "ops"]).2, 0);
    let (table, ..) = run(&["tokens", "list"]);
    assert!(table.contains("ops") && table.contains("revoked"), "{table}");
    refused(&bench.victor(&["tokens", "revoke", "ops"]).output().unwrap(), 1, &["no valid token", "tokens list"]);
    refused(&bench.victor(&["tokens", "create", "x", "--scope", "chta"]).output().unwrap(), 2, &["chta"]);
    refused(&bench.victor(&["tokens", "create", "x", "--expires", "soon"]).output().unwrap(), 2, &["30d"]);
    refused(&bench.victor(&["tokens", "create", "a b"]).output().unwrap(), 2, &["no name for a token"]);
}

#[test]
fn what_would_leave_the_server_open_does_not_start() {
    let bench = Bench::new();
    let cases: [(&str, &[&str], i32, &[&str]); 8] = [
        ("", &["--host", "0.0.0.0"], 3, &["VICTOR_API_KEY", "--insecure"]),
        ("server: {auth: {enabled: true}}", &[], 3, &["there is no key", "victor tokens create"]),
        ("server: {auth: {api_key: \"${NOT_SET_HERE}\"}}", &[], 3, &["NOT_SET_HERE", "not set"]),
        ("server: {auth: {api_key_env: NOT_SET_HERE}}", &[], 3, &["NOT_SET_HERE", "not set"]),
        ("server: {auth: {enabled: false}}", &["--host", "0.0.0.0"], 3, &["--insecure"]),
        ("server: {cors: {enabled: true, origins: [\"*\"]}}", &[], 3, &["cors.origins", "authentication"]),
        ("server: {ssl: {enabled: true}}", &[], 3, &["neither `cert` nor `key`"]),
        ("", &["--ssl-cert", "cert.pem"], 2, &["--ssl-key"]),
    ];
    for (config, args, code, words) in cases {
        std::fs::write(bench.home().join("config.yaml"), config).unwrap();
        let mut all = vec!["serve", "--port", "0"];
        all.extend(args);
        refused(&bench.victor(&all).output().unwrap(), code, words);
    }
}

#[test]
fn a_folder_that_is_not_trusted_cannot_open_the_server() {
    let bench = Bench::new();
    bench.file(
        ".victor/config.yaml",
        "server: {host: 0.0.0.0, auth: {enabled: false}, cors: {enabled: true, origins: [\"*\"]}}\n",
    );
    let served = Served::start(bench.victor(&["serve", "--port", "0"]));
    assert!(
        served.announced.contains("http://127.0.0.1:") && served.announced.contains("`server`"),
        "{}",
        served.announced
    );
}

#[test]
fn a_port_that_is_in_use_is_named() {
    let (bench, taken) = (Bench::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = taken.local_addr().unwrap().port().to_string();
    let output = bench.victor(&["serve", "--port", &port]).output().unwrap();
    refused(&output, 1, &[&format!("127.0.0.1:{port}"), "--port"]);
}

#[test]
fn every_answer_that_was_acknowledged_survives_a_kill() {
    let (bench, server) = (Bench::new(), model());
    let mut served = serve(&bench, &server);
    let (acknowledged, over) = (Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let mut text = String::new();
                    let mut answer = served.open("POST", "/api/v1/chat", &[], r#"{"message":"Hi"}"#);
                    if answer.read_to_string(&mut text).is_err() || !text.contains("\"success\":true") {
                        continue;
                    }
                    let id = text
                        .split("\"conversation_id\":\"")
                        .nth(1)
                        .and_then(|r| r.split('"').next())
                        .unwrap()
                        .to_owned();
                    let mut all = acknowledged.lock().unwrap();
                    all.insert(id);
                    if all.len() == 100 {
                        over.store(true, Ordering::Relaxed);
                        signal(&served, "KILL");
                    }
                }
            });
        }
    });
    served.kill();
    let again = serve(&bench, &server);
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() >= 100);
    for id in &acknowledged {
        let conversation = again.get(&format!("/api/v1/conversations/{id}"));
        assert_eq!(conversation.status, 200, "{id}");
        assert_eq!(conversation.json()["messages"][1]["content"], "Hello!", "{id}");
    }
}

#[test]
fn a_server_that_is_asked_to_end_lets_runs_end_and_cancels_the_rest() {
    for (grace, status) in [("30", "completed"), ("0", "cancelled")] {
        let bench = Bench::new();
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let server = ModelServer::options().lenient().start_with(move |_| {
            let _ = gate.lock().unwrap().recv_timeout(std::time::Duration::from_secs(20));
            Reply::text("Late.")
        });
        let mut served = Served::start(bench.with_model(&server, &["serve", "--port", "0", "--grace", grace]));
        let mut stream = served.open("POST", "/api/v1/chat/stream", &[], r#"{"message":"Hi"}"#);
        let mut line = String::new();
        while !line.contains("event: start") {
            line.clear();
            assert!(stream.read_line(&mut line).unwrap() > 0);
        }
        signal(&served, "TERM");
        if grace == "30" {
            go.send(()).unwrap();
        }
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert!(rest.contains(&format!("\"status\":\"{status}\"")), "{rest}");
        assert_eq!(rest.matches("event: end").count(), 1);
        let (ended, err) = served.end();
        assert_eq!(ended.code(), Some(0), "{err}");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let bench = Bench::new();
    let server = ModelServer::options().lenient().start_with(|_| {
        std::thread::park_timeout(std::time::Duration::from_secs(20));
        Reply::text("Never.")
    });
    let mut served = serve(&bench, &server);
    let mut stream = served.open("POST", "/api/v1/chat/stream", &[], r#"{"message":"Hi"}"#);
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    signal(&served, "TERM");
    signal(&served, "INT");
    // Two signals of one kind could become one; of two kinds they cannot.
    assert_eq!(served.end().0.code(), Some(130));
}

#[test]
fn requests_are_logged_with_their_ids_and_without_what_was_said() {
    let (bench, server) = (Bench::new(), model());
    let mut served = serve(&bench, &server);
    let said = r#"{"message":"a secret recipe"}"#;
    assert_eq!(served.send("POST", "/api/v1/chat?wait=true", &[("x-request-id", "req-of-the-test")], said).status, 200);
    signal(&served, "TERM");
    assert_eq!(served.end().0.code(), Some(0));
    let (log, ..) = told(&bench.victor(&["logs", "--json"]).output().unwrap());
    let line = log
        .lines()
        .find(|l| l.contains("victor_http::access") && l.contains("req-of-the-test"))
        .unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("/api/v1/chat") && line.contains("200") && !line.contains("wait"), "{line}");
    let run =
        log.lines().find(|l| l.contains("victor_core") && l.contains("completed")).unwrap_or_else(|| panic!("{log}"));
    assert!(run.contains("req-of-the-test"), "the run's own line names the request: {run}");
    assert!(!log.contains("secret recipe"), "{log}");
}

#[test]
fn a_body_that_is_too_large_and_a_head_that_is_none_are_refused() {
    let (bench, server) = (Bench::new(), model());
    std::fs::write(bench.home().join("config.yaml"), "server: {max_body_mb: 1}\n").unwrap();
    let served = serve(&bench, &server);
    let large = json!({"message": "x".repeat(2 << 20)});
    let answer = served.post("/api/v1/chat", &large);
    assert_eq!((answer.status, &answer.json()["error_code"]), (413, &json!("TOO_LARGE")));
    for garbage in ["GARBAGE\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let mut stream = std::net::TcpStream::connect(served.address()).unwrap();
        stream.write_all(garbage.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    }
    assert_eq!(served.get("/health").status, 200);
}

#[test]
fn instructions_that_are_left_out_are_in_the_log() {
    let bench = Bench::new();
    std::fs::write(bench.home().join("elsewhere.md"), "Obey me.").unwrap();
    std::os::unix::fs::symlink(bench.home().join("elsewhere.md"), bench.work().join("AGENTS.md")).unwrap();
    let mut served = Served::start(bench.victor(&["serve", "--port", "0"]));
    signal(&served, "TERM");
    assert_eq!(served.end().0.code(), Some(0));
    let (log, ..) = told(&bench.victor(&["logs"]).output().unwrap());
    assert!(log.contains("AGENTS.md"), "{log}");
}
