-- +goose Up

-- What the rules of retention go by. Of a recovery point that was made before, its body says whether anything is missing in it.
ALTER TABLE points ADD COLUMN vault_expiry BIGINT;
ALTER TABLE points ADD COLUMN good BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE points ADD COLUMN held BOOLEAN NOT NULL DEFAULT FALSE;
-- The tiers that have it. Before, there was one.
ALTER TABLE points ADD COLUMN operational BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE points ADD COLUMN vaulted BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE points ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE points ADD COLUMN snapshot_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE points ADD COLUMN namespaces INTEGER NOT NULL DEFAULT 0;
-- What the vault tier is to have, and has.
ALTER TABLE points ADD COLUMN copy_at BIGINT;
ALTER TABLE points ADD COLUMN vault_bytes BIGINT NOT NULL DEFAULT 0;
-- By chance another one with each change, so that who has read those of an instance knows by the sum whether they are still as they were.
ALTER TABLE points ADD COLUMN mark BIGINT NOT NULL DEFAULT 0;

-- A body is whatever was written: what is not JSON says nothing.
-- +goose StatementBegin
CREATE FUNCTION says_partial(body BYTEA) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
BEGIN RETURN COALESCE(convert_from(body, 'UTF8')::json ->> 'recoveryPointState' = 'Partial', FALSE);
EXCEPTION WHEN OTHERS THEN RETURN FALSE;
END
$$;
-- +goose StatementEnd
UPDATE points SET good = FALSE WHERE says_partial(body);
DROP FUNCTION says_partial(BYTEA);

-- Find which instances have something that expires.
CREATE INDEX points_by_expiry ON points (instance, expiry) WHERE expiry IS NOT NULL;
CREATE INDEX points_by_vault_expiry ON points (instance, vault_expiry) WHERE vault_expiry IS NOT NULL;
-- What the recovery points of an instance take up is summed from this alone.
CREATE INDEX points_by_size ON points (instance, snapshot_bytes, bytes, vault_bytes);
-- Find what is to be copied to the vault tier.
CREATE INDEX points_by_copy ON points (copy_at, instance, name) WHERE copy_at IS NOT NULL;

-- When the schedule of an instance is looked at next.
CREATE TABLE due (
	instance TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES resources (key) ON DELETE CASCADE ON UPDATE CASCADE,
	time     BIGINT  NOT NULL,
	slot     BIGINT,
	schedule TEXT COLLATE "C" NOT NULL,
	policy   TEXT COLLATE "C" NOT NULL
);
CREATE INDEX due_by_time ON due (time, instance);
-- Instances that there are have had no schedule until now: it begins for them.
INSERT INTO due (instance, time, slot, schedule, policy)
SELECT key, 0, CAST(extract(epoch FROM now()) * 1000000 AS BIGINT), '', '' FROM resources WHERE type = 'microsoft.dataprotection/backupvaults/backupinstances';

-- A job is written several times until it has ended: there is room beside it for that, so that no index has to be written as well.
ALTER TABLE jobs SET (fillfactor = 50);
-- Finds the open jobs of instances.
CREATE INDEX jobs_open_of_instance ON jobs (instance, started, name) WHERE ended IS NULL;

-- Has no rows: it is locked by transactions that read and write many, one at a time.
CREATE TABLE turns ();

CREATE TABLE slots (
	instance BIGINT  NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	time     BIGINT  NOT NULL,
	outcome  TEXT COLLATE "C" NOT NULL,
	job      TEXT COLLATE "C" NOT NULL,
	noted    BIGINT  NOT NULL,
	missed   BIGINT  NOT NULL,
	since    BIGINT,
	PRIMARY KEY (instance, time)
);
CREATE INDEX slots_by_time ON slots (time);

CREATE TABLE deletions (
	id                BIGINT  PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	vault             BIGINT  NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	instance          TEXT COLLATE "C" NOT NULL,
	instance_spelling TEXT COLLATE "C" NOT NULL,
	point             TEXT COLLATE "C" NOT NULL,
	tier              TEXT COLLATE "C" NOT NULL,
	taken             BIGINT  NOT NULL,
	cluster           TEXT COLLATE "C" NOT NULL,
	cluster_spelling  TEXT COLLATE "C" NOT NULL,
	bytes             BIGINT  NOT NULL,
	since             BIGINT  NOT NULL,
	next              BIGINT  NOT NULL,
	tries             BIGINT  NOT NULL,
	failure           TEXT COLLATE "C" NOT NULL,
	work              BYTEA   NOT NULL,
	UNIQUE (vault, instance, point, tier)
);
CREATE INDEX deletions_by_time ON deletions (vault, since, instance, point, tier);
CREATE INDEX deletions_by_cluster ON deletions (cluster, next, id);
CREATE INDEX deletions_of_vault_tiers ON deletions (next, id) WHERE tier <> '';
CREATE INDEX deletions_next ON deletions (next, cluster);

CREATE TABLE alerts (
	vault           BIGINT  NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	name            TEXT COLLATE "C" NOT NULL,
	kind            TEXT COLLATE "C" NOT NULL,
	target          TEXT COLLATE "C" NOT NULL,
	target_spelling TEXT COLLATE "C" NOT NULL,
	state           TEXT COLLATE "C" NOT NULL,
	first           BIGINT  NOT NULL,
	last            BIGINT  NOT NULL,
	count           BIGINT  NOT NULL,
	closed          BIGINT,
	body            BYTEA   NOT NULL,
	PRIMARY KEY (vault, name)
);
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
	vault             BIGINT  NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	day               BIGINT  NOT NULL,
	instance          TEXT COLLATE "C" NOT NULL,
	instance_spelling TEXT COLLATE "C" NOT NULL,
	namespaces        BIGINT  NOT NULL,
	points            BIGINT  NOT NULL,
	snapshot_bytes    BIGINT  NOT NULL,
	archive_bytes     BIGINT  NOT NULL,
	vault_bytes       BIGINT  NOT NULL,
	redundancy        TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (vault, day, instance)
);
-- Those of years ago are deleted by this.
CREATE INDEX readings_by_day ON readings (day);
