//! Streams: order, the one end, coming back, going away, questions.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use support::{Bench, Events, Told, done, names, text, write};
use victor_core::error::ProviderErrorKind;
use victor_http::Config;

async fn stream(bench: &Bench, body: &Value) -> Events {
    bench.post("/api/v1/chat/stream", body).await.events()
}

async fn replay(bench: &Bench, run: &str, after: Option<u64>) -> Events {
    let mut request = Request::get(format!("/api/v1/runs/{run}/events"));
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    bench.send(request.body(Body::empty()).unwrap()).await.events()
}

fn run_id(start: &Told) -> String {
    start.data["run_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_token_leaves_when_it_comes_and_the_end_comes_once() {
    let bench = Bench::new();
    let pen = bench.script.pen();
    let mut events = stream(&bench, &json!({"message": "Hi"})).await;
    let start = events.next().await.unwrap();
    assert_eq!((start.name.as_str(), &start.data["provider"]), ("start", &json!("scripted")));
    assert!(start.data["conversation_id"].is_string() && start.data["timestamp"].is_string());
    for (i, piece) in ["Hel", "lo"].into_iter().enumerate() {
        write(&pen, piece);
        // Nothing else was written yet: it did not wait for more.
        let token = events.next().await.unwrap();
        assert_eq!(
            (token.name.as_str(), &token.data),
            ("token", &json!({"type": "token", "content": piece, "index": i}))
        );
    }
    done(pen);
    let rest = events.all().await;
    assert_eq!(names(&rest), ["usage", "end"]);
    let end = &rest[1].data;
    assert_eq!((&end["status"], &end["tokens_used"]["total"]), (&json!("completed"), &json!(12)));
    assert_eq!((&end["run_id"], &end["conversation_id"]), (&start.data["run_id"], &start.data["conversation_id"]));
}

#[tokio::test]
async fn a_failure_after_the_start_is_an_error_and_an_end() {
    let bench = Bench::new();
    bench.script.fails(ProviderErrorKind::InvalidRequest);
    let events = stream(&bench, &json!({"message": "Hi"})).await.all().await;
    assert_eq!(names(&events), ["start", "error", "end"]);
    assert_eq!(
        (&events[1].data["error_code"], &events[2].data["status"]),
        (&json!("PROVIDER_ERROR"), &json!("failed"))
    );
}

#[tokio::test]
async fn tool_calls_are_told_with_what_came_of_them() {
    let bench = Bench::new();
    bench.script.calls("look", &json!({"at": "sky"}));
    bench.script.says("Blue.");
    let events = stream(&bench, &json!({"message": "look"})).await.all().await;
    let call = events.iter().find(|e| e.name == "tool_call").unwrap();
    assert_eq!((&call.data["tool"], &call.data["arguments"]), (&json!("look"), &json!({"at": "sky"})));
    let result = events.iter().find(|e| e.name == "tool_result").unwrap();
    assert_eq!((&result.data["success"], &result.data["output"]), (&json!(true), &json!("saw sky")));
    assert_eq!(result.data["id"], call.data["id"]);
}

#[tokio::test]
async fn whoever_lost_the_stream_gets_the_rest_and_follows_on() {
    let bench = Bench::new();
    let pen = bench.script.pen();
    let mut events = bench.post("/api/v1/chat/stream?detach=true", &json!({"message": "Hi"})).await.events();
    let run = run_id(&events.next().await.unwrap());
    write(&pen, "one ");
    let last = events.next().await.unwrap();
    drop(events);
    write(&pen, "two ");
    let mut again = replay(&bench, &run, Some(last.id)).await;
    let missed = again.next().await.unwrap();
    assert_eq!((missed.data["content"].as_str(), missed.data["index"].as_u64()), (Some("two "), Some(1)));
    write(&pen, "three");
    done(pen);
    let rest = again.all().await;
    assert_eq!((text(&rest).as_str(), rest.last().unwrap().name.as_str()), ("three", "end"));
    // After the end all of it is there, for whoever asks, more than once.
    for _ in 0..2 {
        let all = replay(&bench, &run, None).await.all().await;
        assert_eq!((all[0].name.as_str(), text(&all).as_str()), ("start", "one two three"));
        assert_eq!(names(&all).iter().filter(|n| **n == "end").count(), 1);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_run_and_frees_the_conversation() {
    let bench = Bench::new();
    let pen = bench.script.pen();
    let mut events = stream(&bench, &json!({"message": "Hi"})).await;
    let start = events.next().await.unwrap();
    write(&pen, "never ends");
    events.next().await.unwrap();
    drop(events);
    let told = replay(&bench, &run_id(&start), None).await.all().await;
    assert_eq!(told.last().unwrap().data["status"], "cancelled");
    bench.script.says("Still here.");
    let body = bench.chat(&json!({"message": "?", "conversation_id": start.data["conversation_id"]})).await;
    assert_eq!(body["response"], "Still here.");
}

#[tokio::test]
async fn a_run_can_be_cancelled_by_its_id() {
    let bench = Bench::new();
    let _pen = bench.script.pen();
    let mut events = stream(&bench, &json!({"message": "Hi"})).await;
    let run = run_id(&events.next().await.unwrap());
    let path = format!("/api/v1/runs/{run}/cancel");
    let cancelled = bench.post(&path, &json!({})).await.json().await;
    assert_eq!(cancelled, json!({"success": true, "run_id": run, "cancelled": true}));
    assert_eq!(events.all().await.last().unwrap().data["status"], "cancelled");
    assert_eq!(bench.post(&path, &json!({})).await.json().await["cancelled"], false);
    let unknown = bench.post("/api/v1/runs/none/cancel", &json!({})).await.error().await;
    assert_eq!((unknown.0, unknown.1.as_str()), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn a_conversation_has_one_run_at_a_time() {
    let bench = Bench::new();
    let pen = bench.script.pen();
    let mut events = stream(&bench, &json!({"message": "Hi"})).await;
    let start = events.next().await.unwrap();
    let next = json!({"message": "and?", "conversation_id": start.data["conversation_id"]});
    let (status, code, body) = bench.post("/api/v1/chat", &next).await.error().await;
    assert_eq!((status, code.as_str()), (409, "CONFLICT"));
    assert_eq!(body["details"]["run_id"], start.data["run_id"]);
    bench.script.says("second");
    let waits = bench.post("/api/v1/chat?wait=true", &next);
    let ends = async {
        write(&pen, "first");
        done(pen);
        events.all().await
    };
    let (second, first) = futures::join!(waits, ends);
    assert_eq!((text(&first).as_str(), &second.json().await["response"]), ("first", &json!("second")));
}

#[tokio::test]
async fn a_question_goes_to_the_client_and_its_answer_counts() {
    let bench = Bench::new();
    bench.script.calls("strike", &json!({"at": "iron"}));
    bench.script.says("Done.");
    let mut events = stream(&bench, &json!({"message": "strike", "approvals": "ask"})).await;
    let question = loop {
        let event = events.next().await.unwrap();
        if event.name == "approval" {
            break event;
        }
    };
    assert_eq!((&question.data["tool"], &question.data["arguments"]), (&json!("strike"), &json!({"at": "iron"})));
    let path = format!("/api/v1/approvals/{}", question.data["id"].as_str().unwrap());
    let decided = bench.post(&path, &json!({"decision": "allow"})).await.json().await;
    assert_eq!(decided["decision"], "allow");
    let rest = events.all().await;
    assert!(rest.iter().any(|e| e.name == "tool_result" && e.data["output"] == "struck iron"), "{rest:?}");
    let late = bench.post(&path, &json!({"decision": "allow"})).await.error().await;
    assert_eq!((late.0, late.1.as_str()), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn where_nobody_is_asked_no_question_is_told_and_no_answer_taken() {
    let bench = Bench::new();
    bench.script.calls("strike", &json!({"at": "iron"}));
    let pen = bench.script.pen();
    let mut events = stream(&bench, &json!({"message": "strike"})).await;
    let run = run_id(&events.next().await.unwrap());
    let mut seen = Vec::new();
    let denied = loop {
        let event = events.next().await.unwrap();
        if event.name == "tool_result" {
            break event;
        }
        seen.push(event.name);
    };
    assert_eq!(denied.data["denied"], true);
    assert!(!seen.contains(&"approval".to_owned()), "{seen:?}");
    let path = format!("/api/v1/approvals/{run}.{}", denied.data["id"].as_str().unwrap());
    let (status, code, _) = bench.post(&path, &json!({"decision": "allow"})).await.error().await;
    assert_eq!((status, code.as_str()), (404, "NOT_FOUND"));
    done(pen);
}

#[tokio::test]
async fn a_yes_for_the_session_holds_in_the_next_message() {
    let bench = Bench::new();
    bench.script.calls("strike", &json!({"at": "iron"}));
    bench.script.says("Done.");
    let mut events = stream(&bench, &json!({"message": "strike", "approvals": "ask"})).await;
    let conversation = events.next().await.unwrap().data["conversation_id"].clone();
    while let Some(event) = events.next().await {
        if event.name == "approval" {
            let path = format!("/api/v1/approvals/{}", event.data["id"].as_str().unwrap());
            bench.post(&path, &json!({"decision": "allow_session"})).await;
        }
    }
    bench.script.calls("strike", &json!({"at": "iron"}));
    bench.script.says("Again.");
    let body = json!({"message": "again", "approvals": "ask", "conversation_id": conversation});
    let events = stream(&bench, &body).await.all().await;
    assert!(!names(&events).contains(&"approval") && text(&events) == "Again.", "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_answers_is_a_no() {
    let bench = Bench::with(Config::default(), |runtime| runtime);
    bench.script.calls("strike", &json!({"at": "iron"}));
    bench.script.says("Then not.");
    let events = stream(&bench, &json!({"message": "strike", "approvals": "ask"})).await.all().await;
    let denied = events.iter().find(|e| e.name == "tool_result").unwrap();
    assert_eq!((&denied.data["denied"], &denied.data["success"]), (&json!(true), &json!(false)));
    assert!(events.last().unwrap().data["denied"][0]["reason"].as_str().unwrap().contains("300 s"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_says_that_it_lives() {
    use futures::StreamExt as _;
    let bench = Bench::new();
    let _pen = bench.script.pen();
    let mut answer = bench.post("/api/v1/chat/stream", &json!({"message": "Hi"})).await;
    let start = answer.body.next().await.unwrap().unwrap();
    assert!(start.starts_with(b"id: 0\nevent: start"));
    for _ in 0..3 {
        assert_eq!(answer.body.next().await.unwrap().unwrap().as_ref(), b": alive\n\n");
    }
}

#[tokio::test]
async fn a_last_event_id_that_is_none_is_refused() {
    let bench = Bench::new();
    bench.script.says("ok");
    let run = bench.chat(&json!({"message": "x"})).await["run_id"].as_str().unwrap().to_owned();
    let request = Request::get(format!("/api/v1/runs/{run}/events")).header("last-event-id", "soon");
    let (status, code, _) = bench.send(request.body(Body::empty()).unwrap()).await.error().await;
    assert_eq!((status, code.as_str()), (400, "INVALID_VALUE"));
    let last = replay(&bench, &run, None).await.all().await.last().unwrap().id;
    assert!(replay(&bench, &run, Some(last)).await.all().await.is_empty());
    let beyond = Request::get(format!("/api/v1/runs/{run}/events")).header("last-event-id", last + 1);
    let (status, code, _) = bench.send(beyond.body(Body::empty()).unwrap()).await.error().await;
    assert_eq!((status, code.as_str()), (400, "INVALID_VALUE"));
}
