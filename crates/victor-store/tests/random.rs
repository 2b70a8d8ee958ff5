//! Random sequences of calls against a model of what a store is: a list of entries and a holder for each session.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the whole file is tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use victor_core::error::SessionError;
use victor_core::id::{SessionId, Timestamp};
use victor_core::message::{Message, Role};
use victor_core::session::{Claim, Entry, NewSession, SessionFilter, SessionStore, StoredEntry, effective};
use victor_store::{Options, SqliteStore};

/// Names are few, so that calls meet.
#[derive(Clone, Debug)]
enum Call {
    Create(u8),
    Claim(u8),
    Release(u8),
    Append { name: u8, entries: Vec<Entry>, off_by: i8 },
    Fork { from: u8, to: u8, upto: Option<u8> },
    Delete(u8),
    Prune(u8),
    Reopen,
}

#[derive(Default)]
struct Model {
    sessions: BTreeMap<u8, Session>,
}

#[derive(Default)]
struct Session {
    log: Vec<Entry>,
    updated: i64,
    claim: Option<Box<dyn Claim>>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_what_its_model_is(calls in prop::collection::vec(call(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(calls));
    }
}

async fn run(calls: Vec<Call>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("victor.db");
    let store = SqliteStore::open(&path, Options::default()).unwrap();
    let mut model = Model::default();
    for (n, call) in calls.into_iter().enumerate() {
        let now = i64::try_from(n).unwrap() + 1;
        if matches!(call, Call::Reopen) {
            // The next call opens the file again.
            store.close().await.unwrap();
        } else {
            step(&store, &mut model, &call, now).await;
        }
        check(&store, &model).await;
    }
}

async fn step(store: &SqliteStore, model: &mut Model, call: &Call, now: i64) {
    match call {
        Call::Create(name) => {
            let made = store.create(new(*name, now)).await;
            if model.sessions.contains_key(name) {
                assert!(matches!(made, Err(SessionError::Conflict { .. })));
            } else {
                made.unwrap();
                model.sessions.insert(*name, Session { updated: now, ..Session::default() });
            }
        }
        Call::Claim(name) => match (store.claim(&id(*name), "model").await, model.sessions.get_mut(name)) {
            (Ok(claim), Some(session)) if session.claim.is_none() => {
                assert_eq!(claim.last_seq(), session.log.len() as u64);
                session.claim = Some(claim);
            }
            (Err(SessionError::Conflict { .. }), Some(session)) => assert!(session.claim.is_some()),
            (Err(SessionError::NotFound(_)), None) => {}
            (claimed, _) => panic!("{:?}", claimed.map(drop)),
        },
        Call::Release(name) => drop(model.sessions.get_mut(name).and_then(|s| s.claim.take())),
        Call::Append { name, entries, off_by } => {
            let Some(session) = model.sessions.get_mut(name) else { return };
            let Some(claim) = session.claim.as_deref() else { return };
            let last = session.log.len() as u64;
            let expected = last.saturating_add_signed(i64::from(*off_by));
            let done = store.append(claim, expected, Timestamp::from_micros(now), entries.clone()).await;
            if expected == last {
                session.log.extend(entries.iter().cloned());
                session.updated = now;
                assert_eq!(done.unwrap(), session.log.len() as u64);
            } else {
                assert!(matches!(done, Err(SessionError::Conflict { .. })));
            }
        }
        Call::Fork { from, to, upto } => {
            let done = store.fork(&id(*from), upto.map(u64::from), new(*to, now)).await;
            match model.sessions.get(from) {
                None => assert!(matches!(done, Err(SessionError::NotFound(_)))),
                Some(_) if model.sessions.contains_key(to) => {
                    assert!(matches!(done, Err(SessionError::Conflict { .. })))
                }
                Some(source) => {
                    done.unwrap();
                    let log = source.log.iter().take(upto.map_or(usize::MAX, usize::from)).cloned().collect();
                    model.sessions.insert(*to, Session { log, updated: now, claim: None });
                }
            }
        }
        Call::Delete(name) => match (store.delete(&id(*name)).await, model.sessions.get(name)) {
            (Ok(()), Some(session)) if session.claim.is_none() => drop(model.sessions.remove(name)),
            (Err(SessionError::Conflict { .. }), Some(session)) => assert!(session.claim.is_some()),
            (Err(SessionError::NotFound(_)), None) => {}
            (deleted, _) => panic!("{deleted:?}"),
        },
        Call::Prune(ago) => {
            let before = now - i64::from(*ago);
            let all = model.sessions.len();
            model.sessions.retain(|_, s| s.claim.is_some() || s.updated >= before);
            let deleted = store.prune(Timestamp::from_micros(before)).await.unwrap();
            assert_eq!(deleted, (all - model.sessions.len()) as u64);
        }
        Call::Reopen => {}
    }
}

async fn check(store: &SqliteStore, model: &Model) {
    let mut listed = store.list(&SessionFilter { limit: 99, ..SessionFilter::default() }).await.unwrap();
    listed.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(listed.len(), model.sessions.len());
    for (info, (name, session)) in listed.iter().zip(&model.sessions) {
        assert_eq!(info.id, id(*name));
        assert_eq!(info.updated_at.as_micros(), session.updated);
        let stored = store.entries(&info.id, 0, usize::MAX).await.unwrap();
        assert_eq!(stored.iter().map(|e| &e.entry).collect::<Vec<_>>(), session.log.iter().collect::<Vec<_>>());
        assert!(stored.iter().zip(1..).all(|(e, n)| e.seq == n));
        let said: Vec<Arc<Message>> = messages(stored);
        assert_eq!(info.message_count, said.len() as u64);
        let first = said.iter().find(|m| m.role == Role::User).map(|m| m.text()).unwrap_or_default();
        assert_eq!(info.title, first);
    }
}

fn messages(stored: Vec<StoredEntry>) -> Vec<Arc<Message>> {
    let messages = effective(stored).into_iter().filter_map(|e| match e.entry {
        Entry::Message { message } => Some(message),
        _ => None,
    });
    messages.collect()
}

fn call() -> impl Strategy<Value = Call> {
    let name = || 0..4_u8;
    let entry = prop_oneof![
        3 => "[a-z]{1,9}".prop_map(|text| Entry::Message { message: Arc::new(Message::user(text)) }),
        2 => "[a-z]{1,9}".prop_map(|text| Entry::Message { message: Arc::new(Message::assistant(text)) }),
        1 => (0..12_u64).prop_map(|to| Entry::Rewind { to }),
        1 => Just(Entry::Note { name: "n".into(), value: serde_json::Value::Null }),
    ];
    let off_by = prop_oneof![8 => Just(0_i8), 1 => -2..3_i8];
    prop_oneof![
        3 => name().prop_map(Call::Create),
        4 => name().prop_map(Call::Claim),
        2 => name().prop_map(Call::Release),
        9 => (name(), prop::collection::vec(entry, 0..4), off_by)
            .prop_map(|(name, entries, off_by)| Call::Append { name, entries, off_by }),
        1 => (name(), name(), prop::option::of(0..9_u8)).prop_map(|(from, to, upto)| Call::Fork { from, to, upto }),
        1 => name().prop_map(Call::Delete),
        1 => (0..20_u8).prop_map(Call::Prune),
        1 => Just(Call::Reopen),
    ]
}

fn id(name: u8) -> SessionId {
    format!("s{name}").parse().unwrap()
}

fn new(name: u8, now: i64) -> NewSession {
    NewSession { id: id(name), owner: "local".into(), workspace: None, at: Timestamp::from_micros(now) }
}
