//! Appends a second, and how long one takes, for 1 and for 64 callers at once.
//! An item is one acknowledged append of one message.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use victor_core::id::{SessionId, Timestamp};
use victor_core::message::Message;
use victor_core::session::{Claim, Entry, NewSession, SessionStore};
use victor_store::{Options, SqliteStore};

/// Appends of each caller in one sample.
const APPENDS: u64 = 200;

fn main() {
    divan::main();
}

struct Bench {
    runtime: Runtime,
    store: Arc<SqliteStore>,
    _folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("victor.db"), Options::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        Self { runtime, store: Arc::new(store), _folder: folder }
    }

    fn claims(&self, callers: usize) -> Vec<Arc<dyn Claim>> {
        let claims = (0..callers).map(async |n| {
            let id: SessionId = format!("s{n}").parse().unwrap();
            let at = Timestamp::from_micros(1);
            self.store.create(NewSession { id: id.clone(), owner: "local".into(), workspace: None, at }).await.unwrap();
            Arc::from(self.store.claim(&id, "bench").await.unwrap())
        });
        self.runtime.block_on(futures::future::join_all(claims))
    }
}

#[divan::bench(args = [1, 64], sample_count = 20)]
fn append(bencher: Bencher<'_, '_>, callers: usize) {
    let bench = Bench::new();
    let claims = bench.claims(callers);
    let message = Arc::new(Message::user(
        "What a message of ordinary length says, in about one hundred characters, more or less.",
    ));
    let mut written = 0;
    bencher.counter(ItemsCount::new(callers as u64 * APPENDS)).bench_local(|| {
        bench.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for claim in &claims {
                let (store, claim, message) = (Arc::clone(&bench.store), Arc::clone(claim), Arc::clone(&message));
                tasks.spawn(async move {
                    for seq in written..written + APPENDS {
                        let entry = Entry::Message { message: Arc::clone(&message) };
                        store.append(&*claim, seq, Timestamp::from_micros(2), vec![entry]).await.unwrap();
                    }
                });
            }
            tasks.join_all().await;
        });
        written += APPENDS;
    });
}
