//! Errors: typed, classified once, and written for the person who has to act on them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that can go wrong in a run.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VictorError {
    /// The model's provider failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A tool failed in a way that ends the run.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A setting, a name or an argument is wrong.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// A session could not be read or written.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A defect of Victor itself.
    #[error("internal error: {0}")]
    Internal(String),
}

impl VictorError {
    /// A stable name of the kind of error, for programs: the codes of the HTTP API.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Provider(e) => e.kind.code(),
            Self::Tool(ToolError::Denied(_)) => "PERMISSION_DENIED",
            Self::Tool(_) => "TOOL_EXECUTION_FAILED",
            Self::Configuration(e) => e.code,
            Self::Session(SessionError::NotFound(_)) => "NOT_FOUND",
            Self::Session(SessionError::Conflict { .. }) => "CONFLICT",
            Self::Session(SessionError::Storage(_) | SessionError::Corrupt(_)) | Self::Internal(_) => "INTERNAL",
        }
    }

    /// Whether the same call may succeed later without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Provider(e) => e.is_retryable(),
            Self::Session(SessionError::Conflict { .. }) => true,
            Self::Session(_) | Self::Tool(_) | Self::Configuration(_) | Self::Internal(_) => false,
        }
    }

    /// How long to wait before the next try, where the other side said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Provider(e) => e.retry_after,
            Self::Session(_) | Self::Tool(_) | Self::Configuration(_) | Self::Internal(_) => None,
        }
    }
}

/// What kind of failure a provider's error is; the one place that classifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProviderErrorKind {
    /// No key or no address is set.
    NotConfigured,
    /// The key is wrong or has expired (401).
    Authentication,
    /// The key may not do this (403).
    PermissionDenied,
    /// The model or the address does not exist (404).
    NotFound,
    /// The provider refuses the request as it stands (400, 422).
    InvalidRequest,
    /// The request is longer than the model's context window.
    ContextLength,
    /// Too many requests (429).
    RateLimited,
    /// The account has no credit left; waiting does not help.
    QuotaExceeded,
    /// The provider is overloaded (503, 529).
    Overloaded,
    /// The provider failed (other 5xx).
    Server,
    /// No answer, or no further byte, within the time allowed.
    Timeout,
    /// The connection could not be made or broke.
    Connection,
    /// The stream ended before the answer did.
    Truncated,
    /// The answer is not what the wire's documentation says.
    Protocol,
}

impl ProviderErrorKind {
    /// Whether the same request may succeed later without a change.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        match self {
            Self::RateLimited
            | Self::Overloaded
            | Self::Server
            | Self::Timeout
            | Self::Connection
            | Self::Truncated
            | Self::Protocol => true,
            Self::NotConfigured
            | Self::Authentication
            | Self::PermissionDenied
            | Self::NotFound
            | Self::InvalidRequest
            | Self::ContextLength
            | Self::QuotaExceeded => false,
        }
    }

    /// The code of the HTTP API for this kind.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotConfigured => "PROVIDER_NOT_CONFIGURED",
            Self::Timeout => "TIMEOUT",
            _ => "PROVIDER_ERROR",
        }
    }
}

/// A failed call of a model provider.
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[error("{provider}: {message}")]
pub struct ProviderError {
    /// What kind of failure.
    pub kind: ProviderErrorKind,
    /// The provider's name.
    pub provider: String,
    /// What happened and what to do, for a person.
    pub message: String,
    /// The HTTP status, where there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The provider's own code or type of the error (`insufficient_quota`, `overloaded_error`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How long the provider asks to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// The provider's id of the request, for its support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl ProviderError {
    /// An error of `kind` without further detail.
    pub fn new(kind: ProviderErrorKind, provider: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            provider: provider.into(),
            message: message.into(),
            status: None,
            code: None,
            retry_after: None,
            request_id: None,
        }
    }

    /// Whether the same request may succeed later without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }
}

/// A failed tool call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The model is told and may try something else.
    #[error("{0}")]
    Model(String),
    /// It was not allowed; the model is told so.
    #[error("denied: {0}")]
    Denied(String),
    /// The run cannot go on.
    #[error("{0}")]
    Fatal(String),
}

impl ToolError {
    /// An error that the model is told.
    pub fn model(text: impl Into<String>) -> Self {
        Self::Model(text.into())
    }
}

/// A wrong setting, name or argument. The message says what, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigurationError {
    /// What is wrong, where, and what to do.
    pub message: String,
    /// The code of the HTTP API for it.
    pub code: &'static str,
    /// The key that is missing, where that is what is wrong.
    pub missing_key: Option<Box<MissingKey>>,
}

/// A provider's key that nothing holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingKey {
    /// The provider; none where any would do.
    pub provider: Option<String>,
    /// The environment variables that are looked into: one is enough.
    pub variables: Vec<String>,
}

impl ConfigurationError {
    /// An error with the general code `INVALID_VALUE`.
    pub fn new(message: impl Into<String>) -> Self {
        Self::with_code("INVALID_VALUE", message)
    }

    /// An error with a code of its own, such as `MODEL_NOT_FOUND`.
    pub fn with_code(code: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), code, missing_key: None }
    }

    /// A provider has no key, which one of `variables` could hold; no `provider` where any would do.
    pub fn no_key<V: Into<String>>(
        provider: Option<&str>,
        variables: impl IntoIterator<Item = V>,
        message: impl Into<String>,
    ) -> Self {
        let variables = variables.into_iter().map(Into::into).collect();
        let missing_key = Some(Box::new(MissingKey { provider: provider.map(str::to_owned), variables }));
        Self { missing_key, ..Self::with_code("PROVIDER_NOT_CONFIGURED", message) }
    }

    /// `what` named `name` does not exist; names the nearest of `known`.
    pub fn unknown<'a>(what: &str, code: &'static str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let hint = match nearest(name, known) {
            names if names.is_empty() => String::new(),
            names => format!("; did you mean {}?", names.join(" or ")),
        };
        Self::with_code(code, format!("unknown {what} `{name}`{hint}"))
    }
}

/// A session that could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// No session has this id.
    #[error("no session `{0}`; `victor sessions list` shows the saved ones")]
    NotFound(String),
    /// Someone else is writing to it.
    #[error("session {session} is in use by {holder}; end that one first, or fork the session and go on in the copy")]
    Conflict {
        /// The session.
        session: String,
        /// Who holds it: program and process id.
        holder: String,
    },
    /// The store failed: no space, no permission, a broken file.
    #[error("{0}")]
    Storage(String),
    /// The saved entries break the conversation's rules.
    #[error("{0}")]
    Corrupt(String),
}

/// Up to three of `known` that look like `name`, nearest first.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut near: Vec<(f64, &str)> = known
        .into_iter()
        .map(|k| (similarity(&name.to_lowercase(), &k.to_lowercase()), k))
        .filter(|(score, _)| *score >= 0.75)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(3).map(|(_, k)| format!("`{k}`")).collect()
}

fn similarity(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}
