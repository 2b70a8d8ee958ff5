//! Keys and tokens: who a request is from. What cannot be found out is no.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use subtle::ConstantTimeEq as _;
use victor_core::error::ConfigurationError;
use victor_core::id::Timestamp;
use victor_core::token::{Scope, TokenHash};

use crate::caller::Caller;
use crate::config::{Auth, Config, Demand};
use crate::error::ApiError;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// How long it is believed that there is no token yet, in microseconds.
const BELIEVED: i64 = 1_000_000;

/// Finds out who calls.
pub(super) struct Doorkeeper {
    auth: Auth,
    keys: Vec<(TokenHash, Arc<str>, Arc<BTreeSet<Scope>>)>,
    everything: Arc<BTreeSet<Scope>>,
    /// Whether a key is asked for. Once it is, it stays so.
    on: AtomicBool,
    /// When it was last looked whether there is a token.
    looked: AtomicI64,
}

impl Doorkeeper {
    pub(super) fn new(config: &Config) -> Result<Self, ConfigurationError> {
        let auth = config.auth.clone();
        if auth.demand == Demand::Always && auth.keys.is_empty() && auth.tokens.is_none() {
            let message =
                "authentication is demanded, but there is neither a key nor a store of tokens: nobody could call";
            return Err(ConfigurationError::new(message));
        }
        let on = is_certain(&auth);
        let named = |key: &crate::config::ApiKey| {
            (key.hash.clone(), Arc::from(format!("key:{}", key.name)), Arc::new(key.scopes.clone()))
        };
        Ok(Self {
            keys: auth.keys.iter().map(named).collect(),
            auth,
            everything: Arc::new(Scope::ALL.into()),
            on: AtomicBool::new(on),
            looked: AtomicI64::new(i64::MIN),
        })
    }

    /// Who sends these headers.
    ///
    /// # Errors
    /// A key is needed and there is none, or it is worth nothing; the store of tokens failed.
    pub(super) async fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Result<Caller, ApiError> {
        if !self.asks(now).await? {
            return Ok(Caller { owner: Arc::from("local"), scopes: Arc::clone(&self.everything) });
        }
        let hash = TokenHash::of(&secret(headers)?);
        // All are compared, whichever fits.
        let mut found = None;
        for (known, owner, scopes) in &self.keys {
            if bool::from(known.0.as_bytes().ct_eq(hash.0.as_bytes())) {
                found = Some(Caller { owner: Arc::clone(owner), scopes: Arc::clone(scopes) });
            }
        }
        if let Some(caller) = found {
            return Ok(caller);
        }
        let token = match &self.auth.tokens {
            Some(tokens) => tokens.find_token(&hash).await.map_err(|e| ApiError::internal(&e))?,
            None => None,
        };
        let token =
            token.filter(|t| t.is_valid(now)).ok_or_else(|| refused("this key is not known, or no longer valid"))?;
        Ok(Caller { owner: Arc::from(format!("token:{}", token.id)), scopes: Arc::new(token.scopes) })
    }

    /// Whether a key is asked for: as soon as there is one.
    async fn asks(&self, now: Timestamp) -> Result<bool, ApiError> {
        if self.auth.demand == Demand::Never {
            return Ok(false);
        }
        let Some(tokens) = self.auth.tokens.as_ref().filter(|_| !self.on.load(Ordering::Acquire)) else {
            return Ok(self.on.load(Ordering::Acquire));
        };
        let (now, looked) = (now.as_micros(), self.looked.load(Ordering::Acquire));
        if now.saturating_sub(looked) < BELIEVED {
            return Ok(false);
        }
        let any = !tokens.tokens().await.map_err(|e| ApiError::internal(&e))?.is_empty();
        self.looked.store(now, Ordering::Release);
        if any {
            self.on.store(true, Ordering::Release);
        }
        Ok(any)
    }
}

/// Whether a key is asked for whatever the store of tokens holds.
pub(super) fn is_certain(auth: &Auth) -> bool {
    match auth.demand {
        Demand::Always => true,
        Demand::OnceThereIsOne => !auth.keys.is_empty(),
        Demand::Never => false,
    }
}

/// The key that was sent.
fn secret(headers: &HeaderMap) -> Result<String, ApiError> {
    let text = |value: &HeaderValue| value.to_str().map(ToOwned::to_owned).ok();
    let broken = || refused("the key is no text");
    let mut given = Vec::new();
    for value in headers.get_all(API_KEY) {
        given.push(text(value).ok_or_else(broken)?);
    }
    for value in headers.get_all(header::AUTHORIZATION) {
        let value = text(value).ok_or_else(broken)?;
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => given.push(token.trim().to_owned()),
            _ => return Err(refused("`Authorization` has to be `Bearer <key>`")),
        }
    }
    given.dedup();
    match given.len() {
        0 => Err(refused("a key is needed: send `X-API-Key: <key>` or `Authorization: Bearer <key>`")),
        1 => Ok(given.swap_remove(0)),
        _ => Err(refused("the request holds more than one key")),
    }
}

fn refused(message: &str) -> ApiError {
    let challenge = (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    ApiError::new(StatusCode::UNAUTHORIZED, "AUTHENTICATION_FAILED", message).with_headers([challenge])
}
