-- +goose Up

-- Where a job is carried out, and what there is to do.
ALTER TABLE jobs ADD COLUMN cluster TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN cluster_spelling TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN work BLOB NOT NULL DEFAULT x'';

-- Finds what there is to do in a cluster.
CREATE INDEX jobs_open ON jobs (cluster, started, name) WHERE ended IS NULL;
