-- +goose Up
CREATE TABLE resources (
	id         BIGINT  PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	key        TEXT COLLATE "C" NOT NULL UNIQUE,
	spelling   TEXT COLLATE "C" NOT NULL,
	type       TEXT COLLATE "C" NOT NULL,
	version    BIGINT  NOT NULL,
	body       BYTEA   NOT NULL,
	facts      BYTEA   NOT NULL,
	links      BYTEA   NOT NULL,
	created_by TEXT COLLATE "C" NOT NULL,
	created_at BIGINT  NOT NULL,
	changed_by TEXT COLLATE "C" NOT NULL,
	changed_at BIGINT  NOT NULL
);
CREATE INDEX resources_by_type ON resources (type, key);

-- Finds resources by their links. The digest is of relation and target, which together are too long for an index of PostgreSQL.
CREATE TABLE links (
	digest   BYTEA   NOT NULL,
	key      TEXT COLLATE "C" NOT NULL,
	resource BIGINT  NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	PRIMARY KEY (digest, key)
);
CREATE INDEX links_by_resource ON links (resource);

CREATE TABLE secrets (
	resource BIGINT  NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	name     TEXT COLLATE "C" NOT NULL,
	sealed   BYTEA   NOT NULL,
	expires  BIGINT,
	PRIMARY KEY (resource, name)
);

CREATE TABLE points (
	instance BIGINT  NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	name     TEXT COLLATE "C" NOT NULL,
	time     BIGINT  NOT NULL,
	expiry   BIGINT,
	body     BYTEA   NOT NULL,
	PRIMARY KEY (instance, name)
);
CREATE INDEX points_by_time ON points (instance, time, name);

CREATE TABLE jobs (
	vault             BIGINT  NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
	name              TEXT COLLATE "C" NOT NULL,
	instance          TEXT COLLATE "C" NOT NULL,
	instance_spelling TEXT COLLATE "C" NOT NULL,
	status            TEXT COLLATE "C" NOT NULL,
	operation         TEXT COLLATE "C" NOT NULL,
	started           BIGINT  NOT NULL,
	ended             BIGINT,
	body              BYTEA   NOT NULL,
	PRIMARY KEY (vault, name)
);
CREATE INDEX jobs_by_time ON jobs (vault, started, name);
CREATE INDEX jobs_by_instance ON jobs (vault, instance, started, name);
CREATE INDEX jobs_by_status ON jobs (vault, status, started, name);
CREATE INDEX jobs_by_operation ON jobs (vault, operation, started, name);

CREATE TABLE operations (
	id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	resource TEXT COLLATE "C" NOT NULL,
	kind     TEXT COLLATE "C" NOT NULL,
	begun_by TEXT COLLATE "C" NOT NULL,
	status   TEXT COLLATE "C" NOT NULL,
	started  BIGINT  NOT NULL,
	ended    BIGINT,
	result   BYTEA   NOT NULL,
	error    BYTEA   NOT NULL
);

CREATE TABLE audit (
	sequence  BIGINT  PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	time      BIGINT  NOT NULL,
	principal TEXT COLLATE "C" NOT NULL,
	name      TEXT COLLATE "C" NOT NULL,
	action    TEXT COLLATE "C" NOT NULL,
	target    TEXT COLLATE "C" NOT NULL,
	request   TEXT COLLATE "C" NOT NULL,
	remote    TEXT COLLATE "C" NOT NULL,
	status    BIGINT  NOT NULL,
	code      TEXT COLLATE "C" NOT NULL,
	before    BYTEA   NOT NULL,
	after     BYTEA   NOT NULL
);
CREATE INDEX audit_by_principal ON audit (principal, sequence);

-- Finds entries by each scope that their target lies in. The digest is of the scope's key.
CREATE TABLE audit_scopes (
	digest   BYTEA   NOT NULL,
	sequence BIGINT  NOT NULL REFERENCES audit (sequence),
	PRIMARY KEY (digest, sequence)
);

-- +goose StatementBegin
CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'entries of the audit log are never changed and never deleted'; END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept();
CREATE TRIGGER audit_scopes_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_scopes
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept();
