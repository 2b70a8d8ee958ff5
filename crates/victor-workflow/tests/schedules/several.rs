//! Several servers of one folder: one hangs or ends, another is configured differently.

use std::collections::BTreeSet;

use victor_core::journal::RunStatus;
use victor_core::schedule::DueStatus;
use victor_workflow::schedule::{Overlap, Schedule};

use super::disk::{Disk, HANGS, NONE, schedule};
use super::{begin, pass};

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_with_the_journal_in_its_hands_costs_no_run() {
    let disk = Disk::default();
    begin(&disk.server(Vec::new()).0).await;
    let (hanging, other) = (disk.of_a_server_with(HANGS), disk.of_a_server_with(NONE));
    let yearly = || vec![schedule("0 0 1 1 *")];
    // It decides, takes the run's id, hangs before the first record, and ends after 90 seconds.
    let ends = hanging.serve(vec![schedule("* * * * *")], 90);
    // Another server looks at it meanwhile: it can neither begin the run nor say that it has begun.
    let looks = async {
        pass(60).await;
        other.serve(yearly(), 20).await;
        let [info] = &disk.runs().await[..] else { panic!("{:?}", disk.runs().await) };
        assert_eq!((info.last_seq, info.holder.is_some()), (0, true));
        assert_eq!(disk.statuses().await, [(DueStatus::Starting, 1)]);
    };
    tokio::join!(ends, looks);
    other.serve(yearly(), 20).await;
    assert_eq!(disk.statuses().await, [(DueStatus::Started, 1)]);
    assert_eq!(disk.runs().await.iter().map(|r| r.status).collect::<Vec<_>>(), [RunStatus::Completed]);
}

#[tokio::test(start_paused = true)]
async fn a_server_with_other_schedules_costs_no_time_of_this_one() {
    let disk = Disk::default();
    let (runtime, scheduler) = disk.server(vec![schedule("* * * * *")]);
    begin(&runtime).await;
    runtime.spawn(async move { scheduler.follow().await });
    for _ in 0..5 {
        pass(30).await;
        // It knows nothing of `tick`, and begins and ends shortly before the next time.
        let other = Schedule { name: "tock".into(), ..schedule("0 0 1 1 *") };
        disk.serve(vec![other], 10).await;
        pass(20).await;
    }
    assert_eq!(disk.statuses().await, [(DueStatus::Started, 1); 5]);
}

#[tokio::test(start_paused = true)]
async fn of_one_schedule_at_different_times_each_server_keeps_its_own() {
    let disk = Disk::default();
    let allowed = |cron: &str| Schedule { overlap: Overlap::Allow, ..schedule(cron) };
    let servers = [disk.server(vec![allowed("*/10 * * * * *")]), disk.server(vec![allowed("*/15 * * * * *")])];
    begin(&servers[0].0).await;
    for (runtime, scheduler) in &servers {
        let scheduler = scheduler.clone();
        runtime.spawn(async move { scheduler.follow().await });
    }
    pass(62).await;
    let second = |d: &victor_core::schedule::DueTime| d.scheduled_at.as_micros() / 1_000_000 % 60;
    let came = disk.came().await;
    assert!(came.iter().all(|d| d.status == DueStatus::Started), "{came:?}");
    let seconds: BTreeSet<i64> = came.iter().map(second).collect();
    assert_eq!(seconds.into_iter().collect::<Vec<_>>(), [0, 10, 15, 20, 30, 40, 45, 50]);
    assert_eq!((came.len(), disk.runs().await.len()), (8, 8));
}
