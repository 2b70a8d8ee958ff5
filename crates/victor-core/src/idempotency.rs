//! Idempotency keys: what a request with a key answered, so that its repetition runs nothing twice.

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::SessionError;
use crate::id::Timestamp;

/// One request under a key of its caller's choice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Who asks: the same key of two callers is two keys.
    pub owner: String,
    /// The key.
    pub key: String,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing was; from now on it belongs to this request.
    New,
    /// It belongs to another request.
    Other,
    /// The same request was begun, here or elsewhere, and has not answered (yet).
    Begun,
    /// The same request was answered.
    Answered(KeptAnswer),
}

/// An answer that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The media type.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}

/// A store of keys and answers.
#[async_trait]
pub trait IdempotencyStore: Send + Sync + 'static {
    /// Takes the key for a request whose content has the hash `request`, unless it is taken. What was taken before
    /// `since` is forgotten.
    ///
    /// # Errors
    /// The store failed.
    async fn begin(
        &self,
        key: &IdempotencyKey,
        request: &str,
        at: Timestamp,
        since: Timestamp,
    ) -> Result<Known, SessionError>;

    /// Keeps the answer of a request that was begun.
    ///
    /// # Errors
    /// The store failed.
    async fn answered(&self, key: &IdempotencyKey, answer: KeptAnswer) -> Result<(), SessionError>;

    /// Gives the key back: nothing was run for the request.
    ///
    /// # Errors
    /// The store failed.
    async fn give_back(&self, key: &IdempotencyKey) -> Result<(), SessionError>;
}
