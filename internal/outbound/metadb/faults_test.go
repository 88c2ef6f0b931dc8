package metadb

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
)

// faults makes a driver fail at one statement: BEGIN, each query, COMMIT; not at ROLLBACK, which follows.
type faults struct {
	mu sync.Mutex
	// armed counts down the statements to the one that fails; 0 is none. seen counts all.
	armed, seen int
	// after lets the statement take place, and loses its answer.
	after bool
	// fail is what happens.
	fail func() error
	// watch, if it is set, is told of each statement but those of transactions.
	watch func(query string, args []driver.NamedValue)
}

var errInjected = errors.New("injected")

// arm makes the n-th statement from now on fail.
func (f *faults) arm(n int, after bool, fail func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.after, f.fail, f.seen = n, after, fail, 0
}

// disarm answers how many statements there were since arm.
func (f *faults) disarm() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = 0
	return f.seen
}

// run runs a statement, or makes it fail.
func (f *faults) run(statement func() error) error {
	f.mu.Lock()
	f.seen++
	due := f.armed > 0 && f.seen == f.armed
	after, fail := f.after, f.fail
	f.mu.Unlock()
	switch {
	case !due:
		return statement()
	case after:
		if err := statement(); err != nil {
			return err
		}
	}
	return fail()
}

func (f *faults) wrap(c driver.Connector) driver.Connector { return faultyConnector{c, f} }

type faultyConnector struct {
	driver.Connector
	faults *faults
}

func (c faultyConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &faultyConn{conn, c.faults}, nil
}

// faultyConn has all the abilities of both drivers' connections.
type faultyConn struct {
	driver.Conn
	faults *faults
}

func (c *faultyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (r driver.Result, err error) {
	if c.faults.watch != nil {
		c.faults.watch(query, args)
	}
	err = c.faults.run(func() error {
		r, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return r, err
}

func (c *faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (r driver.Rows, err error) {
	if c.faults.watch != nil {
		c.faults.watch(query, args)
	}
	done := false
	err = c.faults.run(func() error {
		r, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		done = err == nil
		return err
	})
	if err != nil && done {
		_ = r.Close()
	}
	return r, err
}

func (c *faultyConn) BeginTx(ctx context.Context, o driver.TxOptions) (tx driver.Tx, err error) {
	done := false
	err = c.faults.run(func() error {
		tx, err = c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
		done = err == nil
		return err
	})
	if err != nil {
		if done {
			_ = tx.Rollback()
		}
		return nil, err
	}
	return faultyTx{tx, c.faults}, nil
}

func (c *faultyConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *faultyConn) ResetSession(ctx context.Context) error {
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

func (c *faultyConn) IsValid() bool {
	v, ok := c.Conn.(driver.Validator)
	return !ok || v.IsValid()
}

type faultyTx struct {
	driver.Tx
	faults *faults
}

func (tx faultyTx) Commit() error {
	err := tx.faults.run(tx.Tx.Commit)
	if err != nil {
		// As a connection does that breaks.
		_ = tx.Tx.Rollback()
	}
	return err
}
