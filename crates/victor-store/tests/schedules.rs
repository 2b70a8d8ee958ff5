//! What every store of schedules must do: the same cases for SQLite and for memory.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

mod support;

use std::sync::Arc;

use support::stores;
use uuid::Uuid;
use victor_core::id::{RunId, Timestamp};
use victor_core::memory_schedules::MemorySchedules;
use victor_core::schedule::{DueStatus, DueTime, ScheduleKey, ScheduleMark, ScheduleStep, ScheduleStore};

type Store = Arc<dyn ScheduleStore>;

stores!(
    MemorySchedules,
    [
        a_step_is_taken_once,
        a_time_has_one_entry,
        what_began_is_settled_once,
        others_are_forgotten_by_folder,
        old_entries_go_but_not_the_latest_run,
    ]
);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn key(workspace: &str) -> ScheduleKey {
    ScheduleKey { workspace: workspace.into(), name: "nightly".into() }
}

fn mark(seconds: i64) -> ScheduleMark {
    ScheduleMark { until: at(seconds), rule: "@daily UTC".into() }
}

fn due(seconds: i64, status: DueStatus) -> DueTime {
    DueTime {
        scheduled_at: at(seconds),
        since: at(seconds - 1),
        times: 2,
        status,
        at: at(seconds + 1),
        run: Some(RunId(Uuid::from_u128(u128::from(seconds.unsigned_abs())))),
        reason: Some("two \u{1F980}".into()),
    }
}

fn step(from: Option<i64>, to: i64, due: Option<DueTime>) -> ScheduleStep {
    ScheduleStep { from: from.map(mark), to: mark(to), due, replaces: None }
}

async fn a_step_is_taken_once(store: Store) {
    let key = key("/w");
    assert_eq!(store.mark(&key).await.unwrap(), None);
    assert!(store.step(&key, step(None, 10, None)).await.unwrap());
    assert!(!store.step(&key, step(None, 11, None)).await.unwrap(), "somebody was first");
    let first = due(20, DueStatus::Starting);
    assert!(store.step(&key, step(Some(10), 20, Some(first.clone()))).await.unwrap());
    assert!(!store.step(&key, step(Some(10), 20, Some(due(20, DueStatus::Missed)))).await.unwrap());
    assert_eq!(store.mark(&key).await.unwrap(), Some(mark(20)));
    assert_eq!(store.due_times(&key, 9).await.unwrap(), std::slice::from_ref(&first));
    let changed = ScheduleMark { rule: "@hourly UTC".into(), ..mark(20) };
    let other = ScheduleStep { from: Some(changed), ..step(None, 30, None) };
    assert!(!store.step(&key, other).await.unwrap(), "another rule");
    let skipped = due(30, DueStatus::Skipped);
    let instead = ScheduleStep { replaces: Some(at(20)), ..step(Some(20), 30, Some(skipped.clone())) };
    assert!(store.step(&key, instead).await.unwrap());
    assert_eq!(store.due_times(&key, 9).await.unwrap(), [skipped]);
}

async fn a_time_has_one_entry(store: Store) {
    let key = key("/w");
    let ran = due(20, DueStatus::Started);
    assert!(store.step(&key, step(None, 20, Some(ran.clone()))).await.unwrap());
    assert!(store.step(&key, step(Some(20), 10, None)).await.unwrap(), "the clock went back");
    assert!(!store.step(&key, step(Some(10), 20, Some(due(20, DueStatus::Starting)))).await.unwrap());
    assert_eq!(store.due_times(&key, 9).await.unwrap(), [ran]);
    assert_eq!(store.mark(&key).await.unwrap(), Some(mark(20)), "it is followed further");
}

async fn what_began_is_settled_once(store: Store) {
    let key = key("/w");
    store.step(&key, step(None, 20, Some(due(20, DueStatus::Starting)))).await.unwrap();
    store.step(&key, step(Some(20), 30, Some(due(30, DueStatus::Starting)))).await.unwrap();
    let open = store.unsettled("/w").await.unwrap();
    assert_eq!(
        open.iter().map(|(name, due)| (name.as_str(), due.scheduled_at)).collect::<Vec<_>>(),
        [("nightly", at(20)), ("nightly", at(30))]
    );
    assert!(store.unsettled("/other").await.unwrap().is_empty());
    store.settle(&key, at(20), DueStatus::Started, at(25), None).await.unwrap();
    store.settle(&key, at(20), DueStatus::Failed, at(26), Some("late".into())).await.unwrap();
    store.settle(&key, at(30), DueStatus::Failed, at(31), Some("no".into())).await.unwrap();
    let said: Vec<_> =
        store.due_times(&key, 9).await.unwrap().into_iter().map(|d| (d.status, d.at, d.reason.unwrap())).collect();
    let expected = [(DueStatus::Failed, at(31), "no".to_owned()), (DueStatus::Started, at(25), "two \u{1F980}".into())];
    assert_eq!(said, expected);
    assert!(store.unsettled("/w").await.unwrap().is_empty());
}

async fn others_are_forgotten_by_folder(store: Store) {
    for folder in ["/a", "/b"] {
        store.step(&key(folder), step(None, 10, Some(due(10, DueStatus::Missed)))).await.unwrap();
    }
    store.retain("/a", &["nightly".into()]).await.unwrap();
    store.retain("/b", &["weekly".into()]).await.unwrap();
    assert_eq!(store.mark(&key("/a")).await.unwrap(), Some(mark(10)));
    assert_eq!(store.mark(&key("/b")).await.unwrap(), None);
    assert_eq!(store.due_times(&key("/b"), 9).await.unwrap().len(), 1, "what came of it stays");
}

async fn old_entries_go_but_not_the_latest_run(store: Store) {
    let key = key("/w");
    let mut from = None;
    let statuses = [DueStatus::Started, DueStatus::Started, DueStatus::Skipped, DueStatus::Missed, DueStatus::Failed];
    for (n, status) in (1..).zip(statuses) {
        store.step(&key, step(from, n * 10, Some(due(n * 10, status)))).await.unwrap();
        from = Some(n * 10);
    }
    assert!(store.trim(&key, 5).await.unwrap().is_empty());
    assert_eq!(store.trim(&key, 2).await.unwrap(), [RunId(Uuid::from_u128(10))], "the run of what was skipped stays");
    let left: Vec<_> = store.due_times(&key, 9).await.unwrap().into_iter().map(|d| d.scheduled_at).collect();
    assert_eq!(left, [at(50), at(40), at(20)]);
    assert_eq!(store.due_times(&key, 1).await.unwrap()[0].scheduled_at, at(50));
}
