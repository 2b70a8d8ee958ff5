//! The way to the network: one GET, whole or from a byte on.

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Client, StatusCode, redirect};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Redirects that are followed.
const HOPS: usize = 10;

/// Fetches files.
#[async_trait]
pub trait Http: Send + Sync + 'static {
    /// Asks for `url`, from a byte on where `resume` says so.
    ///
    /// # Errors
    /// No connection, or an answer with a failure status; the text says which.
    async fn get(&self, url: &str, resume: Option<&Resume>) -> Result<Answer, String>;
}

/// From where on a file is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The first byte that is wanted.
    pub from: u64,
    /// What the server said of the file when the bytes before came (`ETag` or `Last-Modified`).
    pub validator: Option<String>,
}

impl Resume {
    /// Whether an answer brings a part of another file: not every server looks at what the bytes before belong to.
    pub(super) fn is_of_another(&self, answer: &Answer) -> bool {
        let said = self.validator.as_ref().zip(answer.validator.as_ref());
        answer.from > 0 && said.is_some_and(|(then, now)| then != now)
    }
}

/// An answer that brings bytes.
pub struct Answer {
    /// The address that it came from, after all redirects.
    pub url: String,
    /// What it is said to be (`Content-Type`).
    pub media_type: Option<String>,
    /// The place of the first byte in the file: 0 where the server sends all of it.
    pub from: u64,
    /// The size of the whole file, where the server says it.
    pub total: Option<u64>,
    /// What to send back to resume.
    pub validator: Option<String>,
    /// The bytes.
    pub body: BoxStream<'static, Result<Bytes, String>>,
}

impl Answer {
    /// Whether it is a page for people.
    #[must_use]
    pub fn is_page(&self) -> bool {
        let media_type = self.media_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default();
        matches!(media_type.trim().to_ascii_lowercase().as_str(), "text/html" | "application/xhtml+xml")
    }
}

/// The real network. Proxies come from the environment (`HTTPS_PROXY`, `NO_PROXY`).
#[derive(Debug, Default)]
pub struct Network {
    client: OnceLock<Result<Client, String>>,
}

#[async_trait]
impl Http for Network {
    async fn get(&self, asked: &str, resume: Option<&Resume>) -> Result<Answer, String> {
        let client = self.client.get_or_init(client).as_ref().map_err(Clone::clone)?;
        let mut request = client.get(asked).header(ACCEPT_ENCODING, "identity");
        if let Some(resume) = resume {
            request = request.header(RANGE, format!("bytes={}-", resume.from));
            if let Some(validator) = &resume.validator {
                request = request.header(IF_RANGE, validator);
            }
        }
        let response = request.send().await.map_err(|e| format!("it cannot be reached: {}", causes(&e)))?;
        let status = response.status();
        let headers = response.headers();
        let (url, media_type) = (response.url().to_string(), text(headers, CONTENT_TYPE));
        let validator = validator(headers);
        if let (StatusCode::RANGE_NOT_SATISFIABLE, Some(resume)) = (status, resume) {
            // Nothing is missing, or the server's file is no longer than what is here and comes from its beginning.
            let from = resume.from;
            return match text(headers, CONTENT_RANGE).is_some_and(|range| range == format!("bytes */{from}")) {
                true => {
                    Ok(Answer { url, media_type, from, total: Some(from), validator, body: stream::empty().boxed() })
                }
                false => self.get(asked, None).await,
            };
        }
        if !status.is_success() {
            return Err(format!("it answers {status}"));
        }
        let (from, total) = match status {
            StatusCode::PARTIAL_CONTENT => range(headers).ok_or("it sends a part and does not say which")?,
            _ => (0, response.content_length()),
        };
        let body = response.bytes_stream().map(|piece| piece.map_err(|e| causes(&e))).boxed();
        Ok(Answer { url, media_type, from, total, validator, body })
    }
}

/// First byte and size of the whole, of `bytes 5-9/10`.
fn range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = text(headers, CONTENT_RANGE)?;
    let (span, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((span.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

/// A weak tag says nothing of bytes, so the time serves instead.
fn validator(headers: &HeaderMap) -> Option<String> {
    text(headers, ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(headers, LAST_MODIFIED))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// With the platform's root certificates; where the machine has none, with Mozilla's, which are built in.
fn client() -> Result<Client, String> {
    builder().build().or_else(|_| builder().tls_certs_only(bundled_roots()).build()).map_err(|e| causes(&e))
}

fn builder() -> reqwest::ClientBuilder {
    let never_downgraded = redirect::Policy::custom(|attempt| {
        let secure = attempt.previous().first().is_some_and(|url| url.scheme() == "https");
        if attempt.previous().len() > HOPS {
            attempt.error("too many redirects")
        } else if secure && attempt.url().scheme() != "https" {
            attempt.error("a redirect leads from https to an address without it")
        } else {
            attempt.follow()
        }
    });
    let agent = concat!("victor/", env!("CARGO_PKG_VERSION"));
    Client::builder().user_agent(agent).connect_timeout(CONNECT).redirect(never_downgraded)
}

fn bundled_roots() -> impl Iterator<Item = reqwest::Certificate> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    roots.filter_map(|der| reqwest::Certificate::from_der(der).ok())
}

/// The innermost causes; reqwest's own text names only the address.
fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source = std::error::Error::source(error);
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
    if text.is_empty() { error.to_string() } else { text }
}
