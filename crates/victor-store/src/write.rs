//! What changes the database: each function is one call's part of a transaction.

use std::fmt::Display;

use rusqlite::{Connection, OptionalExtension, params};
use victor_core::error::SessionError;
use victor_core::id::{SessionId, Timestamp};
use victor_core::message::{Message, Role};
use victor_core::session::{Entry, NewSession};

use crate::fault::Fault;
use crate::platform;
use crate::read;

/// The microseconds since the Unix epoch, told by SQLite (in whole milliseconds).
pub(crate) const NOW: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000";

/// A title that is taken from a message is at most so long, in characters.
const OPENING: usize = 80;

/// What names a claim in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    log: Log,
    place: i64,
    nonce: i64,
}

/// What a claim is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    Session,
    Journal,
}

impl Release {
    /// A claim of a run's journal.
    pub(crate) fn journal(place: i64, nonce: i64) -> Self {
        Self { log: Log::Journal, place, nonce }
    }

    pub(crate) fn place(self) -> i64 {
        self.place
    }

    pub(crate) fn nonce(self) -> i64 {
        self.nonce
    }
}

/// An entry as its row, made before it is queued.
#[derive(Debug)]
pub(crate) struct Line {
    kind: String,
    role: Option<&'static str>,
    json: String,
    mark: Mark,
}

/// What an entry changes in the session's own row.
#[derive(Debug)]
enum Mark {
    Said { opening: Option<String> },
    Titled(String),
    Rewound,
    Nothing,
}

impl Line {
    /// The row of `entry`.
    fn of(entry: &Entry) -> Result<Self, SessionError> {
        let value = serde_json::to_value(entry)
            .map_err(|e| SessionError::Storage(format!("an entry has no JSON form and was not saved: {e}")))?;
        let kind = value.get("type").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let (role, mark) = match entry {
            Entry::Message { message } => (Some(role_name(message.role)), said(message)),
            Entry::Settings { settings } => (None, settings.title.clone().map_or(Mark::Nothing, Mark::Titled)),
            Entry::Rewind { .. } => (None, Mark::Rewound),
            _ => (None, Mark::Nothing),
        };
        Ok(Self { kind, role, json: value.to_string(), mark })
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn said(message: &Message) -> Mark {
    match message.role {
        Role::User => Mark::Said { opening: opening(message) },
        Role::Assistant => Mark::Said { opening: None },
        Role::Tool => Mark::Nothing,
    }
}

/// The beginning of a message's text in one line; `None` if it has no text.
fn opening(message: &Message) -> Option<String> {
    let text = message.text();
    let line: String = text.split_whitespace().flat_map(|word| [" ", word]).skip(1).collect();
    let mut cut: String = line.chars().take(OPENING).collect();
    if cut.len() < line.len() {
        cut.pop();
        cut.push('…');
    }
    (!cut.is_empty()).then_some(cut)
}

/// Begins a session.
pub(crate) fn create(conn: &Connection, new: &NewSession) -> Result<i64, Fault> {
    let added = conn
        .prepare_cached(
            "INSERT INTO sessions (id, owner, workspace, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![new.id.as_str(), new.owner, new.workspace, new.at.as_micros()])?;
    if added == 0 {
        return Err(conflict(&new.id, "another session that has this id"));
    }
    Ok(conn.last_insert_rowid())
}

/// Takes a session for writing: the claim's name and the place of the last entry.
pub(crate) fn claim(conn: &Connection, id: &SessionId, holder: &str) -> Result<(Release, u64), Fault> {
    let (place, last_seq) = conn
        .prepare_cached("SELECT place, last_seq FROM sessions WHERE id = ?1")?
        .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or_else(|| SessionError::NotFound(id.to_string()))?;
    if let Some(holder) = living_holder(conn, place)? {
        return Err(conflict(id, holder));
    }
    let nonce = conn
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO claims (session, nonce, holder, pid, born, made_at)
             VALUES (?1, random(), ?2, ?3, ?4, {NOW}) RETURNING nonce"
        ))?
        .query_row(params![place, holder, std::process::id(), platform::born()], |row| row.get(0))?;
    Ok((Release { log: Log::Session, place, nonce }, last_seq))
}

/// Gives a claim back; one that was replaced stays.
pub(crate) fn release(conn: &Connection, release: &Release) -> Result<(), Fault> {
    let sql = match release.log {
        Log::Session => "DELETE FROM claims WHERE session = ?1 AND nonce = ?2",
        Log::Journal => {
            "UPDATE journals SET nonce = NULL, holder = NULL, pid = NULL, born = NULL WHERE place = ?1 AND nonce = ?2"
        }
    };
    conn.prepare_cached(sql)?.execute(params![release.place, release.nonce])?;
    Ok(())
}

/// Appends entries to a claimed session: the place of the last one.
pub(crate) fn append(
    conn: &Connection,
    id: &SessionId,
    claim: Release,
    expected_seq: u64,
    at: Timestamp,
    lines: &[Line],
) -> Result<u64, Fault> {
    let last_seq: u64 = conn
        .prepare_cached("SELECT last_seq FROM sessions WHERE place = ?1 AND id = ?2")?
        .query_row(params![claim.place, id.as_str()], |row| row.get(0))
        .optional()?
        .ok_or_else(|| SessionError::NotFound(id.to_string()))?;
    let held: Option<(i64, String, u32)> = conn
        .prepare_cached("SELECT nonce, holder, pid FROM claims WHERE session = ?1")?
        .query_row([claim.place], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    match held {
        Some((nonce, ..)) if nonce == claim.nonce => {}
        Some((_, holder, pid)) => return Err(conflict(id, named(&holder, pid))),
        None => return Err(conflict(id, "nobody, and this claim of it has ended")),
    }
    if last_seq != expected_seq {
        let other = format!("someone who wrote entry {last_seq} of it (expected to be the last: {expected_seq})");
        return Err(conflict(id, other));
    }
    let mut insert = conn
        .prepare_cached("INSERT INTO entries (session, seq, at, type, role, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut seq = last_seq;
    for line in lines {
        seq += 1;
        insert.execute(params![claim.place, seq, at.as_micros(), line.kind, line.role, line.json])?;
    }
    mark(conn, claim.place, at, seq, lines)?;
    Ok(seq)
}

/// Brings the session's own row up to date with entries that were appended.
fn mark(conn: &Connection, place: i64, at: Timestamp, last_seq: u64, lines: &[Line]) -> Result<(), Fault> {
    let (mut count, mut opening, mut title, mut rewound) = (0_u64, None, None, false);
    for line in lines {
        match &line.mark {
            Mark::Said { opening: text } => {
                count += 1;
                opening = opening.or(text.as_deref());
            }
            Mark::Titled(text) => title = Some(text.as_str()),
            Mark::Rewound => rewound = true,
            Mark::Nothing => {}
        }
    }
    conn.prepare_cached(
        "UPDATE sessions SET updated_at = max(updated_at, ?2), last_seq = ?3, message_count = message_count + ?4,
             opening = coalesce(opening, ?5), title = coalesce(?6, title) WHERE place = ?1",
    )?
    .execute(params![place, at.as_micros(), last_seq, count, opening, title])?;
    if rewound { recount(conn, place) } else { Ok(()) }
}

/// Makes the session's row anew from the entries that still count.
fn recount(conn: &Connection, place: i64) -> Result<(), Fault> {
    let (mut count, mut first, mut title) = (0_u64, None, None);
    for entry in read::counting(conn, place)? {
        match entry {
            Entry::Message { message } => {
                count += u64::from(message.role != Role::Tool);
                first = first.or_else(|| if message.role == Role::User { opening(&message) } else { None });
            }
            Entry::Settings { settings } => title = settings.title.or(title),
            _ => {}
        }
    }
    conn.prepare_cached("UPDATE sessions SET message_count = ?2, opening = ?3, title = ?4 WHERE place = ?1")?
        .execute(params![place, count, first, title])?;
    Ok(())
}

/// Copies a session's entries up to a place into a new session.
pub(crate) fn fork(conn: &Connection, from: &SessionId, upto: Option<u64>, new: &NewSession) -> Result<(), Fault> {
    let source = read::place(conn, from)?;
    let place = create(conn, new)?;
    conn.prepare_cached(
        "INSERT INTO entries (session, seq, at, type, role, json)
         SELECT ?1, seq, at, type, role, json FROM entries WHERE session = ?2 AND seq <= ?3 ORDER BY seq",
    )?
    .execute(params![place, source, upto.and_then(|n| i64::try_from(n).ok()).unwrap_or(i64::MAX)])?;
    conn.prepare_cached(
        "UPDATE sessions SET last_seq = (SELECT coalesce(max(seq), 0) FROM entries WHERE session = ?1) WHERE place = ?1",
    )?
    .execute([place])?;
    recount(conn, place)
}

/// Keeps bytes under their hash.
pub(crate) fn put_blob(conn: &Connection, id: &str, bytes: &[u8]) -> Result<(), Fault> {
    conn.prepare_cached(&format!(
        "INSERT INTO blobs (id, put_at, bytes) VALUES (?1, {NOW}, ?2)
         ON CONFLICT (id) DO UPDATE SET put_at = excluded.put_at"
    ))?
    .execute(params![id, bytes])?;
    Ok(())
}

/// Who holds the session, if that process still lives.
pub(crate) fn living_holder(conn: &Connection, place: i64) -> Result<Option<String>, Fault> {
    let held: Option<(String, u32, String)> = conn
        .prepare_cached("SELECT holder, pid, born FROM claims WHERE session = ?1")?
        .query_row([place], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    Ok(held.filter(|(_, pid, born)| platform::lives(*pid, born)).map(|(holder, pid, _)| named(&holder, pid)))
}

/// The error for a session that someone else has.
pub(crate) fn conflict(id: &impl Display, holder: impl Display) -> Fault {
    Fault::Session(SessionError::Conflict { session: id.to_string(), holder: holder.to_string() })
}

pub(crate) fn named(holder: &str, pid: u32) -> String {
    if holder.contains(&pid.to_string()) { holder.to_owned() } else { format!("{holder} (process {pid})") }
}

/// The rows of `entries`, made outside the writing thread.
pub(crate) fn lines(entries: &[Entry]) -> Result<Vec<Line>, SessionError> {
    entries.iter().map(Line::of).collect()
}
