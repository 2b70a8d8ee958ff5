//! What deletes: sessions that nobody holds, and blobs that no session refers to any more.

use rusqlite::{Connection, params};
use victor_core::id::{SessionId, Timestamp};

use crate::fault::Fault;
use crate::{platform, read, write};

/// Deletes a session that nobody holds, and the blobs that only it kept.
pub(crate) fn delete(conn: &Connection, id: &SessionId) -> Result<(), Fault> {
    let place = read::place(conn, id)?;
    if let Some(holder) = write::living_holder(conn, place)? {
        return Err(write::conflict(id, holder));
    }
    conn.execute("DELETE FROM sessions WHERE place = ?1", [place])?;
    sweep(conn)
}

/// Deletes the sessions last written to before `before` that nobody holds, and the blobs that only they kept.
pub(crate) fn prune(conn: &Connection, before: Timestamp) -> Result<u64, Fault> {
    drop_dead_claims(conn)?;
    let deleted = conn.execute(
        "DELETE FROM sessions WHERE updated_at < ?1 AND place NOT IN (SELECT session FROM claims)",
        [before.as_micros()],
    )?;
    sweep(conn)?;
    Ok(u64::try_from(deleted).unwrap_or(u64::MAX))
}

/// Deletes blobs without a reference. One that was put since the oldest living claim began may be about to get its
/// reference and stays.
fn sweep(conn: &Connection) -> Result<(), Fault> {
    drop_dead_claims(conn)?;
    conn.execute(
        "DELETE FROM blobs
         WHERE put_at < (SELECT coalesce(min(made_at), 9223372036854775807) FROM claims)
         AND id NOT IN (
             SELECT kept.value FROM entries, json_each(entries.json, '$.files') AS file,
                 json_each(json_array(file.value ->> 'before', file.value ->> 'after')) AS kept
             WHERE entries.type = 'checkpoint' AND kept.value IS NOT NULL)",
        [],
    )?;
    Ok(())
}

fn drop_dead_claims(conn: &Connection) -> Result<(), Fault> {
    let claims: Vec<(i64, u32, String)> = conn
        .prepare("SELECT session, pid, born FROM claims")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (session, _, _) in claims.iter().filter(|(_, pid, born)| !platform::lives(*pid, born)) {
        conn.execute("DELETE FROM claims WHERE session = ?1", params![session])?;
    }
    Ok(())
}
