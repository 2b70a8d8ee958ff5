//! Bytes that are kept by their content's hash: what files were before they were changed.

use async_trait::async_trait;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::SessionError;

/// The SHA-256 of a blob's bytes, in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct BlobId(pub String);

impl BlobId {
    /// The id of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(bytes);
        Self(digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = std::fmt::Write::write_fmt(&mut hex, format_args!("{byte:02x}"));
            hex
        }))
    }
}

/// A store of blobs.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Keeps `bytes` and tells their id; the same bytes are kept once.
    ///
    /// # Errors
    /// The store failed; nothing was kept.
    async fn put(&self, bytes: Bytes) -> Result<BlobId, SessionError>;

    /// The bytes of `id`; `None` if they are not (or no longer) kept.
    ///
    /// # Errors
    /// The store failed.
    async fn get(&self, id: &BlobId) -> Result<Option<Bytes>, SessionError>;
}
