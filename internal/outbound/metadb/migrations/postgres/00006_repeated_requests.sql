-- +goose Up

-- By what a repetition of the request is known; empty is none.
ALTER TABLE operations ADD COLUMN request TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX operations_by_request ON operations (request, started, id) WHERE request > '';
