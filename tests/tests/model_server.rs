//! The scripted server itself: it must catch what it is there to catch.
#![expect(clippy::expect_used, reason = "a test may panic; clippy exempts only the test functions themselves")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};
use victor_tests::{ModelServer, Reply};

/// Sends `body` and reads the answer to its end.
fn post(server: &ModelServer, path: &str, body: &Value) -> String {
    let address = server.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).expect("a connection");
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nanthropic-version: 1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("a request sent");
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !answer.ends_with(b"0\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(n) if n > 0 => answer.extend_from_slice(&piece[..n]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn complaint(server: ModelServer) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| server.finish())).expect_err("a complaint");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

fn chat(messages: Value) -> Value {
    json!({"model": "m", "stream": true, "messages": messages})
}

#[test]
fn replies_come_in_order_in_the_requests_own_form() {
    let server = ModelServer::start([Reply::text("hello"), Reply::call("read", json!({"path": "x"}))]);
    let streamed = post(&server, "/v1/chat/completions", &chat(json!([{"role": "user", "content": "a"}])));
    assert!(streamed.contains("text/event-stream") && streamed.contains("[DONE]"));
    let body = json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "b"}]});
    let whole = post(&server, "/v1/messages", &body);
    assert!(whole.contains(r#""stop_reason":"tool_use""#), "{whole}");
    assert_eq!(server.finish().len(), 2);
}

#[test]
fn a_call_without_a_result_is_caught() {
    let server = ModelServer::start([Reply::text("x")]);
    let call = json!({"role": "assistant", "content": null,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let messages = json!([{"role": "user", "content": "a"}, call, {"role": "user", "content": "b"}]);
    post(&server, "/v1/chat/completions", &chat(messages));
    assert!(complaint(server).contains("before the results of c"));
}

#[test]
fn a_rewritten_history_is_caught_and_a_continued_one_is_not() {
    let first = json!({"role": "user", "content": "a"});
    let answer = json!({"role": "assistant", "content": "x"});
    let rewritten = json!({"role": "assistant", "content": "y"});
    let next = json!({"role": "user", "content": "b"});
    let last = json!({"role": "user", "content": "c"});
    for (second, fine) in [(&answer, true), (&rewritten, false)] {
        let server = ModelServer::start([Reply::text("x"), Reply::text("y"), Reply::text("z")]);
        post(&server, "/v1/chat/completions", &chat(json!([first])));
        post(&server, "/v1/chat/completions", &chat(json!([first, answer, next])));
        post(&server, "/v1/chat/completions", &chat(json!([first, second, next, answer, last])));
        if fine {
            assert_eq!(server.finish().len(), 3);
        } else {
            assert!(complaint(server).contains("not the same bytes"));
        }
    }
}

#[test]
fn replies_left_over_and_requests_too_many_are_caught() {
    assert!(complaint(ModelServer::start([Reply::text("x")])).contains("never asked for"));
    let server = ModelServer::start([]);
    post(&server, "/v1/chat/completions", &chat(json!([{"role": "user", "content": "a"}])));
    assert!(complaint(server).contains("no reply left"));
}

#[test]
fn a_wrong_key_is_refused_without_using_up_a_reply() {
    let server = ModelServer::options().key("k").start([]);
    let answer = post(&server, "/v1/messages", &json!({"model": "m"}));
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("authentication_error"), "{answer}");
    assert!(server.finish().is_empty());
}
