//! Servers at an address: Streamable HTTP, the older transport where that is refused, headers, tokens and logins.

use std::collections::HashMap;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::RoleClient;
use rmcp::service::{ClientInitializeError, RunningService};
use rmcp::transport::streamable_http_client::{
    StreamableHttpClient, StreamableHttpClientTransportConfig, StreamableHttpError,
};
use rmcp::transport::{AuthClient, StreamableHttpClientTransport};

use super::catalog::Catalog;
use super::config::{Address, Wire};
use super::connection::{Unopened, causes, is_lost, serve, told};
use super::handler::Handler;
use super::host::Host;
use super::login;
use super::sse::{Requests, Sse};

type Service = RunningService<RoleClient, Handler>;

/// Connects. Tells too whether that is over the older transport.
pub(super) async fn open(
    server: &str,
    address: &Address,
    host: &Host,
    handler: &Handler,
    known: Option<&Catalog>,
) -> Result<(Service, bool), Unopened> {
    let url = url(&address.url)?;
    let client = (host.client)(url.as_str())?;
    let (headers, bearer) = headers(address)?;
    match login::manager(server, address, host).await? {
        Some(manager) if bearer.is_none() => {
            let client = AuthClient::new(client, manager);
            connect(url, address.wire, Requests { client, headers, bearer }, host, handler, known).await
        }
        _ => connect(url, address.wire, Requests { client, headers, bearer }, host, handler, known).await,
    }
}

/// Whether an address is one that can be spoken to.
///
/// # Errors
/// It is none, or of another scheme.
pub fn check_address(text: &str) -> Result<(), String> {
    url(text).map(drop)
}

/// An address that can be spoken to.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("`{text}` is no address: {e}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("`{text}`: {other} is not spoken here; http and https are")),
    }
}

async fn connect<C>(
    url: Url,
    wire: Wire,
    requests: Requests<C>,
    host: &Host,
    handler: &Handler,
    known: Option<&Catalog>,
) -> Result<(Service, bool), Unopened>
where
    C: StreamableHttpClient + Send + Sync,
{
    let older = wire == Wire::Sse || wire == Wire::Auto && known.is_some_and(|k| k.sse);
    if older {
        return older_transport(&url, requests, host, handler).await.map(|s| (s, true));
    }
    let mut opened = streamable(&url, &requests, host, handler, known).await;
    if let Err(error) = &opened
        && is_lost(error, known)
    {
        opened = streamable(&url, &requests, host, handler, Some(&Catalog::legacy())).await;
    }
    let error = match opened {
        Ok(service) => return Ok((service, false)),
        Err(error) => error,
    };
    if wire == Wire::Auto
        && is_refusal::<C>(&error)
        && let Ok(service) = older_transport(&url, requests, host, handler).await
    {
        return Ok((service, true));
    }
    Err(unopened(&error))
}

async fn streamable<C>(
    url: &Url,
    requests: &Requests<C>,
    host: &Host,
    handler: &Handler,
    known: Option<&Catalog>,
) -> Result<Service, ClientInitializeError>
where
    C: StreamableHttpClient + Send + Sync,
{
    let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
        .custom_headers(requests.headers.clone())
        .reinit_on_expired_session(true);
    if let Some(bearer) = &requests.bearer {
        config = config.auth_header(bearer.clone());
    }
    let transport = StreamableHttpClientTransport::with_client(requests.client.clone(), config);
    serve(handler.clone(), transport, host, known).await
}

async fn older_transport<C>(
    url: &Url,
    requests: Requests<C>,
    host: &Host,
    handler: &Handler,
) -> Result<Service, Unopened>
where
    C: StreamableHttpClient + Send + Sync,
{
    let transport = Sse::open(url, requests)
        .await
        .map_err(|e| Unopened { challenge: e.auth_challenge().map(ToOwned::to_owned), reason: causes(&e) })?;
    // Whoever speaks this transport knows no revision without `initialize`.
    serve(handler.clone(), transport, host, Some(&Catalog::legacy())).await.map_err(|e| unopened(&e))
}

/// Whether the server refuses Streamable HTTP with a client error, as those do that only know the older transport.
fn is_refusal<C: StreamableHttpClient>(error: &ClientInitializeError) -> bool {
    let error = match error {
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => fallback.as_ref(),
        other => other,
    };
    let ClientInitializeError::TransportError { error, .. } = error else { return false };
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error.error.as_ref());
    while let Some(cause) = source {
        if let Some(StreamableHttpError::UnexpectedServerResponse(text)) =
            cause.downcast_ref::<StreamableHttpError<C::Error>>()
        {
            return text.starts_with("HTTP 4");
        }
        source = cause.source();
    }
    false
}

fn unopened(error: &ClientInitializeError) -> Unopened {
    let challenge = error.auth_challenge().map(ToOwned::to_owned);
    let needs_login = challenge.is_some() || error.is_authorization_required();
    Unopened { reason: told(error), challenge: challenge.or_else(|| needs_login.then(String::new)) }
}

/// The headers, and the bearer token among them apart.
fn headers(address: &Address) -> Result<(HashMap<HeaderName, HeaderValue>, Option<String>), String> {
    let (mut headers, mut bearer) = (HashMap::new(), address.bearer.clone());
    for (name, value) in &address.headers {
        let key: HeaderName = name.parse().map_err(|_| format!("`{name}` is no name of a header"))?;
        let token = value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer "));
        if let (true, Some(token)) = (key == reqwest::header::AUTHORIZATION, token) {
            bearer = bearer.or_else(|| Some(token.trim().to_owned()));
            continue;
        }
        let mut value =
            HeaderValue::from_str(value).map_err(|_| format!("the header `{name}` has a value that cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok((headers, bearer))
}
