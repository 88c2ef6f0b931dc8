-- +goose Up
CREATE TABLE resources (
	id         INTEGER PRIMARY KEY,
	key        TEXT    NOT NULL UNIQUE,
	spelling   TEXT    NOT NULL,
	type       TEXT    NOT NULL,
	version    INTEGER NOT NULL,
	body       BLOB    NOT NULL,
	facts      BLOB    NOT NULL,
	links      BLOB    NOT NULL,
	created_by TEXT    NOT NULL,
	created_at INTEGER NOT NULL,
	changed_by TEXT    NOT NULL,
	changed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX resources_by_type ON resources (type, key);

-- Finds resources by their links. The digest is of relation and target, which together are too long for an index of PostgreSQL.
CREATE TABLE links (
	digest   BLOB    NOT NULL,
	key      TEXT    NOT NULL,
	resource INTEGER NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	PRIMARY KEY (digest, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_by_resource ON links (resource);

CREATE TABLE secrets (
	resource INTEGER NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	name     TEXT    NOT NULL,
	sealed   BLOB    NOT NULL,
	expires  INTEGER,
	PRIMARY KEY (resource, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE points (
	instance INTEGER NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	name     TEXT    NOT NULL,
	time     INTEGER NOT NULL,
	expiry   INTEGER,
	body     BLOB    NOT NULL,
	PRIMARY KEY (instance, name)
) STRICT;
CREATE INDEX points_by_time ON points (instance, time, name);

CREATE TABLE jobs (
	vault             INTEGER NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	name              TEXT    NOT NULL,
	instance          TEXT    NOT NULL,
	instance_spelling TEXT    NOT NULL,
	status            TEXT    NOT NULL,
	operation         TEXT    NOT NULL,
	started           INTEGER NOT NULL,
	ended             INTEGER,
	body              BLOB    NOT NULL,
	PRIMARY KEY (vault, name)
) STRICT;
CREATE INDEX jobs_by_time ON jobs (vault, started, name);
CREATE INDEX jobs_by_instance ON jobs (vault, instance, started, name);
CREATE INDEX jobs_by_status ON jobs (vault, status, started, name);
CREATE INDEX jobs_by_operation ON jobs (vault, operation, started, name);

CREATE TABLE operations (
	id       TEXT    NOT NULL PRIMARY KEY,
	resource TEXT    NOT NULL,
	kind     TEXT    NOT NULL,
	begun_by TEXT    NOT NULL,
	status   TEXT    NOT NULL,
	started  INTEGER NOT NULL,
	ended    INTEGER,
	result   BLOB    NOT NULL,
	error    BLOB    NOT NULL
) STRICT;

CREATE TABLE audit (
	sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
	time      INTEGER NOT NULL,
	principal TEXT    NOT NULL,
	name      TEXT    NOT NULL,
	action    TEXT    NOT NULL,
	target    TEXT    NOT NULL,
	request   TEXT    NOT NULL,
	remote    TEXT    NOT NULL,
	status    INTEGER NOT NULL,
	code      TEXT    NOT NULL,
	before    BLOB    NOT NULL,
	after     BLOB    NOT NULL
) STRICT;
CREATE INDEX audit_by_principal ON audit (principal, sequence);

-- Finds entries by each scope that their target lies in. The digest is of the scope's key.
CREATE TABLE audit_scopes (
	digest   BLOB    NOT NULL,
	sequence INTEGER NOT NULL REFERENCES audit (sequence),
	PRIMARY KEY (digest, sequence)
) STRICT, WITHOUT ROWID;

-- +goose StatementBegin
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'entries of the audit log are never changed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'entries of the audit log are never deleted'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_scopes_are_not_changed BEFORE UPDATE ON audit_scopes
BEGIN SELECT RAISE(ABORT, 'entries of the audit log are never changed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_scopes_are_not_deleted BEFORE DELETE ON audit_scopes
BEGIN SELECT RAISE(ABORT, 'entries of the audit log are never deleted'); END;
-- +goose StatementEnd
-- REPLACE deletes without a word to the trigger above.
-- +goose StatementBegin
CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE sequence = NEW.sequence)
BEGIN SELECT RAISE(ABORT, 'entries of the audit log are never changed'); END;
-- +goose StatementEnd
