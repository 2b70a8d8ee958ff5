//! What only reads journals: records, infos and lists.

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, params};
use victor_core::error::SessionError;
use victor_core::id::{RunId, Timestamp};
use victor_core::journal::{JournalFilter, JournalInfo, RunStatus, StoredRecord};

use crate::fault::Fault;
use crate::journal::missing;
use crate::{platform, write};

const INFO: &str = "SELECT id, name, owner, workspace, created_at, updated_at, last_seq, status, wake_at, snapshot,
    summary, cancel, holder, pid, born FROM journals";

/// Records of a journal in order.
pub(crate) fn records(conn: &Connection, id: RunId, after: u64, limit: usize) -> Result<Vec<StoredRecord>, Fault> {
    let place: i64 = conn
        .prepare_cached("SELECT place FROM journals WHERE id = ?1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?
        .ok_or_else(|| missing(id))?;
    let mut query = conn.prepare_cached(
        "SELECT seq, at, kind, json FROM records WHERE journal = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?;
    let rows = query.query_map(
        params![place, i64::try_from(after).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX)],
        |row| {
            let at = Timestamp::from_micros(row.get(1)?);
            Ok(StoredRecord { seq: row.get(0)?, at, kind: row.get(2)?, json: row.get(3)? })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is known of a journal.
pub(crate) fn info(conn: &Connection, id: RunId) -> Result<JournalInfo, Fault> {
    conn.prepare_cached(&format!("{INFO} WHERE id = ?1"))?
        .query_row([id.to_string()], |row| Ok(info_of(row)))
        .optional()?
        .ok_or_else(|| missing(id))?
}

/// Journals, latest first.
pub(crate) fn list(conn: &Connection, filter: &JournalFilter) -> Result<Vec<JournalInfo>, Fault> {
    let mut sql = format!("{INFO} WHERE true");
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    if let Some(owner) = &filter.owner {
        sql.push_str(" AND owner = ?");
        values.push(Box::new(owner.clone()));
    }
    if let Some(name) = &filter.name {
        sql.push_str(" AND name = ?");
        values.push(Box::new(name.clone()));
    }
    if let Some(workspace) = &filter.workspace {
        sql.push_str(" AND workspace = ?");
        values.push(Box::new(workspace.clone()));
    }
    if !filter.status.is_empty() {
        // The names are our own words.
        let names: Vec<String> = filter.status.iter().map(|s| format!("'{}'", s.name())).collect();
        sql.push_str(&format!(" AND status IN ({})", names.join(", ")));
    }
    if let Some((at, id)) = &filter.before {
        sql.push_str(" AND (updated_at, id) < (?, ?)");
        values.push(Box::new(at.as_micros()));
        values.push(Box::new(id.to_string()));
    }
    sql.push_str(" ORDER BY updated_at DESC, id DESC LIMIT ?");
    values.push(Box::new(i64::try_from(filter.limit).unwrap_or(i64::MAX)));
    let mut query = conn.prepare(&sql)?;
    let rows = query.query_map(rusqlite::params_from_iter(values), |row| Ok(info_of(row)))?;
    rows.map(|row| row?).collect()
}

/// Who holds a journal, if that process still lives.
pub(crate) fn holder_of((holder, pid, born): (Option<String>, Option<u32>, Option<String>)) -> Option<String> {
    let (holder, pid, born) = (holder?, pid?, born?);
    platform::lives(pid, &born).then(|| write::named(&holder, pid))
}

fn info_of(row: &Row<'_>) -> Result<JournalInfo, Fault> {
    let (id, status, summary): (String, String, String) = (row.get(0)?, row.get(7)?, row.get(10)?);
    let broken = |what: &str| {
        let text = format!("{what} of run {id} cannot be read; a newer version may have written it");
        Fault::Session(SessionError::Corrupt(text))
    };
    Ok(JournalInfo {
        name: row.get(1)?,
        owner: row.get(2)?,
        workspace: row.get(3)?,
        created_at: Timestamp::from_micros(row.get(4)?),
        updated_at: Timestamp::from_micros(row.get(5)?),
        last_seq: row.get(6)?,
        status: RunStatus::ALL.into_iter().find(|s| s.name() == status).ok_or_else(|| broken("the status"))?,
        wake_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_micros),
        snapshot: row.get(9)?,
        summary: serde_json::from_str(&summary).map_err(|_| broken("the summary"))?,
        cancel_requested: row.get(11)?,
        holder: holder_of((row.get(12)?, row.get(13)?, row.get(14)?)),
        id: id.parse().map_err(|_| broken("the id"))?,
    })
}
