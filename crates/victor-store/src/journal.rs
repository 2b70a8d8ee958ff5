//! Journals of runs in the database: what they write and who may.

use std::any::Any;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use victor_core::error::SessionError;
use victor_core::id::{RunId, Timestamp};
use victor_core::journal::{
    Journal, JournalClaim, JournalError, JournalFilter, JournalInfo, NewJournal, NewRecord, RunStatus, StoredRecord,
    Summary, foreign_claim,
};

use crate::fault::Fault;
use crate::store::SqliteStore;
use crate::write::{self, Release};
use crate::writer::Queue;
use crate::{journal_read as read, platform};

/// How exactly a journal knows when it was last written to, as long as its run stands where it stood, in microseconds.
/// What lists and servers look by is in indexes, and to change those costs as much as the append itself.
const EXACT: i64 = 100_000;

/// A claim of this store.
struct SqliteJournalClaim {
    run: RunId,
    last_seq: u64,
    /// What the indexes know of the journal, once this claim has written it.
    known: Mutex<Option<Known>>,
    release: Release,
    /// Keeps the writing thread alive until the claim is given back.
    queue: Queue,
}

/// What the indexes know of a journal.
#[derive(Clone, Copy, PartialEq)]
struct Known {
    at: Timestamp,
    status: RunStatus,
    wake_at: Option<Timestamp>,
}

impl Known {
    /// Whether it is still true enough.
    fn holds(&self, now: &Self) -> bool {
        let passed = now.at.as_micros().saturating_sub(self.at.as_micros());
        (self.status, self.wake_at) == (now.status, now.wake_at) && (0..EXACT).contains(&passed)
    }
}

impl JournalClaim for SqliteJournalClaim {
    fn run(&self) -> RunId {
        self.run
    }

    fn last_seq(&self) -> u64 {
        self.last_seq
    }
}

impl Drop for SqliteJournalClaim {
    fn drop(&mut self) {
        self.queue.release(self.release);
    }
}

#[async_trait]
impl Journal for SqliteStore {
    async fn create(&self, new: NewJournal, holder: &str) -> Result<Box<dyn JournalClaim>, JournalError> {
        let (holder, queue) = (holder.to_owned(), self.queue()?);
        let claim = self.write(move |conn| {
            let place = create(conn, &new)?;
            let release = take(conn, place, &holder)?;
            Ok(SqliteJournalClaim { run: new.id, last_seq: 0, known: Mutex::default(), release, queue })
        });
        Ok(Box::new(claim.await?))
    }

    async fn claim(&self, id: RunId, holder: &str) -> Result<Box<dyn JournalClaim>, JournalError> {
        let (holder, queue) = (holder.to_owned(), self.queue()?);
        let claim = self.write(move |conn| {
            let (place, last_seq) = conn
                .prepare_cached("SELECT place, last_seq FROM journals WHERE id = ?1")?
                .query_row([id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?
                .ok_or_else(|| missing(id))?;
            if let Some(holder) = living_holder(conn, place)? {
                return Err(write::conflict(&id, holder));
            }
            let release = take(conn, place, &holder)?;
            // Made here, so that it is given back even if its caller has gone away meanwhile.
            Ok(SqliteJournalClaim { run: id, last_seq, known: Mutex::default(), release, queue })
        });
        Ok(Box::new(claim.await?))
    }

    async fn append(
        &self,
        claim: &dyn JournalClaim,
        expected_seq: u64,
        at: Timestamp,
        records: Vec<NewRecord>,
        summary: Summary,
    ) -> Result<u64, JournalError> {
        let Some(claim) = (claim as &dyn Any).downcast_ref::<SqliteJournalClaim>() else {
            return Err(foreign_claim(claim.run()));
        };
        let (run, release) = (claim.run, claim.release);
        let now = Known { at, status: summary.status, wake_at: summary.wake_at };
        let known = claim.known.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|k| k.holds(&now));
        let changes = if known { Changes::Log } else { Changes::Indexes };
        let seq =
            self.write(move |conn| append(conn, run, release, changes, expected_seq, at, &records, &summary)).await?;
        if !known {
            *claim.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
        Ok(seq)
    }

    async fn records(&self, id: RunId, after: u64, limit: usize) -> Result<Vec<StoredRecord>, JournalError> {
        Ok(self.read(move |conn| read::records(conn, id, after, limit)).await?)
    }

    async fn info(&self, id: RunId) -> Result<JournalInfo, JournalError> {
        Ok(self.read(move |conn| read::info(conn, id)).await?)
    }

    async fn list(&self, filter: &JournalFilter) -> Result<Vec<JournalInfo>, JournalError> {
        let filter = filter.clone();
        Ok(self.read(move |conn| read::list(conn, &filter)).await?)
    }

    async fn request_cancel(&self, id: RunId) -> Result<(), JournalError> {
        let asked = self.write(move |conn| {
            let changed =
                conn.prepare_cached("UPDATE journals SET cancel = 1 WHERE id = ?1")?.execute([id.to_string()])?;
            if changed == 0 { Err(missing(id)) } else { Ok(()) }
        });
        Ok(asked.await?)
    }

    async fn delete(&self, id: RunId) -> Result<(), JournalError> {
        let deleted = self.write(move |conn| {
            let place = conn
                .prepare_cached("SELECT place FROM journals WHERE id = ?1")?
                .query_row([id.to_string()], |row| row.get(0))
                .optional()?
                .ok_or_else(|| missing(id))?;
            if let Some(holder) = living_holder(conn, place)? {
                return Err(write::conflict(&id, holder));
            }
            conn.execute("DELETE FROM journals WHERE place = ?1", [place])?;
            Ok(())
        });
        deleted.await?;
        Ok(self.shrink().await?)
    }

    async fn prune(&self, before: Timestamp) -> Result<u64, JournalError> {
        let deleted = self.write(move |conn| {
            let held: Vec<(i64, u32, String)> = conn
                .prepare("SELECT place, pid, born FROM journals WHERE pid IS NOT NULL")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            for (place, ..) in held.iter().filter(|(_, pid, born)| !platform::lives(*pid, born)) {
                let free = "UPDATE journals SET nonce = NULL, holder = NULL, pid = NULL, born = NULL WHERE place = ?1";
                conn.execute(free, [place])?;
            }
            let deleted = conn.execute(
                "DELETE FROM journals
                 WHERE updated_at < ?1 AND nonce IS NULL AND status NOT IN ('running', 'waiting')",
                [before.as_micros()],
            )?;
            Ok(u64::try_from(deleted).unwrap_or(u64::MAX))
        });
        let deleted = deleted.await?;
        self.shrink().await?;
        Ok(deleted)
    }
}

fn create(conn: &Connection, new: &NewJournal) -> Result<i64, Fault> {
    let added = conn
        .prepare_cached(
            "INSERT INTO journals (id, name, owner, workspace, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![new.id.to_string(), new.name, new.owner, new.workspace, new.at.as_micros()])?;
    if added == 0 {
        return Err(write::conflict(&new.id, "another run that has this id"));
    }
    Ok(conn.last_insert_rowid())
}

fn take(conn: &Connection, place: i64, holder: &str) -> Result<Release, Fault> {
    let nonce = conn
        .prepare_cached(
            "UPDATE journals SET nonce = random(), holder = ?2, pid = ?3, born = ?4 WHERE place = ?1 RETURNING nonce",
        )?
        .query_row(params![place, holder, std::process::id(), platform::born()], |row| row.get(0))?;
    Ok(Release::journal(place, nonce))
}

/// What an append has to change.
#[derive(Clone, Copy)]
enum Changes {
    /// The log and what is said of it.
    Log,
    /// The indexes too.
    Indexes,
}

#[expect(clippy::too_many_arguments, reason = "they are one call's")]
fn append(
    conn: &Connection,
    run: RunId,
    claim: Release,
    changes: Changes,
    expected_seq: u64,
    at: Timestamp,
    records: &[NewRecord],
    summary: &Summary,
) -> Result<u64, Fault> {
    let last_seq = expected_seq + records.len() as u64;
    let Summary { status, wake_at, snapshot, json } = summary;
    let (place, nonce) = (claim.place(), claim.nonce());
    // The row says in one step that the claim holds and that the log ends where it should.
    let changed = match changes {
        Changes::Log => conn
            .prepare_cached(
                "UPDATE journals SET last_seq = ?4, snapshot = ?5, summary = ?6
                 WHERE place = ?1 AND nonce = ?2 AND last_seq = ?3",
            )?
            .execute(params![place, nonce, expected_seq, last_seq, snapshot, json])?,
        Changes::Indexes => conn
            .prepare_cached(
                "UPDATE journals SET last_seq = ?4, snapshot = ?5, summary = ?6, updated_at = max(updated_at, ?7),
                     status = ?8, wake_at = ?9 WHERE place = ?1 AND nonce = ?2 AND last_seq = ?3",
            )?
            .execute(params![
                place,
                nonce,
                expected_seq,
                last_seq,
                snapshot,
                json,
                at.as_micros(),
                status.name(),
                wake_at.map(Timestamp::as_micros)
            ])?,
    };
    if changed == 0 {
        return Err(refused(conn, run, claim, expected_seq)?);
    }
    let mut insert =
        conn.prepare_cached("INSERT INTO records (journal, seq, at, kind, json) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (seq, record) in (expected_seq + 1..).zip(records) {
        insert.execute(params![claim.place(), seq, at.as_micros(), record.kind, record.json])?;
    }
    Ok(last_seq)
}

/// Why an append found nothing to change.
fn refused(conn: &Connection, run: RunId, claim: Release, expected: u64) -> Result<Fault, Fault> {
    type Row = (u64, Option<i64>, Option<String>);
    let row: Option<Row> = conn
        .prepare_cached("SELECT last_seq, nonce, holder FROM journals WHERE place = ?1 AND id = ?2")?
        .query_row(params![claim.place(), run.to_string()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    Ok(match row {
        None => missing(run),
        Some((last, Some(nonce), _)) if nonce == claim.nonce() => write::conflict(
            &run,
            format!("someone who wrote record {last} of it (expected to be the last: {expected})"),
        ),
        Some((_, _, Some(holder))) => write::conflict(&run, holder),
        Some(_) => write::conflict(&run, "nobody, and this claim of it has ended"),
    })
}

/// Who writes to the journal, if that process still lives.
fn living_holder(conn: &Connection, place: i64) -> Result<Option<String>, Fault> {
    let row = conn
        .prepare_cached("SELECT holder, pid, born FROM journals WHERE place = ?1")?
        .query_row([place], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(read::holder_of(row))
}

pub(crate) fn missing(id: RunId) -> Fault {
    Fault::Session(SessionError::NotFound(id.to_string()))
}
