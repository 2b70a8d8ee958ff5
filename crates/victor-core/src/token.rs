//! Bearer tokens of the HTTP doors: only a hash of each is kept, with a name, scopes and an expiry.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blob::BlobId;
use crate::error::{ConfigurationError, SessionError};
use crate::id::Timestamp;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Talk to agents: chat, own conversations, runs, approvals, workflows.
    Chat,
    /// Call tools without an agent.
    Tools,
    /// Read what the server offers: providers, models, tools, profiles, modes.
    Read,
    /// See status, configuration and metrics, and everybody's conversations.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Chat, Self::Tools, Self::Read, Self::Admin];

    /// The scope's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Tools => "tools",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = ConfigurationError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let unknown = || ConfigurationError::unknown("scope", "INVALID_VALUE", s, Self::ALL.map(Self::name));
        Self::ALL.into_iter().find(|scope| scope.name() == s).ok_or_else(unknown)
    }
}

/// Whoever sent a request, once a door has found out who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who owns what they begin: `local`, `key:<name>` or `token:<id>`.
    pub owner: Arc<str>,
    /// What they may do.
    pub scopes: Arc<BTreeSet<Scope>>,
}

impl Principal {
    /// Where nobody is asked for a key: may do everything.
    #[must_use]
    pub fn local() -> Self {
        Self { owner: Arc::from("local"), scopes: Arc::new(Scope::ALL.into()) }
    }

    /// Whether they may.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// The SHA-256 of a secret, in lower-case hexadecimal. Secrets are long and random, so a plain hash is enough.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenHash(pub String);

impl TokenHash {
    /// The hash of this secret.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(BlobId::of(secret.as_bytes()).0)
    }
}

/// A token that is being made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its id.
    pub id: String,
    /// What a person calls it; no two tokens that are still valid have the same name.
    pub name: String,
    /// What it is recognised by.
    pub hash: TokenHash,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
    /// Now.
    pub at: Timestamp,
    /// From when on it is worth nothing; never, if `None`.
    pub expires_at: Option<Timestamp>,
}

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenInfo {
    /// Its id.
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is worth nothing; never, if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Since when it is worth nothing, because somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

impl TokenInfo {
    /// Whether it is worth something at `now`.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// A store of tokens.
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// Keeps a token.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] if a valid token has its name; the store failed.
    async fn create_token(&self, new: NewToken) -> Result<(), SessionError>;

    /// The token with this hash, valid or not.
    ///
    /// # Errors
    /// The store failed.
    async fn find_token(&self, hash: &TokenHash) -> Result<Option<TokenInfo>, SessionError>;

    /// All tokens that were ever made, valid or not, oldest first.
    ///
    /// # Errors
    /// The store failed.
    async fn tokens(&self) -> Result<Vec<TokenInfo>, SessionError>;

    /// Makes a token worthless, by its name or id; tells whether there was a valid one.
    ///
    /// # Errors
    /// The store failed.
    async fn revoke_token(&self, name_or_id: &str, at: Timestamp) -> Result<bool, SessionError>;
}

/// The error for a name that a valid token has already.
#[must_use]
pub fn name_taken(name: &str) -> SessionError {
    let holder = "a token of this name that is still valid; revoke it first, or take another name".to_owned();
    SessionError::Conflict { session: name.to_owned(), holder }
}
