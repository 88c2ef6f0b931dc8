package metadb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// maxPage is how many rows a query may ask for.
const maxPage = 1000

// view reads in one transaction. It is used by one goroutine at a time.
type view struct {
	tx *sql.Tx
	db *Database
	// failed is the first error of the database itself. Nothing is done after it: SQLite ends a transaction by itself where the disk
	// is full, and what followed would be written alone.
	failed error
	// rows are those of resources that were met, by their keys.
	rows map[string]int64
}

// transaction writes as well.
type transaction struct{ view }

// outcome is how a use case ended: an error of the database counts whatever the use case made of it.
func (v *view) outcome(err error) error {
	if v.failed == nil || errors.Is(err, v.failed) {
		return err
	}
	return v.failed
}

// fail remembers an error of the database.
func (v *view) fail(ctx context.Context, doing string, err error) error {
	v.failed = v.db.answer(ctx, doing, err)
	return v.failed
}

// exec runs one statement, and answers how many rows it wrote.
func (v *view) exec(ctx context.Context, doing, query string, args ...any) (int64, error) {
	if v.failed != nil {
		return 0, v.failed
	}
	result, err := v.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, v.fail(ctx, doing, err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, v.fail(ctx, doing, err)
	}
	return n, nil
}

// scanner is a row.
type scanner interface{ Scan(to ...any) error }

// one reads a single row, and says whether there is one.
func (v *view) one(ctx context.Context, doing string, scan func(scanner) error, query string, args ...any) (bool, error) {
	if v.failed != nil {
		return false, v.failed
	}
	err := scan(v.tx.QueryRowContext(ctx, query, args...))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, v.fail(ctx, doing, err)
	}
	return true, nil
}

// each reads all rows.
func (v *view) each(ctx context.Context, doing string, scan func(scanner) error, query string, args ...any) (err error) {
	if v.failed != nil {
		return v.failed
	}
	rows, err := v.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return v.fail(ctx, doing, err)
	}
	defer func() {
		if closing := rows.Close(); err == nil && closing != nil {
			err = v.fail(ctx, doing, closing)
		}
	}()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return v.fail(ctx, doing, err)
		}
	}
	if err := rows.Err(); err != nil {
		return v.fail(ctx, doing, err)
	}
	return nil
}

// filter gathers the conditions of a query. In a condition, ? stands for the next value.
type filter struct {
	conditions []string
	values     []any
}

func (f *filter) add(condition string, values ...any) {
	f.conditions = append(f.conditions, f.value(condition, values...))
}

// value is an expression with the places of its values.
func (f *filter) value(expression string, values ...any) string {
	for _, value := range values {
		f.values = append(f.values, value)
		expression = strings.Replace(expression, "?", "$"+strconv.Itoa(len(f.values)), 1)
	}
	return expression
}

// among selects what a column has one of some values. The list is filled up with its last value to one of a few lengths, so that there are
// few statements to be prepared.
func (f *filter) among(column string, values []string) {
	if len(values) == 0 {
		f.conditions = append(f.conditions, "FALSE")
		return
	}
	length := 1
	for length < len(values) {
		length *= 4
	}
	var list strings.Builder
	for i := range length {
		f.values = append(f.values, values[min(i, len(values)-1)])
		list.WriteString(",$" + strconv.Itoa(len(f.values)))
	}
	f.conditions = append(f.conditions, column+" IN ("+list.String()[1:]+")")
}

// between bounds a column of times; both ends are included, and a zero one is without a bound.
func (f *filter) between(column string, from, to time.Time) {
	if !from.IsZero() {
		f.add(column+" >= ?", micros(from))
	}
	if !to.IsZero() {
		f.add(column+" <= ?", micros(to))
	}
}

// after is what follows a place in the order of time and name, backwards. One range of an index has it, however many have one time.
func (f *filter) after(column string, c *catalogue.PointCursor) {
	if c != nil {
		f.add("("+column+", name) < (?, ?)", micros(c.Time), c.Name)
	}
}

// page is the end of a statement: its conditions, order and limit.
func (f *filter) page(order string, limit int) string {
	return f.where() + " ORDER BY " + order + " LIMIT " + strconv.Itoa(limit)
}

func (f *filter) where() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conditions, " AND ")
}

func checkLimit(limit int) error {
	if limit < 1 || limit > maxPage {
		return fmt.Errorf("a page of %d rows was asked for: 1 to %d are possible", limit, maxPage)
	}
	return nil
}

func checkSome(ids []catalogue.ID) error {
	if len(ids) > maxPage {
		return fmt.Errorf("%d ids were asked for: up to %d are possible", len(ids), maxPage)
	}
	return nil
}

// digest is short, whatever the words are, and different for different ones.
func digest(words ...string) []byte {
	hash := sha256.New()
	for _, word := range words {
		_, _ = fmt.Fprintf(hash, "%d:%s", len(word), word)
	}
	return hash.Sum(nil)
}

// micros is a time as it is stored.
func micros(t time.Time) int64 { return t.UnixMicro() }

// maybe is a time that may be missing.
func maybe(t time.Time) sql.NullInt64 { return sql.NullInt64{Int64: t.UnixMicro(), Valid: !t.IsZero()} }

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }

func fromMaybe(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return fromMicros(n.Int64)
}

// bytes is a body as it is stored: never missing.
func bytes[T ~[]byte](b T) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// body is one as it is read: none is nil.
func body(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func notFound(format string, args ...any) error {
	return coffer.Errorf(coffer.CodeResourceNotFound, format, args...)
}
