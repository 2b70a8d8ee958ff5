//! A pull whose future is dropped: what still runs keeps the lock and ends soon, and nothing large stays.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use victor_local::weights::{Call, Convert, Ended, Runner};

use crate::server::Server;
use crate::world::{World, model, package};

/// An engine that converts until it is let go, and tells whether it was asked to end.
struct Slow {
    begun: Arc<Notify>,
    go_on: Mutex<Receiver<()>>,
    asked_to_end: SyncSender<bool>,
}

impl Convert for Slow {
    fn needs(&self, _: &Path) -> Result<bool, String> {
        Ok(true)
    }

    fn convert(&self, _: &Path, target: &Path, stop: &CancellationToken) -> Result<(), String> {
        std::fs::write(target, b"GGUF half").unwrap();
        self.begun.notify_one();
        self.go_on.lock().unwrap().recv().unwrap();
        self.asked_to_end.send(stop.is_cancelled()).unwrap();
        Err("given up".to_owned())
    }
}

#[tokio::test]
async fn the_lock_is_held_until_the_work_has_really_ended() {
    let server = Server::start(model());
    let mut world = World::serving(server.address());
    let ((let_go, go_on), (asked_to_end, asked)) = (sync_channel(1), sync_channel(1));
    let begun = Arc::new(Notify::new());
    world.means.convert = Arc::new(Slow { begun: Arc::clone(&begun), go_on: Mutex::new(go_on), asked_to_end });
    tokio::select! {
        _ = world.pull() => panic!("it ended"),
        () = begun.notified() => {}
    }
    let error = world.weights().remove("tiny").unwrap_err().to_string();
    assert!(error.contains("is being fetched"), "{error}");
    let_go.send(()).unwrap();
    assert!(asked.recv().unwrap(), "nobody told it that nobody waits");
    // Now it ends, and the lock with it.
    while world.weights().remove("tiny").is_err() {
        tokio::task::yield_now().await;
    }
    assert!(!world.models().join("tiny").exists());
}

/// A `pip` that begins to write and does not end.
struct Endless(Arc<Notify>);

#[async_trait::async_trait]
impl Runner for Endless {
    async fn run(&self, call: &Call) -> std::io::Result<Ended> {
        std::fs::write(call.temporary.join("x.whl"), [0; 1000]).unwrap();
        self.0.notify_one();
        std::future::pending().await
    }
}

#[tokio::test]
async fn what_a_program_wrote_goes_with_it() {
    let mut world = World::new(vec![package()]);
    let begun = Arc::new(Notify::new());
    world.means.runner = Arc::new(Endless(Arc::clone(&begun)));
    tokio::select! {
        _ = world.pull() => panic!("it ended"),
        () = begun.notified() => {}
    }
    assert!(!world.models().join("tiny/package").exists());
}
