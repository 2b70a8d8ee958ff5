//! Schedules in the database: how far each was followed, and what came of its times.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use victor_core::error::SessionError;
use victor_core::id::{RunId, Timestamp};
use victor_core::schedule::{DueStatus, DueTime, ScheduleKey, ScheduleMark, ScheduleStep, ScheduleStore};

use crate::fault::Fault;
use crate::store::SqliteStore;

const COLUMNS: &str = "due, since, times, status, at, run, reason";

#[async_trait]
impl ScheduleStore for SqliteStore {
    async fn mark(&self, key: &ScheduleKey) -> Result<Option<ScheduleMark>, SessionError> {
        let key = key.clone();
        self.read(move |conn| mark(conn, &key)).await
    }

    async fn step(&self, key: &ScheduleKey, step: ScheduleStep) -> Result<bool, SessionError> {
        let key = key.clone();
        self.write(move |conn| take(conn, &key, &step)).await
    }

    async fn settle(
        &self,
        key: &ScheduleKey,
        scheduled_at: Timestamp,
        status: DueStatus,
        at: Timestamp,
        reason: Option<String>,
    ) -> Result<(), SessionError> {
        let key = key.clone();
        self.write(move |conn| {
            conn.prepare_cached(
                "UPDATE due_times SET status = ?4, at = ?5, reason = coalesce(?6, reason)
                 WHERE workspace = ?1 AND name = ?2 AND due = ?3 AND status = 'starting'",
            )?
            .execute(params![
                key.workspace,
                key.name,
                scheduled_at.as_micros(),
                status.name(),
                at.as_micros(),
                reason
            ])?;
            Ok(())
        })
        .await
    }

    async fn due_times(&self, key: &ScheduleKey, limit: usize) -> Result<Vec<DueTime>, SessionError> {
        let key = key.clone();
        self.read(move |conn| {
            let sql = format!(
                "SELECT {COLUMNS} FROM due_times WHERE workspace = ?1 AND name = ?2 ORDER BY due DESC LIMIT ?3"
            );
            let mut query = conn.prepare_cached(&sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = query.query_map(params![key.workspace, key.name, limit], |row| due_time(row, 0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn unsettled(&self, workspace: &str) -> Result<Vec<(String, DueTime)>, SessionError> {
        let workspace = workspace.to_owned();
        self.read(move |conn| {
            let sql = format!(
                "SELECT name, {COLUMNS} FROM due_times WHERE workspace = ?1 AND status = 'starting' ORDER BY due"
            );
            let mut query = conn.prepare_cached(&sql)?;
            let rows = query.query_map([workspace], |row| Ok((row.get(0)?, due_time(row, 1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn retain(&self, workspace: &str, names: &[String]) -> Result<(), SessionError> {
        let (workspace, names) = (workspace.to_owned(), names.to_vec());
        self.write(move |conn| {
            let known: Vec<String> = conn
                .prepare_cached("SELECT name FROM schedules WHERE workspace = ?1")?
                .query_map([&workspace], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for name in known.iter().filter(|name| !names.contains(name)) {
                conn.prepare_cached("DELETE FROM schedules WHERE workspace = ?1 AND name = ?2")?
                    .execute([&workspace, name])?;
            }
            Ok(())
        })
        .await
    }

    async fn trim(&self, key: &ScheduleKey, keep: usize) -> Result<Vec<RunId>, SessionError> {
        let key = key.clone();
        self.write(move |conn| {
            let mut query = conn.prepare_cached(
                "DELETE FROM due_times WHERE workspace = ?1 AND name = ?2
                 AND due <= (SELECT due FROM due_times WHERE workspace = ?1 AND name = ?2
                     ORDER BY due DESC LIMIT 1 OFFSET ?3)
                 AND due IS NOT (SELECT max(due) FROM due_times
                     WHERE workspace = ?1 AND name = ?2 AND status = 'started')
                 RETURNING status, run",
            )?;
            let keep = i64::try_from(keep).unwrap_or(i64::MAX);
            let rows = query.query_map(params![key.workspace, key.name, keep], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
            })?;
            let gone: Vec<(String, Option<String>)> = rows.collect::<Result<_, _>>()?;
            let started = gone.into_iter().filter(|(status, _)| status == DueStatus::Started.name());
            Ok(started.filter_map(|(_, run)| run?.parse().ok()).collect())
        })
        .await
    }
}

fn mark(conn: &Connection, key: &ScheduleKey) -> Result<Option<ScheduleMark>, Fault> {
    let mut query = conn.prepare_cached("SELECT until, rule FROM schedules WHERE workspace = ?1 AND name = ?2")?;
    let found = query.query_row([&key.workspace, &key.name], |row| {
        Ok(ScheduleMark { until: Timestamp::from_micros(row.get(0)?), rule: row.get(1)? })
    });
    Ok(found.optional()?)
}

fn take(conn: &Connection, key: &ScheduleKey, step: &ScheduleStep) -> Result<bool, Fault> {
    if mark(conn, key)? != step.from {
        return Ok(false);
    }
    conn.prepare_cached(
        "INSERT INTO schedules (workspace, name, until, rule) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (workspace, name) DO UPDATE SET until = ?3, rule = ?4",
    )?
    .execute(params![key.workspace, key.name, step.to.until.as_micros(), step.to.rule])?;
    if let Some(due) = &step.due
        && is_known(conn, key, due.scheduled_at)?
    {
        return Ok(false);
    }
    if let Some(old) = step.replaces {
        conn.prepare_cached("DELETE FROM due_times WHERE workspace = ?1 AND name = ?2 AND due = ?3")?
            .execute(params![key.workspace, key.name, old.as_micros()])?;
    }
    if let Some(due) = &step.due {
        add(conn, key, due)?;
    }
    Ok(true)
}

fn is_known(conn: &Connection, key: &ScheduleKey, due: Timestamp) -> Result<bool, Fault> {
    let mut query = conn.prepare_cached("SELECT 1 FROM due_times WHERE workspace = ?1 AND name = ?2 AND due = ?3")?;
    Ok(query.exists(params![key.workspace, key.name, due.as_micros()])?)
}

fn add(conn: &Connection, key: &ScheduleKey, due: &DueTime) -> Result<(), Fault> {
    conn.prepare_cached(&format!(
        "INSERT INTO due_times (workspace, name, {COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    ))?
    .execute(params![
        key.workspace,
        key.name,
        due.scheduled_at.as_micros(),
        due.since.as_micros(),
        i64::try_from(due.times).unwrap_or(i64::MAX),
        due.status.name(),
        due.at.as_micros(),
        due.run.map(|run| run.to_string()),
        due.reason
    ])?;
    Ok(())
}

/// An entry whose columns begin at `first`.
fn due_time(row: &Row<'_>, first: usize) -> rusqlite::Result<DueTime> {
    let time = |column: usize| row.get(first + column).map(Timestamp::from_micros);
    let status: String = row.get(first + 3)?;
    Ok(DueTime {
        scheduled_at: time(0)?,
        since: time(1)?,
        times: row.get::<_, i64>(first + 2)?.unsigned_abs(),
        // What a newer version has written tells at least that nothing is left to do.
        status: DueStatus::ALL.into_iter().find(|s| s.name() == status).unwrap_or(DueStatus::Failed),
        at: time(4)?,
        run: row.get::<_, Option<String>>(first + 5)?.and_then(|run| run.parse().ok()),
        reason: row.get(first + 6)?,
    })
}
