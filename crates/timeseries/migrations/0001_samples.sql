-- Keys are two numbers in one, so that each table is one tree without an index:
-- the chunk (or the day, or the eight days) times 2^24, plus the series.

CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE series (
    series_id INTEGER PRIMARY KEY NOT NULL,
    key BLOB NOT NULL
);

CREATE TABLE chunks (
    chunk_id INTEGER PRIMARY KEY NOT NULL,
    era INTEGER NOT NULL,
    last_row INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    -- 0: its blocks are in `recent`; 1: in `blocks`, of several chunks put together; 2: in `recent`, and left there.
    place INTEGER NOT NULL,
    times BLOB NOT NULL
);

-- The block of a series.
CREATE TABLE recent (
    key INTEGER PRIMARY KEY NOT NULL,
    data BLOB NOT NULL
);

-- Blocks of many series, by the first of them.
CREATE TABLE blocks (
    key INTEGER PRIMARY KEY NOT NULL,
    data BLOB NOT NULL
);

CREATE TABLE hours (
    key INTEGER PRIMARY KEY NOT NULL,
    data BLOB NOT NULL
);

CREATE TABLE days (
    key INTEGER PRIMARY KEY NOT NULL,
    data BLOB NOT NULL
);
