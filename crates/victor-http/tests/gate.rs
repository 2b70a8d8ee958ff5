//! Who is let in: keys, tokens, scopes, hosts, origins, rates; and what a refusal looks like.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, request};
use serde_json::{Value, json};
use support::{Answer, Bench};
use victor_core::id::Timestamp;
use victor_core::memory::MemoryStore;
use victor_core::token::{NewToken, Scope, TokenHash, TokenStore};
use victor_http::{ApiKey, Auth, Config, Cors, Demand, HostGuard, HttpDoor, RateLimit};

const LISTS: &str = "/api/v1/modes";

fn get(path: &str) -> request::Builder {
    Request::get(path).header("host", "localhost:8080")
}

async fn send(bench: &Bench, request: request::Builder) -> Answer {
    bench.send(request.body(Body::empty()).unwrap()).await
}

fn keyed(keys: &[&str], tokens: Option<Arc<dyn TokenStore>>) -> Config {
    let keys = keys.iter().map(|k| ApiKey::new("server", k).unwrap()).collect();
    Config { auth: Auth { demand: Demand::OnceThereIsOne, keys, tokens }, ..Config::default() }
}

fn bench(config: Config) -> Bench {
    Bench::with(config, |runtime| runtime)
}

async fn token(store: &MemoryStore, name: &str, scopes: &[Scope], expires_at: Option<Timestamp>) -> String {
    let secret = format!("secret-of-{name}");
    let new = NewToken {
        id: format!("id-{name}"),
        name: name.to_owned(),
        hash: TokenHash::of(&secret),
        scopes: scopes.iter().copied().collect(),
        at: Timestamp::from_micros(0),
        expires_at,
    };
    store.create_token(new).await.unwrap();
    secret
}

#[tokio::test]
async fn a_key_opens_and_nothing_else_does() {
    let bench = bench(keyed(&["right"], None));
    let refused = [
        get(LISTS),
        get(LISTS).header("x-api-key", "wrong"),
        get(LISTS).header("x-api-key", ""),
        get(LISTS).header("authorization", "Basic cmlnaHQ="),
        get(LISTS).header("authorization", "right"),
        get(LISTS).header("x-api-key", "right").header("authorization", "Bearer other"),
        get(LISTS).header("x-api-key", &b"\xff\xfe"[..]),
        get("/docs"),
        get("/metrics"),
        get("/openapi.json"),
        get("/nowhere"),
    ];
    for request in refused {
        let answer = send(&bench, request).await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        let (status, code, _) = answer.error().await;
        assert_eq!((status, code.as_str()), (401, "AUTHENTICATION_FAILED"));
    }
    for request in [get(LISTS).header("x-api-key", "right"), get(LISTS).header("authorization", "bearer right")] {
        assert_eq!(send(&bench, request).await.status, StatusCode::OK);
    }
    for open in ["/health", "/health/live", "/health/ready", "/api/v1/health"] {
        assert_eq!(send(&bench, get(open)).await.status, StatusCode::OK, "{open}");
    }
}

#[tokio::test]
async fn the_first_token_closes_the_door_and_revoking_it_does_not_open_it() {
    let store = MemoryStore::default();
    let bench = bench(keyed(&[], Some(Arc::new(store.clone()))));
    assert_eq!(send(&bench, get(LISTS)).await.status, StatusCode::OK);
    let secret = token(&store, "ci", &[Scope::Read], None).await;
    // The clock of the tests goes on with each look at it; within a second it is noticed.
    let mut status = StatusCode::OK;
    for _ in 0..2000 {
        status = send(&bench, get(LISTS)).await.status;
        if status != StatusCode::OK {
            break;
        }
    }
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&bench, get(LISTS).header("x-api-key", &secret)).await.status, StatusCode::OK);
    assert!(store.revoke_token("ci", Timestamp::from_micros(1)).await.unwrap());
    assert_eq!(send(&bench, get(LISTS).header("x-api-key", &secret)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn scopes_are_what_a_token_may_do() {
    let store = MemoryStore::default();
    let chat = token(&store, "chat", &[Scope::Chat], None).await;
    let read = token(&store, "read", &[Scope::Read], None).await;
    let admin = token(&store, "admin", &[Scope::Admin], None).await;
    let old = token(&store, "old", &Scope::ALL, Some(Timestamp::from_micros(1))).await;
    let bench = bench(keyed(&[], Some(Arc::new(store))));
    bench.script.says("ok");
    for (key, path, expected) in [
        (&chat, "/api/v1/conversations", 200),
        (&chat, LISTS, 403),
        (&chat, "/api/v1/status", 403),
        (&chat, "/metrics", 403),
        (&read, LISTS, 200),
        (&read, "/docs", 200),
        (&read, "/api/v1/conversations", 403),
        (&admin, "/api/v1/conversations", 200),
        (&admin, "/api/v1/conversations/none", 404),
        (&admin, LISTS, 403),
        (&old, LISTS, 401),
    ] {
        let answer = send(&bench, get(path).header("x-api-key", key)).await;
        assert_eq!(answer.status.as_u16(), expected, "{key} {path}");
    }
    let execute = support::post("/api/v1/tools/look/execute", &json!({"arguments": {"at": "x"}}));
    let (mut parts, body) = execute.into_parts();
    parts.headers.insert("x-api-key", chat.parse().unwrap());
    let (status, code, body) = bench.send(Request::from_parts(parts, body)).await.error().await;
    assert_eq!(
        (status, code.as_str(), &body["details"]["required_scope"]),
        (403, "PERMISSION_DENIED", &json!("tools"))
    );
}

#[tokio::test]
async fn a_conversation_is_its_owners_and_the_admins() {
    let store = MemoryStore::default();
    let (ada, bob) =
        (token(&store, "ada", &[Scope::Chat], None).await, token(&store, "bob", &[Scope::Chat], None).await);
    let bench = bench(keyed(&["admin-key"], Some(Arc::new(store))));
    let with = |mut request: Request<Body>, key: &str| {
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
        request
    };
    bench.script.says("Hello Ada");
    let begun = bench.send(with(support::post("/api/v1/chat", &json!({"message": "hi"})), &ada)).await.json().await;
    let id = begun["conversation_id"].as_str().unwrap();
    let run = begun["run_id"].as_str().unwrap();
    let path = format!("/api/v1/conversations/{id}");
    for (key, expected) in [(&ada[..], 200), (&bob[..], 404), ("admin-key", 200)] {
        assert_eq!(send(&bench, get(&path).header("x-api-key", key)).await.status.as_u16(), expected);
        let events = format!("/api/v1/runs/{run}/events");
        assert_eq!(send(&bench, get(&events).header("x-api-key", key)).await.status.as_u16(), expected);
    }
    let on = json!({"message": "and?", "conversation_id": id});
    for request in [
        support::post("/api/v1/chat", &on),
        support::post("/api/v1/chat/stream", &on),
        support::post("/api/v1/conversations", &on),
        Request::delete(&path).body(Body::empty()).unwrap(),
        Request::patch(&path).body(Body::from(r#"{"title": "mine"}"#)).unwrap(),
        support::post(&format!("/api/v1/runs/{run}/cancel"), &json!({})),
    ] {
        let uri = request.uri().clone();
        assert_eq!(bench.send(with(request, &bob)).await.status, StatusCode::NOT_FOUND, "{uri}");
    }
    let list = send(&bench, get("/api/v1/conversations").header("x-api-key", &bob)).await.json().await;
    assert_eq!(list["conversations"], json!([]));
}

#[tokio::test]
async fn a_loopback_server_answers_to_its_own_names_only() {
    let hosts = HostGuard::Loopback { also: vec!["agents.example".to_owned()] };
    let bench = bench(Config { hosts, ..Config::default() });
    for (host, expected) in [
        ("localhost", 200),
        ("LOCALHOST:8080", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8080", 200),
        ("agents.example", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:8080", 403),
    ] {
        let answer = send(&bench, Request::get(LISTS).header("host", host)).await;
        assert_eq!(answer.status.as_u16(), expected, "{host}");
    }
    assert_eq!(send(&bench, Request::get(LISTS)).await.status, StatusCode::FORBIDDEN, "no host at all");
}

#[tokio::test]
async fn pages_of_other_origins_run_nothing() {
    let bench = bench(Config::default());
    let foreign = [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "http://localhost:9999"),
        ("sec-fetch-site", "cross-site"),
    ];
    for (name, value) in foreign {
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/json"] {
            let request = Request::post("/api/v1/chat").header("host", "localhost:8080").header(name, value);
            let request = request.header("content-type", content_type).body(Body::from(r#"{"message":"x"}"#)).unwrap();
            let (status, code, _) = bench.send(request).await.error().await;
            assert_eq!((status, code.as_str()), (403, "PERMISSION_DENIED"), "{name}: {value}");
        }
    }
    assert_eq!(bench.script.requests(), 0);
    for own in ["http://localhost:8080", "https://localhost:8080"] {
        assert_eq!(send(&bench, get(LISTS).header("origin", own)).await.status, StatusCode::OK, "{own}");
    }
}

#[tokio::test]
async fn pages_of_allowed_origins_may_call_and_read_errors() {
    let origins = vec!["https://app.example".to_owned()];
    let cors = Some(Cors { origins, methods: vec!["GET".to_owned(), "POST".to_owned()] });
    let bench = bench(Config { cors, ..keyed(&["right"], None) });
    let preflight =
        Request::options("/api/v1/chat").header("host", "localhost").header("origin", "https://app.example");
    let preflight = preflight.header("access-control-request-method", "POST");
    let answer = send(&bench, preflight.header("access-control-request-headers", "x-api-key,content-type")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["access-control-allow-origin"], "https://app.example");
    assert_eq!(answer.headers["access-control-allow-methods"], "GET,POST");
    let refused = send(&bench, get(LISTS).header("origin", "https://app.example")).await;
    assert_eq!(
        (refused.status, &refused.headers["access-control-allow-origin"]),
        (StatusCode::UNAUTHORIZED, &"https://app.example".parse().unwrap())
    );
    assert!(refused.headers["access-control-expose-headers"].to_str().unwrap().contains("x-request-id"));
    let other = get(LISTS).header("origin", "https://evil.example").header("x-api-key", "right");
    assert_eq!(send(&bench, other).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn rates_are_kept_for_each_caller_and_told() {
    let store = MemoryStore::default();
    let bob = token(&store, "bob", &[Scope::Read], None).await;
    let rate_limit = Some(RateLimit { per_minute: 3, per_day: 100 });
    let bench = bench(Config { rate_limit, ..keyed(&["right"], Some(Arc::new(store))) });
    for left in ["2", "1", "0"] {
        let answer = send(&bench, get(LISTS).header("x-api-key", "right")).await;
        assert_eq!(
            (&answer.headers["x-ratelimit-limit"], &answer.headers["x-ratelimit-remaining"]),
            (&"3".parse().unwrap(), &left.parse().unwrap())
        );
        assert!(answer.headers["x-ratelimit-reset"].to_str().unwrap().parse::<i64>().unwrap() > 0);
    }
    let over = send(&bench, get(LISTS).header("x-api-key", "right")).await;
    let wait: u64 = over.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(over.headers["x-ratelimit-remaining"], "0");
    let (status, code, body) = over.error().await;
    assert_eq!((status, code.as_str()), (429, "RATE_LIMITED"));
    assert_eq!(body["details"], json!({"limit": 3, "window": "minute", "retry_after": wait}));
    assert_eq!(send(&bench, get(LISTS).header("x-api-key", &bob)).await.status, StatusCode::OK);
    assert_eq!(send(&bench, get("/health").header("x-api-key", "right")).await.status, StatusCode::OK);
}

async fn from(bench: &Bench, address: &str, forwarded: Option<&str>, key: &str) -> u16 {
    let mut request = get(LISTS).header("x-api-key", key);
    if let Some(forwarded) = forwarded {
        request = request.header("x-forwarded-for", forwarded);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let address: SocketAddr = address.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(address));
    bench.send(request).await.status.as_u16()
}

#[tokio::test]
async fn guessed_keys_count_against_the_address_and_only_proxies_say_another() {
    let rate_limit = Some(RateLimit { per_minute: 2, per_day: 100 });
    let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    let bench = bench(Config { rate_limit, trusted_proxies, ..keyed(&["right"], None) });
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(from(&bench, "192.0.2.1:5", Some("198.51.100.9"), "guess").await);
    }
    assert_eq!(seen, [401, 401, 429], "what a stranger says of its address does not count");
    assert_eq!(from(&bench, "192.0.2.2:5", None, "guess").await, 401);
    let mut behind = Vec::new();
    for client in ["198.51.100.1", "198.51.100.1, 10.0.0.2", "198.51.100.1", "198.51.100.2", "garbage"] {
        behind.push(from(&bench, "10.0.0.1:5", Some(client), "guess").await);
    }
    assert_eq!(behind, [401, 401, 429, 401, 401]);
}

#[tokio::test]
async fn a_configuration_that_guards_nothing_is_refused() {
    let runtime = Bench::new().runtime;
    let always = Auth { demand: Demand::Always, ..Auth::default() };
    assert!(HttpDoor::new(runtime.clone(), Config { auth: always, ..Config::default() }).is_err());
    let cors = |origin: &str| Some(Cors { origins: vec![origin.to_owned()], methods: vec!["GET".to_owned()] });
    for origin in ["*", "app.example", "https://app.example/path", "https://*.example"] {
        assert!(
            HttpDoor::new(runtime.clone(), Config { cors: cors(origin), ..Config::default() }).is_err(),
            "{origin}"
        );
    }
    assert!(HttpDoor::new(runtime.clone(), Config { cors: cors("*"), ..keyed(&["right"], None) }).is_ok());
    let rate_limit = Some(RateLimit { per_minute: 0, per_day: 1 });
    assert!(HttpDoor::new(runtime, Config { rate_limit, ..Config::default() }).is_err());
    assert!(ApiKey::new("server", "").is_err() && ApiKey::new("server", "two words").is_err());
}

#[tokio::test]
async fn request_ids_are_kept_where_they_can_be_and_errors_have_one_form() {
    let bench = Bench::new();
    let kept = send(&bench, get(LISTS).header("x-request-id", "abc-1.2:3_x")).await;
    assert_eq!(kept.headers["x-request-id"], "abc-1.2:3_x");
    let replaced = send(&bench, get(LISTS).header("x-request-id", "a b\"c")).await;
    assert_ne!(replaced.headers["x-request-id"], "a b\"c");
    let wrong = bench.send(Request::put(LISTS).body(Body::empty()).unwrap()).await;
    assert!(wrong.headers["allow"].to_str().unwrap().contains("GET"));
    let (status, code, _) = wrong.error().await;
    assert_eq!((status, code.as_str()), (405, "METHOD_NOT_ALLOWED"));
    let (status, code, _) = bench.get("/api/v1/nothing").await.error().await;
    assert_eq!((status, code.as_str()), (404, "NOT_FOUND"));
    for path in ["conversations/%ff", "runs/%ff/events", "workflows/%ff/status"] {
        let (status, code, _) = bench.get(&format!("/api/v1/{path}")).await.error().await;
        assert_eq!((status, code.as_str()), (404, "NOT_FOUND"), "{path}");
    }
    for path in ["tools/%ff/execute", "approvals/%ff", "runs/%ff/cancel"] {
        let (status, code, _) = bench.post(&format!("/api/v1/{path}"), &json!({})).await.error().await;
        assert_eq!((status, code.as_str()), (404, "NOT_FOUND"), "{path}");
    }
    let large = Bench::with(Config { max_body: 100, ..Config::default() }, |runtime| runtime);
    let body: Value = json!({"message": "x".repeat(200)});
    let (status, code, _) = large.post("/api/v1/chat", &body).await.error().await;
    assert_eq!((status, code.as_str()), (413, "TOO_LARGE"));
    let (status, code, _) = bench.get("/api/v1/conversations?limit=5&sort=up").await.error().await;
    assert_eq!((status, code.as_str()), (400, "INVALID_VALUE"));
}
