-- +goose Up

-- What the rules of retention go by. Of a recovery point that was made before, its body says whether anything is missing in it.
ALTER TABLE points ADD COLUMN vault_expiry INTEGER;
ALTER TABLE points ADD COLUMN good INTEGER NOT NULL DEFAULT 1;
ALTER TABLE points ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
-- The tiers that have it. Before, there was one.
ALTER TABLE points ADD COLUMN operational INTEGER NOT NULL DEFAULT 1;
ALTER TABLE points ADD COLUMN vaulted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE points ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE points ADD COLUMN snapshot_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE points ADD COLUMN namespaces INTEGER NOT NULL DEFAULT 0;
-- What the vault tier is to have, and has.
ALTER TABLE points ADD COLUMN copy_at INTEGER;
ALTER TABLE points ADD COLUMN vault_bytes INTEGER NOT NULL DEFAULT 0;
-- By chance another one with each change, so that who has read those of an instance knows by the sum whether they are still as they were.
ALTER TABLE points ADD COLUMN mark INTEGER NOT NULL DEFAULT 0;

-- A body is whatever was written: what is not JSON says nothing.
UPDATE points SET good = 0 WHERE CASE WHEN json_valid(CAST(body AS TEXT)) THEN json_extract(CAST(body AS TEXT), '$.recoveryPointState') = 'Partial' END;

-- Find which instances have something that expires.
CREATE INDEX points_by_expiry ON points (instance, expiry) WHERE expiry IS NOT NULL;
CREATE INDEX points_by_vault_expiry ON points (instance, vault_expiry) WHERE vault_expiry IS NOT NULL;
-- What the recovery points of an instance take up is summed from this alone.
CREATE INDEX points_by_size ON points (instance, snapshot_bytes, bytes, vault_bytes);
-- Find what is to be copied to the vault tier.
CREATE INDEX points_by_copy ON points (copy_at, instance, name) WHERE copy_at IS NOT NULL;

-- When the schedule of an instance is looked at next.
CREATE TABLE due (
	instance TEXT    NOT NULL PRIMARY KEY REFERENCES resources (key) ON DELETE CASCADE ON UPDATE CASCADE,
	time     INTEGER NOT NULL,
	slot     INTEGER,
	schedule TEXT    NOT NULL,
	policy   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX due_by_time ON due (time, instance);
-- Instances that there are have had no schedule until now: it begins for them.
INSERT INTO due (instance, time, slot, schedule, policy)
SELECT key, 0, CAST(unixepoch('subsec') * 1000000 AS INTEGER), '', '' FROM resources WHERE type = 'microsoft.dataprotection/backupvaults/backupinstances';

-- Finds the open jobs of instances.
CREATE INDEX jobs_open_of_instance ON jobs (instance, started, name) WHERE ended IS NULL;

CREATE TABLE slots (
	instance INTEGER NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	time     INTEGER NOT NULL,
	outcome  TEXT    NOT NULL,
	job      TEXT    NOT NULL,
	noted    INTEGER NOT NULL,
	missed   INTEGER NOT NULL,
	since    INTEGER,
	PRIMARY KEY (instance, time)
) STRICT, WITHOUT ROWID;
CREATE INDEX slots_by_time ON slots (time);

CREATE TABLE deletions (
	id                INTEGER PRIMARY KEY,
	vault             INTEGER NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	instance          TEXT    NOT NULL,
	instance_spelling TEXT    NOT NULL,
	point             TEXT    NOT NULL,
	tier              TEXT    NOT NULL,
	taken             INTEGER NOT NULL,
	cluster           TEXT    NOT NULL,
	cluster_spelling  TEXT    NOT NULL,
	bytes             INTEGER NOT NULL,
	since             INTEGER NOT NULL,
	next              INTEGER NOT NULL,
	tries             INTEGER NOT NULL,
	failure           TEXT    NOT NULL,
	work              BLOB    NOT NULL,
	UNIQUE (vault, instance, point, tier)
) STRICT;
CREATE INDEX deletions_by_time ON deletions (vault, since, instance, point, tier);
CREATE INDEX deletions_by_cluster ON deletions (cluster, next);
CREATE INDEX deletions_of_vault_tiers ON deletions (next, id) WHERE tier <> '';
CREATE INDEX deletions_next ON deletions (next, cluster);

CREATE TABLE alerts (
	vault           INTEGER NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	name            TEXT    NOT NULL,
	kind            TEXT    NOT NULL,
	target          TEXT    NOT NULL,
	target_spelling TEXT    NOT NULL,
	state           TEXT    NOT NULL,
	first           INTEGER NOT NULL,
	last            INTEGER NOT NULL,
	count           INTEGER NOT NULL,
	closed          INTEGER,
	body            BLOB    NOT NULL,
	PRIMARY KEY (vault, name)
) STRICT;
-- While it is open, there is one of a kind for a target.
CREATE UNIQUE INDEX alerts_open ON alerts (vault, kind, target) WHERE closed IS NULL;
CREATE INDEX alerts_open_by_time ON alerts (vault, last, name) WHERE closed IS NULL;
CREATE INDEX alerts_by_time ON alerts (vault, last, name);
CREATE INDEX alerts_by_target ON alerts (vault, target, last, name);
CREATE INDEX alerts_by_kind ON alerts (vault, kind, last, name);
CREATE INDEX alerts_by_state ON alerts (vault, state, last, name);
-- Those that were closed long ago are deleted by this.
CREATE INDEX alerts_closed ON alerts (closed) WHERE closed IS NOT NULL;

CREATE TABLE readings (
	vault             INTEGER NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	day               INTEGER NOT NULL,
	instance          TEXT    NOT NULL,
	instance_spelling TEXT    NOT NULL,
	namespaces        INTEGER NOT NULL,
	points            INTEGER NOT NULL,
	snapshot_bytes    INTEGER NOT NULL,
	archive_bytes     INTEGER NOT NULL,
	vault_bytes       INTEGER NOT NULL,
	redundancy        TEXT    NOT NULL,
	PRIMARY KEY (vault, day, instance)
) STRICT, WITHOUT ROWID;
-- Those of years ago are deleted by this.
CREATE INDEX readings_by_day ON readings (day);
