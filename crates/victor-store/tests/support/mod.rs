//! The same cases for several stores: each case is a test of every store.
#![allow(unused_macros, unused_imports, reason = "not every file has a store in memory beside the one in a file")]

use std::sync::Arc;

use tempfile::TempDir;
use victor_store::{Options, SqliteStore};

/// Runs cases with what `$make` gives: what has to be kept meanwhile, and the store.
macro_rules! behaviour {
    ($name:ident, $make:expr, [$($case:ident),* $(,)?]) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $case() {
                    let (_kept, store) = $make;
                    super::$case(store).await;
                }
            )*
        }
    };
}

/// Runs cases with SQLite and with a store in memory.
macro_rules! stores {
    ($memory:ident, $cases:tt) => {
        $crate::support::behaviour!(sqlite, $crate::support::sqlite(), $cases);
        $crate::support::behaviour!(memory, ((), std::sync::Arc::new(super::$memory::default())), $cases);
    };
}

pub(crate) use {behaviour, stores};

/// A store in a folder that is gone when it is dropped.
pub(crate) fn sqlite() -> (TempDir, Arc<SqliteStore>) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("victor.db"), Options::default()).unwrap();
    (folder, Arc::new(store))
}
