//! [`SqliteStore`]: the store's traits, each call handed to the writing thread or to a reader.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;
use victor_core::blob::{BlobId, BlobStore};
use victor_core::error::SessionError;
use victor_core::id::{SessionId, Timestamp};
use victor_core::session::{Claim, Entry, NewSession, SessionFilter, SessionInfo, SessionStore, StoredEntry};

use crate::claim::SqliteClaim;
use crate::database::{Database, Options};
use crate::fault::Fault;
use crate::read::{self, Readers};
use crate::writer::{Queue, Writer};
use crate::{prune, write};

/// Sessions and blobs in one SQLite file. Several processes may use the same file at once.
///
/// Dropping it ends the writing thread after all that was asked of it is written. It needs a tokio runtime to read.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    /// Whether the file is known to be there and up to date.
    ready: AtomicBool,
}

impl SqliteStore {
    /// A store in the file at `path`. Nothing is opened, made or checked before the first call: then the file and its
    /// folders are made where they are missing, for their owner alone (0600, 0700).
    ///
    /// # Errors
    /// The path names no file.
    pub fn open(path: &Path, options: Options) -> Result<Self, SessionError> {
        if path.file_name().is_none() {
            return Err(SessionError::Storage(format!(
                "`{}` cannot be the session database: it names no file",
                path.display()
            )));
        }
        let database = Arc::new(Database::new(path.to_owned(), options));
        Ok(Self {
            writer: Writer::new(Arc::clone(&database)),
            readers: Readers::new(database),
            ready: AtomicBool::new(false),
        })
    }

    /// Opens the file, makes it where it is missing, and checks that it can be written to.
    ///
    /// # Errors
    /// It cannot be made, read or written, is no session database, or is of a newer version; the message says which.
    pub async fn check(&self) -> Result<(), SessionError> {
        self.writer.write(|_| Ok(())).await?;
        self.ready.store(true, Ordering::Release);
        Ok(())
    }

    /// Writes what was asked for and closes the file, which leaves no side files behind when nobody else has it open.
    /// A later call opens it again.
    ///
    /// # Errors
    /// The writing thread is gone.
    pub async fn close(&self) -> Result<(), SessionError> {
        self.readers.close();
        self.writer.close().await
    }

    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, SessionError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        self.writer.write(work).await
    }

    pub(crate) fn queue(&self) -> Result<Queue, SessionError> {
        self.writer.queue()
    }

    pub(crate) async fn shrink(&self) -> Result<(), SessionError> {
        self.writer.shrink().await
    }

    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, SessionError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        if !self.ready.load(Ordering::Acquire) {
            self.check().await?;
        }
        self.readers.read(work).await
    }
}

#[async_trait]
impl SessionStore for SqliteStore {
    async fn check(&self) -> Result<(), SessionError> {
        Self::check(self).await
    }

    async fn begin(&self, new: NewSession, holder: &str) -> Result<Box<dyn Claim>, SessionError> {
        let (holder, queue) = (holder.to_owned(), self.writer.queue()?);
        let claim = self.writer.write(move |conn| {
            write::create(conn, &new)?;
            let (release, last_seq) = write::claim(conn, &new.id, &holder)?;
            Ok(SqliteClaim { session: new.id, last_seq, release, queue })
        });
        Ok(Box::new(claim.await?))
    }

    async fn create(&self, new: NewSession) -> Result<(), SessionError> {
        self.writer.write(move |conn| write::create(conn, &new).map(drop)).await
    }

    async fn claim(&self, id: &SessionId, holder: &str) -> Result<Box<dyn Claim>, SessionError> {
        let (session, holder, queue) = (id.clone(), holder.to_owned(), self.writer.queue()?);
        let claim = self.writer.write(move |conn| {
            let (release, last_seq) = write::claim(conn, &session, &holder)?;
            // Made here, so that it is given back even if its caller has gone away meanwhile.
            Ok(SqliteClaim { session, last_seq, release, queue })
        });
        Ok(Box::new(claim.await?))
    }

    async fn append(
        &self,
        claim: &dyn Claim,
        expected_seq: u64,
        at: Timestamp,
        entries: Vec<Entry>,
    ) -> Result<u64, SessionError> {
        let Some(claim) = (claim as &dyn Any).downcast_ref::<SqliteClaim>() else {
            return Err(SessionError::Storage(format!(
                "the claim of session {} is of another store; nothing was saved",
                claim.session()
            )));
        };
        let (session, release, lines) = (claim.session.clone(), claim.release, write::lines(&entries)?);
        self.writer.write(move |conn| write::append(conn, &session, release, expected_seq, at, &lines)).await
    }

    async fn entries(&self, id: &SessionId, after: u64, limit: usize) -> Result<Vec<StoredEntry>, SessionError> {
        let id = id.clone();
        self.read(move |conn| read::entries(conn, &id, after, limit)).await
    }

    async fn info(&self, id: &SessionId) -> Result<SessionInfo, SessionError> {
        let id = id.clone();
        self.read(move |conn| read::info(conn, &id)).await
    }

    async fn list(&self, filter: &SessionFilter) -> Result<Vec<SessionInfo>, SessionError> {
        let filter = filter.clone();
        self.read(move |conn| read::list(conn, &filter)).await
    }

    async fn fork(&self, from: &SessionId, upto: Option<u64>, new: NewSession) -> Result<(), SessionError> {
        let from = from.clone();
        self.writer.write(move |conn| write::fork(conn, &from, upto, &new)).await
    }

    async fn delete(&self, id: &SessionId) -> Result<(), SessionError> {
        let id = id.clone();
        self.writer.write(move |conn| prune::delete(conn, &id)).await?;
        self.writer.shrink().await
    }

    async fn prune(&self, before: Timestamp) -> Result<u64, SessionError> {
        let deleted = self.writer.write(move |conn| prune::prune(conn, before)).await?;
        self.writer.shrink().await?;
        Ok(deleted)
    }
}

#[async_trait]
impl BlobStore for SqliteStore {
    async fn put(&self, bytes: Bytes) -> Result<BlobId, SessionError> {
        let (id, bytes) = hashed(bytes).await?;
        let key = id.clone();
        self.writer.write(move |conn| write::put_blob(conn, &key.0, &bytes)).await?;
        Ok(id)
    }

    async fn get(&self, id: &BlobId) -> Result<Option<Bytes>, SessionError> {
        let id = id.clone();
        self.read(move |conn| {
            let Some(bytes) = read::blob(conn, &id.0)? else { return Ok(None) };
            if BlobId::of(&bytes) != id {
                return Err(SessionError::Corrupt(format!("the saved bytes {} are damaged", id.0)).into());
            }
            Ok(Some(bytes.into()))
        })
        .await
    }
}

/// Hashes on a thread that may be kept busy: files can be large.
async fn hashed(bytes: Bytes) -> Result<(BlobId, Bytes), SessionError> {
    tokio::task::spawn_blocking(move || (BlobId::of(&bytes), bytes))
        .await
        .map_err(|e| SessionError::Storage(format!("the bytes could not be hashed: {e}")))
}

#[cfg(test)]
mod tests;
