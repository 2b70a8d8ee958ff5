//! Bearer tokens of the HTTP API: made here, shown once, kept as hashes.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use victor_core::error::{ConfigurationError, SessionError, VictorError};
use victor_core::id::{Clock as _, Timestamp};
use victor_core::token::{NewToken, Scope, TokenHash, TokenInfo, TokenStore};

use crate::clock::SystemClock;

/// How every token begins, so that it is known where it is found.
const PREFIX: &str = "vct_";
/// Random bytes of a token.
const LENGTH: usize = 32;

/// A token that was just made. Nobody can be shown its secret again.
#[derive(Debug)]
pub struct Minted {
    /// What is kept of it.
    pub info: TokenInfo,
    /// The token itself, for whoever is to use it.
    pub secret: String,
}

/// Makes a token and keeps its hash in `store`.
///
/// # Errors
/// The name is empty, too long, or taken by a token that is still valid; there are no scopes; the store failed; the
/// system gives no random bytes.
pub async fn mint(
    store: &dyn TokenStore,
    name: &str,
    scopes: BTreeSet<Scope>,
    expires_at: Option<Timestamp>,
) -> Result<Minted, VictorError> {
    let fits = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !fits {
        let message = format!("`{name}` is no name for a token: use 1 to 64 letters, digits, '.', '_' or '-'");
        return Err(ConfigurationError::new(message).into());
    }
    if scopes.is_empty() {
        return Err(ConfigurationError::new("a token without scopes could do nothing").into());
    }
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|e| VictorError::Internal(format!("the system gives no random bytes: {e}")))?;
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let (id, at) = (SystemClock.uuid().to_string(), SystemClock.now());
    let info = TokenInfo {
        id: id.clone(),
        name: name.to_owned(),
        scopes: scopes.clone(),
        created_at: at,
        expires_at,
        revoked_at: None,
    };
    let new = NewToken { id, name: name.to_owned(), hash: TokenHash::of(&secret), scopes, at, expires_at };
    store.create_token(new).await.map_err(|e| match e {
        SessionError::Conflict { .. } => VictorError::from(ConfigurationError::with_code(
            "CONFLICT",
            format!("a token `{name}` is valid already; revoke it first, or take another name"),
        )),
        other => other.into(),
    })?;
    Ok(Minted { info, secret })
}
