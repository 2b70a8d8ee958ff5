//! The database file: how it is made, checked and opened.
//! Nothing in a file is changed before it is known to be ours and of a version that we know.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::fault::Fault;
use crate::platform;
use crate::read::holds;
use crate::schema::{self, State};

/// How much of what was acknowledged survives a power cut. A killed process loses nothing either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The last moments before a power cut may be lost; the file stays whole (SQLite: `synchronous=NORMAL` with WAL).
    #[default]
    Normal,
    /// Nothing is lost; every commit waits for the disk (SQLite: `synchronous=FULL`).
    Full,
}

/// How a [`SqliteStore`](crate::SqliteStore) works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What a power cut may cost.
    pub durability: Durability,
    /// How long to wait for another process that is writing, before the call fails.
    pub busy_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { durability: Durability::Normal, busy_timeout: Duration::from_secs(10) }
    }
}

/// A database file and how to open it.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    options: Options,
}

impl Database {
    pub(crate) fn new(path: PathBuf, options: Options) -> Self {
        Self { path, options }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file for writing; makes it or brings it up to date where needed.
    pub(crate) fn open_to_write(&self) -> Result<Connection, Fault> {
        if let Some(folder) = self.path.parent().filter(|f| !f.as_os_str().is_empty()) {
            platform::private_folder(folder)?;
        }
        platform::private_file(&self.path)?;
        let mut conn = self.connect()?;
        let state = schema::inspect(&conn)?;
        if state == State::Empty {
            // Holds only if it is said before the first table.
            conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        self.use_wal(&conn)?;
        if state != State::Current {
            schema::migrate(&mut conn)?;
        }
        conn.pragma_update(
            None,
            "synchronous",
            match self.options.durability {
                Durability::Normal => "NORMAL",
                Durability::Full => "FULL",
            },
        )?;
        conn.pragma_update(None, "foreign_keys", true)?;
        // A WAL that one large write has blown up becomes this short again, in bytes.
        conn.pragma_update_and_check(None, "journal_size_limit", 8 << 20, |_| Ok(()))?;
        Ok(conn)
    }

    /// Opens the file, which is up to date, for reading.
    pub(crate) fn open_to_read(&self) -> Result<Connection, Fault> {
        let conn = self.connect()?;
        conn.pragma_update(None, "query_only", true)?;
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        conn.create_scalar_function("holds", 2, flags, |call| {
            Ok(holds(call.get_raw(0).as_str_or_null()?, call.get_raw(1).as_str()?))
        })?;
        Ok(conn)
    }

    fn connect(&self) -> Result<Connection, Fault> {
        // No URI: a file may be called `file:x`. No mutex: a connection stays on one thread at a time.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&self.path, flags)?;
        conn.busy_timeout(self.options.busy_timeout)?;
        conn.set_prepared_statement_cache_capacity(64);
        Ok(conn)
    }

    /// The change to WAL fails at once, without the busy time-out, when two processes make the same new file.
    fn use_wal(&self, conn: &Connection) -> Result<(), Fault> {
        let mut waited = Duration::ZERO;
        loop {
            match conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
                Err(e)
                    if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && waited < self.options.busy_timeout =>
                {
                    let pause = Duration::from_millis(5);
                    std::thread::sleep(pause);
                    waited += pause;
                }
                done => return Ok(done?),
            }
        }
    }
}
