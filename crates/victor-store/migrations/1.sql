-- A session is a row and a log. `place` is the session's number inside this file; its name is `id`.
CREATE TABLE sessions (
    place         INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    owner         TEXT    NOT NULL,
    workspace     TEXT,
    -- Set by the user; without one the beginning of the first user message serves.
    title         TEXT,
    opening       TEXT,
    -- Microseconds since the Unix epoch, as everywhere in this file.
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    -- User and assistant messages that no rewind has taken back.
    message_count INTEGER NOT NULL DEFAULT 0,
    last_seq      INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX sessions_latest ON sessions (updated_at, id);

-- The logs: only ever appended to. `role` is the role of a message, else null.
CREATE TABLE entries (
    session INTEGER NOT NULL REFERENCES sessions (place) ON DELETE CASCADE,
    seq     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    type    TEXT    NOT NULL,
    role    TEXT,
    json    TEXT    NOT NULL,
    PRIMARY KEY (session, seq)
) STRICT, WITHOUT ROWID;
-- Finds the entries that refer to blobs.
CREATE INDEX entries_checkpoints ON entries (session, seq) WHERE type = 'checkpoint';

-- Bytes by the SHA-256 of themselves; `put_at` is when they were last put.
CREATE TABLE blobs (
    id     TEXT    NOT NULL PRIMARY KEY,
    put_at INTEGER NOT NULL,
    bytes  BLOB    NOT NULL
) STRICT;

-- Who writes to a session now: a process (its number and when it began) and one claim of it.
CREATE TABLE claims (
    session INTEGER NOT NULL PRIMARY KEY REFERENCES sessions (place) ON DELETE CASCADE,
    nonce   INTEGER NOT NULL,
    holder  TEXT    NOT NULL,
    pid     INTEGER NOT NULL,
    born    TEXT    NOT NULL,
    made_at INTEGER NOT NULL
) STRICT;
