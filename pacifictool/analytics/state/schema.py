"""The tables of the state store.

One transaction applies a batch: its partial aggregates, its invalid records and the offsets up to which each partition
is counted change together or not at all. `windows.delivered` is the count that the target has acknowledged: a window is
due again whenever `count` has grown beyond it.
"""

from __future__ import annotations

from typing import Final

FILE_NAME: Final = "state.sqlite"
VERSION: Final = 3
"""`PRAGMA user_version` of the file. 1 was the store of pacifictool 0.1, 2 knew one mean by one attribute; migration.py
brings both over."""

KEPT_BATCHES: Final = 100
"""Notes on this many of the newest batches are kept, for people who look at the job."""

INVALID: Final = "invalid:"
"""Counters of invalid records are named by this and the reason."""

ANALYTICS: Final = "analytics."
"""Members of a job's identity that say what each analytics computes are named by this and its name."""

TABLES: Final = """
CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE partitions (
    partition INTEGER PRIMARY KEY,
    next_offset INTEGER NOT NULL,     -- everything before it is counted
    newest INTEGER                    -- event time of the newest record counted, in ms since the epoch
);
CREATE TABLE batches (
    number INTEGER PRIMARY KEY,
    planned INTEGER NOT NULL,         -- ms since the epoch, by the clock of the machine that the job ran on
    done INTEGER NOT NULL,
    records INTEGER NOT NULL,
    ranges TEXT NOT NULL              -- JSON: partition to the first offset and the one after the last
);
CREATE TABLE windows (
    analytics TEXT NOT NULL,
    window_end INTEGER NOT NULL,      -- ms since the epoch
    group_key TEXT NOT NULL,          -- values of the group, with U+001F between them
    count INTEGER NOT NULL,           -- records
    state BLOB NOT NULL,              -- see engine/aggregates.py
    delivered INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (analytics, window_end, group_key)
) WITHOUT ROWID;
CREATE INDEX windows_delivered ON windows (analytics, group_key, window_end) WHERE delivered > 0;
CREATE INDEX windows_due ON windows (window_end, analytics, group_key) WHERE count <> delivered;
CREATE TABLE window_offsets (         -- where in the topic the records of a window lie
    analytics TEXT NOT NULL,
    window_end INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    first INTEGER NOT NULL,
    next INTEGER NOT NULL,            -- the offset after the last one
    PRIMARY KEY (analytics, window_end, partition)
) WITHOUT ROWID;
CREATE TABLE refused (
    analytics TEXT NOT NULL,
    window_end INTEGER NOT NULL,
    group_key TEXT NOT NULL,
    count INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (analytics, window_end, group_key)
) WITHOUT ROWID;
CREATE TABLE invalid_records (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    reason TEXT NOT NULL,
    timestamp INTEGER,                -- the record's, in ms since the epoch, if it had one
    size INTEGER,                     -- bytes; NULL for a record without value
    value BLOB,
    compressed INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, offset)
);
"""
