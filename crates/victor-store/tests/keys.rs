//! Tokens and idempotency keys: the same behaviour in memory and in SQLite.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use bytes::Bytes;
use victor_core::error::SessionError;
use victor_core::id::Timestamp;
use victor_core::idempotency::{IdempotencyKey, IdempotencyStore, KeptAnswer, Known};
use victor_core::memory::MemoryStore;
use victor_core::token::{NewToken, Scope, TokenHash, TokenStore};
use victor_store::{Options, SqliteStore};

const NOW: Timestamp = Timestamp::from_micros(1_000_000);
const LATER: Timestamp = Timestamp::from_micros(2_000_000);

fn sqlite() -> (tempfile::TempDir, Arc<SqliteStore>) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("victor.db"), Options::default()).unwrap();
    (folder, Arc::new(store))
}

fn token(id: &str, name: &str, secret: &str, expires_at: Option<Timestamp>) -> NewToken {
    let (id, name, hash) = (id.to_owned(), name.to_owned(), TokenHash::of(secret));
    NewToken { id, name, hash, scopes: [Scope::Chat, Scope::Read].into(), at: NOW, expires_at }
}

async fn tokens(store: &dyn TokenStore) {
    store.create_token(token("1", "ci", "secret-1", Some(LATER))).await.unwrap();
    let taken = store.create_token(token("2", "ci", "secret-2", None)).await;
    assert!(matches!(taken, Err(SessionError::Conflict { .. })), "{taken:?}");
    let found = store.find_token(&TokenHash::of("secret-1")).await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.scopes.len()), ("ci", 2));
    assert!(found.is_valid(NOW) && !found.is_valid(LATER));
    assert_eq!(store.find_token(&TokenHash::of("secret-2")).await.unwrap(), None);
    assert!(store.revoke_token("ci", NOW).await.unwrap());
    assert!(!store.revoke_token("ci", NOW).await.unwrap());
    store.create_token(token("3", "ci", "secret-3", None)).await.unwrap();
    assert!(store.revoke_token("3", NOW).await.unwrap());
    let all = store.tokens().await.unwrap();
    assert_eq!(all.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(), ["1", "3"]);
    assert!(all.iter().all(|t| !t.is_valid(NOW)));
}

async fn answers(store: &dyn IdempotencyStore) {
    let key = IdempotencyKey { owner: "a".into(), key: "k".into() };
    let other = IdempotencyKey { owner: "b".into(), key: "k".into() };
    let begin = |key, request, at| store.begin(key, request, at, Timestamp::from_micros(at.as_micros() - 10));
    assert_eq!(begin(&key, "r", NOW).await.unwrap(), Known::New);
    assert_eq!(begin(&key, "r", NOW).await.unwrap(), Known::Begun);
    assert_eq!(begin(&key, "another", NOW).await.unwrap(), Known::Other);
    assert_eq!(begin(&other, "r", NOW).await.unwrap(), Known::New);
    let answer = KeptAnswer { status: 200, content_type: "application/json".into(), body: Bytes::from("{}") };
    store.answered(&key, answer.clone()).await.unwrap();
    assert_eq!(begin(&key, "r", NOW).await.unwrap(), Known::Answered(answer));
    store.give_back(&other).await.unwrap();
    assert_eq!(begin(&other, "another", NOW).await.unwrap(), Known::New);
    assert_eq!(begin(&key, "another", LATER).await.unwrap(), Known::New, "after its time a key is forgotten");
}

#[tokio::test]
async fn tokens_are_found_by_their_hash_until_they_are_revoked_or_expire() {
    tokens(&MemoryStore::default()).await;
    let (folder, store) = sqlite();
    tokens(store.as_ref()).await;
    store.close().await.unwrap();
    let bytes = std::fs::read(folder.path().join("victor.db")).unwrap();
    assert!(!bytes.windows(8).any(|w| w == b"secret-1"), "a secret is in the file");
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_owner_for_a_while() {
    answers(&MemoryStore::default()).await;
    answers(sqlite().1.as_ref()).await;
}
