//! Errors of the API: one envelope for all of them, whoever finds out.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use victor_core::agent::Failure;
use victor_core::error::{ConfigurationError, ProviderErrorKind, SessionError, ToolError, VictorError};
use victor_core::token::Scope;

/// The body of every error.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErrorBody {
    /// Always `false`.
    #[schemars(extend("const" = false))]
    pub(crate) success: bool,
    /// What happened and what to do.
    pub(crate) error: String,
    /// A stable name of the kind of error.
    pub(crate) error_code: String,
    /// What belongs to the kind of error; an object.
    #[schemars(extend("type" = "object"))]
    pub(crate) details: Value,
    /// The request, as in the header `X-Request-Id` and in the log.
    pub(crate) request_id: String,
}

/// Why a request was not served. The gate adds the request's id when it leaves.
#[derive(Clone, Debug)]
pub(crate) struct ApiError(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Value,
    retry_after: Option<Duration>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            status,
            code,
            message: message.into(),
            details: json!({}),
            retry_after: None,
            headers: Vec::new(),
        }))
    }

    /// A value that makes no sense (400).
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_VALUE", message)
    }

    /// Something that does not exist, or not for this caller (404).
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }

    /// A conversation that does not exist, or not for this caller (404).
    pub(crate) fn no_conversation(id: &str) -> Self {
        Self::not_found(format!("no conversation `{id}`; `GET /conversations` lists yours"))
            .with(json!({"conversation_id": id}))
    }

    /// Something else is in the way (409).
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "CONFLICT", message)
    }

    /// Something that this caller may not do (403).
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "PERMISSION_DENIED", message)
    }

    /// A scope that the caller's key does not have (403).
    pub(crate) fn scope(scope: Scope) -> Self {
        let name = scope.name();
        Self::forbidden(format!("this key has not the scope `{name}`")).with(json!({"required_scope": name}))
    }

    /// The same with details.
    pub(crate) fn with(mut self, details: Value) -> Self {
        self.0.details = details;
        self
    }

    /// The same, with when to come back.
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// The same with further headers.
    pub(crate) fn with_headers(mut self, headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        self.0.headers.extend(headers);
        self
    }

    /// The response. `request_id` is what the gate has given the request.
    pub(crate) fn into_response_for(self, request_id: &str) -> Response {
        let body = ErrorBody {
            success: false,
            error: self.0.message,
            error_code: self.0.code.to_owned(),
            details: self.0.details,
            request_id: request_id.to_owned(),
        };
        let mut response = (self.0.status, Json(body)).into_response();
        response.headers_mut().extend(self.0.headers);
        if let Some(wait) = self.0.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(1)));
        }
        response
    }
}

/// An error on its way out: the gate turns it into the response, since only the gate knows the request's id.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<VictorError> for ApiError {
    fn from(error: VictorError) -> Self {
        let wait = error.retry_after();
        let mut api = match error {
            VictorError::Provider(e) => {
                let (status, code) = match e.kind {
                    ProviderErrorKind::NotConfigured => (StatusCode::SERVICE_UNAVAILABLE, "PROVIDER_NOT_CONFIGURED"),
                    ProviderErrorKind::Timeout => (StatusCode::GATEWAY_TIMEOUT, "TIMEOUT"),
                    _ => (StatusCode::BAD_GATEWAY, "PROVIDER_ERROR"),
                };
                let details = json!({"provider": e.provider, "kind": e.kind, "provider_status": e.status});
                Self::new(status, code, e.to_string()).with(details)
            }
            VictorError::Tool(e) => e.into(),
            VictorError::Configuration(e) => e.into(),
            VictorError::Session(e) => e.into(),
            other => Self::internal(&other),
        };
        api.0.retry_after = api.0.retry_after.or(wait);
        api
    }
}

impl From<ConfigurationError> for ApiError {
    fn from(e: ConfigurationError) -> Self {
        let status = match e.code {
            "NOT_FOUND" | "PROVIDER_NOT_FOUND" | "MODEL_NOT_FOUND" | "TOOL_NOT_FOUND" | "WORKFLOW_NOT_FOUND" => {
                StatusCode::NOT_FOUND
            }
            "CONFLICT" => StatusCode::CONFLICT,
            "PERMISSION_DENIED" => StatusCode::FORBIDDEN,
            "SHUTTING_DOWN" | "PROVIDER_NOT_CONFIGURED" => StatusCode::SERVICE_UNAVAILABLE,
            "PROVIDER_ERROR" => StatusCode::BAD_GATEWAY,
            _ => StatusCode::BAD_REQUEST,
        };
        let api = Self::new(status, e.code, e.message);
        match e.missing_key {
            Some(key) => api.with(json!({
                "provider": key.provider, "variable": key.variables.first(), "variables": key.variables,
            })),
            None => api,
        }
    }
}

impl From<ToolError> for ApiError {
    fn from(e: ToolError) -> Self {
        match e {
            ToolError::Denied(reason) => Self::forbidden(reason),
            ToolError::Model(text) | ToolError::Fatal(text) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "TOOL_EXECUTION_FAILED", text)
            }
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(e: SessionError) -> Self {
        match e {
            SessionError::NotFound(id) => Self::no_conversation(&id),
            SessionError::Conflict { session, .. } => {
                let message = "the conversation is in use; wait for its run to end, or ask with `?wait=true`";
                Self::conflict(message).with(json!({"conversation_id": session}))
            }
            other => Self::internal(&other),
        }
    }
}

impl ApiError {
    /// What a stream tells of a failed run: message and code, nothing of the inside.
    pub(crate) fn told(failure: &Failure) -> (String, String) {
        match failure.code.as_str() {
            "INTERNAL" => {
                let error = Self::internal(&failure.message);
                (error.0.message, error.0.code.to_owned())
            }
            code => (failure.message.clone(), code.to_owned()),
        }
    }

    /// A defect, or a store that failed: the log has it all, the caller nothing of the inside.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(error = %error, "a request failed");
        let message = "something failed inside the server; its log says what, under the request's id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_allowed_answers_403_whoever_says_so() {
        let denied = ConfigurationError::with_code("PERMISSION_DENIED", "the folder is not trusted");
        assert_eq!(ApiError::from(denied).into_response().status(), StatusCode::FORBIDDEN);
    }
}
