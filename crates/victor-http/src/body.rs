//! Bodies: JSON whatever `curl -d` calls it, read strictly, with errors that name the place.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::door::Door;
use crate::error::ApiError;

/// A body of the form `T`.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned + JsonSchema> FromRequest<Door> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, door: &Door) -> Result<Self, ApiError> {
        is_json(&request)?;
        parse(&read(request, door).await?).map(Self)
    }
}

/// The whole body.
///
/// # Errors
/// It is too large, comes too slowly, or breaks off.
pub(crate) async fn read(request: Request, door: &Door) -> Result<Bytes, ApiError> {
    let read = tokio::time::timeout(door.config.body_timeout, Bytes::from_request(request, door));
    read.await.map_err(|_| too_slow(door))?.map_err(|e| unread(&e, door.config.max_body))
}

/// `application/json`, nothing, or what `curl -d` says where it means JSON.
fn is_json(request: &Request) -> Result<(), ApiError> {
    let Some(given) = request.headers().get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if matches!(essence.as_str(), "application/json" | "application/x-www-form-urlencoded") {
        return Ok(());
    }
    let message = format!("a body of type `{essence}` cannot be read; send JSON with `Content-Type: application/json`");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message))
}

/// The body did not come in time (408).
fn too_slow(door: &Door) -> ApiError {
    let message = format!("the body did not come within {} s", door.config.body_timeout.as_secs());
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "TIMEOUT", message)
}

fn unread(rejection: &axum::extract::rejection::BytesRejection, limit: usize) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let message = format!("the body is larger than {limit} bytes");
        return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", message).with(json!({"limit_bytes": limit}));
    }
    ApiError::new(StatusCode::BAD_REQUEST, "INVALID_JSON", "the body broke off before its end")
}

/// A value of the form `T`, or what is wrong with the text.
pub(crate) fn parse<T: DeserializeOwned + JsonSchema>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|e| explain::<T>(bytes, &e))
}

fn explain<T: JsonSchema>(bytes: &[u8], error: &serde_json::Error) -> ApiError {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        let message = match bytes.is_empty() {
            true => "the body is empty; send a JSON object".to_owned(),
            false => format!("the body is not JSON: {error}"),
        };
        return ApiError::new(StatusCode::BAD_REQUEST, "INVALID_JSON", message);
    };
    let Value::Object(given) = value else { return ApiError::invalid("the body has to be a JSON object") };
    let missing: Vec<String> = required::<T>().into_iter().filter(|name| !given.contains_key(name)).collect();
    if missing.is_empty() {
        return ApiError::invalid(format!("the body does not fit: {error}"));
    }
    let provided: Vec<&String> = given.keys().collect();
    let message = format!("the body lacks {}", missing.iter().map(|m| format!("`{m}`")).collect::<Vec<_>>().join(", "));
    ApiError::new(StatusCode::BAD_REQUEST, "MISSING_FIELD", message)
        .with(json!({"required_fields": required::<T>(), "provided_fields": provided}))
}

fn required<T: JsonSchema>() -> Vec<String> {
    let schema = schemars::schema_for!(T);
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(|n| n.as_str().map(ToOwned::to_owned)).collect()
}
