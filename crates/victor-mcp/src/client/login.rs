//! Logging in to servers at an address: OAuth 2.1 with a redirect to this machine; tokens are kept and renewed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rmcp::transport::auth::AuthorizationSession;
use rmcp::transport::auth::{AuthError, CredentialStore, StoredCredentials};
use rmcp::transport::{AuthorizationManager, AuthorizationRequest, WWWAuthenticateParams};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::config::{Address, ServerConfig};
use super::connection::causes;
use super::host::{Host, TokenStore};
use super::trust;

/// How long a person may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// Bytes of the browser's request at most.
const LONGEST: usize = 16 << 10;

/// Why nobody is logged in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoginError(pub String);

/// A login that waits for its user to visit an address.
pub struct Login {
    session: AuthorizationSession,
    listener: TcpListener,
}

impl Login {
    /// Begins: finds out where one logs in, and registers with it where that is needed.
    pub(super) async fn begin(
        config: &ServerConfig,
        address: &Address,
        host: &Host,
        challenge: Option<String>,
    ) -> Result<Self, LoginError> {
        let fail = |e: &AuthError| LoginError(causes(e));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|e| LoginError(e.to_string()))?;
        let port = listener.local_addr().map_err(|e| LoginError(e.to_string()))?.port();
        let redirect = format!("http://127.0.0.1:{port}/callback");
        let mut manager = AuthorizationManager::new(address.url.as_str()).await.map_err(|e| fail(&e))?;
        let credentials = Credentials::new(config, host);
        let granted = credentials.load().await.map_err(|e| fail(&e))?.map(|c| c.granted_scopes).unwrap_or_default();
        manager.set_credential_store(credentials);
        let challenge = challenge.filter(|c| !c.is_empty());
        discover(&mut manager, address, challenge.as_deref()).await.map_err(LoginError)?;
        let mut request = AuthorizationRequest::new(redirect).with_client_name("Victor").with_initial_scope_selection();
        let mut scopes = address.oauth.scopes.clone();
        scopes.extend(challenge.and_then(|c| more_rights(&c, &address.url, granted)).unwrap_or_default());
        if !scopes.is_empty() {
            request = request.with_scopes(scopes);
        }
        if let Some(id) = &address.oauth.client_id {
            request = request.with_preregistered_client(id);
        }
        if let Some(secret) = &address.oauth.client_secret {
            request = request.with_client_secret(secret);
        }
        if let Some(url) = &address.oauth.client_metadata_url {
            request = request.with_client_metadata_url(url);
        }
        let session = AuthorizationSession::new(manager, request).await.map_err(|(_, e)| fail(&e))?;
        Ok(Self { session, listener })
    }

    /// The address that its user has to visit.
    #[must_use]
    pub fn url(&self) -> &str {
        self.session.get_authorization_url()
    }

    /// Waits for the browser to come back, and keeps the tokens.
    ///
    /// # Errors
    /// Nobody comes back within five minutes, access was refused, or the tokens cannot be had or kept.
    pub async fn finish(self) -> Result<(), LoginError> {
        let late = |_| LoginError("nobody came back from the browser within five minutes".to_owned());
        let callback = tokio::time::timeout(PATIENCE, self.callback()).await.map_err(late)??;
        let done = self.session.handle_callback_url(&callback).await;
        done.map(drop).map_err(|e| LoginError(causes(&e)))
    }

    async fn callback(&self) -> Result<String, LoginError> {
        loop {
            let (stream, _) = self.listener.accept().await.map_err(|e| LoginError(e.to_string()))?;
            let Some(target) = answered(stream).await else { continue };
            let Some(query) = target.strip_prefix("/callback?") else { continue };
            if let Some((_, error)) = pairs(query).into_iter().find(|(name, _)| name == "error") {
                return Err(LoginError(format!("the login was refused: {error}")));
            }
            return Ok(format!("{}?{query}", self.session.redirect_uri));
        }
    }
}

/// Finds out where one logs in; what may not be used for that is refused before anything is sent there.
async fn discover(
    manager: &mut AuthorizationManager,
    address: &Address,
    challenge: Option<&str>,
) -> Result<(), String> {
    let server = super::http::url(&address.url)?;
    trust::check_server(&server)?;
    let found = manager.resolve_metadata_from_challenge(challenge).await.map_err(|e| causes(&e))?.metadata;
    trust::check(&server, &found)?;
    manager.set_metadata(found);
    Ok(())
}

/// The scopes for a server that wants more of them: those that were granted stay.
fn more_rights(challenge: &str, url: &str, granted: Vec<String>) -> Option<Vec<String>> {
    let asked = WWWAuthenticateParams::parse(challenge, &reqwest::Url::parse(url).ok()?);
    let wanted = asked.scope.as_deref().filter(|_| asked.is_insufficient_scope())?;
    let mut scopes = granted;
    for scope in wanted.split_whitespace() {
        if !scopes.iter().any(|s| s == scope) {
            scopes.push(scope.to_owned());
        }
    }
    Some(scopes)
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("http://127.0.0.1/?{query}"));
    url.map(|u| u.query_pairs().into_owned().collect()).unwrap_or_default()
}

/// Reads a browser's request and thanks it; gives the path that it wanted.
async fn answered(mut stream: TcpStream) -> Option<String> {
    let mut request = Vec::new();
    let read = async {
        while !request.windows(4).any(|w| w == b"\r\n\r\n") && request.len() < LONGEST {
            if stream.read_buf(&mut request).await.ok()? == 0 {
                return None;
            }
        }
        Some(())
    };
    tokio::time::timeout(Duration::from_secs(5), read).await.ok()??;
    let line = request.split(|b| *b == b'\r').next()?;
    let target = std::str::from_utf8(line).ok()?.strip_prefix("GET ")?.split(' ').next()?.to_owned();
    let (status, text) = match target.starts_with("/callback?") {
        true => ("200 OK", "Victor has what it needs. You can close this page."),
        false => ("404 Not Found", "There is nothing here."),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    Some(target)
}

/// Who renews and shows the tokens of a server that somebody has logged in to.
pub(super) async fn manager(
    server: &str,
    address: &Address,
    host: &Host,
) -> Result<Option<AuthorizationManager>, String> {
    let store = Credentials { server: server.to_owned(), url: address.url.clone(), tokens: Arc::clone(&host.tokens) };
    if store.load().await.map_err(|e| causes(&e))?.is_none_or(|kept| kept.token_response.is_none()) {
        return Ok(None);
    }
    let mut manager = AuthorizationManager::new(address.url.as_str()).await.map_err(|e| causes(&e))?;
    manager.set_credential_store(store);
    discover(&mut manager, address, None).await?;
    let there = manager.initialize_from_store().await.map_err(|e| causes(&e))?;
    Ok(there.then_some(manager))
}

/// The tokens of one server at one address.
struct Credentials {
    server: String,
    url: String,
    tokens: Arc<dyn TokenStore>,
}

impl Credentials {
    fn new(config: &ServerConfig, host: &Host) -> Self {
        let url = config.target();
        Self { server: config.name.clone(), url, tokens: Arc::clone(&host.tokens) }
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Saved {
    /// Tokens are shown to no other address, whatever a server of this name is configured as later.
    url: String,
    credentials: StoredCredentials,
}

#[async_trait]
impl CredentialStore for Credentials {
    async fn load(&self) -> Result<Option<StoredCredentials>, AuthError> {
        let text = self.tokens.load(&self.server).map_err(AuthError::CredentialStoreError)?;
        let saved = text.and_then(|t| serde_json::from_str::<Saved>(&t).ok());
        Ok(saved.filter(|s| s.url == self.url).map(|s| s.credentials))
    }

    async fn save(&self, credentials: StoredCredentials) -> Result<(), AuthError> {
        let saved = Saved { url: self.url.clone(), credentials };
        let text = serde_json::to_string(&saved).map_err(|e| AuthError::CredentialStoreError(e.to_string()))?;
        self.tokens.save(&self.server, &text).map_err(AuthError::CredentialStoreError)
    }

    async fn clear(&self) -> Result<(), AuthError> {
        self.tokens.clear(&self.server).map_err(AuthError::CredentialStoreError)
    }
}
