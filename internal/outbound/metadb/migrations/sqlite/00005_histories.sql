-- +goose Up

-- The recovery point that a job has made or copied, if that has not the name of the job: as long as it is there, the job is kept. No server has had a
-- vault tier until now, so that no job there is copies one.
ALTER TABLE jobs ADD COLUMN point TEXT NOT NULL DEFAULT '';

-- Jobs that ended long ago are deleted by these: the first finds them, and the second whether one is the last of its kind of an instance.
CREATE INDEX jobs_ended ON jobs (ended, vault, name) WHERE ended IS NOT NULL;
CREATE INDEX jobs_ended_of_instance ON jobs (vault, instance, operation, ended, name) WHERE ended IS NOT NULL;

-- Entries of the audit log that are older than this are at the end of their time. There is one row, or none: then no entry is.
CREATE TABLE audit_end (
	id     INTEGER PRIMARY KEY CHECK (id = 1),
	before INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_by_time ON audit (time, sequence);
CREATE INDEX audit_scopes_by_entry ON audit_scopes (sequence);

DROP TRIGGER audit_is_not_deleted;
DROP TRIGGER audit_scopes_are_not_deleted;
-- +goose StatementBegin
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit WHEN NOT EXISTS (SELECT 1 FROM audit_end WHERE before > OLD.time)
BEGIN SELECT RAISE(ABORT, 'entries of the audit log are not deleted before the end of their time'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_scopes_are_not_deleted BEFORE DELETE ON audit_scopes
WHEN NOT EXISTS (SELECT 1 FROM audit a JOIN audit_end e ON e.before > a.time WHERE a.sequence = OLD.sequence)
BEGIN SELECT RAISE(ABORT, 'entries of the audit log are not deleted before the end of their time'); END;
-- +goose StatementEnd
