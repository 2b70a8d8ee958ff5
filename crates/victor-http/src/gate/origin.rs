//! Host and Origin: requests that a foreign web page sends, or sends under a name that it made point here, go nowhere.

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Uri, header};
use serde_json::json;

use crate::config::{Config, HostGuard};
use crate::error::ApiError;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Which hosts and origins may be named.
pub(super) struct OriginGuard {
    hosts: HostGuard,
    origins: Vec<String>,
}

impl OriginGuard {
    pub(super) fn new(config: &Config) -> Self {
        let origins = config.cors.iter().flat_map(|cors| &cors.origins).map(|o| o.to_ascii_lowercase()).collect();
        Self { hosts: config.hosts.clone(), origins }
    }

    /// Lets a request go on that was meant for this server, by itself or by a page that may call it.
    ///
    /// # Errors
    /// The host or the origin is a foreign one.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = host(uri, headers)?;
        if let (HostGuard::Loopback { also }, Some(host)) = (&self.hosts, &host) {
            let name = host.host().to_ascii_lowercase();
            let known = ["localhost", "127.0.0.1", "[::1]"].contains(&name.as_str());
            if !known && !also.iter().any(|a| a.eq_ignore_ascii_case(&name)) {
                let message = format!("this server does not answer to the host `{name}`; `server.hosts` may name it");
                return Err(ApiError::forbidden(message).with(json!({"host": name})));
            }
        }
        if matches!(self.hosts, HostGuard::Loopback { .. }) && host.is_none() {
            return Err(ApiError::forbidden("the request names no host"));
        }
        self.check_origin(headers, host.as_ref())
    }

    fn check_origin(&self, headers: &HeaderMap, host: Option<&Authority>) -> Result<(), ApiError> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(origin), None) => {
                let origin = origin.to_str().unwrap_or("null").to_ascii_lowercase();
                if self.allows(&origin) || host.is_some_and(|host| is_own(&origin, host)) {
                    return Ok(());
                }
                let message =
                    format!("pages of `{origin}` may not call this server; `server.cors.origins` may name it");
                Err(ApiError::forbidden(message).with(json!({"origin": origin})))
            }
            (None, _) if headers.get(FETCH_SITE).is_some_and(|site| site.as_bytes() == b"cross-site") => {
                Err(ApiError::forbidden("pages of other sites may not call this server"))
            }
            (None, _) => Ok(()),
            (Some(_), Some(_)) => Err(ApiError::forbidden("the request names more than one origin")),
        }
    }

    fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == "*" || allowed == origin)
    }
}

/// The host that the request was sent to; `:authority` in HTTP/2.
fn host(uri: &Uri, headers: &HeaderMap) -> Result<Option<Authority>, ApiError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let broken = || ApiError::forbidden("the request names its host in a way that cannot be read");
    if second.is_some() {
        return Err(broken());
    }
    match (uri.authority(), first) {
        (Some(authority), _) => Ok(Some(authority.clone())),
        (None, Some(value)) => Authority::try_from(value.as_bytes()).map(Some).map_err(|_| broken()),
        (None, None) => Ok(None),
    }
}

/// Whether an origin is the server itself. Behind a proxy that ends TLS the scheme says nothing: host and port do.
fn is_own(origin: &str, host: &Authority) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let default = if scheme == "https" { 443 } else { 80 };
    let Ok(origin) = Authority::try_from(rest) else { return false };
    let same_name = origin.host().eq_ignore_ascii_case(host.host());
    let (asked, named) = (origin.port_u16().unwrap_or(default), host.port_u16());
    matches!(scheme, "http" | "https") && same_name && named.map_or(asked == 80 || asked == 443, |named| named == asked)
}
