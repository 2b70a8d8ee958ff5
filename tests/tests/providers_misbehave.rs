//! Model servers that stall, break off, send garbage or refuse: what the user is told, and what is left of the session.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::TcpListener;
use std::process::Output;

use rstest::rstest;
use serde_json::{Value, json};
use victor_tests::product::{Bench, told};
use victor_tests::{ModelServer, Recorded, Reply};

const HTML: &str = "<html><head><title>Sign in to the WiFi</title></head></html>";

/// The one session of the bench goes on with a valid history, which the server checks.
fn goes_on(bench: &Bench) {
    let listed = bench.victor(&["sessions", "list", "--json"]).output().unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    let server = ModelServer::start([Reply::text("Here again.")]);
    let (out, err, code) = told(&bench.with_model(&server, &["chat", "--continue", "and?"]).output().unwrap());
    assert!(code == 0 && out.contains("Here again."), "{out}{err}");
    let requests = server.finish();
    assert_eq!(requests[0].messages().iter().filter(|m| m["role"] == "user").count(), 2);
}

fn run(bench: &Bench, server: &ModelServer, args: &[&str]) -> Output {
    bench.with_model(server, &[&["run", "hi"], args].concat()).output().unwrap()
}

/// Nothing on stdout, exit code 4 or the one given, and these words in the last line of stderr.
fn failed(output: &Output, code: i32, words: &[&str]) {
    let (out, err, got) = told(output);
    assert_eq!((got, out.as_str()), (code, ""), "{err}");
    let last = err.lines().last().unwrap();
    assert!(last.starts_with("error: openai: "), "{err}");
    for word in words {
        assert!(last.contains(word), "`{word}` is not in: {last}");
    }
    assert!(!err.contains("test-key"), "{err}");
}

fn event(delta: &str) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": delta}}]}))
}

// What trying again does not help is told at once.

#[rstest]
#[case::wrong_key(401, r#"{"error": {"message": "bad key test-key-1"}}"#, 3, &["HTTP 401", "OPENAI_API_KEY", "refused"])]
#[case::login_page(401, HTML, 3, &["HTTP 401", "web page", "OPENAI_API_KEY"])]
#[case::forbidden(403, r#"{"error": {"message": "not for you"}}"#, 4, &["HTTP 403", "not for you"])]
#[case::no_model(404, r#"{"error": {"message": "no such model"}}"#, 4, &["no such model", "`gpt-5.2`", "victor models list"])]
#[case::no_path(404, HTML, 4, &["HTTP 404", "web page"])]
#[case::bad_request(400, r#"{"error": {"message": "bad parameter"}}"#, 4, &["HTTP 400", "bad parameter"])]
#[case::no_credit(402, r#"{"error": {"message": "pay first"}}"#, 4, &["pay first", "credit"])]
#[case::no_body(418, "", 4, &["HTTP 418"])]
fn a_refusal_is_told_at_once(#[case] status: u16, #[case] body: &str, #[case] code: i32, #[case] words: &[&str]) {
    let (bench, server) = (Bench::new(), ModelServer::start([Reply::status(status, body)]));
    let output = bench
        .with_model(&server, &["run", "hi", "--model", "gpt-5.20"])
        .env("OPENAI_API_KEY", "test-key-1")
        .output()
        .unwrap();
    failed(&output, code, words);
    server.finish();
    goes_on(&bench);
}

#[test]
fn a_redirect_is_not_followed_with_the_key() {
    let (bench, other) = (Bench::new(), ModelServer::start([]));
    let reply = Reply::status(307, "").header("location", format!("{}/chat/completions", other.base_url()));
    let server = ModelServer::start([reply]);
    failed(&run(&bench, &server, &[]), 4, &["HTTP 307", other.url().as_str(), "not followed"]);
    server.finish();
    assert!(other.finish().is_empty());
}

#[test]
fn a_long_wait_is_told_and_not_waited_for() {
    let slow = Reply::status(429, r#"{"error": {"message": "slow down"}}"#).header("retry-after", "9999");
    let (bench, server) = (Bench::new(), ModelServer::start([slow]));
    failed(&run(&bench, &server, &[]), 4, &["HTTP 429", "slow down", "9999 s"]);
    server.finish();
    goes_on(&bench);
}

// What may pass is tried again.

fn half() -> String {
    event("Half an ans")
}

#[rstest]
#[case::rate_limit(Reply::status(429, r#"{"error": {"message": "slow down"}}"#).header("retry-after", "0"))]
#[case::server(Reply::status(500, r#"{"error": {"message": "boom"}}"#))]
#[case::overloaded(Reply::status(503, HTML))]
#[case::closes_at_once(Reply::text("A whole answer.").close_after(0))]
#[case::closes_within(Reply::text("A whole answer.").close_after(120))]
#[case::ends_early(Reply::sse(half()))]
#[case::empty(Reply::sse(""))]
#[case::only_the_end(Reply::sse("data: [DONE]\n\n"))]
#[case::garbage(Reply::sse(b"\x00\xff\xfe no event stream \x01".to_vec()))]
#[case::no_json(Reply::sse("data: {no json}\n\n"))]
#[case::error_within(Reply::sse(half() + "data: {\"error\": {\"message\": \"exploded\", \"code\": 500}}\n\n"))]
#[case::web_page(Reply::raw("text/html", HTML))]
#[case::other_json(Reply::raw("application/json", "[]"))]
fn what_may_pass_is_tried_again_and_shown_once(#[case] reply: Reply) {
    let (bench, server) = (Bench::new(), ModelServer::start([reply, Reply::text("Half an answer.")]));
    let (out, err, code) = told(&run(&bench, &server, &[]));
    assert_eq!((code, out.as_str()), (0, "Half an answer.\n"), "{err}");
    assert!(err.starts_with("warning: openai: ") && err.contains("trying again"), "{err}");
    server.finish();
    goes_on(&bench);
}

#[test]
fn a_stalled_answer_ends_after_the_configured_silence() {
    let stalled = Reply::text("Half an answer.").stall_after(150);
    let (bench, server) = (Bench::new(), ModelServer::start([stalled, Reply::text("Half an answer.")]));
    std::fs::write(bench.home().join("config.yaml"), "limits: {idle_timeout: 1}\n").unwrap();
    let (out, err, code) = told(&run(&bench, &server, &[]));
    assert_eq!((code, out.as_str()), (0, "Half an answer.\n"), "{err}");
    assert!(err.contains("no answer for 1s") && err.contains("limits.idle_timeout"), "{err}");
    server.finish();
    goes_on(&bench);
}

#[test]
fn a_failure_without_end_is_given_up_and_told() {
    let boom = |_: &Recorded| Reply::status(500, r#"{"error": {"message": "boom"}}"#);
    let (bench, server) = (Bench::new(), ModelServer::start_with(boom));
    let output = run(&bench, &server, &[]);
    failed(&output, 4, &["HTTP 500", "boom"]);
    assert_eq!(told(&output).1.matches("trying again").count(), 4);
    assert_eq!(server.finish().len(), 5);
    goes_on(&bench);
}

#[test]
fn an_unreachable_server_is_named() {
    let (bench, address) = (Bench::new(), TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap());
    let mut victor = bench.victor(&["run", "hi"]);
    victor.env("OPENAI_BASE_URL", format!("http://{address}/v1")).env("OPENAI_API_KEY", "test-key-1");
    failed(&victor.output().unwrap(), 4, &[&address.to_string(), "Connection refused"]);
    goes_on(&bench);
}

#[test]
fn a_fallback_takes_over() {
    let (bench, server) = (Bench::new(), ModelServer::start([Reply::text("From the second.")]));
    let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let text = format!(
        "provider: first\nfallback: [second/m]\nproviders:\n  first: {{base_url: \"http://{address}/v1\", \
         default_model: m}}\n  second: {{base_url: \"{}\"}}\n",
        server.base_url()
    );
    std::fs::write(bench.home().join("config.yaml"), text).unwrap();
    let (out, err, code) = told(&bench.victor(&["run", "hi"]).output().unwrap());
    assert_eq!((code, out.as_str()), (0, "From the second.\n"), "{err}");
    assert!(err.contains("going on with second/m"), "{err}");
    server.finish();
}

#[test]
fn events_tell_the_failure_too() {
    let (bench, server) = (Bench::new(), ModelServer::start([Reply::status(400, r#"{"error": {"message": "no"}}"#)]));
    let (out, _, code) = told(&run(&bench, &server, &["--json"]));
    assert_eq!(code, 4);
    let lines: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!((&last["type"], &last["outcome"]["status"]), (&json!("finished"), &json!("failed")));
    assert_eq!(last["outcome"]["error"]["code"], "PROVIDER_ERROR");
    assert_eq!(lines.iter().filter(|l| l["type"] == "finished").count(), 1);
    server.finish();
}

#[test]
fn the_anthropic_wire_fails_alike() {
    let boom = r#"{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}"#;
    let replies = [
        Reply::status(529, boom).header("retry-after", "0"),
        Reply::sse(format!("event: error\ndata: {boom}\n\n")),
        Reply::text("A whole answer.").close_after(700),
        Reply::text("A whole answer."),
    ];
    let (bench, server) = (Bench::new(), ModelServer::start(replies));
    let mut victor = bench.victor(&["run", "hi"]);
    victor.env("ANTHROPIC_BASE_URL", server.url()).env("ANTHROPIC_API_KEY", "test-key-1");
    let (out, err, code) = told(&victor.output().unwrap());
    assert_eq!((code, out.as_str()), (0, "A whole answer.\n"), "{err}");
    assert_eq!(err.matches("trying again").count(), 3, "{err}");
    server.finish();
}

#[test]
fn a_tool_call_that_is_cut_off_is_not_run() {
    let call = Reply::call("write", json!({"path": "made", "content": "x".repeat(200)}));
    let (bench, server) = (Bench::new(), ModelServer::start([call.close_after(700), Reply::text("done")]));
    let (out, err, code) = told(&run(&bench, &server, &[]));
    assert_eq!((code, out.as_str()), (0, "done\n"), "{err}");
    assert!(!bench.work().join("made").exists());
    server.finish();
}
