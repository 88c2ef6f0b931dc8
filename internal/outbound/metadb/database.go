package metadb

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	// maxAttempts bounds how often an Update is begun, where transactions get in each other's way.
	maxAttempts = 40
	// maxPause bounds how long one waits before it is begun again.
	maxPause = 100 * time.Millisecond
	// commitTimeout is how long a COMMIT may take: it is not given up when whoever asked for it has gone, for then nobody would know
	// whether it took place.
	commitTimeout = 30 * time.Second
)

// Database is a catalogue.Database. An Update must not be begun within another: SQLite has one writer.
type Database struct {
	// write and read are the same for PostgreSQL.
	write, read *sql.DB
	// updates and views are how transactions are begun.
	updates, views sql.TxOptions
	// turn is the statement by which a transaction waits for its turn; empty where there is one writer anyway.
	turn string
	// there says whether the database is still where it was opened.
	there func() error
	// judge says what an error of the driver means.
	judge func(error) verdict
}

var _ catalogue.Database = (*Database)(nil)

// Close waits for what runs, and closes. Closing twice is fine.
func (d *Database) Close() error {
	err := d.read.Close()
	if d.write != d.read {
		// The last connection of SQLite, which folds its log into the file, is the one that may write.
		err = errors.Join(err, d.write.Close())
	}
	return err
}

// Ping answers whether the database can be used.
func (d *Database) Ping(ctx context.Context) error {
	return d.View(ctx, func(ctx context.Context, v catalogue.View) error {
		_, err := v.Resources(ctx, catalogue.ResourceQuery{Limit: 1})
		return err
	})
}

// View runs do on one state of the database.
func (d *Database) View(ctx context.Context, do func(ctx context.Context, v catalogue.View) error) error {
	if err := d.there(); err != nil {
		return err
	}
	tx, err := d.read.BeginTx(ctx, &d.views)
	if err != nil {
		return d.answer(ctx, "begin to read", err)
	}
	// Also where do panics.
	defer func() { _ = tx.Rollback() }()
	v := &view{tx: tx, db: d}
	err = v.outcome(do(ctx, v))
	var conflict *conflictError
	if errors.As(err, &conflict) {
		// A standby ends what reads for too long. Who reads may have other effects, so that it is not run again from here.
		return unavailable("the catalogue's database ended a reading: %w", conflict.err).WithHint("try again later")
	}
	return err
}

// Update runs do in one transaction, again where others got in its way.
func (d *Database) Update(ctx context.Context, do func(ctx context.Context, tx catalogue.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := d.attempt(ctx, do)
		var conflict *conflictError
		if !errors.As(err, &conflict) {
			return err
		}
		if attempt == maxAttempts {
			return unavailable("the catalogue's database is too busy: what was to be written met other changes %d times: %w", attempt, conflict.err).
				WithHint("try again later")
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// attempt runs do in one transaction, once.
func (d *Database) attempt(ctx context.Context, do func(ctx context.Context, tx catalogue.Tx) error) error {
	// The transaction ends with the caller's context, but for its last step: see commitTimeout.
	bound, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	sqlTx, err := d.write.BeginTx(bound, &d.updates)
	if err != nil {
		return d.answer(ctx, "begin to write", err)
	}
	// Also where do panics. After a commit it does nothing.
	defer func() { _ = sqlTx.Rollback() }()
	tx := &transaction{view{tx: sqlTx, db: d}}
	if err := tx.outcome(do(ctx, tx)); err != nil {
		return err
	}
	if err := d.there(); err != nil {
		return err
	}
	if !stop() {
		return d.answer(ctx, "write", ctx.Err())
	}
	timer := time.AfterFunc(commitTimeout, cancel)
	defer timer.Stop()
	err = sqlTx.Commit()
	switch {
	case err == nil:
		return nil
	case bound.Err() != nil:
		return unavailable("the catalogue's database did not confirm in time what was written: %w", err).WithHint("see whether it is there, before it is written again")
	}
	return d.answer(bound, "commit", err)
}

// pause waits before the next attempt, longer each time, and never as long as whoever was in the way.
func pause(ctx context.Context, attempt int) error {
	longest := min(maxPause, time.Millisecond<<min(attempt, 10))
	timer := time.NewTimer(rand.N(longest)) //nolint:gosec // no secret depends on it
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// unavailable is an error of a database that cannot be used now.
func unavailable(format string, args ...any) *coffer.Error {
	e := coffer.Errorf(coffer.CodeDatabaseUnavailable, format, args...)
	e.Transient = true
	return e
}
