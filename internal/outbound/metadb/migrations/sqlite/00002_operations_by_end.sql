-- +goose Up

-- Operations that ended long ago are deleted by this.
CREATE INDEX operations_ended ON operations (ended);
