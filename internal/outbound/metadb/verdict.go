package metadb

import (
	"context"
	"errors"
	"fmt"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// verdict is what an error of a driver means.
type verdict struct {
	kind kind
	// message and hint are for people, where the database cannot be used.
	message, hint string
}

type kind int

const (
	// The first, which is not used by its name, is what should not happen.
	_ kind = iota
	// away is a database that does not answer, and full one that has no room.
	away
	full
	// inTheWay is a transaction that another got in the way of.
	inTheWay
)

// conflictError is a transaction that is to be run again.
type conflictError struct{ err error }

func (e *conflictError) Error() string { return e.err.Error() }
func (e *conflictError) Unwrap() error { return e.err }

// answer makes an error of a driver one of the contract's. doing is what was being done.
func (d *Database) answer(ctx context.Context, doing string, err error) error {
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return unavailable("the catalogue's database did not answer in time: %s: %w", doing, context.DeadlineExceeded).WithHint("try again later")
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	}
	switch v := d.judge(err); v.kind {
	case away:
		return unavailable("%s: %s: %w", v.message, doing, err).WithHint("%s", v.hint)
	case full:
		refused := unavailable("%s: %s: %w", v.message, doing, err).WithHint("%s", v.hint)
		refused.Code = coffer.CodeDatabaseFull
		return refused
	case inTheWay:
		return &conflictError{fmt.Errorf("%s: %w", doing, err)}
	}
	return fmt.Errorf("%s: %w", doing, err)
}
