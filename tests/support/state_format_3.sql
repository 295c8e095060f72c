-- The state store of a job, as pacifictool wrote it in format 3.
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE batches (
    number INTEGER PRIMARY KEY,
    planned INTEGER NOT NULL,         -- ms since the epoch, by the clock of the machine that the job ran on
    done INTEGER NOT NULL,
    records INTEGER NOT NULL,
    ranges TEXT NOT NULL              -- JSON: partition to the first offset and the one after the last
);
INSERT INTO "batches" VALUES(1,20000,20100,14,'{"0": [0, 10], "1": [2, 9]}');
INSERT INTO "batches" VALUES(2,22000,22050,2,'{"0": [10, 12]}');
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "counters" VALUES('batches',2);
INSERT INTO "counters" VALUES('invalid:empty',1);
INSERT INTO "counters" VALUES('invalid:not UTF-8',1);
INSERT INTO "counters" VALUES('posted',1);
INSERT INTO "counters" VALUES('refused',1);
INSERT INTO "counters" VALUES('valid',14);
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
INSERT INTO "invalid_records" VALUES('readings',0,4,'empty',1,0,X'',0);
INSERT INTO "invalid_records" VALUES('readings',1,2,'not UTF-8',NULL,5000,X'789CEDC13101000000C2A0DC6B6F0A3FA00000000080B701E51C3BD0',1);
CREATE TABLE partitions (
    partition INTEGER PRIMARY KEY,
    next_offset INTEGER NOT NULL,     -- everything before it is counted
    newest INTEGER                    -- event time of the newest record counted, in ms since the epoch
);
INSERT INTO "partitions" VALUES(0,12,19500);
INSERT INTO "partitions" VALUES(1,9,12000);
CREATE TABLE refused (
    analytics TEXT NOT NULL,
    window_end INTEGER NOT NULL,
    group_key TEXT NOT NULL,
    count INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (analytics, window_end, group_key)
) WITHOUT ROWID;
INSERT INTO "refused" VALUES('sites',10000,'Österreich',3,'no such asset');
CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO "state" VALUES('arrival_ms',22000);
INSERT INTO "state" VALUES('closed_until_ms','{"sites": 9000, "scores": 9000}');
INSERT INTO "state" VALUES('identity','{"analytics.scores": {"function": "scoring:score"}, "analytics.sites": {"window_ms": 10000}, "target": "rest http://h", "topic": "readings", "topic_id": "Qx"}');
INSERT INTO "state" VALUES('last_batch',2);
INSERT INTO "state" VALUES('seen_at_ms',22000);
INSERT INTO "state" VALUES('starting_offsets','{"0": 0, "1": 2}');
INSERT INTO "state" VALUES('watermark_ms',19500);
CREATE TABLE window_offsets (         -- where in the topic the records of a window lie
    analytics TEXT NOT NULL,
    window_end INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    first INTEGER NOT NULL,
    next INTEGER NOT NULL,            -- the offset after the last one
    PRIMARY KEY (analytics, window_end, partition)
) WITHOUT ROWID;
INSERT INTO "window_offsets" VALUES('scores',10000,0,0,6);
INSERT INTO "window_offsets" VALUES('scores',20000,1,3,9);
INSERT INTO "window_offsets" VALUES('sites',10000,0,0,6);
CREATE TABLE windows (
    analytics TEXT NOT NULL,
    window_end INTEGER NOT NULL,      -- ms since the epoch
    group_key TEXT NOT NULL,          -- values of the group, with U+001F between them
    count INTEGER NOT NULL,           -- records
    state BLOB NOT NULL,              -- see engine/aggregates.py
    delivered INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (analytics, window_end, group_key)
) WITHOUT ROWID;
INSERT INTO "windows" VALUES('scores',10000,'North',4,X'',4);
INSERT INTO "windows" VALUES('scores',20000,'North',5,X'',0);
INSERT INTO "windows" VALUES('sites',10000,'North',4,X'0000000000000004000000000000001200000000A05F2000',4);
INSERT INTO "windows" VALUES('sites',10000,'Österreich',3,X'0000000000000003000000000000000D00000000F8475800',3);
INSERT INTO "windows" VALUES('sites',20000,'North',7,X'000000000000000700000000000000200000000098A67800',0);
CREATE INDEX windows_delivered ON windows (analytics, group_key, window_end) WHERE delivered > 0;
CREATE INDEX windows_due ON windows (window_end, analytics, group_key) WHERE count <> delivered;
COMMIT;
