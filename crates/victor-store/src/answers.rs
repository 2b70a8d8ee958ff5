//! Idempotency keys in the database, with what was answered.

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use victor_core::error::SessionError;
use victor_core::id::Timestamp;
use victor_core::idempotency::{IdempotencyKey, IdempotencyStore, KeptAnswer, Known};

use crate::fault::Fault;
use crate::store::SqliteStore;

/// Old keys that are forgotten with each new one at most: no request pays for all of them.
const SWEPT: u32 = 100;

#[async_trait]
impl IdempotencyStore for SqliteStore {
    async fn begin(
        &self,
        key: &IdempotencyKey,
        request: &str,
        at: Timestamp,
        since: Timestamp,
    ) -> Result<Known, SessionError> {
        let (key, request) = (key.clone(), request.to_owned());
        self.write(move |conn| {
            conn.prepare_cached(
                "DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers WHERE at < ?1 ORDER BY at LIMIT ?2)",
            )?
            .execute(params![since.as_micros(), SWEPT])?;
            conn.prepare_cached("DELETE FROM answers WHERE owner = ?1 AND key = ?2 AND at < ?3")?.execute(params![
                key.owner,
                key.key,
                since.as_micros()
            ])?;
            let new = conn
                .prepare_cached(
                    "INSERT INTO answers (owner, key, request, at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                )?
                .execute(params![key.owner, key.key, request, at.as_micros()])?;
            if new == 1 { Ok(Known::New) } else { known(conn, &key, &request) }
        })
        .await
    }

    async fn answered(&self, key: &IdempotencyKey, answer: KeptAnswer) -> Result<(), SessionError> {
        let key = key.clone();
        self.write(move |conn| {
            conn.prepare_cached(
                "UPDATE answers SET status = ?3, content_type = ?4, body = ?5 WHERE owner = ?1 AND key = ?2",
            )?
            .execute(params![key.owner, key.key, answer.status, answer.content_type, &answer.body[..]])?;
            Ok(())
        })
        .await
    }

    async fn give_back(&self, key: &IdempotencyKey) -> Result<(), SessionError> {
        let key = key.clone();
        self.write(move |conn| {
            conn.prepare_cached("DELETE FROM answers WHERE owner = ?1 AND key = ?2")?.execute([key.owner, key.key])?;
            Ok(())
        })
        .await
    }
}

fn known(conn: &Connection, key: &IdempotencyKey, request: &str) -> Result<Known, Fault> {
    type Row = (String, Option<u16>, Option<String>, Option<Vec<u8>>);
    let row: Option<Row> = conn
        .prepare_cached("SELECT request, status, content_type, body FROM answers WHERE owner = ?1 AND key = ?2")?
        .query_row([&key.owner, &key.key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    Ok(match row {
        Some((first, ..)) if first != request => Known::Other,
        Some((_, Some(status), content_type, body)) => {
            let (content_type, body) = (content_type.unwrap_or_default(), Bytes::from(body.unwrap_or_default()));
            Known::Answered(KeptAnswer { status, content_type, body })
        }
        _ => Known::Begun,
    })
}
