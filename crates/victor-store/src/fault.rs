//! What can go wrong in the database, and what a person is told about it.
//! Inside the crate an error is a [`Fault`]; at its edge it becomes a [`SessionError`] that names the file.

use std::path::Path;

use rusqlite::ErrorCode;
use victor_core::error::SessionError;

/// A failure inside the store, before it is known which file it was about.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The answer is an error that already says all.
    Session(SessionError),
    /// SQLite failed.
    Sql(rusqlite::Error),
    /// The file or its folder could not be made.
    Io(std::io::Error),
    /// The file is a database of another program.
    Foreign,
    /// The file was written by a newer version.
    Newer {
        /// Its version.
        found: i64,
        /// The newest that this program knows.
        known: usize,
    },
    /// A part of the store has ended, which it never does by itself.
    Ended,
}

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sql(e)
    }
}

impl From<SessionError> for Fault {
    fn from(e: SessionError) -> Self {
        Self::Session(e)
    }
}

impl From<std::io::Error> for Fault {
    fn from(e: std::io::Error) -> Self {
        Self::Io(e)
    }
}

impl Fault {
    /// The error that callers get: what happened, in which file, and what to do.
    pub(crate) fn about(&self, path: &Path) -> SessionError {
        let file = path.display();
        match self {
            Self::Session(e) => e.clone(),
            Self::Sql(e) => of_sqlite(e, path),
            Self::Io(e) => SessionError::Storage(format!(
                "the session database {file} cannot be made: {e}; {}",
                if e.kind() == std::io::ErrorKind::StorageFull {
                    "free some space on that disk"
                } else {
                    "its folder must exist or be makeable, and be writable for you"
                }
            )),
            Self::Foreign => SessionError::Storage(format!(
                "{file} is a database of another program; nothing in it was changed: move it away or use another folder"
            )),
            Self::Newer { found, known } => SessionError::Storage(format!(
                "the session database {file} has version {found}, and this program knows versions up to {known}; \
                 nothing in it was changed: use the newer program that wrote it"
            )),
            Self::Ended => {
                SessionError::Storage(format!("the writer of {file} has ended unexpectedly; start the program again"))
            }
        }
    }
}

fn of_sqlite(e: &rusqlite::Error, path: &Path) -> SessionError {
    let file = path.display();
    let text = match e.sqlite_error_code() {
        // The second: no room for the index of the write-ahead log.
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) if is_full(e) => {
            format!(
                "no space is left for the session database {file}; this was not saved: free some space and try again"
            )
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            format!(
                "the session database {file} is read-only ({e}); this was not saved: the file and its folder must be \
             writable for you"
            )
        }
        Some(ErrorCode::CannotOpen) => format!(
            "the session database {file} cannot be opened ({e}): the file and its folder must be readable and writable \
             for you"
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => format!(
            "another program has locked the session database {file} for too long; this was not saved: end that program \
             and try again"
        ),
        Some(ErrorCode::TooBig) => format!("too large for the session database {file} ({e}); this was not saved"),
        Some(ErrorCode::SystemIoFailure) => {
            format!("the disk failed under the session database {file} ({e}); this was not saved: check the disk")
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            return SessionError::Corrupt(format!(
                "{file} is damaged or no session database ({e}); nothing in it was changed: move it away to begin with \
                 an empty one, or save what can be read with `sqlite3 {file} .recover`"
            ));
        }
        _ => format!("the session database {file} failed: {e}"),
    };
    SessionError::Storage(text)
}

fn is_full(e: &rusqlite::Error) -> bool {
    let code = e.sqlite_error().map(|e| e.extended_code);
    matches!(code, Some(rusqlite::ffi::SQLITE_FULL | rusqlite::ffi::SQLITE_IOERR_SHMSIZE))
}
