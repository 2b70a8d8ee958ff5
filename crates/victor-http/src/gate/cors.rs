//! CORS: what pages of the configured origins may send and read.

use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};
use victor_core::error::ConfigurationError;

use crate::config::Cors;

const REQUEST: [&str; 10] = [
    "content-type",
    "x-api-key",
    "authorization",
    "last-event-id",
    "idempotency-key",
    "x-request-id",
    "mcp-session-id",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
];
const EXPOSED: [&str; 8] = [
    "mcp-session-id",
    "x-request-id",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "retry-after",
    "idempotency-replayed",
    "location",
];

/// The layer for this configuration.
///
/// # Errors
/// An origin or a method is none.
pub(crate) fn layer(cors: &Cors) -> Result<CorsLayer, ConfigurationError> {
    let origins = match cors.origins.iter().any(|o| o == "*") {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(cors.origins.iter().map(|o| origin(o)).collect::<Result<Vec<_>, _>>()?),
    };
    let methods = cors.methods.iter().map(|m| {
        let method = m.to_ascii_uppercase();
        let known = ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str());
        let unknown = || ConfigurationError::new(format!("`{m}` is no method that CORS can allow here"));
        Method::from_bytes(method.as_bytes()).ok().filter(|_| known).ok_or_else(unknown)
    });
    Ok(CorsLayer::new()
        .allow_origin(origins)
        .allow_methods(methods.collect::<Result<Vec<_>, _>>()?)
        .allow_headers(REQUEST.map(HeaderName::from_static))
        .expose_headers(EXPOSED.map(HeaderName::from_static))
        .max_age(std::time::Duration::from_mins(10)))
}

fn origin(text: &str) -> Result<HeaderValue, ConfigurationError> {
    let wrong =
        || ConfigurationError::new(format!("`{text}` is no origin: write it as https://app.example, without a path"));
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or_else(wrong)?;
    if rest.is_empty() || rest.contains('/') || rest.contains('*') {
        return Err(wrong());
    }
    HeaderValue::from_str(&text.to_ascii_lowercase()).map_err(|_| wrong())
}
