//! The HTTP clients, made when first needed: one for this machine, one for plain HTTP, one for TLS.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use reqwest::{Client, ClientBuilder, Url, redirect};
use tokio::time::timeout;
use victor_core::error::{ProviderError, ProviderErrorKind as Kind};
use victor_core::request::CallCx;

use crate::address;
use crate::wire::failure;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest body that is read whole, in bytes.
const MAX_BODY: usize = 64 << 20;

/// The clients. Cloning a `reqwest::Client` shares its connections.
#[derive(Debug, Default)]
pub(crate) struct Http {
    local: OnceLock<Result<Client, String>>,
    plain: OnceLock<Result<Client, String>>,
    tls: OnceLock<Result<Client, String>>,
}

/// A request, ready to send.
pub(crate) struct Call {
    pub(crate) url: Url,
    pub(crate) headers: Vec<(String, String)>,
    /// JSON to post; without it the request is a GET.
    pub(crate) body: Option<Vec<u8>>,
}

/// An answer with a success status.
pub(crate) struct Answer {
    pub(crate) content_type: String,
    response: reqwest::Response,
}

impl Http {
    /// Sends `call` and waits for the answer's head. No overall limit: only the silence is limited.
    ///
    /// # Errors
    /// No connection, no answer in time, cancelled, or an answer with a failure status.
    pub(crate) async fn send(&self, provider: &str, call: Call, cx: &CallCx) -> Result<Answer, ProviderError> {
        let client = self.client(&call.url).map_err(|e| connection(provider, &call.url, &e))?;
        let address = call.url.clone();
        let mut request = match call.body {
            Some(body) => client.post(call.url).header("content-type", "application/json").body(body),
            None => client.get(call.url),
        };
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let sent = tokio::select! {
            biased;
            () = cx.cancel.cancelled() => return Err(cancelled(provider)),
            sent = timeout(cx.idle_timeout, request.send()) => sent,
        };
        let response = match sent {
            Err(_) => return Err(silent(provider, cx.idle_timeout)),
            Ok(Err(e)) => return Err(connection(provider, &address, &causes(&e))),
            Ok(Ok(response)) => response,
        };
        let content_type = header(&response, "content-type").to_ascii_lowercase();
        let answer = Answer { content_type, response };
        if answer.response.status().is_success() {
            return Ok(answer);
        }
        Err(answer.into_failure(provider, cx).await)
    }

    fn client(&self, url: &Url) -> Result<&Client, String> {
        let client = match url.scheme() {
            "https" => self.tls.get_or_init(tls_client),
            _ if address::is_loopback(url) => self.local.get_or_init(|| build(plain_builder().no_proxy())),
            _ => self.plain.get_or_init(|| build(plain_builder())),
        };
        client.as_ref().map_err(Clone::clone)
    }
}

impl Answer {
    /// The body's pieces as they come.
    pub(crate) fn into_bytes(self) -> impl futures::Stream<Item = Result<Bytes, String>> + Send + 'static {
        self.response.bytes_stream().map(|piece| piece.map_err(|e| causes(&e)))
    }

    /// The whole body.
    ///
    /// # Errors
    /// The connection breaks, falls silent or brings too much.
    pub(crate) async fn into_body(self, provider: &str, cx: &CallCx) -> Result<Vec<u8>, ProviderError> {
        let mut body = Vec::new();
        let mut pieces = Box::pin(self.into_bytes());
        loop {
            let piece = tokio::select! {
                biased;
                () = cx.cancel.cancelled() => return Err(cancelled(provider)),
                piece = timeout(cx.idle_timeout, pieces.next()) => piece,
            };
            match piece {
                Err(_) => return Err(silent(provider, cx.idle_timeout)),
                Ok(None) => return Ok(body),
                Ok(Some(Err(e))) => return Err(broken(provider, &e)),
                Ok(Some(Ok(piece))) if body.len() + piece.len() <= MAX_BODY => body.extend_from_slice(&piece),
                Ok(Some(Ok(_))) => {
                    let message = format!("sent an answer of more than {} MiB", MAX_BODY >> 20);
                    return Err(ProviderError::new(Kind::Protocol, provider, message));
                }
            }
        }
    }

    async fn into_failure(self, provider: &str, cx: &CallCx) -> ProviderError {
        let status = self.response.status().as_u16();
        let headers: Vec<(String, String)> = self
            .response
            .headers()
            .iter()
            .filter_map(|(n, v)| Some((n.as_str().to_owned(), v.to_str().ok()?.to_owned())))
            .collect();
        // The status says enough where the body cannot be read.
        let body = self.into_body(provider, cx).await.unwrap_or_default();
        failure::from_answer(provider, status, &headers, &body)
    }
}

fn header<'a>(response: &'a reqwest::Response, name: &str) -> &'a str {
    response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// An HTTP client for other servers than providers at `url`, made as those are; redirects are followed within the server.
///
/// # Errors
/// `url` is no address, or the system refuses a client.
pub fn client(url: &str) -> Result<Client, String> {
    let url = Url::parse(url).map_err(|e| format!("`{url}` is no address: {e}"))?;
    match url.scheme() {
        "https" => {
            let again = builder().redirect(within_server()).tls_certs_only(bundled_roots());
            builder().redirect(within_server()).build().or_else(|_| build(again))
        }
        _ if address::is_loopback(&url) => build(plain_builder().no_proxy().redirect(within_server())),
        _ => build(plain_builder().redirect(within_server())),
    }
}

fn within_server() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let same = attempt.previous().last().is_some_and(|last| last.origin() == attempt.url().origin());
        if same && attempt.previous().len() < 5 { attempt.follow() } else { attempt.stop() }
    })
}

/// Redirects are refused: a POST would become a GET, and a key would go to another host.
fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("victor/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .redirect(redirect::Policy::none())
}

/// For `http://` only. Without root certificates, which take time to load and are missing on some machines.
fn plain_builder() -> ClientBuilder {
    builder().tls_certs_only([])
}

fn build(builder: ClientBuilder) -> Result<Client, String> {
    builder.build().map_err(|e| causes(&e))
}

/// With the platform's root certificates; where the machine has none, with Mozilla's, which are built in.
fn tls_client() -> Result<Client, String> {
    builder().build().or_else(|_| build(builder().tls_certs_only(bundled_roots())))
}

fn bundled_roots() -> impl Iterator<Item = reqwest::Certificate> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    roots.filter_map(|der| reqwest::Certificate::from_der(der).ok())
}

/// The error with all that is behind it; reqwest's own text names only the address.
fn causes(error: &reqwest::Error) -> String {
    let mut source = std::error::Error::source(error);
    let mut text = match source {
        None => error.to_string(),
        Some(_) => String::new(),
    };
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

fn connection(provider: &str, url: &Url, cause: &str) -> ProviderError {
    let origin = url.origin().ascii_serialization();
    let message = format!("cannot reach {origin}: {cause}; is the server running and the address right?");
    ProviderError::new(Kind::Connection, provider, message)
}

/// The connection broke within an answer.
pub(crate) fn broken(provider: &str, cause: &str) -> ProviderError {
    ProviderError::new(Kind::Connection, provider, format!("the connection broke within the answer: {cause}"))
}

/// Nothing came for too long.
pub(crate) fn silent(provider: &str, limit: Duration) -> ProviderError {
    let message =
        format!("no answer for {:.0?}; the server is stalled, or needs a longer `limits.idle_timeout`", limit);
    ProviderError::new(Kind::Timeout, provider, message)
}

/// The caller ended the call.
pub(crate) fn cancelled(provider: &str) -> ProviderError {
    ProviderError::new(Kind::Connection, provider, "cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_has_a_client_also_with_the_built_in_roots() {
        let http = Http::default();
        for url in ["https://x.example", "http://x.example", "http://127.0.0.1"] {
            assert!(http.client(&Url::parse(url).unwrap()).is_ok(), "{url}");
        }
        build(builder().tls_certs_only(bundled_roots())).unwrap();
    }
}
