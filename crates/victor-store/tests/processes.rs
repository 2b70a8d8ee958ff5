//! Several processes and many callers on one file. The second process is this test program itself, told by an
//! environment variable what to be.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use tokio::task::JoinSet;
use victor_core::error::SessionError;
use victor_core::id::{SessionId, Timestamp};
use victor_core::message::Message;
use victor_core::session::{Entry, NewSession, SessionStore};
use victor_store::{Options, SqliteStore};

/// Names the database to a process that is to be the writer.
const WRITER: &str = "VICTOR_TEST_WRITER";

/// Not a test of its own: started by the tests below as another process, it appends until it is killed and prints
/// each place that was acknowledged.
#[tokio::test]
async fn writer() {
    #[expect(clippy::disallowed_methods, reason = "the way to tell a test program what to be")]
    let Some(path) = std::env::var_os(WRITER) else { return };
    let store = open(Path::new(&path));
    let claim = store.claim(&id("s"), "the writer").await.unwrap();
    let mut seq = claim.last_seq();
    loop {
        seq = store.append(&*claim, seq, at(2), vec![said("x"), said("y")]).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {seq}").unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn a_second_process_gets_a_conflict_and_a_killed_one_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("victor.db");
    let store = open(&path);
    create(&store, "s").await;
    create(&store, "mine").await;
    let mine = store.claim(&id("mine"), "this process").await.unwrap();
    let mut expected = 0;
    for round in 1..=5_u64 {
        let (mut other, mut lines) = start_writer(&path);
        let mut acknowledged = next(&mut lines);
        let Err(SessionError::Conflict { holder, .. }) = store.claim(&id("s"), "second").await else {
            panic!("claimed twice")
        };
        assert!(holder.contains("the writer") && holder.contains(&other.id().to_string()), "{holder}");
        assert!(matches!(store.delete(&id("s")).await, Err(SessionError::Conflict { .. })));
        // Both write to the file, each to its own session.
        assert_eq!(store.append(&*mine, round - 1, at(3), vec![said("z")]).await.unwrap(), round);
        for _ in 0..20 * round {
            acknowledged = next(&mut lines);
        }
        other.kill().unwrap();
        let claim = loop {
            match store.claim(&id("s"), "after").await {
                Ok(claim) => break claim,
                // The signal is on its way.
                Err(SessionError::Conflict { .. }) => tokio::task::yield_now().await,
                Err(e) => panic!("{e}"),
            }
        };
        other.wait().unwrap();
        while let Some(line) = line(&mut lines) {
            acknowledged = line;
        }
        assert!(claim.last_seq() >= acknowledged, "{} < {acknowledged}", claim.last_seq());
        assert_eq!(claim.last_seq() % 2, 0, "all entries of an append or none");
        assert!(acknowledged > expected);
        expected = store.append(&*claim, claim.last_seq(), at(4), vec![said("a"), said("b")]).await.unwrap();
        let log = store.entries(&id("s"), 0, usize::MAX).await.unwrap();
        assert_eq!(log.iter().map(|e| e.seq).collect::<Vec<_>>(), (1..=expected).collect::<Vec<_>>());
        assert_eq!(store.info(&id("s")).await.unwrap().message_count, expected);
        // Claims are given back by the writing thread, in its order: what is answered now comes after that.
        drop(claim);
        store.check().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_on_two_stores_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("victor.db");
    // Two stores of one file, both of which make it: as two processes do that start at the same moment.
    let stores = [Arc::new(open(&path)), Arc::new(open(&path))];
    let mut callers = JoinSet::new();
    for n in 0..64_usize {
        let store = Arc::clone(&stores[n % 2]);
        callers.spawn(async move {
            let name = format!("s{n}");
            create(&store, &name).await;
            let claim = store.claim(&id(&name), "caller").await.unwrap();
            for seq in 0..50 {
                assert_eq!(store.append(&*claim, seq, at(2), vec![said(&name)]).await.unwrap(), seq + 1);
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    for n in 0..64 {
        let name = format!("s{n}");
        let log = stores[(n + 1) % 2].entries(&id(&name), 0, usize::MAX).await.unwrap();
        assert_eq!(log.len(), 50);
        assert!(log.iter().all(|e| e.entry == said(&name)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_claim_at_once_one_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("victor.db");
    let stores = [Arc::new(open(&path)), Arc::new(open(&path))];
    create(&stores[0], "s").await;
    let mut callers = JoinSet::new();
    for n in 0..32 {
        let store = Arc::clone(&stores[n % 2]);
        callers.spawn(async move { store.claim(&id("s"), &format!("caller {n}")).await });
    }
    let claims: Vec<_> = callers.join_all().await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(claims.len(), 1);
}

fn start_writer(path: &Path) -> (Child, impl BufRead) {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program)
        .args(["--exact", "writer", "--nocapture"])
        .env(WRITER, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (child, lines)
}

/// The next place that the writer says was acknowledged.
fn next(lines: &mut impl BufRead) -> u64 {
    line(lines).unwrap()
}

fn line(lines: &mut impl BufRead) -> Option<u64> {
    loop {
        let mut text = String::new();
        if lines.read_line(&mut text).unwrap() == 0 {
            return None;
        }
        // The test harness prints lines of its own; a killed writer may leave half a line.
        if let Some(place) = text.strip_suffix('\n').and_then(|t| t.split("acknowledged ").nth(1)) {
            return Some(place.parse().unwrap());
        }
    }
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Options::default()).unwrap()
}

async fn create(store: &SqliteStore, name: &str) {
    store.create(NewSession { id: id(name), owner: "local".into(), workspace: None, at: at(1) }).await.unwrap();
}

fn id(name: &str) -> SessionId {
    name.parse().unwrap()
}

fn at(n: i64) -> Timestamp {
    Timestamp::from_micros(n)
}

fn said(text: &str) -> Entry {
    Entry::Message { message: Arc::new(Message::user(text)) }
}
