//! Schedules: each time once, whoever follows and wherever one ends; missed times, overlaps, history.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

mod disk;
mod room;
mod several;
mod strange;
#[path = "../support/mod.rs"]
mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use disk::{Disk, ENDS_AFTER, ENDS_BEFORE, FULL, NONE, key, schedule};
use serde_json::json;
use victor_core::id::{RunId, Timestamp};
use victor_core::journal::RunStatus;
use victor_core::runtime::Runtime;
use victor_core::schedule::{DueStatus, DueTime, ScheduleMark, ScheduleStep, ScheduleStore as _};
use victor_workflow::Workflows;
use victor_workflow::options::RunOptions;
use victor_workflow::schedule::{Missed, Overlap, Schedule, Scheduler};

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Begins a test 5 seconds after a full minute.
async fn begin(runtime: &Runtime) {
    let second = runtime.clock().now().as_micros().div_euclid(1_000_000).rem_euclid(60);
    pass(u64::try_from(65 - second).unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn each_time_is_run_once_and_noted() {
    let disk = Disk::default();
    let (runtime, scheduler) = disk.server(vec![schedule("*/10 * * * * *")]);
    begin(&runtime).await;
    let following = scheduler.clone();
    runtime.spawn(async move { following.follow().await });
    pass(32).await;
    let came = disk.came().await;
    assert_eq!(came.iter().map(|d| d.status).collect::<Vec<_>>(), [DueStatus::Started; 3]);
    let seconds: Vec<i64> = came.iter().map(|d| d.scheduled_at.as_micros() / 1_000_000 % 60).collect();
    assert_eq!(seconds, [10, 20, 30]);
    assert!(came.iter().all(|d| d.at.since(d.scheduled_at) < Duration::from_millis(600)), "{came:?}");
    let runs = disk.runs().await;
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|run| run.status == RunStatus::Completed && run.owner == "schedule:tick"), "{runs:?}");
    let mut ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
    ids.sort();
    assert_eq!(ids, came.iter().map(|d| d.run.unwrap()).collect::<Vec<_>>(), "ids sort by their times");
    let states = scheduler.list(2).await.unwrap();
    assert_eq!((states.len(), states[0].last.len(), states[0].next.len()), (1, 2, 5));
    assert_eq!((states[0].last[0].run_status, &states[0].problem), (Some(RunStatus::Completed), &None));
    assert!(runtime.shutdown(Duration::from_secs(5)).await, "it hears of the shutdown");
    pass(60).await;
    assert_eq!(disk.runs().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_begin_is_told_and_noted() {
    let disk = Disk::default();
    let unknown = Schedule { workflow: "cuont".into(), ..schedule("* * * * *") };
    let (_runtime, scheduler) = disk.server(vec![unknown.clone()]);
    let told = scheduler.problems();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("config.yaml:3: schedules.tick.workflow: ") && told[0].contains("did you mean `count`")
    );
    disk.serve(vec![unknown], 70).await;
    let came = disk.came().await;
    assert_eq!(came[0].status, DueStatus::Failed);
    assert!(came[0].reason.as_deref().unwrap().contains("cuont"), "{came:?}");
    assert!(disk.runs().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn times_that_nobody_followed_are_noted_once() {
    let disk = Disk::default();
    disk.serve(vec![schedule("* * * * *")], 125).await;
    let ran = disk.runs().await.len();
    assert_eq!(ran, 2);
    pass(600).await;
    disk.serve(vec![schedule("* * * * *")], 5).await;
    disk.serve(vec![schedule("* * * * *")], 5).await;
    let came = disk.came().await;
    let last = came.last().unwrap();
    assert_eq!((last.status, last.times, last.run), (DueStatus::Missed, 10, None), "{came:?}");
    assert_eq!(last.scheduled_at.since(last.since), Duration::from_mins(9));
    assert!(last.reason.as_deref().unwrap().starts_with("10 times passed while no server"));
    assert_eq!(disk.runs().await.len(), ran);
}

#[tokio::test(start_paused = true)]
async fn one_run_makes_up_for_all_missed_times() {
    let disk = Disk::default();
    let schedules = vec![Schedule { missed: Missed::RunOnce, ..schedule("*/5 * * * *") }];
    disk.serve(schedules.clone(), 10).await;
    assert!(disk.came().await.is_empty(), "a new schedule has missed nothing");
    pass(3600).await;
    for _ in 0..3 {
        disk.serve(schedules.clone(), 3).await;
    }
    assert_eq!(disk.statuses().await, [(DueStatus::Started, 12)]);
    let came = disk.came().await;
    assert!(came[0].reason.as_deref().unwrap().contains("this run makes up for it"), "{came:?}");
    assert_eq!(disk.runs().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_year_of_missed_seconds_is_counted_in_no_time() {
    let disk = Disk::default();
    let schedules = vec![Schedule { missed: Missed::RunOnce, ..schedule("* * * * * *") }];
    let (runtime, _) = disk.server(schedules.clone());
    let now = runtime.clock().now();
    let year = Timestamp::from_micros(now.as_micros() - 365 * 86_400_000_000);
    let to = ScheduleMark { until: year, rule: "* * * * * * UTC".into() };
    assert!(disk.schedules.step(&key(), ScheduleStep { from: None, to, due: None, replaces: None }).await.unwrap());
    disk.serve(schedules, 2).await;
    let came = disk.came().await;
    assert_eq!((came[0].status, came[0].times), (DueStatus::Started, 1000));
    assert!(came[0].reason.as_deref().unwrap().starts_with("1000 times or more"), "{came:?}");
    assert!(now.since(came[0].scheduled_at) < Duration::from_secs(2), "{came:?}");
}

#[tokio::test(start_paused = true)]
async fn a_time_does_not_begin_a_run_while_the_one_before_waits() {
    let disk = Disk::default();
    let gate = Schedule { workflow: "gate".into(), ..schedule("*/10 * * * * *") };
    let (runtime, scheduler) = disk.server(vec![gate.clone()]);
    begin(&runtime).await;
    runtime.spawn(async move { scheduler.follow().await });
    pass(300).await;
    assert_eq!(disk.statuses().await, [(DueStatus::Started, 1), (DueStatus::Skipped, 29)]);
    let came = disk.came().await;
    assert!(came[1].reason.as_deref().unwrap().ends_with("waits for an answer") && came[1].run == came[0].run);
    let run = came[0].run.unwrap();
    let answers = vec![("ok".to_owned(), json!(true))];
    Workflows::of(&runtime).resume(run, answers, RunOptions::default()).await.unwrap().detach();
    pass(10).await;
    let statuses = disk.statuses().await;
    assert_eq!(statuses, [(DueStatus::Started, 1), (DueStatus::Skipped, 29), (DueStatus::Started, 1)]);

    let both = Disk::default();
    let gate = Schedule { overlap: Overlap::Allow, ..gate };
    both.serve(vec![gate], 41).await;
    assert_eq!(both.runs().await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn two_servers_run_each_time_once() {
    let disk = Disk::default();
    let servers: Vec<(Runtime, Scheduler)> = (0..3).map(|_| disk.server(vec![schedule("*/10 * * * * *")])).collect();
    begin(&servers[0].0).await;
    for (runtime, scheduler) in &servers {
        let scheduler = scheduler.clone();
        runtime.spawn(async move { scheduler.follow().await });
    }
    pass(600).await;
    assert_eq!(disk.statuses().await, [(DueStatus::Started, 1); 60]);
    assert_eq!(disk.runs().await.len(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_decision_and_run_neither_loses_nor_doubles_it() {
    for fault in [ENDS_BEFORE, ENDS_AFTER] {
        let disk = Disk::default();
        disk.faults.store(fault, Ordering::Relaxed);
        disk.serve(vec![schedule("* * * * *")], 65).await;
        assert_eq!(disk.statuses().await, [(DueStatus::Starting, 1)], "{fault}");
        disk.faults.store(NONE, Ordering::Relaxed);
        let servers: Vec<(Runtime, Scheduler)> = (0..2).map(|_| disk.server(vec![schedule("0 0 1 1 *")])).collect();
        let (first, second) = (Box::pin(servers[0].1.follow()), Box::pin(servers[1].1.follow()));
        let _ = tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(first, second) }).await;
        assert_eq!(disk.statuses().await, [(DueStatus::Started, 1)], "{fault}");
        let runs = disk.runs().await;
        assert_eq!(runs.iter().map(|r| r.status).collect::<Vec<_>>(), [RunStatus::Completed], "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_begin_any_more_leaves_no_journal_behind() {
    let disk = Disk::default();
    disk.faults.store(ENDS_AFTER, Ordering::Relaxed);
    disk.serve(vec![schedule("* * * * *")], 65).await;
    assert_eq!(disk.runs().await.len(), 1);
    disk.faults.store(NONE, Ordering::Relaxed);
    disk.serve(vec![Schedule { workflow: "gate".into(), ..schedule("0 0 1 1 *") }], 30).await;
    assert_eq!(disk.statuses().await, [(DueStatus::Failed, 1)]);
    assert!(disk.runs().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_the_run_began_does_not_begin_it_again() {
    let disk = Disk::default();
    disk.serve(vec![schedule("* * * * *")], 65).await;
    let ran = disk.came().await.remove(0);
    // As if the note that it began had not been kept.
    let mark = disk.schedules.mark(&key()).await.unwrap().unwrap();
    let step = |due, replaces| ScheduleStep { from: Some(mark.clone()), to: mark.clone(), due, replaces };
    let elsewhere = DueTime { scheduled_at: Timestamp::from_micros(1), ..ran.clone() };
    let open = DueTime { status: DueStatus::Starting, ..ran.clone() };
    for (due, replaces) in [(elsewhere, ran.scheduled_at), (open, Timestamp::from_micros(1))] {
        assert!(disk.schedules.step(&key(), step(Some(due), Some(replaces))).await.unwrap());
    }
    assert_eq!(disk.statuses().await, [(DueStatus::Starting, 1)]);
    disk.serve(vec![schedule("* * * * *")], 20).await;
    assert_eq!(disk.statuses().await, [(DueStatus::Started, 1)]);
    assert_eq!(disk.runs().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_while_costs_no_time_of_the_schedule() {
    let disk = Disk::default();
    let (runtime, scheduler) = disk.server(vec![schedule("* * * * *")]);
    begin(&runtime).await;
    disk.faults.store(FULL, Ordering::Relaxed);
    runtime.spawn(async move { scheduler.follow().await });
    pass(62).await;
    assert_eq!(disk.statuses().await, [(DueStatus::Starting, 1)]);
    disk.faults.store(NONE, Ordering::Relaxed);
    pass(20).await;
    assert_eq!(disk.statuses().await, [(DueStatus::Started, 1)]);
    pass(60).await;
    assert_eq!(disk.statuses().await, [(DueStatus::Started, 1); 2]);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_has_missed_what_was_due() {
    let disk = Disk::default();
    let (runtime, scheduler) = disk.server(vec![schedule("* * * * *")]);
    begin(&runtime).await;
    let since = runtime.clock().now();
    scheduler.look(since).await;
    pass(600).await;
    assert!(scheduler.look(since).await <= Duration::from_mins(1));
    assert_eq!(disk.statuses().await, [(DueStatus::Missed, 9), (DueStatus::Started, 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_new_changed_or_switched_on_begins_now() {
    let disk = Disk::default();
    disk.serve(vec![schedule("* * * * *")], 5).await;
    pass(600).await;
    disk.serve(vec![schedule("*/2 * * * *")], 5).await;
    assert!(disk.came().await.is_empty(), "another expression was not there to be missed");
    pass(600).await;
    disk.serve(vec![Schedule { enabled: false, ..schedule("*/2 * * * *") }], 600).await;
    disk.serve(vec![schedule("*/2 * * * *")], 5).await;
    assert!(disk.came().await.is_empty(), "nor while it was switched off");
    let ahead = Timestamp::from_micros(support::runtime().clock().now().as_micros() + 400 * 86_400_000_000);
    let from = disk.schedules.mark(&key()).await.unwrap();
    let to = ScheduleMark { until: ahead, rule: from.clone().unwrap().rule };
    assert!(disk.schedules.step(&key(), ScheduleStep { from, to, due: None, replaces: None }).await.unwrap());
    disk.serve(vec![schedule("*/2 * * * *")], 125).await;
    assert_eq!(disk.statuses().await, [(DueStatus::Started, 1)], "a clock that was wrong does not stop it for good");
}

#[tokio::test(start_paused = true)]
async fn the_history_is_bounded_and_old_runs_go_with_it() {
    let disk = Disk::default();
    disk.serve(vec![schedule("*/2 * * * * *")], 300).await;
    let came = disk.came().await;
    assert_eq!(came.len(), 100);
    let mut kept: Vec<RunId> = disk.runs().await.iter().map(|run| run.id).collect();
    kept.sort();
    assert_eq!(kept, came.iter().map(|d| d.run.unwrap()).collect::<Vec<_>>());
}
