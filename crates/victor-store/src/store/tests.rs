//! The file itself: how it is made, and what happens when it cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;
use victor_core::id::{CallId, RunId};
use victor_core::message::Message;
use victor_core::session::SavedFile;

use super::*;
use crate::Durability;

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("victor.db")
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.path(), Options::default()).unwrap()
    }

    fn raw(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
}

fn id(name: &str) -> SessionId {
    name.parse().unwrap()
}

fn new(name: &str) -> NewSession {
    NewSession { id: id(name), owner: "local".into(), workspace: None, at: Timestamp::from_micros(1) }
}

fn said(text: impl Into<String>) -> Entry {
    Entry::Message { message: Arc::new(Message::user(text)) }
}

fn message(answer: Result<(), SessionError>) -> String {
    answer.unwrap_err().to_string()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_first_call_makes_private_files_and_close_leaves_one() {
    let bench = Bench::new();
    let path = bench.folder.path().join("a/b/victor.db");
    let store = SqliteStore::open(&path, Options::default()).unwrap();
    assert!(!bench.folder.path().join("a").exists(), "nothing is made before it is needed");
    store.create(new("s")).await.unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(mode(&path.with_extension("db-wal")), 0o600);
    store.list(&SessionFilter { limit: 1, ..SessionFilter::default() }).await.unwrap();
    store.close().await.unwrap();
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left, ["victor.db"]);
    store.info(&id("s")).await.unwrap();
}

#[tokio::test]
async fn the_file_has_the_promised_settings() {
    let bench = Bench::new();
    for (durability, level) in [(Durability::Normal, 1), (Durability::Full, 2)] {
        let options = Options { durability, ..Options::default() };
        let store = SqliteStore::open(&bench.path(), options).unwrap();
        let settings = store.writer.write(|conn| {
            let text = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0));
            Ok(["journal_mode", "auto_vacuum", "synchronous", "foreign_keys"].map(|name| text(name).unwrap()))
        });
        let wal = rusqlite::types::Value::Text("wal".into());
        assert_eq!(settings.await.unwrap(), [wal, 2.into(), level.into(), 1.into()]);
    }
}

#[tokio::test]
async fn a_newer_a_foreign_and_a_broken_file_are_left_alone() {
    let newer = Bench::new();
    newer.store().check().await.unwrap();
    newer.raw().pragma_update(None, "user_version", 99).unwrap();
    let foreign = Bench::new();
    foreign.raw().execute_batch("CREATE TABLE mine (x)").unwrap();
    let broken = Bench::new();
    fs::write(broken.path(), "no database, but long enough to be one, with a few words in it".repeat(40)).unwrap();
    for (bench, says) in
        [(newer, "version 99"), (foreign, "another program"), (broken, "damaged or no session database")]
    {
        let before = fs::read(bench.path()).unwrap();
        let text = message(bench.store().check().await);
        assert!(text.contains(says) && text.contains(bench.path().to_str().unwrap()), "{text}");
        assert_eq!(fs::read(bench.path()).unwrap(), before);
        let text = bench.store().info(&id("s")).await.unwrap_err().to_string();
        assert!(text.contains(says), "{text}");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named_and_the_store_recovers() {
    let bench = Bench::new();
    let parent = bench.folder.path().join("parent");
    fs::write(&parent, "a file").unwrap();
    let store = SqliteStore::open(&parent.join("victor.db"), Options::default()).unwrap();
    let text = message(store.create(new("s")).await);
    assert!(text.contains("parent/victor.db cannot be made"), "{text}");
    fs::remove_file(&parent).unwrap();
    store.create(new("s")).await.unwrap();

    let is_folder = SqliteStore::open(bench.folder.path(), Options::default()).unwrap();
    let text = message(is_folder.create(new("s")).await);
    assert!(text.contains("cannot be opened"), "{text}");
    assert!(SqliteStore::open(Path::new("/"), Options::default()).is_err());
}

#[tokio::test]
async fn a_full_disk_fails_the_call_and_nothing_else() {
    let bench = Bench::new();
    let store = bench.store();
    store.create(new("s")).await.unwrap();
    let claim = store.claim(&id("s"), "test").await.unwrap();
    store.append(&*claim, 0, Timestamp::from_micros(2), vec![said("kept")]).await.unwrap();
    let limit = async |pages: i64| {
        let set = move |conn: &Connection| {
            Ok(conn.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))?)
        };
        store.writer.write(set).await.unwrap()
    };
    // Fewer pages than there are means: no more.
    limit(1).await;
    let big = said("x".repeat(1 << 20));
    let text = store.append(&*claim, 1, Timestamp::from_micros(3), vec![said("a"), big.clone()]).await.unwrap_err();
    assert!(text.to_string().contains("no space is left"), "{text}");
    assert_eq!(store.entries(&id("s"), 0, 9).await.unwrap().len(), 1);
    drop(claim);
    let claim = store.claim(&id("s"), "again").await.unwrap();
    limit(1 << 20).await;
    assert_eq!(store.append(&*claim, 1, Timestamp::from_micros(4), vec![said("a"), big]).await.unwrap(), 3);
}

#[tokio::test]
async fn entries_of_a_newer_version_are_kept_and_broken_ones_are_named() {
    let bench = Bench::new();
    let store = bench.store();
    store.create(new("s")).await.unwrap();
    let claim = store.claim(&id("s"), "test").await.unwrap();
    store.append(&*claim, 0, Timestamp::from_micros(2), vec![said("a"), said("b"), said("c")]).await.unwrap();
    let raw = bench.raw();
    let future = r#"{"type":"hologram","x":{"y":1}}"#;
    raw.execute("UPDATE entries SET type = 'hologram', json = ?1 WHERE seq = 2", [future]).unwrap();
    assert_eq!(store.entries(&id("s"), 1, 1).await.unwrap()[0].entry, Entry::Unknown);
    store.fork(&id("s"), Some(2), new("copy")).await.unwrap();
    let copied = "SELECT json FROM entries JOIN sessions ON place = session WHERE id = 'copy' AND seq = 2";
    assert_eq!(raw.query_row(copied, [], |row| row.get::<_, String>(0)).unwrap(), future);

    raw.execute("UPDATE entries SET json = substr(json, 1, 9) WHERE seq = 3", []).unwrap();
    let broken = store.entries(&id("s"), 0, 9).await.unwrap_err();
    let SessionError::Corrupt(text) = broken else { panic!("{broken:?}") };
    assert!(text.contains("entry 3 of session s"), "{text}");
    assert_eq!(store.entries(&id("s"), 0, 2).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_claim_that_was_replaced_can_no_longer_write() {
    let bench = Bench::new();
    let store = bench.store();
    store.create(new("s")).await.unwrap();
    let stale = store.claim(&id("s"), "stale").await.unwrap();
    bench.raw().execute("UPDATE claims SET pid = 4194304, born = 'long ago'", []).unwrap();
    let fresh = store.claim(&id("s"), "fresh").await.unwrap();
    let answer = store.append(&*stale, 0, Timestamp::from_micros(2), vec![said("a")]).await;
    assert!(matches!(&answer, Err(SessionError::Conflict { holder, .. }) if holder.contains("fresh")), "{answer:?}");
    drop(stale);
    store.append(&*fresh, 0, Timestamp::from_micros(2), vec![said("a")]).await.unwrap();
}

#[tokio::test]
async fn what_was_asked_for_is_written_although_the_store_is_dropped() {
    let bench = Bench::new();
    let store = bench.store();
    store.create(new("s")).await.unwrap();
    let claim = store.claim(&id("s"), "test").await.unwrap();
    let mut call = Box::pin(store.append(&*claim, 0, Timestamp::from_micros(2), vec![said("a")]));
    let _ = futures::poll!(&mut call);
    drop(call);
    drop(claim);
    drop(store);
    let store = bench.store();
    // The claim is given back by the old thread, after the append.
    let claim = loop {
        match store.claim(&id("s"), "next").await {
            Ok(claim) => break claim,
            Err(SessionError::Conflict { .. }) => tokio::task::yield_now().await,
            Err(e) => panic!("{e}"),
        }
    };
    assert_eq!(claim.last_seq(), 1);
}

#[tokio::test]
async fn blobs_are_kept_once_until_nothing_refers_to_them_and_the_file_shrinks() {
    let bench = Bench::new();
    let store = bench.store();
    let bytes = Bytes::from(vec![7; 1 << 20]);
    let loose = store.put(Bytes::from_static(b"")).await.unwrap();
    assert_eq!(loose.0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let kept = store.put(bytes.clone()).await.unwrap();
    assert_eq!(store.put(bytes.clone()).await.unwrap(), kept);
    assert_eq!(store.get(&kept).await.unwrap(), Some(bytes.clone()));
    assert_eq!(store.get(&BlobId("none".into())).await.unwrap(), None);

    for name in ["a", "b"] {
        store.create(new(name)).await.unwrap();
        let claim = store.claim(&id(name), "test").await.unwrap();
        let files = vec![SavedFile { path: "/f".into(), before: Some(kept.clone()), after: None }];
        let entry = Entry::Checkpoint { run_id: RunId(Default::default()), call: CallId::nth(0), files };
        store.append(&*claim, 0, Timestamp::from_micros(2), vec![entry]).await.unwrap();
    }
    store.delete(&id("a")).await.unwrap();
    assert_eq!(store.get(&kept).await.unwrap(), Some(bytes));
    assert_eq!(store.get(&loose).await.unwrap(), None);
    assert_eq!(store.prune(Timestamp::from_micros(3)).await.unwrap(), 1);
    assert_eq!(store.get(&kept).await.unwrap(), None);
    assert!(fs::metadata(bench.path()).unwrap().len() < 200_000);
}

#[tokio::test]
async fn a_blob_of_a_run_that_has_not_said_so_yet_is_spared() {
    let bench = Bench::new();
    let store = bench.store();
    for name in ["running", "old"] {
        store.create(new(name)).await.unwrap();
    }
    let claim = store.claim(&id("running"), "test").await.unwrap();
    let blob = store.put(Bytes::from_static(b"before")).await.unwrap();
    store.delete(&id("old")).await.unwrap();
    assert!(store.get(&blob).await.unwrap().is_some());
    drop(claim);
    assert_eq!(store.prune(Timestamp::from_micros(0)).await.unwrap(), 0);
    assert!(store.get(&blob).await.unwrap().is_none());
}

#[tokio::test]
async fn a_damaged_blob_is_not_handed_out() {
    let bench = Bench::new();
    let store = bench.store();
    let blob = store.put(Bytes::from_static(b"before")).await.unwrap();
    bench.raw().execute("UPDATE blobs SET bytes = x'00'", []).unwrap();
    assert!(matches!(store.get(&blob).await, Err(SessionError::Corrupt(_))));
}
