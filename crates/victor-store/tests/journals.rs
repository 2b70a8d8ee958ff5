//! What every store of journals must do: the same cases for SQLite and for memory.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the whole file is tests")]

mod support;

use std::sync::Arc;

use serde_json::json;
use support::stores;
use uuid::Uuid;
use victor_core::id::{RunId, Timestamp};
use victor_core::journal::{
    Journal, JournalClaim, JournalError, JournalFilter, JournalInfo, NewJournal, NewRecord, RunStatus, Summary,
};
use victor_core::memory_journal::MemoryJournal;

type Store = Arc<dyn Journal>;

stores!(
    MemoryJournal,
    [
        records_come_back_in_order_with_their_summary,
        an_append_at_the_wrong_place_changes_nothing,
        a_journal_has_one_writer_at_a_time,
        an_append_without_records_says_how_the_run_stands,
        lists_filter_and_page,
        what_does_not_exist_is_not_found,
        delete_and_prune_spare_what_goes_on,
        a_cancel_is_asked_for_from_outside,
    ]
);

async fn records_come_back_in_order_with_their_summary(store: Store) {
    let claim = create(&store, 1).await;
    assert_eq!((claim.run(), claim.last_seq()), (id(1), 0));
    let summary = Summary { snapshot: 2, wake_at: Some(at(99)), ..summary(RunStatus::Waiting) };
    let first = vec![record("begun", "{}"), record("snapshot", "{\"text\":\"\u{1F980} \\u0000\"}")];
    assert_eq!(store.append(&*claim, 0, at(2), first, summary).await.unwrap(), 2);
    assert_eq!(append(&store, &*claim, 2, RunStatus::Running).await.unwrap(), 3);
    let records = store.records(id(1), 0, usize::MAX).await.unwrap();
    let seen: Vec<_> = records.iter().map(|r| (r.seq, r.at, r.kind.as_str())).collect();
    assert_eq!(seen, [(1, at(2), "begun"), (2, at(2), "snapshot"), (3, at(3), "done")]);
    assert_eq!(records[1].json, "{\"text\":\"\u{1F980} \\u0000\"}");
    assert_eq!(store.records(id(1), 1, 1).await.unwrap(), records[1..2]);
    let info = store.info(id(1)).await.unwrap();
    let expected = JournalInfo {
        id: id(1),
        name: "flow".into(),
        owner: "local".into(),
        workspace: Some("/w".into()),
        created_at: at(1),
        updated_at: at(3),
        last_seq: 3,
        status: RunStatus::Running,
        wake_at: None,
        snapshot: 0,
        summary: json!({"n": 1}),
        holder: info.holder.clone(),
        cancel_requested: false,
    };
    assert_eq!(info, expected);
    assert!(info.holder.unwrap().contains("test"));
    drop(claim);
    let again = store.claim(id(1), "again").await.unwrap();
    assert_eq!(again.last_seq(), 3);
}

async fn an_append_at_the_wrong_place_changes_nothing(store: Store) {
    let claim = create(&store, 1).await;
    append(&store, &*claim, 0, RunStatus::Running).await.unwrap();
    let before = store.info(id(1)).await.unwrap();
    for wrong in [0, 2, 77] {
        let refused = append(&store, &*claim, wrong, RunStatus::Completed).await;
        assert!(matches!(refused, Err(JournalError::Conflict { .. })), "{wrong}: {refused:?}");
    }
    assert_eq!(store.info(id(1)).await.unwrap(), before);
    assert_eq!(append(&store, &*claim, 1, RunStatus::Running).await.unwrap(), 2);
}

async fn a_journal_has_one_writer_at_a_time(store: Store) {
    let claim = create(&store, 1).await;
    let Err(JournalError::Conflict { run, holder }) = store.claim(id(1), "second").await.map(drop) else {
        panic!("claimed twice")
    };
    assert_eq!(run, id(1).to_string());
    assert!(holder.contains("test"), "{holder}");
    let new = NewJournal { id: id(1), name: "x".into(), owner: "x".into(), workspace: None, at: at(1) };
    assert!(matches!(store.create(new, "x").await.map(drop), Err(JournalError::Conflict { .. })));
    drop(claim);
    let second = store.claim(id(1), "second").await.unwrap();
    append(&store, &*second, 0, RunStatus::Running).await.unwrap();
    drop(second);
    store.claim(id(1), "third").await.unwrap();
    let holder = store.info(id(1)).await.unwrap().holder;
    assert_eq!(holder, None, "given back");
}

async fn an_append_without_records_says_how_the_run_stands(store: Store) {
    let claim = create(&store, 1).await;
    assert_eq!(store.append(&*claim, 0, at(5), vec![], summary(RunStatus::Failed)).await.unwrap(), 0);
    assert_eq!(store.info(id(1)).await.unwrap().status, RunStatus::Failed);
}

async fn lists_filter_and_page(store: Store) {
    for n in 1..=5 {
        let claim = create(&store, n).await;
        let status = if n % 2 == 0 { RunStatus::Waiting } else { RunStatus::Completed };
        store.append(&*claim, 0, at(10 + n), vec![], summary(status)).await.unwrap();
    }
    let filter = |limit| JournalFilter { limit, ..JournalFilter::default() };
    let list =
        async |filter: JournalFilter| store.list(&filter).await.unwrap().iter().map(|i| i.id).collect::<Vec<_>>();
    assert_eq!(list(filter(9)).await, [5, 4, 3, 2, 1].map(id));
    assert_eq!(list(filter(2)).await, [5, 4].map(id));
    let before = Some((at(14), id(4)));
    assert_eq!(list(JournalFilter { before, ..filter(2) }).await, [3, 2].map(id));
    let status = vec![RunStatus::Waiting, RunStatus::Running];
    assert_eq!(list(JournalFilter { status, ..filter(9) }).await, [4, 2].map(id));
    assert_eq!(list(JournalFilter { owner: Some("other".into()), ..filter(9) }).await, []);
    assert_eq!(list(JournalFilter { name: Some("flow".into()), ..filter(1) }).await, [id(5)]);
    assert_eq!(list(JournalFilter { workspace: Some("/w".into()), ..filter(1) }).await, [id(5)]);
    assert_eq!(list(JournalFilter { workspace: Some("/v".into()), ..filter(9) }).await, []);
}

async fn what_does_not_exist_is_not_found(store: Store) {
    let missing =
        |e: JournalError| assert!(matches!(&e, JournalError::NotFound(n) if *n == id(9).to_string()), "{e:?}");
    missing(store.claim(id(9), "x").await.map(drop).unwrap_err());
    missing(store.records(id(9), 0, 1).await.unwrap_err());
    missing(store.info(id(9)).await.unwrap_err());
    missing(store.request_cancel(id(9)).await.unwrap_err());
    missing(store.delete(id(9)).await.unwrap_err());
}

async fn delete_and_prune_spare_what_goes_on(store: Store) {
    let held = create(&store, 1).await;
    append(&store, &*held, 0, RunStatus::Completed).await.unwrap();
    for (n, status) in [(2, RunStatus::Completed), (3, RunStatus::Waiting), (4, RunStatus::Failed)] {
        let claim = create(&store, n).await;
        append(&store, &*claim, 0, status).await.unwrap();
    }
    assert!(matches!(store.delete(id(1)).await, Err(JournalError::Conflict { .. })));
    assert_eq!(store.prune(at(3)).await.unwrap(), 0, "not old enough");
    assert_eq!(store.prune(at(4)).await.unwrap(), 2);
    let filter = JournalFilter { limit: 9, ..JournalFilter::default() };
    let mut left: Vec<_> = store.list(&filter).await.unwrap().iter().map(|i| i.id).collect();
    left.sort();
    assert_eq!(left, [1, 3].map(id));
    store.delete(id(3)).await.unwrap();
    assert!(store.info(id(3)).await.is_err());
}

async fn a_cancel_is_asked_for_from_outside(store: Store) {
    let claim = create(&store, 1).await;
    store.request_cancel(id(1)).await.unwrap();
    assert!(store.info(id(1)).await.unwrap().cancel_requested);
    append(&store, &*claim, 0, RunStatus::Cancelled).await.unwrap();
}

async fn create(store: &Store, n: i64) -> Box<dyn JournalClaim> {
    let new =
        NewJournal { id: id(n), name: "flow".into(), owner: "local".into(), workspace: Some("/w".into()), at: at(1) };
    store.create(new, "test").await.unwrap()
}

async fn append(store: &Store, claim: &dyn JournalClaim, seq: u64, status: RunStatus) -> Result<u64, JournalError> {
    store.append(claim, seq, at(3), vec![record("done", "{\"a\":1}")], summary(status)).await
}

fn record(kind: &'static str, json: &str) -> NewRecord {
    NewRecord { kind: kind.into(), json: json.into() }
}

fn summary(status: RunStatus) -> Summary {
    Summary { status, wake_at: None, snapshot: 0, json: "{\"n\":1}".into() }
}

fn id(n: i64) -> RunId {
    RunId(Uuid::from_u128(u128::try_from(n).unwrap()))
}

fn at(n: i64) -> Timestamp {
    Timestamp::from_micros(n)
}
