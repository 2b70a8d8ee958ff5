//! Sessions over HTTP by owner: none takes another's room.
#![allow(clippy::unwrap_used, reason = "what tests use is a part of them")]

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use reqwest::StatusCode;
use serde_json::{Value, json};
use victor_core::runtime::Runtime;
use victor_core::testing::TestClock;
use victor_core::token::{Principal, Scope};
use victor_mcp::server::{Config, McpServer};

/// A server that takes everybody at their word.
struct Stage {
    url: String,
    client: reqwest::Client,
}

async fn believe(mut request: Request, next: Next) -> Response {
    let owner = request.headers()["x-owner"].to_str().unwrap().to_owned();
    let scopes = BTreeSet::from(Scope::ALL);
    request.extensions_mut().insert(Principal { owner: owner.into(), scopes: Arc::new(scopes) });
    next.run(request).await
}

impl Stage {
    async fn new() -> Self {
        let runtime = Runtime::builder().clock(TestClock::default()).build().unwrap();
        let server = McpServer::new(Arc::new(runtime), Config::default(), [1; 32]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = server.router().layer(from_fn(believe));
        #[expect(clippy::disallowed_methods, reason = "the test is its own runtime")]
        tokio::spawn(async move {
            let _server = server;
            axum::serve(listener, router).await
        });
        Self { url, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    async fn post(&self, owner: &str, session: Option<&str>, message: &Value) -> reqwest::Response {
        let request = self.client.post(&self.url).header("x-owner", owner).body(message.to_string());
        let request = request.header("accept", "application/json, text/event-stream");
        let request = request.header("content-type", "application/json");
        let request = session.into_iter().fold(request, |request, id| request.header("mcp-session-id", id));
        request.send().await.unwrap()
    }

    /// Opens a session; gives its id, or how that was refused.
    async fn open(&self, owner: &str) -> Result<String, (StatusCode, String)> {
        let hello =
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello});
        let answer = self.post(owner, None, &hello).await;
        match answer.status() {
            StatusCode::OK => Ok(answer.headers()["mcp-session-id"].to_str().unwrap().to_owned()),
            status => Err((status, answer.text().await.unwrap())),
        }
    }

    async fn lives(&self, owner: &str, session: &str) -> bool {
        let ping = json!({"jsonrpc": "2.0", "id": 2, "method": "ping"});
        self.post(owner, Some(session), &ping).await.status() == StatusCode::OK
    }
}

#[tokio::test]
async fn an_owner_replaces_own_sessions_and_locks_nobody_out() {
    let stage = Stage::new().await;
    let eve = stage.open("eve").await.unwrap();
    let mut sessions = Vec::new();
    for _ in 0..256 {
        sessions.push(stage.open("ada").await.unwrap());
    }
    assert!(stage.lives("ada", &sessions[0]).await, "it is used again");
    for n in 0..800 {
        assert!(stage.open("ada").await.is_ok(), "{n}");
        if n == 0 {
            assert!(!stage.lives("ada", &sessions[1]).await, "nobody has used it for longest");
            assert!(stage.lives("ada", &sessions[0]).await);
        }
    }
    assert!(stage.lives("eve", &eve).await);
    assert!(stage.open("eve").await.is_ok());
}

#[tokio::test]
async fn a_session_id_spares_no_request_of_no_session_its_place() {
    let stage = Stage::new().await;
    let mut sessions = Vec::new();
    for _ in 0..256 {
        sessions.push(stage.open("ada").await.unwrap());
    }
    let prefix = "io.modelcontextprotocol";
    let meta = json!({format!("{prefix}/protocolVersion"): "2026-07-28", format!("{prefix}/clientCapabilities"): {}});
    let list = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {"_meta": meta}});
    let request = stage.client.post(&stage.url).header("x-owner", "ada").header("mcp-session-id", &sessions[255]);
    let request = request.header("accept", "application/json, text/event-stream");
    let request = request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", "tools/list");
    let answer = request.header("content-type", "application/json").body(list.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!stage.lives("ada", &sessions[0]).await, "it had to make room");
}

#[tokio::test]
async fn all_owners_together_have_so_many() {
    let stage = Stage::new().await;
    for owner in ["a", "b", "c", "d"] {
        for _ in 0..256 {
            stage.open(owner).await.unwrap();
        }
    }
    let (status, why) = stage.open("e").await.unwrap_err();
    assert!(status == StatusCode::SERVICE_UNAVAILABLE && why.contains("too many clients"), "{status}: {why}");
}
