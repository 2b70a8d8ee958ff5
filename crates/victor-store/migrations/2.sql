-- Bearer tokens of the HTTP API: only the SHA-256 of each, in hexadecimal. What is revoked or expired stays listed.
CREATE TABLE tokens (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    hash       TEXT    NOT NULL UNIQUE,
    -- Names of scopes with spaces between.
    scopes     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

-- What requests with an idempotency key were answered. Without a status the request has not answered (yet).
CREATE TABLE answers (
    owner        TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    request      TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    status       INTEGER,
    content_type TEXT,
    body         BLOB,
    PRIMARY KEY (owner, key)
) STRICT;
CREATE INDEX answers_oldest ON answers (at);
