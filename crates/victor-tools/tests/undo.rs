//! Undo puts back what a call changed, and nothing else.
#![allow(clippy::unwrap_used, reason = "what tests use is a part of them")]

mod support;

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::json;
use sha2::{Digest, Sha256};
use support::Bench;
use victor_core::blob::{BlobId, BlobStore};
use victor_core::error::SessionError;
use victor_core::session::SavedFile;
use victor_core::tool::Plan;
use victor_tools::undo::{Restoration, restore};

#[derive(Default)]
struct Blobs(Mutex<HashMap<BlobId, bytes::Bytes>>);

fn id(bytes: &[u8]) -> BlobId {
    BlobId(Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect())
}

#[async_trait]
impl BlobStore for Blobs {
    async fn put(&self, bytes: bytes::Bytes) -> Result<BlobId, SessionError> {
        let id = id(&bytes);
        self.0.lock().unwrap().insert(id.clone(), bytes);
        Ok(id)
    }

    async fn get(&self, id: &BlobId) -> Result<Option<bytes::Bytes>, SessionError> {
        Ok(self.0.lock().unwrap().get(id).cloned())
    }
}

async fn saved(blobs: &Blobs, plan: &Plan) -> SavedFile {
    let change = &plan.changes[0];
    let before = match &change.before {
        Some(bytes) => Some(blobs.put(bytes.clone()).await.unwrap()),
        None => None,
    };
    SavedFile { path: change.path.clone(), before, after: change.after.as_deref().map(id) }
}

#[tokio::test]
async fn files_come_back_and_new_ones_go() {
    let (b, blobs) = (Bench::new(), Blobs::default());
    b.file("old", "a\r\nb\r\n");
    let mut files = Vec::new();
    for (tool, args) in [
        ("edit", json!({"path": "old", "edits": [{"old_string": "b", "new_string": "c"}]})),
        ("write", json!({"path": "old", "content": "all new"})),
        ("write", json!({"path": "made/new", "content": "x"})),
    ] {
        let plan = b.plan(tool, args).await;
        files.push(saved(&blobs, &plan).await);
        b.run(tool, plan).await.unwrap();
    }
    let done = restore(&files, &blobs, &b.bench.workspace).await.unwrap();
    let results: Vec<_> = done.into_iter().map(|r| r.result).collect();
    assert_eq!(results, [Restoration::Deleted, Restoration::PutBack, Restoration::PutBack]);
    assert_eq!(b.content("old"), b"a\r\nb\r\n");
    assert!(!b.root.join("made/new").exists());
}

#[tokio::test]
async fn later_changes_and_files_outside_are_left_alone() {
    let (b, blobs) = (Bench::new(), Blobs::default());
    b.file("x", "before");
    let plan = b.plan("write", json!({"path": "x", "content": "after"})).await;
    let mut file = saved(&blobs, &plan).await;
    b.run("write", plan).await.unwrap();
    b.file("x", "somebody's own");
    let done = restore(std::slice::from_ref(&file), &blobs, &b.bench.workspace).await.unwrap();
    assert!(matches!(&done[0].result, Restoration::Skipped(why) if why.contains("changed again")), "{done:?}");
    assert_eq!(b.content("x"), b"somebody's own");
    file.path = b.outside.join("x");
    std::fs::write(&file.path, "after").unwrap();
    let done = restore(&[file.clone()], &blobs, &b.bench.workspace).await.unwrap();
    assert!(matches!(&done[0].result, Restoration::Skipped(why) if why.contains("outside")), "{done:?}");
    assert_eq!(std::fs::read_to_string(&file.path).unwrap(), "after");
}
