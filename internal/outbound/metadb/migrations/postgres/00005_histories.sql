-- +goose Up

-- The recovery point that a job has made or copied, if that has not the name of the job: as long as it is there, the job is kept. No server has had a
-- vault tier until now, so that no job there is copies one.
ALTER TABLE jobs ADD COLUMN point TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Jobs that ended long ago are deleted by these: the first finds them, and the second whether one is the last of its kind of an instance.
CREATE INDEX jobs_ended ON jobs (ended, vault, name) WHERE ended IS NOT NULL;
CREATE INDEX jobs_ended_of_instance ON jobs (vault, instance, operation, ended, name) WHERE ended IS NOT NULL;

-- Entries of the audit log that are older than this are at the end of their time. There is one row, or none: then no entry is.
CREATE TABLE audit_end (
	id     BIGINT PRIMARY KEY CHECK (id = 1),
	before BIGINT NOT NULL
);
CREATE INDEX audit_by_time ON audit (time, sequence);
CREATE INDEX audit_scopes_by_entry ON audit_scopes (sequence);

DROP TRIGGER audit_is_kept ON audit;
DROP TRIGGER audit_scopes_are_kept ON audit_scopes;
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept();
CREATE TRIGGER audit_scopes_are_kept BEFORE UPDATE OR TRUNCATE ON audit_scopes
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept();
-- +goose StatementBegin
CREATE FUNCTION audit_has_its_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT 1 FROM audit a JOIN audit_end e ON e.before > a.time WHERE a.sequence = OLD.sequence) THEN
		RETURN OLD;
	END IF;
	RAISE EXCEPTION 'entries of the audit log are not deleted before the end of their time';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_has_its_time BEFORE DELETE ON audit
FOR EACH ROW EXECUTE FUNCTION audit_has_its_time();
CREATE TRIGGER audit_scopes_have_their_time BEFORE DELETE ON audit_scopes
FOR EACH ROW EXECUTE FUNCTION audit_has_its_time();
