-- Runs of workflows: a row and a log each. `place` is the run's number inside this file; its name is `id`.
CREATE TABLE journals (
    place      INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    owner      TEXT    NOT NULL,
    workspace  TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    last_seq   INTEGER NOT NULL DEFAULT 0,
    status     TEXT    NOT NULL DEFAULT 'running',
    -- When a waiting run has to be looked at, at the latest.
    wake_at    INTEGER,
    -- The last record that holds everything; 0 for none.
    snapshot   INTEGER NOT NULL DEFAULT 0,
    summary    TEXT    NOT NULL DEFAULT 'null',
    -- Whether somebody asked the writer to end the run.
    cancel     INTEGER NOT NULL DEFAULT 0,
    -- Who writes to it now: one claim of a process (its number and when it began). All null for nobody.
    nonce      INTEGER,
    holder     TEXT,
    pid        INTEGER,
    born       TEXT
) STRICT;
CREATE INDEX journals_latest ON journals (updated_at, id);
-- The few that a server looks at again and again.
CREATE INDEX journals_open ON journals (status) WHERE status IN ('running', 'waiting');

-- The logs: only ever appended to.
CREATE TABLE records (
    journal INTEGER NOT NULL REFERENCES journals (place) ON DELETE CASCADE,
    seq     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    json    TEXT    NOT NULL,
    PRIMARY KEY (journal, seq)
) STRICT, WITHOUT ROWID;
