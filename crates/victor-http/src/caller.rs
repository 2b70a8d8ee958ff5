//! Who calls: the owner of what they begin, and what they may do.

use std::collections::BTreeSet;
use std::sync::Arc;

use victor_core::session::SessionInfo;
use victor_core::token::Scope;

use crate::error::ApiError;

/// Whoever sent a request. The gate puts one into every request that it lets through.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Who owns the conversations that they begin: `local`, `key:<name>` or `token:<id>`.
    pub(crate) owner: Arc<str>,
    /// What they may do.
    pub(crate) scopes: Arc<BTreeSet<Scope>>,
}

impl Caller {
    /// Where nobody is asked for a key: may do everything.
    pub(crate) fn local() -> Self {
        Self { owner: Arc::from("local"), scopes: Arc::new(Scope::ALL.into()) }
    }

    /// Whether they may.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Lets them go on if they have the scope.
    pub(crate) fn need(&self, scope: Scope) -> Result<(), ApiError> {
        if self.may(scope) { Ok(()) } else { Err(ApiError::scope(scope)) }
    }

    /// Whether they may see what belongs to `owner`.
    pub(crate) fn sees(&self, owner: &str) -> bool {
        *self.owner == *owner || self.may(Scope::Admin)
    }

    /// The session, if they may see it; else as if there were none.
    pub(crate) fn own(&self, session: SessionInfo) -> Result<SessionInfo, ApiError> {
        if self.sees(&session.owner) { Ok(session) } else { Err(ApiError::no_conversation(session.id.as_str())) }
    }
}
