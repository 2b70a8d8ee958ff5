//! What only reads: entries, lists and blobs, from rows to the vocabulary's types.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;
use tokio::sync::Semaphore;
use victor_core::error::SessionError;
use victor_core::id::{SessionId, Timestamp};
use victor_core::session::{Entry, SessionFilter, SessionInfo, StoredEntry, effective};

use crate::database::Database;
use crate::fault::Fault;

/// Reads that run at once; further ones wait.
const READERS: usize = 4;

/// Connections for reading, opened as they are needed and kept. They work on tokio's threads for blocking calls.
#[derive(Debug)]
pub(crate) struct Readers {
    database: Arc<Database>,
    room: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database, room: Arc::new(Semaphore::new(READERS)), idle: Arc::default() }
    }

    /// Does `work` with a connection, on a thread that may block.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, SessionError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let permit = Arc::clone(&self.room).acquire_owned().await;
        let (database, idle) = (Arc::clone(&self.database), Arc::clone(&self.idle));
        let read = move || {
            let _permit = permit;
            let free = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let conn = match free {
                Some(conn) => conn,
                None => database.open_to_read().map_err(|fault| fault.about(database.path()))?,
            };
            let done = work(&conn).map_err(|fault| fault.about(database.path()));
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
            done
        };
        tokio::task::spawn_blocking(read)
            .await
            .unwrap_or_else(|_| Err(SessionError::Storage("a read of the session database was cut short".to_owned())))
    }

    /// Closes the connections that nobody uses.
    pub(crate) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A session's number in the file.
pub(crate) fn place(conn: &Connection, id: &SessionId) -> Result<i64, Fault> {
    conn.prepare_cached("SELECT place FROM sessions WHERE id = ?1")?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?
        .ok_or_else(|| SessionError::NotFound(id.to_string()).into())
}

/// Entries of a session in order.
pub(crate) fn entries(conn: &Connection, id: &SessionId, after: u64, limit: usize) -> Result<Vec<StoredEntry>, Fault> {
    let place = place(conn, id)?;
    let mut query =
        conn.prepare_cached("SELECT seq, at, json FROM entries WHERE session = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3")?;
    let mut rows = query.query(params![
        place,
        i64::try_from(after).unwrap_or(i64::MAX),
        i64::try_from(limit).unwrap_or(i64::MAX)
    ])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(stored(row).map_err(|fault| broken(fault, id, row))?);
    }
    Ok(entries)
}

/// The entries of a session that no rewind has taken back and that say something of the session as a whole.
pub(crate) fn counting(conn: &Connection, place: i64) -> Result<Vec<Entry>, Fault> {
    let id: String = conn.query_row("SELECT id FROM sessions WHERE place = ?1", [place], |row| row.get(0))?;
    let mut query = conn.prepare_cached(
        "SELECT seq, at, json FROM entries WHERE session = ?1
         AND (type IN ('settings', 'rewind') OR type = 'message' AND role <> 'tool') ORDER BY seq",
    )?;
    let mut rows = query.query([place])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(stored(row).map_err(|fault| broken(fault, &id, row))?);
    }
    Ok(effective(entries).into_iter().map(|e| e.entry).collect())
}

enum Broken {
    Sql(rusqlite::Error),
    Json(serde_json::Error),
}

fn stored(row: &Row<'_>) -> Result<StoredEntry, Broken> {
    let json = row.get_ref(2).and_then(|v| Ok(v.as_str()?)).map_err(Broken::Sql)?;
    Ok(StoredEntry {
        seq: row.get(0).map_err(Broken::Sql)?,
        at: Timestamp::from_micros(row.get(1).map_err(Broken::Sql)?),
        entry: serde_json::from_str(json).map_err(Broken::Json)?,
    })
}

fn broken(why: Broken, id: impl std::fmt::Display, row: &Row<'_>) -> Fault {
    let seq = row.get::<_, u64>(0).unwrap_or_default();
    let why = match why {
        Broken::Sql(e) => e.to_string(),
        Broken::Json(e) => e.to_string(),
    };
    let before = seq.saturating_sub(1);
    Fault::Session(SessionError::Corrupt(format!(
        "entry {seq} of session {id} cannot be read ({why}); what stands before it can be saved by forking the session \
         at entry {before}"
    )))
}

const INFO: &str = "SELECT id, owner, workspace, coalesce(title, opening, ''), created_at, updated_at, message_count,
    last_seq FROM sessions AS s";

/// What a list shows of a session.
pub(crate) fn info(conn: &Connection, id: &SessionId) -> Result<SessionInfo, Fault> {
    conn.prepare_cached(&format!("{INFO} WHERE id = ?1"))?
        .query_row([id.as_str()], info_of)
        .optional()?
        .ok_or_else(|| SessionError::NotFound(id.to_string()).into())
}

/// Sessions, latest first.
pub(crate) fn list(conn: &Connection, filter: &SessionFilter) -> Result<Vec<SessionInfo>, Fault> {
    let mut sql = format!("{INFO} WHERE true");
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    if let Some(owner) = &filter.owner {
        sql.push_str(" AND owner = ?");
        values.push(Box::new(owner.clone()));
    }
    if let Some(workspace) = &filter.workspace {
        sql.push_str(" AND workspace = ?");
        values.push(Box::new(workspace.clone()));
    }
    if let Some((at, id)) = &filter.before {
        sql.push_str(" AND (updated_at, id) < (?, ?)");
        values.push(Box::new(at.as_micros()));
        values.push(Box::new(id.as_str().to_owned()));
    }
    if let Some(text) = &filter.text {
        sql.push_str(
            " AND (holds(json_object('text', coalesce(title, opening)), ?) OR EXISTS (SELECT 1 FROM entries AS e
              WHERE e.session = s.place AND e.type = 'message' AND e.role <> 'tool' AND holds(e.json, ?)))",
        );
        let text = text.to_lowercase();
        values.push(Box::new(text.clone()));
        values.push(Box::new(text));
    }
    sql.push_str(" ORDER BY updated_at DESC, id DESC LIMIT ?");
    values.push(Box::new(i64::try_from(filter.limit).unwrap_or(i64::MAX)));
    let mut query = conn.prepare(&sql)?;
    let found = query.query_map(rusqlite::params_from_iter(values), info_of)?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn info_of(row: &Row<'_>) -> rusqlite::Result<SessionInfo> {
    let id: String = row.get(0)?;
    Ok(SessionInfo {
        id: SessionId::try_from(id)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(e)))?,
        owner: row.get(1)?,
        workspace: row.get(2)?,
        title: row.get(3)?,
        created_at: Timestamp::from_micros(row.get(4)?),
        updated_at: Timestamp::from_micros(row.get(5)?),
        message_count: row.get(6)?,
        last_seq: row.get(7)?,
    })
}

/// Whether a text of this JSON holds `text`, which is in lower case. The SQL function `holds`: SQLite's own `LIKE`
/// ignores the case of ASCII letters only, and would find the names of fields too.
pub(crate) fn holds(json: Option<&str>, text: &str) -> bool {
    fn any_text(value: &Value, text: &str) -> bool {
        match value {
            Value::Array(values) => values.iter().any(|v| any_text(v, text)),
            Value::Object(fields) => fields.iter().any(|(name, value)| match value {
                Value::String(said) => name == "text" && said.to_lowercase().contains(text),
                _ => matches!(name.as_str(), "message" | "content") && any_text(value, text),
            }),
            _ => false,
        }
    }
    json.and_then(|json| serde_json::from_str(json).ok()).is_some_and(|value| any_text(&value, text))
}

/// A blob's bytes.
pub(crate) fn blob(conn: &Connection, id: &str) -> Result<Option<Vec<u8>>, Fault> {
    Ok(conn.prepare_cached("SELECT bytes FROM blobs WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()?)
}
