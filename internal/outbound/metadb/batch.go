package metadb

import (
	"context"
	"strconv"
	"strings"
)

// Turn waits for the turn of a transaction.
func (t *transaction) Turn(ctx context.Context) error {
	if t.db.turn == "" {
		return nil
	}
	_, err := t.exec(ctx, "wait for a turn", t.db.turn)
	return err
}

// list reads all rows that a statement finds.
func list[T any](ctx context.Context, v *view, doing string, scan func(*T) func(scanner) error, query string, args ...any) ([]T, error) {
	var found []T
	err := v.each(ctx, doing, func(row scanner) error {
		var one T
		err := scan(&one)(row)
		found = append(found, one)
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// batches are how many rows one statement writes: as many as fit of the first, then of the next. There are no others, so that there are few
// statements to be prepared, and each has fewer values than SQLite admits.
var batches = []int{64, 16, 4, 1}

// insert writes rows into a table, some at a time, and answers how many were written. values are those of a row, in the order of the
// columns that into names, and end is the end of the statement.
func insert[T any](ctx context.Context, t *transaction, doing, into string, some []T, values func(T) []any, end string) (written int64, err error) {
	err = inBatches(some, func(batch []T) error {
		query, args := inserting(into, batch, values, end)
		n, err := t.exec(ctx, doing, query, args...)
		written += n
		return err
	})
	return written, err
}

// inBatches does something with all of some, as many at a time as a statement has.
func inBatches[T any](some []T, do func(batch []T) error) error {
	for _, size := range batches {
		for len(some) >= size {
			if err := do(some[:size]); err != nil {
				return err
			}
			some = some[size:]
		}
	}
	return nil
}

// inserting is the statement that writes the rows of a batch into a table.
func inserting[T any](into string, batch []T, values func(T) []any, end string) (query string, args []any) {
	var rows strings.Builder
	for _, one := range batch {
		separator := ", ("
		for _, value := range values(one) {
			args = append(args, value)
			rows.WriteString(separator + "$" + strconv.Itoa(len(args)))
			separator = ", "
		}
		rows.WriteString(")")
	}
	return "INSERT INTO " + into + " VALUES " + rows.String()[len(", "):] + end, args
}
