//! Queries, read strictly: a parameter that nobody reads is an error, not a surprise.

use axum::extract::{FromRequestParts, Query as Parsed};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// A query of the form `T`.
pub(crate) struct Query<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned + Send,
    S: Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match Parsed::try_from_uri(&parts.uri) {
            Ok(Parsed(value)) => Ok(Self(value)),
            Err(e) => Err(ApiError::invalid(format!("the query does not fit: {}", e.body_text()))),
        }
    }
}
