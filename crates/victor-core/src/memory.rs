//! Sessions, tokens and idempotency keys in memory: for runs that nobody keeps, and for tests.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::error::SessionError;
use crate::id::{SessionId, Timestamp};
use crate::idempotency::{IdempotencyKey, IdempotencyStore, KeptAnswer, Known};
use crate::message::Role;
use crate::session::{Claim, Entry, NewSession, SessionFilter, SessionInfo, SessionStore, StoredEntry};
use crate::token::{NewToken, TokenHash, TokenInfo, TokenStore};

/// Idempotency keys that are kept at most; the oldest make room.
const KEYS: usize = 10_000;

/// Sessions that live as long as this value.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    sessions: Arc<Mutex<BTreeMap<SessionId, Saved>>>,
    held: Arc<Mutex<HashMap<SessionId, String>>>,
    tokens: Arc<Mutex<Vec<(TokenHash, TokenInfo)>>>,
    keys: Arc<Mutex<Keys>>,
}

/// Idempotency keys in the order in which they came.
#[derive(Debug, Default)]
struct Keys {
    order: VecDeque<(Timestamp, IdempotencyKey)>,
    known: HashMap<IdempotencyKey, (String, Option<KeptAnswer>)>,
}

#[derive(Clone, Debug)]
struct Saved {
    info: SessionInfo,
    entries: Vec<StoredEntry>,
    words: HashSet<String>,
}

struct MemoryClaim {
    session: SessionId,
    last_seq: u64,
    held: Arc<Mutex<HashMap<SessionId, String>>>,
}

impl Claim for MemoryClaim {
    fn session(&self) -> &SessionId {
        &self.session
    }

    fn last_seq(&self) -> u64 {
        self.last_seq
    }
}

impl Drop for MemoryClaim {
    fn drop(&mut self) {
        lock(&self.held).remove(&self.session);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_found(id: &SessionId) -> SessionError {
    SessionError::NotFound(id.to_string())
}

impl Saved {
    fn new(new: NewSession) -> Self {
        let info = SessionInfo {
            id: new.id,
            owner: new.owner,
            workspace: new.workspace,
            title: String::new(),
            created_at: new.at,
            updated_at: new.at,
            message_count: 0,
            last_seq: 0,
        };
        Self { info, entries: Vec::new(), words: HashSet::new() }
    }

    fn push(&mut self, at: Timestamp, entry: Entry) {
        self.info.last_seq += 1;
        self.info.updated_at = at;
        match &entry {
            Entry::Message { message } => {
                self.info.message_count += u64::from(message.role != Role::Tool);
                let text = message.text();
                if self.info.title.is_empty() && message.role == Role::User {
                    self.info.title = text.lines().next().unwrap_or_default().chars().take(80).collect();
                }
                self.words.insert(text.to_lowercase());
            }
            Entry::Settings { settings } => {
                if let Some(title) = &settings.title {
                    self.info.title.clone_from(title);
                }
            }
            _ => {}
        }
        self.entries.push(StoredEntry { seq: self.info.last_seq, at, entry });
    }

    fn fits(&self, filter: &SessionFilter) -> bool {
        let info = &self.info;
        filter.owner.as_ref().is_none_or(|o| *o == info.owner)
            && filter.workspace.as_ref().is_none_or(|w| info.workspace.as_ref() == Some(w))
            && filter.before.as_ref().is_none_or(|(at, id)| (info.updated_at, &info.id) < (*at, id))
            && filter
                .text
                .as_ref()
                .map(|t| t.to_lowercase())
                .is_none_or(|t| info.title.to_lowercase().contains(&t) || self.words.iter().any(|w| w.contains(&t)))
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn create(&self, new: NewSession) -> Result<(), SessionError> {
        let mut sessions = lock(&self.sessions);
        if sessions.contains_key(&new.id) {
            let holder = "a session that already has this id".to_owned();
            return Err(SessionError::Conflict { session: new.id.to_string(), holder });
        }
        sessions.insert(new.id.clone(), Saved::new(new));
        Ok(())
    }

    async fn claim(&self, id: &SessionId, holder: &str) -> Result<Box<dyn Claim>, SessionError> {
        let last_seq = self.info(id).await?.last_seq;
        let mut held = lock(&self.held);
        if let Some(holder) = held.get(id) {
            return Err(SessionError::Conflict { session: id.to_string(), holder: holder.clone() });
        }
        held.insert(id.clone(), holder.to_owned());
        Ok(Box::new(MemoryClaim { session: id.clone(), last_seq, held: Arc::clone(&self.held) }))
    }

    async fn append(
        &self,
        claim: &dyn Claim,
        expected_seq: u64,
        at: Timestamp,
        entries: Vec<Entry>,
    ) -> Result<u64, SessionError> {
        let mut sessions = lock(&self.sessions);
        let saved = sessions.get_mut(claim.session()).ok_or_else(|| not_found(claim.session()))?;
        if saved.info.last_seq != expected_seq {
            let holder = "a writer that has gone on in the meantime".to_owned();
            return Err(SessionError::Conflict { session: claim.session().to_string(), holder });
        }
        for entry in entries {
            saved.push(at, entry);
        }
        Ok(saved.info.last_seq)
    }

    async fn entries(&self, id: &SessionId, after: u64, limit: usize) -> Result<Vec<StoredEntry>, SessionError> {
        let sessions = lock(&self.sessions);
        let saved = sessions.get(id).ok_or_else(|| not_found(id))?;
        Ok(saved.entries.iter().filter(|e| e.seq > after).take(limit).cloned().collect())
    }

    async fn info(&self, id: &SessionId) -> Result<SessionInfo, SessionError> {
        lock(&self.sessions).get(id).map(|s| s.info.clone()).ok_or_else(|| not_found(id))
    }

    async fn list(&self, filter: &SessionFilter) -> Result<Vec<SessionInfo>, SessionError> {
        let sessions = lock(&self.sessions);
        let mut found: Vec<_> = sessions.values().filter(|s| s.fits(filter)).map(|s| s.info.clone()).collect();
        found.sort_by(|a, b| (b.updated_at, &b.id).cmp(&(a.updated_at, &a.id)));
        found.truncate(filter.limit);
        Ok(found)
    }

    async fn fork(&self, from: &SessionId, upto: Option<u64>, new: NewSession) -> Result<(), SessionError> {
        let entries = self.entries(from, 0, usize::MAX).await?;
        let (id, at) = (new.id.clone(), new.at);
        self.create(new).await?;
        let mut sessions = lock(&self.sessions);
        let copy = sessions.get_mut(&id).ok_or_else(|| not_found(&id))?;
        for stored in entries.into_iter().filter(|e| upto.is_none_or(|u| e.seq <= u)) {
            copy.push(at, stored.entry);
        }
        Ok(())
    }

    async fn delete(&self, id: &SessionId) -> Result<(), SessionError> {
        if let Some(holder) = lock(&self.held).get(id) {
            return Err(SessionError::Conflict { session: id.to_string(), holder: holder.clone() });
        }
        lock(&self.sessions).remove(id).map(drop).ok_or_else(|| not_found(id))
    }

    async fn prune(&self, before: Timestamp) -> Result<u64, SessionError> {
        let held = lock(&self.held);
        let mut sessions = lock(&self.sessions);
        let count = sessions.len();
        sessions.retain(|id, s| s.info.updated_at >= before || held.contains_key(id));
        Ok((count - sessions.len()) as u64)
    }
}

#[async_trait]
impl TokenStore for MemoryStore {
    async fn create_token(&self, new: NewToken) -> Result<(), SessionError> {
        let mut tokens = lock(&self.tokens);
        if tokens.iter().any(|(_, t)| t.name == new.name && t.is_valid(new.at)) {
            return Err(crate::token::name_taken(&new.name));
        }
        let NewToken { id, name, hash, scopes, at, expires_at } = new;
        tokens.push((hash, TokenInfo { id, name, scopes, created_at: at, expires_at, revoked_at: None }));
        Ok(())
    }

    async fn find_token(&self, hash: &TokenHash) -> Result<Option<TokenInfo>, SessionError> {
        Ok(lock(&self.tokens).iter().find(|(h, _)| h == hash).map(|(_, token)| token.clone()))
    }

    async fn tokens(&self) -> Result<Vec<TokenInfo>, SessionError> {
        Ok(lock(&self.tokens).iter().map(|(_, token)| token.clone()).collect())
    }

    async fn revoke_token(&self, name_or_id: &str, at: Timestamp) -> Result<bool, SessionError> {
        let mut tokens = lock(&self.tokens);
        let named = |t: &&mut TokenInfo| t.is_valid(at) && (t.name == name_or_id || t.id == name_or_id);
        let found = tokens.iter_mut().map(|(_, token)| token).find(named);
        Ok(found.map(|token| token.revoked_at = Some(at)).is_some())
    }
}

#[async_trait]
impl IdempotencyStore for MemoryStore {
    async fn begin(
        &self,
        key: &IdempotencyKey,
        request: &str,
        at: Timestamp,
        since: Timestamp,
    ) -> Result<Known, SessionError> {
        let mut guard = lock(&self.keys);
        let keys = &mut *guard;
        while keys.order.front().is_some_and(|(at, _)| *at < since || keys.known.len() >= KEYS) {
            if let Some((_, old)) = keys.order.pop_front() {
                keys.known.remove(&old);
            }
        }
        match keys.known.get(key) {
            Some((known, _)) if known != request => Ok(Known::Other),
            Some((_, None)) => Ok(Known::Begun),
            Some((_, Some(answer))) => Ok(Known::Answered(answer.clone())),
            None => {
                keys.known.insert(key.clone(), (request.to_owned(), None));
                keys.order.push_back((at, key.clone()));
                Ok(Known::New)
            }
        }
    }

    async fn answered(&self, key: &IdempotencyKey, answer: KeptAnswer) -> Result<(), SessionError> {
        if let Some((_, kept)) = lock(&self.keys).known.get_mut(key) {
            *kept = Some(answer);
        }
        Ok(())
    }

    async fn give_back(&self, key: &IdempotencyKey) -> Result<(), SessionError> {
        let mut keys = lock(&self.keys);
        keys.known.remove(key);
        keys.order.retain(|(_, k)| k != key);
        Ok(())
    }
}
