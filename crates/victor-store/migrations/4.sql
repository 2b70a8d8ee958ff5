-- How far the schedules of a folder have been followed. What says when they are due is `rule`.
CREATE TABLE schedules (
    workspace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    until     INTEGER NOT NULL,
    rule      TEXT    NOT NULL,
    PRIMARY KEY (workspace, name)
) STRICT, WITHOUT ROWID;

-- What came of their times: a row for each, or for several of the same kind, then under the last of them.
CREATE TABLE due_times (
    workspace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    due       INTEGER NOT NULL,
    since     INTEGER NOT NULL,
    times     INTEGER NOT NULL,
    status    TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    run       TEXT,
    reason    TEXT,
    PRIMARY KEY (workspace, name, due)
) STRICT, WITHOUT ROWID;
-- The few whose run was to begin, and of which nothing more is known.
CREATE INDEX due_times_open ON due_times (workspace) WHERE status = 'starting';
