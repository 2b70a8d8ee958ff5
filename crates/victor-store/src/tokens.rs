//! Bearer tokens in the database: rows that hold hashes.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, params};
use victor_core::error::SessionError;
use victor_core::id::Timestamp;
use victor_core::token::{NewToken, TokenHash, TokenInfo, TokenStore, name_taken};

use crate::store::SqliteStore;

const COLUMNS: &str = "SELECT id, name, scopes, created_at, expires_at, revoked_at FROM tokens";
const VALID: &str = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2)";

#[async_trait]
impl TokenStore for SqliteStore {
    async fn create_token(&self, new: NewToken) -> Result<(), SessionError> {
        let scopes: Vec<&str> = new.scopes.iter().map(|s| s.name()).collect();
        let scopes = scopes.join(" ");
        self.write(move |conn| {
            let taken = conn
                .prepare_cached(&format!("SELECT 1 FROM tokens WHERE name = ?1 AND {VALID}"))?
                .exists(params![new.name, new.at.as_micros()])?;
            if taken {
                return Err(name_taken(&new.name).into());
            }
            conn.execute(
                "INSERT INTO tokens (id, name, hash, scopes, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    new.id,
                    new.name,
                    new.hash.0,
                    scopes,
                    new.at.as_micros(),
                    new.expires_at.map(Timestamp::as_micros)
                ],
            )?;
            Ok(())
        })
        .await
    }

    async fn find_token(&self, hash: &TokenHash) -> Result<Option<TokenInfo>, SessionError> {
        let hash = hash.clone();
        self.read(move |conn| {
            Ok(conn.prepare_cached(&format!("{COLUMNS} WHERE hash = ?1"))?.query_row([hash.0], token).optional()?)
        })
        .await
    }

    async fn tokens(&self) -> Result<Vec<TokenInfo>, SessionError> {
        self.read(|conn| {
            let mut query = conn.prepare_cached(&format!("{COLUMNS} ORDER BY created_at, id"))?;
            let tokens = query.query_map([], token)?.collect::<Result<_, _>>()?;
            Ok(tokens)
        })
        .await
    }

    async fn revoke_token(&self, name_or_id: &str, at: Timestamp) -> Result<bool, SessionError> {
        let name = name_or_id.to_owned();
        self.write(move |conn| {
            let sql = format!("UPDATE tokens SET revoked_at = ?2 WHERE (name = ?1 OR id = ?1) AND {VALID}");
            Ok(conn.prepare_cached(&sql)?.execute(params![name, at.as_micros()])? > 0)
        })
        .await
    }
}

fn token(row: &Row<'_>) -> rusqlite::Result<TokenInfo> {
    let scopes: String = row.get(2)?;
    let time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_micros));
    Ok(TokenInfo {
        id: row.get(0)?,
        name: row.get(1)?,
        // A scope of a newer version allows nothing here.
        scopes: scopes.split(' ').filter_map(|s| s.parse().ok()).collect(),
        created_at: Timestamp::from_micros(row.get(3)?),
        expires_at: time(4)?,
        revoked_at: time(5)?,
    })
}
