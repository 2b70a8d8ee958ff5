//! A server that takes so many runs at once: scheduled ones count among them.

use std::sync::Arc;

use tokio::sync::Semaphore;
use victor_core::schedule::DueStatus;
use victor_workflow::schedule::{Missed, Place, Room, Schedule};

use super::disk::{Disk, schedule};
use super::{begin, pass};

struct Places(Arc<Semaphore>);

impl Room for Places {
    fn enter(&self) -> Option<Place> {
        Arc::clone(&self.0).try_acquire_owned().ok().map(|permit| Box::new(permit) as Place)
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_waits_for_room_and_is_missed_where_none_comes() {
    for missed in [Missed::Skip, Missed::RunOnce] {
        let disk = Disk::default();
        let room = Arc::new(Semaphore::new(1));
        let (runtime, scheduler) = disk.server(vec![Schedule { missed, ..schedule("*/5 * * * *") }]);
        let scheduler = scheduler.in_room(Arc::new(Places(Arc::clone(&room))));
        begin(&runtime).await;
        let follows = runtime.clone();
        follows.spawn(async move { scheduler.follow().await });
        pass(5 * 60).await;
        assert_eq!(disk.statuses().await, [(DueStatus::Started, 1)]);
        assert_eq!(room.available_permits(), 1, "the place was not given back");
        // Somebody else takes it over the next time, for half a minute.
        let now = || runtime.clock().now().as_micros() / 1_000_000;
        let other = Arc::clone(&room).acquire_owned().await.unwrap();
        pass(u64::try_from(300 - now().rem_euclid(300) + 30).unwrap()).await;
        assert_eq!(disk.came().await.len(), 1, "it began without room");
        drop(other);
        pass(2).await;
        let came = disk.came().await;
        assert_eq!(disk.statuses().await, [(DueStatus::Started, 1); 2]);
        assert!(came[1].at.since(came[1].scheduled_at).as_secs() >= 30, "{came:?}");
        // And over the one after that, for longer than a time waits.
        let other = Arc::clone(&room).acquire_owned().await.unwrap();
        pass(u64::try_from(300 - now().rem_euclid(300) + 90).unwrap()).await;
        drop(other);
        pass(2).await;
        let last = disk.came().await.pop().unwrap();
        let status = if missed == Missed::Skip { DueStatus::Missed } else { DueStatus::Started };
        assert_eq!((disk.came().await.len(), last.status), (3, status));
        assert!(last.reason.as_deref().unwrap().contains("no room for another run (`server.max_runs`)"), "{last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_people_takes_no_room() {
    let disk = Disk::default();
    let room = Arc::new(Semaphore::new(1));
    let gate = Schedule { workflow: "gate".into(), ..schedule("* * * * *") };
    let (runtime, scheduler) = disk.server(vec![gate]);
    let scheduler = scheduler.in_room(Arc::new(Places(Arc::clone(&room))));
    begin(&runtime).await;
    runtime.spawn(async move { scheduler.follow().await });
    pass(60).await;
    assert_eq!(disk.statuses().await, [(DueStatus::Started, 1)]);
    assert_eq!(room.available_permits(), 1);
}
