"""The tables of the state store.

One transaction applies a batch: its partial aggregates, its invalid records and the offsets up to which each partition
is counted change together or not at all. `windows.delivered` is the count that the target has acknowledged: a window is
due again whenever `count` has grown beyond it. Where a function computes the results, `windows.evaluated` comes between
the two: what is delivered is the outcome that is kept. `windows.alarmed` follows the results as `delivered` does.
"""

from __future__ import annotations

from typing import Final

FILE_NAME: Final = "state.sqlite"
VERSION: Final = 4
"""`PRAGMA user_version` of the file. 1 was the store of pacifictool 0.1, 2 knew one mean by one attribute, 3 neither
functions nor alarms; migration.py brings all of them over."""

KEPT_BATCHES: Final = 100
"""Notes on this many of the newest batches are kept, for people who look at the job."""

INVALID: Final = "invalid:"
"""Counters of invalid records are named by this and the reason."""

KEPT_FAILURES: Final = 1000
"""Failures of functions that are kept, the newest ones, for people who look at the job."""

KEPT_INVALID_BYTES: Final = 2**30
"""How much of invalid records is kept, the newest ones; what is older is dropped and counted."""

KEPT_REFUSALS: Final = 10_000
"""Refused windows that are kept about as many of, the newest ones, for people who look at the job."""

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
    evaluated INTEGER,                -- the count that its outcome stands for; NULL: its results need no function
    alarmed INTEGER,                  -- the count that alarms are derived from; NULL: no alarm depends on it
    PRIMARY KEY (analytics, window_end, group_key)
) WITHOUT ROWID;
CREATE INDEX windows_delivered ON windows (analytics, group_key, window_end) WHERE delivered > 0;
CREATE INDEX windows_due ON windows (window_end, analytics, group_key) WHERE ifnull(evaluated, count) <> delivered;
CREATE INDEX windows_to_evaluate ON windows (analytics, window_end, group_key) WHERE evaluated <> count;
CREATE INDEX windows_to_alarm ON windows (window_end, analytics, group_key) WHERE alarmed <> ifnull(evaluated, count);
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
CREATE TABLE outcomes (               -- what functions returned
    analytics TEXT NOT NULL,
    group_key TEXT NOT NULL,
    window_end INTEGER NOT NULL,
    count INTEGER NOT NULL,           -- records of the window when it was called
    own TEXT,                         -- JSON: values by key for the entity of the group; NULL: none
    others TEXT NOT NULL,             -- JSON: kind, name and values by key of each other entity
    alarms TEXT NOT NULL,             -- JSON: type, severity, details, kind and name of the entity of each alarm
    failure TEXT,                     -- NULL: it returned
    PRIMARY KEY (analytics, group_key, window_end)
) WITHOUT ROWID;
CREATE TABLE function_failures (
    number INTEGER PRIMARY KEY,
    analytics TEXT NOT NULL,
    group_key TEXT NOT NULL,
    window_end INTEGER NOT NULL,
    count INTEGER NOT NULL,
    at INTEGER NOT NULL,              -- ms since the epoch, by the clock of the machine that the job ran on
    failure TEXT NOT NULL,
    traceback TEXT
);
CREATE TABLE alarm_windows (          -- what alarms are derived from: the last windows of each group
    analytics TEXT NOT NULL,
    group_key TEXT NOT NULL,
    window_end INTEGER NOT NULL,
    own TEXT,                         -- JSON: results by key; NULL: there are none
    met TEXT NOT NULL,                -- JSON: the conditions that are true of them
    raised TEXT,                      -- JSON: alarms of the function; NULL: there is none, or it failed
    active TEXT NOT NULL,             -- JSON: the group's alarms as of this window
    PRIMARY KEY (analytics, group_key, window_end)
) WITHOUT ROWID;
CREATE INDEX alarm_windows_by_end ON alarm_windows (analytics, window_end);
CREATE TABLE alarm_sources (          -- a group whose newest window raises an alarm
    kind TEXT NOT NULL,
    entity TEXT NOT NULL,
    type TEXT NOT NULL,
    analytics TEXT NOT NULL,
    group_key TEXT NOT NULL,
    origin TEXT NOT NULL,             -- 'condition' or 'function'
    severity TEXT NOT NULL,
    start INTEGER NOT NULL,           -- end of the first window of the present run
    until INTEGER NOT NULL,           -- end of the window that decides
    details TEXT NOT NULL,            -- JSON
    PRIMARY KEY (kind, entity, type, analytics, group_key, origin)
) WITHOUT ROWID;
CREATE INDEX alarm_sources_by_group ON alarm_sources (analytics, group_key);
CREATE TABLE alarms (
    kind TEXT NOT NULL,               -- of the entity that it is raised on
    entity TEXT NOT NULL,
    type TEXT NOT NULL,
    desired TEXT,                     -- severity; NULL: not active
    acknowledged TEXT,                -- severity; NULL: not active; '?': sent, without a response so far
    id TEXT,                          -- on the platform
    refused TEXT,                     -- the desired severity that the platform refuses; 'CLEARED' for a clear
    reason TEXT,
    PRIMARY KEY (kind, entity, type)
) WITHOUT ROWID;
CREATE INDEX alarms_due ON alarms (kind, entity, type)
    WHERE desired IS NOT acknowledged AND ifnull(desired, 'CLEARED') IS NOT refused;
"""

ADDED: Final = """
CREATE TABLE IF NOT EXISTS replays (  -- invalid records that were sent to their topic again
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    at INTEGER NOT NULL,              -- ms since the epoch
    PRIMARY KEY (topic, partition, offset)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS invalid_hours (  -- when invalid records were kept
    hour INTEGER PRIMARY KEY,         -- hours since the epoch, by the clock of the machine that the job ran on
    last INTEGER NOT NULL             -- rowid of the last record that was kept in it
);
"""
"""Tables that came after the format did: a store without them has the same format, and a version that does not know
them goes on with a store that has them."""
