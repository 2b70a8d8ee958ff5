//! Conversations, idempotency keys, tools, lists and the document: each as a client sees it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use support::{Bench, plan_mode};
use victor_core::agent::Profile;
use victor_http::Config;

fn keyed(path: &str, key: &str, body: &Value) -> Request<Body> {
    let request = Request::post(path).header("idempotency-key", key);
    request.body(Body::from(body.to_string())).unwrap()
}

async fn patch(bench: &Bench, id: &str, body: &Value) -> support::Answer {
    let request = Request::patch(format!("/api/v1/conversations/{id}")).body(Body::from(body.to_string())).unwrap();
    bench.send(request).await
}

#[tokio::test]
async fn a_conversation_is_begun_read_listed_and_deleted() {
    let bench = Bench::new();
    bench.script.calls("look", &json!({"at": "sky"}));
    bench.script.says("Blue.");
    let body = json!({"message": "What colour is it?", "conversation_id": "colours"});
    let begun = bench.post("/api/v1/conversations", &body).await.json().await;
    assert_eq!((&begun["conversation_id"], &begun["response"]), (&json!("colours"), &json!("Blue.")));
    let expected = json!([
        {"role": "user", "content": "What colour is it?"},
        {"role": "assistant", "content": "", "tool_calls":
            [{"id": "call_0", "tool": "look", "arguments": {"at": "sky"}, "output": "saw sky", "success": true}]},
        {"role": "assistant", "content": "Blue."},
    ]);
    assert_eq!(begun["messages"], expected);
    let read = bench.get("/api/v1/conversations/colours").await.json().await;
    assert_eq!((&read["messages"], &read["message_count"]), (&expected, &json!(3)));
    let list = bench.get("/api/v1/conversations?q=COLOUR").await.json().await;
    assert_eq!(
        (&list["conversations"][0]["title"], &list["next_cursor"]),
        (&json!("What colour is it?"), &Value::Null)
    );
    let delete = || Request::delete("/api/v1/conversations/colours").body(Body::empty()).unwrap();
    assert_eq!(bench.send(delete()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(bench.send(delete()).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/api/v1/conversations/colours").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pages_follow_each_other_to_the_end() {
    let bench = Bench::new();
    for i in 0..5 {
        bench.script.says("ok");
        bench.chat(&json!({"message": format!("message {i}")})).await;
    }
    let (mut seen, mut path) = (BTreeSet::new(), "/api/v1/conversations?limit=2".to_owned());
    for expected in [2, 2, 1] {
        let page = bench.get(&path).await.json().await;
        let found = page["conversations"].as_array().unwrap();
        assert_eq!(found.len(), expected);
        seen.extend(found.iter().map(|c| c["conversation_id"].as_str().unwrap().to_owned()));
        let cursor = page["next_cursor"].as_str().unwrap_or_default();
        path = format!("/api/v1/conversations?limit=2&cursor={cursor}");
    }
    assert_eq!(seen.len(), 5);
    for bad in ["limit=0", "limit=101", "limit=x", "cursor=???", "cursor=bm90aGluZw"] {
        assert_eq!(bench.get(&format!("/api/v1/conversations?{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn what_is_changed_holds_for_this_conversation_and_no_other() {
    let profile = Profile { model: Some("small".to_owned()), ..Profile::default() };
    let bench = Bench::with(Config::default(), |r| r.profiles([("quick".to_owned(), profile)].into()));
    bench.script.says("ok");
    let id = bench.chat(&json!({"message": "x"})).await["conversation_id"].as_str().unwrap().to_owned();
    let changed = patch(&bench, &id, &json!({"model": "large", "mode": "plan", "title": "Mine"})).await.json().await;
    assert_eq!(
        (&changed["model"], &changed["mode"], &changed["title"]),
        (&json!("large"), &json!("plan"), &json!("Mine"))
    );
    let say = |model: Option<&str>, id: Option<&str>| json!({"message": "x", "model": model, "conversation_id": id});
    for (body, model) in [
        (say(None, Some(&id)), "large"),
        (say(Some("other"), Some(&id)), "other"),
        (say(None, Some(&id)), "large"),
        (say(None, None), "scripted"),
    ] {
        bench.script.says("ok");
        assert_eq!(bench.chat(&body).await["model"], model, "{body}");
    }
    let profiled = patch(&bench, &id, &json!({"profile": "quick"})).await.json().await;
    assert_eq!((&profiled["profile"], &profiled["model"]), (&json!("quick"), &Value::Null));
    bench.script.says("ok");
    assert_eq!(bench.chat(&say(None, Some(&id))).await["model"], "small");
    for (body, status) in [
        (json!({"provider": "nobody"}), 404),
        (json!({"model": "missing"}), 404),
        (json!({"profile": "nothing"}), 404),
        (json!({"title": ""}), 400),
        (json!({"colour": "red"}), 400),
    ] {
        assert_eq!(patch(&bench, &id, &body).await.status.as_u16(), status, "{body}");
    }
}

#[tokio::test]
async fn a_mode_that_is_more_than_the_servers_cannot_be_set() {
    let bench = Bench::with(Config::default(), plan_mode);
    bench.script.says("ok");
    let id = bench.chat(&json!({"message": "x"})).await["conversation_id"].as_str().unwrap().to_owned();
    let (status, code, _) = patch(&bench, &id, &json!({"mode": "build"})).await.error().await;
    assert_eq!((status, code.as_str()), (403, "PERMISSION_DENIED"));
}

#[tokio::test]
async fn a_repeated_request_answers_the_first_result_and_runs_nothing() {
    let bench = Bench::new();
    bench.script.says("once");
    let body = json!({"message": "x"});
    let first = bench.send(keyed("/api/v1/chat", "k", &body)).await.json().await;
    let again = bench.send(keyed("/api/v1/chat", "k", &body)).await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!((again.json().await, bench.script.requests()), (first, 1));
    let (status, code, _) = bench.send(keyed("/api/v1/chat", "k", &json!({"message": "y"}))).await.error().await;
    assert_eq!((status, code.as_str()), (409, "CONFLICT"));
    // What was refused before anything ran may be tried again.
    let (status, ..) = bench.send(keyed("/api/v1/chat", "other", &json!({"provider": "x"}))).await.error().await;
    assert_eq!(status, 400);
    bench.script.says("now");
    assert_eq!(bench.send(keyed("/api/v1/chat", "other", &body)).await.json().await["response"], "now");
}

#[tokio::test]
async fn a_repeated_stream_waits_for_the_first_and_a_client_that_left_can_ask_again() {
    let bench = Bench::new();
    let pen = bench.script.pen();
    let body = json!({"message": "x"});
    let mut first = bench.send(keyed("/api/v1/chat/stream", "k", &body)).await.events();
    assert_eq!(first.next().await.unwrap().name, "start");
    drop(first);
    let again = bench.send(keyed("/api/v1/chat/stream", "k", &body));
    let writes = async {
        support::write(&pen, "still here");
        support::done(pen);
    };
    let (again, ()) = futures::join!(again, writes);
    let events = again.events().all().await;
    assert_eq!((support::text(&events).as_str(), bench.script.requests()), ("still here", 1));
    assert_eq!(events.last().unwrap().data["status"], "completed");
}

#[tokio::test]
async fn tools_are_called_on_the_same_permission_path() {
    let bench = Bench::new();
    let call = |tool: &str, arguments: Value| {
        let (path, body) = (format!("/api/v1/tools/{tool}/execute"), json!({"arguments": arguments}));
        (path, body)
    };
    let (path, body) = call("look", json!({"at": "sky"}));
    let done = bench.post(&path, &body).await.json().await;
    assert_eq!((&done["success"], &done["tool"], &done["output"]), (&json!(true), &json!("look"), &json!("saw sky")));
    for (tool, arguments, status, code) in [
        ("strike", json!({"at": "iron"}), 403, "PERMISSION_DENIED"),
        ("look", json!({}), 400, "INVALID_VALUE"),
        ("look", json!("sky"), 400, "INVALID_VALUE"),
        ("lok", json!({}), 404, "TOOL_NOT_FOUND"),
    ] {
        let (path, body) = call(tool, arguments);
        let error = bench.post(&path, &body).await.error().await;
        assert_eq!((error.0, error.1.as_str()), (status, code), "{}", error.2);
    }
    let rule =
        victor_core::permission::Rule::parse(victor_core::permission::RuleEffect::Allow, "strike", "test").unwrap();
    bench.runtime.add_rule(rule);
    let (path, body) = call("strike", json!({"at": "nothing"}));
    let (status, code, body) = bench.post(&path, &body).await.error().await;
    assert_eq!((status, code.as_str(), &body["details"]["output"]), (422, "TOOL_EXECUTION_FAILED", &json!("missed")));
}

#[tokio::test]
async fn the_agent_knows_of_a_call_that_was_made_in_its_conversation() {
    let bench = Bench::new();
    bench.script.says("ok");
    let id = bench.chat(&json!({"message": "x"})).await["conversation_id"].clone();
    let body = json!({"arguments": {"at": "sky"}, "conversation_id": id});
    assert_eq!(bench.post("/api/v1/tools/look/execute", &body).await.status, StatusCode::OK);
    bench.script.says("I know.");
    bench.chat(&json!({"message": "y", "conversation_id": id})).await;
    let seen = bench.script.seen.lock().unwrap();
    let told: String = seen[1].messages.iter().map(|m| m.text()).collect();
    assert!(told.contains("saw sky"), "{told}");
}

#[tokio::test]
async fn health_tells_what_is_wrong_and_ready_says_when_not_to_come() {
    let bench = Bench::new();
    let health = bench.get("/health").await.json().await;
    assert_eq!((&health["status"], &health["checks"]["database"]["status"]), (&json!("healthy"), &json!("healthy")));
    let bare = Bench::with(Config::default(), |_| {
        victor_core::runtime::Runtime::builder().clock(victor_core::testing::TestClock::default())
    });
    let health = bare.get("/health").await;
    assert_eq!(health.status, StatusCode::OK);
    let health = health.json().await;
    assert_eq!(
        (&health["status"], &health["checks"]["providers"]["error"]),
        (&json!("degraded"), &json!("no provider is configured"))
    );
    bench.door.shutdown(std::time::Duration::ZERO).await;
    let (status, code, _) = bench.get("/health/ready").await.error().await;
    assert_eq!((status, code.as_str()), (503, "SHUTTING_DOWN"));
    let (status, code, _) = bench.post("/api/v1/chat", &json!({"message": "x"})).await.error().await;
    assert_eq!((status, code.as_str()), (503, "SHUTTING_DOWN"));
    assert_eq!(bench.get("/health/live").await.status, StatusCode::OK);
}

#[tokio::test]
async fn metrics_count_what_happened_with_few_labels() {
    let bench = Bench::new();
    bench.script.calls("look", &json!({"at": "sky"}));
    bench.script.says("ok");
    bench.chat(&json!({"message": "x"})).await;
    for i in 0..20 {
        bench.get(&format!("/api/v1/conversations/unknown-{i}")).await;
        bench.get(&format!("/nowhere/{i}")).await;
    }
    let text = bench.get("/metrics").await.text().await;
    for line in [
        r#"victor_requests_total{method="POST",route="/api/v1/chat",status="200"} 1"#,
        r#"victor_requests_total{method="GET",route="/api/v1/conversations/{id}",status="404"} 20"#,
        r#"victor_requests_total{method="GET",route="unmatched",status="404"} 20"#,
        r#"victor_request_duration_seconds_count{method="POST",route="/api/v1/chat"} 1"#,
        r#"victor_runs_total{status="completed"} 1"#,
        r#"victor_tokens_total{provider="scripted",model="scripted",kind="output"} 2"#,
        r#"victor_tool_calls_total{tool="look",outcome="ok"} 1"#,
        "victor_runs_active 0",
        r#"victor_provider_healthy{provider="scripted"} 1"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(!text.contains("unknown-"));
}

#[tokio::test]
async fn the_document_describes_what_is_served_and_nothing_else() {
    let bench = Bench::new();
    let document = bench.get("/openapi.json").await.json().await;
    assert_eq!(document["openapi"], "3.1.0");
    let (mut ids, mut served) = (BTreeSet::new(), 0);
    for (path, operations) in document["paths"].as_object().unwrap() {
        let concrete = path.replace("{id}", "none").replace("{name}", "none");
        for method in ["get", "post", "put", "patch", "delete"] {
            let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let request = Request::builder().method(verb).uri(&concrete).body(Body::from("{}")).unwrap();
            let answer = bench.send(request).await;
            let Some(operation) = operations.get(method) else {
                assert_eq!(
                    answer.status,
                    StatusCode::METHOD_NOT_ALLOWED,
                    "{method} {path} is served and not described"
                );
                continue;
            };
            served += 1;
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()));
            let status = answer.status.as_u16().to_string();
            assert!(
                operation["responses"].get(&status).is_some(),
                "{method} {path} answers {status}, which is not described"
            );
            assert!(
                !operation["summary"].as_str().unwrap().is_empty()
                    && !operation["tags"][0].as_str().unwrap().is_empty()
            );
        }
    }
    assert!(served > 20, "{served}");
    let text = document.to_string();
    for part in text.split("\"$ref\":\"").skip(1) {
        let pointer = part.split('"').next().unwrap().trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
    assert!(!text.contains("\"$defs\""));
}

#[tokio::test]
async fn the_router_is_nested_into_an_application_with_a_state_of_its_own() {
    let bench = Bench::new();
    bench.script.says("nested");
    let router = axum::Router::<u8>::new().nest("/agents", bench.door.router::<u8>()).with_state(7);
    let nested = Bench { router, ..bench };
    let answer = nested.post("/agents/api/v1/chat", &json!({"message": "x"})).await;
    assert_eq!(answer.json().await["response"], "nested");
    assert_eq!(nested.get("/agents/openapi.json").await.status, StatusCode::OK);
    assert_eq!(nested.get("/agents/health").await.status, StatusCode::OK);
}
