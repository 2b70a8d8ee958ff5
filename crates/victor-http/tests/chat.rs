//! `POST /chat`: what is answered, what is refused, and what the model gets to see.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use support::{Bench, plan_mode};
use victor_core::error::ProviderErrorKind;
use victor_core::message::Block;
use victor_http::Config;

#[tokio::test]
async fn an_answer_has_all_that_was_promised() {
    let bench = Bench::new();
    bench.script.says("Hello!");
    let answer = bench.post("/api/v1/chat", &json!({"message": "Hi"})).await;
    assert_eq!(answer.status, StatusCode::OK);
    let id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
    let body = answer.json().await;
    assert_eq!(
        (&body["success"], &body["response"], &body["status"]),
        (&json!(true), &json!("Hello!"), &json!("completed"))
    );
    assert_eq!((&body["provider"], &body["model"]), (&json!("scripted"), &json!("scripted")));
    assert_eq!(body["tokens_used"], json!({"input": 10, "output": 2, "total": 12}));
    assert_eq!((body["request_id"].as_str(), &body["tools_used"]), (Some(id.as_str()), &json!([])));
    assert!(body["conversation_id"].is_string() && body["run_id"].is_string() && body["duration_ms"].is_number());
}

#[tokio::test]
async fn a_conversation_goes_on_and_another_knows_nothing_of_it() {
    let bench = Bench::new();
    bench.script.says("Noted.");
    let first = bench.chat(&json!({"message": "I am Ada"})).await;
    bench.script.says("You are Ada.");
    let conversation = first["conversation_id"].as_str().unwrap();
    bench.chat(&json!({"message": "Who am I?", "conversation_id": conversation})).await;
    bench.script.says("No idea.");
    bench.chat(&json!({"message": "Who am I?"})).await;
    let seen = bench.script.seen.lock().unwrap();
    let lengths: Vec<usize> = seen.iter().map(|r| r.messages.len()).collect();
    assert_eq!(lengths, [1, 3, 1]);
}

#[tokio::test]
async fn bodies_are_taken_as_curl_sends_them_and_nothing_else() {
    let bench = Bench::new();
    for content_type in [None, Some("application/json"), Some("application/x-www-form-urlencoded; charset=utf-8")] {
        bench.script.says("ok");
        let mut request = Request::post("/api/v1/chat");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = bench.send(request.body(Body::from(r#"{"message": "Hi"}"#)).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{content_type:?}");
    }
    let other = Request::post("/api/v1/chat").header("content-type", "text/plain").body(Body::from("{}")).unwrap();
    let (status, code, _) = bench.send(other).await.error().await;
    assert_eq!((status, code.as_str()), (415, "UNSUPPORTED_MEDIA_TYPE"));
    assert_eq!(bench.script.requests(), 3);
}

#[tokio::test]
async fn what_is_wrong_is_said_before_anything_runs() {
    let bench = Bench::new();
    let long = "x".repeat(600);
    let cases: [(Value, u16, &str); 18] = [
        (json!({}), 400, "MISSING_FIELD"),
        (json!({"message": " "}), 400, "INVALID_VALUE"),
        (json!({"message": 5}), 400, "INVALID_VALUE"),
        (json!([]), 400, "INVALID_VALUE"),
        (json!({"message": "x", "mesage": "y"}), 400, "INVALID_VALUE"),
        (json!({"message": "x", "temperature": 3}), 400, "INVALID_VALUE"),
        (json!({"message": "x", "max_tokens": 0}), 400, "INVALID_VALUE"),
        (json!({"message": "x", "mode": "fly"}), 400, "INVALID_VALUE"),
        (json!({"message": "x", "max_cost": 1}), 400, "INVALID_VALUE"),
        (json!({"message": "x", "approvals": "ask"}), 400, "INVALID_VALUE"),
        (json!({"message": "x", "store": false, "conversation_id": "a"}), 400, "INVALID_VALUE"),
        (json!({"message": "x", "output_schema": {"type": "nonsense"}}), 400, "INVALID_VALUE"),
        (json!({"message": "x", "provider": "scriptd"}), 404, "PROVIDER_NOT_FOUND"),
        (json!({"message": "x", "model": "missing"}), 404, "MODEL_NOT_FOUND"),
        (json!({"message": "x", "tools": ["strik"]}), 404, "TOOL_NOT_FOUND"),
        (json!({"message": "x", "profile": "none"}), 404, "NOT_FOUND"),
        (json!({"message": "x", "conversation_id": long}), 404, "NOT_FOUND"),
        (json!({"message": "x", "provider": "bare"}), 503, "PROVIDER_NOT_CONFIGURED"),
    ];
    for (body, status, code) in cases {
        for path in ["/api/v1/chat", "/api/v1/chat/stream"] {
            if path.ends_with("stream") && body.get("approvals").is_some() {
                continue;
            }
            let error = bench.post(path, &body).await.error().await;
            assert_eq!((error.0, error.1.as_str()), (status, code), "{path} {body}: {}", error.2);
        }
    }
    let (_, _, bare) = bench.post("/api/v1/chat", &json!({"message": "x", "provider": "keyless"})).await.error().await;
    let key = json!({"provider": "keyless", "variable": "KEYLESS_API_KEY", "variables": ["KEYLESS_API_KEY"]});
    assert_eq!((&bare["error_code"], &bare["details"]), (&json!("PROVIDER_NOT_CONFIGURED"), &key));
    let broken =
        bench.send(Request::post("/api/v1/chat").body(Body::from("{\"message\":")).unwrap()).await.error().await;
    assert_eq!((broken.0, broken.1.as_str()), (400, "INVALID_JSON"));
    let (_, _, missing) = bench.post("/api/v1/chat", &json!({"model": "x"})).await.error().await;
    assert_eq!(missing["details"], json!({"required_fields": ["message"], "provided_fields": ["model"]}));
    assert_eq!(bench.script.requests(), 0);
}

#[tokio::test]
async fn a_provider_that_fails_is_an_error_with_its_status() {
    for (kind, status, code) in [
        (ProviderErrorKind::InvalidRequest, 502, "PROVIDER_ERROR"),
        (ProviderErrorKind::Authentication, 502, "PROVIDER_ERROR"),
    ] {
        let bench = Bench::new();
        bench.script.fails(kind);
        let error = bench.post("/api/v1/chat", &json!({"message": "x"})).await.error().await;
        assert_eq!((error.0, error.1.as_str()), (status, code));
        assert_eq!(error.2["details"]["provider"], "scripted");
    }
}

#[tokio::test]
async fn a_caller_can_ask_for_less_than_the_server_allows_and_for_no_more() {
    let bench = Bench::with(Config::default(), plan_mode);
    let more = bench.post("/api/v1/chat", &json!({"message": "x", "mode": "build"})).await.error().await;
    assert_eq!((more.0, more.1.as_str()), (403, "PERMISSION_DENIED"));
    bench.script.says("ok");
    bench.chat(&json!({"message": "x", "mode": "explore"})).await;
    bench.script.says("ok");
    bench.chat(&json!({"message": "x", "tools": ["look"]})).await;
    let seen = bench.script.seen.lock().unwrap();
    let tools: Vec<&str> = seen[1].tools.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(tools, ["look"]);
}

#[tokio::test]
async fn what_would_ask_is_denied_and_told_where_nobody_is_asked() {
    let bench = Bench::new();
    bench.script.calls("strike", &json!({"at": "iron"}));
    bench.script.says("I may not.");
    let body = bench.chat(&json!({"message": "strike"})).await;
    assert_eq!((&body["status"], &body["denied"][0]["tool"]), (&json!("completed"), &json!("strike")));
}

#[tokio::test]
async fn attachments_reach_the_model() {
    let bench = Bench::new();
    bench.script.says("I see.");
    let attachments = json!([
        {"type": "image", "media_type": "image/png", "data": "aGk="},
        {"type": "image", "media_type": "image/jpeg", "url": "https://pictures.example/a.jpg"},
        {"type": "file", "media_type": "text/plain", "data": "aGVsbG8=", "name": "a.txt"},
    ]);
    bench.chat(&json!({"message": "look", "attachments": attachments})).await;
    let content = bench.script.seen.lock().unwrap()[0].messages[0].content.clone();
    assert!(matches!(&content[1], Block::Media(m) if m.media_type == "image/png"));
    assert!(matches!(&content[2], Block::Media(m) if m.media_type == "image/jpeg"));
    assert_eq!(content[3], Block::text("\na.txt:\n```\nhello\n```"));
    for bad in [
        json!({"type": "image", "media_type": "image/png"}),
        json!({"type": "image", "media_type": "image/png", "data": "???"}),
        json!({"type": "image", "media_type": "image/png", "url": "file:///etc/passwd"}),
        json!({"type": "image", "media_type": "application/pdf", "data": "aGk="}),
        json!({"type": "file", "media_type": "text/plain", "url": "https://files.example/a"}),
        json!({"type": "file", "media_type": "text/plain", "data": "/w=="}),
        json!({"type": "video", "media_type": "video/mp4", "data": "aGk="}),
    ] {
        let body = json!({"message": "look", "attachments": [bad]});
        let (status, code, _) = bench.post("/api/v1/chat", &body).await.error().await;
        assert_eq!((status, code.as_str()), (400, "INVALID_VALUE"), "{body}");
    }
}

#[tokio::test]
async fn what_is_not_to_be_stored_is_not() {
    let bench = Bench::new();
    bench.script.says("ok");
    let body = bench.chat(&json!({"message": "x", "store": false})).await;
    assert_eq!(body["conversation_id"], Value::Null);
    assert_eq!(bench.get("/api/v1/conversations").await.json().await["conversations"], json!([]));
}

#[tokio::test]
async fn an_output_schema_gives_the_answer_as_a_value() {
    let bench = Bench::new();
    bench.script.says(r#"{"n": 3}"#);
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let body = bench.chat(&json!({"message": "count", "output_schema": schema})).await;
    assert_eq!(body["structured"], json!({"n": 3}));
}

#[tokio::test]
async fn a_full_server_says_when_to_come_back() {
    let bench = Bench::with(Config { max_runs: 1, ..Config::default() }, |runtime| runtime);
    let pen = bench.script.pen();
    let mut first = bench.post("/api/v1/chat/stream", &json!({"message": "x"})).await.events();
    assert_eq!(first.next().await.unwrap().name, "start");
    let second = bench.post("/api/v1/chat", &json!({"message": "x"})).await;
    assert_eq!(second.headers["retry-after"], "1");
    let (status, code, _) = second.error().await;
    assert_eq!((status, code.as_str()), (503, "OVERLOADED"));
    support::done(pen);
    assert_eq!(first.all().await.last().unwrap().name, "end");
    bench.script.says("room again");
    bench.chat(&json!({"message": "x"})).await;
}
