package metadb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteReaders is how many read at once, beside the one that writes.
const sqliteReaders = 8

// SQLite says which file to open.
type SQLite struct {
	// File is made with mode 0600 if it is missing; its folder must be there. SQLite keeps files beside it whose names begin alike.
	File string
	// connect wraps the driver, where a test makes it fail.
	connect func(driver.Connector) driver.Connector
}

// OpenSQLite opens a file, and brings it to this version. Several processes of one machine may have it open.
func OpenSQLite(ctx context.Context, c SQLite) (*Database, error) {
	path, err := filepath.Abs(c.File)
	if err != nil {
		return nil, err
	}
	there, err := prepareFile(path)
	if err != nil {
		return nil, err
	}
	write, err := c.open(path, "_txlock=immediate", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "journal_size_limit(67108864)")
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := c.open(path, "", "query_only(1)")
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read.SetMaxOpenConns(sqliteReaders)
	read.SetMaxIdleConns(sqliteReaders)
	d := &Database{write: write, read: read, views: sql.TxOptions{ReadOnly: true}, there: there, judge: judgeSQLite(path)}
	if err := begin(ctx, write); err != nil {
		return nil, errors.Join(d.answer(ctx, "open "+path, err), d.Close())
	}
	if err := migrate(ctx, write, goose.DialectSQLite3, &fileLock{path: path + ".lock"}); err != nil {
		return nil, errors.Join(d.answer(ctx, "open "+path, err), d.Close())
	}
	return d, nil
}

// busyPatience is how long one waits for a writer of another process.
const busyPatience = 5 * time.Second

// begin makes the first connection, by which a new file becomes one with a write-ahead log. SQLite answers at once that a file is busy, and waits for nobody,
// where another process makes it one at that moment, or has ended as the last that had it open.
func begin(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, busyPatience)
	defer cancel()
	for {
		err := db.PingContext(ctx)
		var failed *sqlite.Error
		if !errors.As(err, &failed) || failed.Code()&0xff != sqlite3.SQLITE_BUSY {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// open makes connections to a file with settings of their own. Whoever meets a writer of another process waits for it.
func (c SQLite) open(path, options string, settings ...string) (*sql.DB, error) {
	values, err := url.ParseQuery(options)
	if err != nil {
		return nil, err
	}
	for _, setting := range append([]string{fmt.Sprintf("busy_timeout(%d)", busyPatience.Milliseconds()), "trusted_schema(0)"}, settings...) {
		values.Add("_pragma", setting)
	}
	name := url.URL{Scheme: "file", Path: path, RawQuery: values.Encode()}
	connector, err := sqlite.NewConnector(name.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if c.connect != nil {
		connector = c.connect(connector)
	}
	return sql.OpenDB(connector), nil
}

// judgeSQLite says what an error of SQLite means.
func judgeSQLite(path string) func(error) verdict {
	return func(err error) verdict {
		var failed *sqlite.Error
		if !errors.As(err, &failed) {
			return verdict{}
		}
		unusable := func(why, hint string) verdict {
			return verdict{kind: away, message: fmt.Sprintf("the catalogue's database %s %s", path, why), hint: hint}
		}
		// The upper bits say more about what happened.
		switch failed.Code() & 0xff {
		case sqlite3.SQLITE_FULL:
			v := unusable("has no room left", "make room on its disk: nothing is lost, and what failed can be repeated then")
			v.kind = full
			return v
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return unusable("is in use by another process", "try again later, or end whatever keeps it open")
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
			return unusable("cannot be written to", "look at the permissions of the file and its folder, and whether its file system is mounted read-only")
		case sqlite3.SQLITE_CANTOPEN:
			return unusable("cannot be opened", "look at the permissions of the file and its folder, and whether its disk is full")
		case sqlite3.SQLITE_IOERR:
			return unusable("cannot be read or written", "look at the state of its disk, and whether it is full")
		case sqlite3.SQLITE_NOMEM:
			return unusable("does not fit into the memory", "give coffer-server more memory")
		}
		return verdict{}
	}
}
