//! Logins at servers that name addresses which no login should use.
#![allow(clippy::unwrap_used, reason = "what tests use is a part of them")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use victor_core::testing::TestClock;
use victor_mcp::client::{Address, Host, Kept, Link, LoginError, ServerConfig, Servers, Setting};

/// A server on this machine that says what a test likes of where one logs in.
struct Stage {
    base: String,
    registered: Arc<AtomicUsize>,
}

impl Stage {
    /// `edit` changes what it says: `{"resource": .., "server": ..}`.
    async fn new(edit: impl FnOnce(&mut Value, &mut Value)) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let at = |path: &str| format!("{base}{path}");
        let mut resource = json!({"resource": at("/mcp"), "authorization_servers": [base]});
        let mut server = json!({
            "issuer": base,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "registration_endpoint": at("/register"),
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
        });
        edit(&mut resource, &mut server);
        let registered = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&registered);
        let register = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Json(json!({"client_id": "c", "redirect_uris": []})) }
        };
        let router = Router::new()
            .route("/.well-known/oauth-protected-resource/mcp", get(move || async { Json(resource) }))
            .route("/.well-known/oauth-authorization-server", get(move || async { Json(server) }))
            .route("/register", post(register));
        #[expect(clippy::disallowed_methods, reason = "the test is its own runtime")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, registered }
    }

    /// Begins a login; gives the address to visit.
    async fn login(&self) -> Result<String, LoginError> {
        let address = Address { url: format!("{}/mcp", self.base), ..Address::default() };
        servers(address).login("far").await.unwrap().map(|login| login.url().to_owned())
    }
}

fn servers(address: Address) -> Servers {
    let config = ServerConfig {
        name: "far".to_owned(),
        place: "a test".to_owned(),
        setting: Setting::Enabled(Link::Address(address)),
        start_timeout: Duration::from_secs(5),
        call_timeout: Duration::from_secs(5),
        tools: None,
    };
    let host = Host {
        clock: Arc::new(TestClock::default()),
        root: std::env::temp_dir(),
        env: Vec::new(),
        client: Arc::new(|_| Err("no server is to be spoken to".to_owned())),
        catalogs: Arc::new(Kept),
        tokens: Arc::new(Kept),
        elicitor: Arc::new(OnceLock::new()),
    };
    Servers::new(vec![config], host)
}

#[tokio::test]
async fn a_server_on_this_machine_may_log_in_there() {
    let stage = Stage::new(|_, _| {}).await;
    let visit = stage.login().await.unwrap();
    assert!(visit.starts_with(&format!("{}/authorize?", stage.base)), "{visit}");
    assert_eq!(stage.registered.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nothing_is_sent_to_an_address_that_no_login_should_use() {
    for (endpoint, address) in [
        ("token_endpoint", "http://169.254.169.254/latest/meta-data"),
        ("token_endpoint", "http://auth.example/token"),
        ("token_endpoint", "https://10.255.255.1/token"),
        ("registration_endpoint", "http://auth.example/register"),
        ("authorization_endpoint", "http://auth.example/authorize"),
        ("authorization_endpoint", "javascript:alert(1)"),
        ("authorization_endpoint", "https://[::ffff:169.254.169.254]/"),
    ] {
        let stage = Stage::new(|_, server| server[endpoint] = json!(address)).await;
        let why = stage.login().await.unwrap_err().to_string();
        assert!(why.contains(endpoint) && why.contains(address), "{why}");
        assert_eq!(stage.registered.load(Ordering::SeqCst), 0, "{address}");
    }
}

#[tokio::test]
async fn the_documents_themselves_come_from_no_link_local_address() {
    let stage = Stage::new(|resource, _| resource["authorization_servers"] = json!(["http://169.254.169.254"])).await;
    let why = stage.login().await.unwrap_err().to_string();
    assert!(why.contains("169.254.169.254"), "{why}");
}

#[tokio::test]
async fn a_server_without_https_is_not_logged_in_to() {
    let address = Address { url: "http://mcp.example/mcp".to_owned(), ..Address::default() };
    let why = servers(address).login("far").await.unwrap().err().unwrap().to_string();
    assert!(why.contains("logins need https"), "{why}");
}
