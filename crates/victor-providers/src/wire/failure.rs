//! What a server's error means: status, headers and body to a classified [`ProviderError`], for every wire.

use std::time::Duration;

use serde_json::Value;
use victor_core::error::{ProviderError, ProviderErrorKind as Kind};

use super::text_at;

/// Longest message that is passed on, in characters.
const MAX_MESSAGE: usize = 800;

/// Headers of an answer, names in lower case.
pub(crate) type Headers = [(String, String)];

/// What an error body says.
#[derive(Debug, Default)]
struct Said {
    message: String,
    code: Option<String>,
    kind: Option<String>,
    status: Option<u16>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
}

/// The error that an HTTP answer with a failure status means.
pub(crate) fn from_answer(provider: &str, status: u16, headers: &Headers, body: &[u8]) -> ProviderError {
    let said = match serde_json::from_slice::<Value>(body) {
        Ok(value) => read(&value),
        Err(_) => Said { message: plain(&String::from_utf8_lossy(body)), ..Said::default() },
    };
    let kind = classify(Some(status), &said);
    let mut error = build(provider, kind, &said);
    error.message = match (said.message.as_str(), header(headers, "location")) {
        ("", Some(place)) if (300..400).contains(&status) => {
            format!("HTTP {status}: it points to {}, which is not followed; is the base URL right?", short(place))
        }
        ("", _) => format!("HTTP {status} without a message"),
        (message, _) => format!("HTTP {status}: {message}"),
    };
    error.status = Some(status);
    error.request_id = header(headers, "x-request-id")
        .or_else(|| header(headers, "request-id"))
        .map(str::to_owned)
        .or(said.request_id);
    error.retry_after = retry_after(kind, headers).or(said.retry_after);
    error
}

/// The error that an error object inside an answer means.
pub(crate) fn from_event(provider: &str, value: &Value) -> ProviderError {
    let said = read(value);
    let mut error = build(provider, classify(said.status, &said), &said);
    error.message = match said.message.as_str() {
        "" => format!("the answer broke off with an error: {}", short(&value.to_string())),
        message => format!("the answer broke off with an error: {message}"),
    };
    error.status = said.status;
    error.request_id = said.request_id;
    error.retry_after = said.retry_after;
    error
}

fn build(provider: &str, kind: Kind, said: &Said) -> ProviderError {
    let mut error = ProviderError::new(kind, provider, "");
    error.code = said.code.clone().or_else(|| said.kind.clone());
    error
}

/// Reads the forms that servers use: `{error: {..}}`, `{error: ".."}`, `[{error: ..}]`, `{message}`, `{detail}`.
fn read(value: &Value) -> Said {
    let value = value.as_array().and_then(|a| a.first()).unwrap_or(value);
    let error = match value.get("error") {
        Some(inner @ Value::Object(_)) => inner,
        Some(Value::String(text)) => {
            let message =
                text_at(value, "message").filter(|m| m != text).map_or(text.clone(), |m| format!("{text}: {m}"));
            return Said {
                message: short(&message),
                code: text_at(value, "code").map(str::to_owned),
                ..Said::default()
            };
        }
        _ => value,
    };
    let code = error.get("code").filter(|c| !c.is_null());
    Said {
        message: short(&message(error)),
        code: code.and_then(Value::as_str).or_else(|| text_at(error, "status")).map(str::to_owned),
        kind: text_at(error, "type").map(str::to_owned),
        status: code.and_then(Value::as_u64).and_then(|c| u16::try_from(c).ok()).filter(|c| (400..600).contains(c)),
        request_id: text_at(value, "request_id").map(str::to_owned),
        retry_after: retry_delay(error),
    }
}

fn message(error: &Value) -> String {
    let main = ["message", "detail", "msg", "title"].iter().find_map(|key| match error.get(key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Array(items) => Some(items.iter().map(message).collect::<Vec<_>>().join("; ")),
        inner @ Value::Object(_) => Some(message(inner)),
        _ => None,
    });
    // A gateway puts the text of the server behind it here.
    let behind = error.pointer("/metadata/raw").and_then(Value::as_str);
    match (main, behind) {
        (Some(main), Some(behind)) => format!("{main}: {}", plain(behind)),
        (Some(main), None) => main,
        (None, Some(behind)) => plain(behind),
        (None, None) => error.as_str().map(str::to_owned).unwrap_or_default(),
    }
}

/// An error page as one line of text.
fn plain(text: &str) -> String {
    let text = text.trim();
    if !text.starts_with('<') {
        return short(text);
    }
    let title = text.find("<title>").and_then(|from| text[from + 7..].split("</title>").next());
    match title {
        Some(title) => short(&format!("a web page instead of an API answer: {}", title.trim())),
        None => "a web page instead of an API answer".to_owned(),
    }
}

fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_MESSAGE) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line,
    }
}

fn classify(status: Option<u16>, said: &Said) -> Kind {
    let names = [said.code.as_deref().unwrap_or_default(), said.kind.as_deref().unwrap_or_default()];
    let named = |list: &[&str]| names.iter().any(|n| list.contains(n));
    let text = said.message.to_lowercase();
    let says = |list: &[&str]| list.iter().any(|part| text.contains(part));
    if named(&["insufficient_quota", "billing_hard_limit_reached", "billing_error", "insufficient_balance"])
        || says(&["credit balance is too low", "insufficient balance", "insufficient credits"])
        || status == Some(402)
    {
        return Kind::QuotaExceeded;
    }
    if named(&["context_length_exceeded", "exceed_context_size_error", "model_context_window_exceeded"])
        || (matches!(status, None | Some(400 | 413 | 422 | 500)) && says(CONTEXT_WORDS))
        || status == Some(413)
    {
        return Kind::ContextLength;
    }
    if named(&["invalid_api_key"])
        || (status == Some(400) && says(&["api key not valid", "incorrect api key", "invalid api key"]))
    {
        return Kind::Authentication;
    }
    if named(&["model_not_found"]) {
        return Kind::NotFound;
    }
    status.map_or_else(|| by_name(&names), by_status)
}

/// How servers say that the request is longer than the model's window.
const CONTEXT_WORDS: &[&str] = &[
    "maximum context length",
    "prompt is too long",
    "context window",
    "context size",
    "context length",
    "input is too long",
    "input length and `max_tokens` exceed",
    "reduce the length of the messages",
    "maximum prompt length",
    "input token count",
];

fn by_status(status: u16) -> Kind {
    match status {
        401 => Kind::Authentication,
        403 => Kind::PermissionDenied,
        404 => Kind::NotFound,
        408 | 504 => Kind::Timeout,
        429 => Kind::RateLimited,
        503 | 529 => Kind::Overloaded,
        409 | 425 | 500..=599 => Kind::Server,
        _ => Kind::InvalidRequest,
    }
}

fn by_name(names: &[&str]) -> Kind {
    names
        .iter()
        .find_map(|name| {
            Some(match *name {
                "overloaded_error" | "overloaded" | "UNAVAILABLE" => Kind::Overloaded,
                "rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" => Kind::RateLimited,
                "invalid_request_error" | "bad_request" | "INVALID_ARGUMENT" => Kind::InvalidRequest,
                "authentication_error" => Kind::Authentication,
                "permission_error" => Kind::PermissionDenied,
                "not_found_error" => Kind::NotFound,
                "timeout_error" | "request_timeout" => Kind::Timeout,
                _ => return None,
            })
        })
        .unwrap_or(Kind::Server)
}

fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

/// How long the server asks to wait: `retry-after-ms`, `Retry-After` in seconds or as a date (RFC 9110, section
/// 10.2.3; taken against the answer's own `Date`), else the reset time of the rate limit that is used up.
fn retry_after(kind: Kind, headers: &Headers) -> Option<Duration> {
    let millis = header(headers, "retry-after-ms").and_then(|v| v.parse::<f64>().ok()).map(|ms| ms / 1000.0);
    let after =
        header(headers, "retry-after").and_then(|v| v.parse::<f64>().ok().or_else(|| until(headers, http_date(v)?)));
    let reset = || if kind == Kind::RateLimited { rate_limit_reset(headers) } else { None };
    millis.or(after).or_else(reset).and_then(seconds)
}

fn seconds(seconds: f64) -> Option<Duration> {
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

fn http_date(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|z| z.timestamp())
}

fn until(headers: &Headers, then: jiff::Timestamp) -> Option<f64> {
    let now = http_date(header(headers, "date")?)?;
    Some((then.as_second() - now.as_second()).max(0) as f64)
}

/// The longest reset among the limits with nothing left.
fn rate_limit_reset(headers: &Headers) -> Option<f64> {
    let openai = ["requests", "tokens"].iter().filter_map(|what| {
        let left = header(headers, &format!("x-ratelimit-remaining-{what}"))?;
        let reset = header(headers, &format!("x-ratelimit-reset-{what}"))?;
        (left == "0").then(|| span(reset)).flatten()
    });
    let anthropic = ["requests", "tokens", "input-tokens", "output-tokens"].iter().filter_map(|what| {
        let left = header(headers, &format!("anthropic-ratelimit-{what}-remaining"))?;
        let reset = header(headers, &format!("anthropic-ratelimit-{what}-reset"))?;
        (left == "0").then(|| until(headers, reset.parse().ok()?)).flatten()
    });
    openai.chain(anthropic).reduce(f64::max)
}

/// Seconds of a span such as `1s`, `6m0s`, `20ms`.
fn span(text: &str) -> Option<f64> {
    let mut total = 0.0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        total += number
            * match &rest[digits..unit_end] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    Some(total)
}

/// Google's `details[].retryDelay`, such as `34s`.
fn retry_delay(error: &Value) -> Option<Duration> {
    let details = error.get("details")?.as_array()?;
    details.iter().find_map(|d| text_at(d, "retryDelay")).and_then(span).and_then(seconds)
}

#[cfg(test)]
mod tests;
