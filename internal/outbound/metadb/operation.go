package metadb

import (
	"context"
	"database/sql"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const operationColumns = "id, resource, kind, begun_by, status, started, ended, result, error, request"

// Operation reads one.
func (v *view) Operation(ctx context.Context, id string) (catalogue.Operation, error) {
	return v.operation(ctx, catalogue.Operation{ID: id}, findable(word("id", id)), "id = $1", id)
}

// OperationOf reads the last one of a request.
func (v *view) OperationOf(ctx context.Context, request string, since time.Time) (catalogue.Operation, error) {
	return v.operation(ctx, catalogue.Operation{}, request != "" && findable(word("request", request)),
		"request = $1 AND request > '' AND started >= $2 ORDER BY started DESC, id DESC LIMIT 1", request, micros(since))
}

func (v *view) operation(ctx context.Context, o catalogue.Operation, findable bool, where string, args ...any) (catalogue.Operation, error) {
	// The id is not repeated: who knows it may see the operation.
	missing := notFound("the operation was not found")
	if !findable {
		return o, missing
	}
	there, err := v.one(ctx, "read an operation", func(row scanner) error {
		var started int64
		var ended sql.NullInt64
		var result, failure []byte
		err := row.Scan(&o.ID, &o.Resource, &o.Kind, &o.By, &o.Status, &started, &ended, &result, &failure, &o.Request)
		o.Started, o.Ended, o.Result, o.Error = fromMicros(started), fromMaybe(ended), body(result), body(failure)
		return err
	}, "SELECT "+operationColumns+" FROM operations WHERE "+where, args...)
	if err == nil && !there {
		err = missing
	}
	return o, err
}

// PutOperation creates or replaces one.
func (t *transaction) PutOperation(ctx context.Context, o catalogue.Operation) error {
	err := checkText(word("id of an operation", o.ID), key("resource", o.Resource), word("kind of an operation", o.Kind),
		word("principal", o.By), word("status of an operation", string(o.Status)), word("request of an operation", o.Request))
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, "write an operation",
		"INSERT INTO operations ("+operationColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"+
			" ON CONFLICT (id) DO UPDATE SET resource = excluded.resource, kind = excluded.kind, begun_by = excluded.begun_by,"+
			" status = excluded.status, started = excluded.started, ended = excluded.ended, result = excluded.result, error = excluded.error, request = excluded.request",
		o.ID, string(o.Resource), o.Kind, o.By, string(o.Status), micros(o.Started), maybe(o.Ended), bytes(o.Result), bytes(o.Error), o.Request)
	return err
}

// DeleteOperations deletes those that ended long ago.
func (t *transaction) DeleteOperations(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := t.exec(ctx, "delete operations",
		"DELETE FROM operations WHERE id IN (SELECT id FROM operations WHERE ended < $1 ORDER BY ended LIMIT $2)", micros(before), limit)
	return int(n), err
}
