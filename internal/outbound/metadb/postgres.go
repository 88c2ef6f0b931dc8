package metadb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	// postgresConnections is how many connections one process keeps: PostgreSQL admits 100 by default, to all replicas together.
	postgresConnections = 16
	// connectTimeout is used where the URL names none.
	connectTimeout = 10 * time.Second
	// migrationWait is how long one waits for another process that migrates, asking each second.
	migrationWait = 300
)

// Postgres says which database to open.
type Postgres struct {
	// URL is in PostgreSQL's form: postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full. search_path names a schema.
	URL string
	// MaxConnections bounds the connections; 0 is 16.
	MaxConnections int
	// connect wraps the driver, where a test makes it fail.
	connect func(driver.Connector) driver.Connector
}

// OpenPostgres opens a database, and brings it to this version. Any number of processes may have it open.
func OpenPostgres(ctx context.Context, c Postgres) (*Database, error) {
	config, err := pgx.ParseConfig(c.URL)
	if err != nil {
		// Its error repeats the URL, which may hold a password in a place where nobody looks for one.
		return nil, coffer.Errorf(coffer.CodeInvalid, "the URL of the catalogue's database cannot be read").
			WithHint("write it as postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	connector := stdlib.GetConnector(*config, stdlib.OptionAfterConnect(keepPromises))
	if c.connect != nil {
		connector = c.connect(connector)
	}
	db := sql.OpenDB(connector)
	if c.MaxConnections == 0 {
		c.MaxConnections = postgresConnections
	}
	// Migrating takes two.
	db.SetMaxOpenConns(max(2, c.MaxConnections))
	db.SetMaxIdleConns(max(2, c.MaxConnections))
	place := net.JoinHostPort(config.Host, fmt.Sprint(config.Port)) + "/" + config.Database
	d := &Database{
		write: db, read: db, there: func() error { return nil }, judge: judgePostgres(place),
		updates: sql.TxOptions{Isolation: sql.LevelSerializable},
		// A lock of a table is waited for before the transaction's state of the database is taken: a lock that a SELECT takes would come too late.
		turn:  "LOCK TABLE turns IN EXCLUSIVE MODE",
		views: sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
	}
	if err := d.start(ctx); err != nil {
		return nil, errors.Join(d.answer(ctx, "open it", err), d.Close())
	}
	return d, nil
}

// keepPromises sees to it on each connection that what is acknowledged is durable, whatever the server's default is.
func keepPromises(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
	return err
}

func (d *Database) start(ctx context.Context) error {
	var encoding string
	if err := d.write.QueryRowContext(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return coffer.Errorf(coffer.CodeDatabaseUnavailable, "the catalogue's database keeps text in %s, not in UTF8", encoding).
			WithHint("make one with CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0")
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, migrationWait))
	if err != nil {
		return err
	}
	return migrate(ctx, d.write, goose.DialectPostgres, locker)
}

// isUnreachable says of an error that is not PostgreSQL's own that there was no answer.
func isUnreachable(err error) bool {
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, driver.ErrBadConn)
}

// judgePostgres says what an error of PostgreSQL, or of the way to it, means.
func judgePostgres(place string) func(error) verdict {
	return func(err error) verdict {
		unusable := func(why, hint string) verdict {
			return verdict{kind: away, message: fmt.Sprintf("the catalogue's database %s %s", place, why), hint: hint}
		}
		const unreachable = "see whether PostgreSQL runs and can be reached from here; what failed can be repeated then"
		var refused *pgconn.PgError
		switch {
		case errors.As(err, &refused):
		case isUnreachable(err):
			return unusable("does not answer", unreachable)
		default:
			return verdict{}
		}
		switch class := refused.Code[:min(2, len(refused.Code))]; {
		case refused.Code == "53100":
			v := unusable("has no room left", "make room on the disk of PostgreSQL: nothing is lost, and what failed can be repeated then")
			v.kind = full
			return v
		case refused.Code == "25006":
			return unusable("cannot be written to", "it is a standby, or set to read-only: name the primary with --database")
		case class == "28":
			return unusable("does not accept the user or password", "look at the URL of --database, and at pg_hba.conf of the server")
		case refused.Code == "3D000":
			return unusable("is not there", "make it with CREATE DATABASE, or look at the URL of --database")
		case refused.Code == "42501":
			return unusable("refuses what is needed", "give the user of --database the right to create tables in the schema, and to use them")
		case class == "08" || class == "53" || class == "58" || strings.HasPrefix(refused.Code, "57P"):
			return unusable("does not answer", unreachable)
		case slices.Contains([]string{"57014", "55P03", "25P03", "25P04"}, refused.Code):
			return unusable("did not answer in time", "try again later, or raise its timeouts: statement_timeout, lock_timeout, those of transactions")
		case class == "40" || refused.Code == "23505" || refused.Code == "23503":
			// The code looks before it writes, so that a violated constraint is another's write in between.
			return verdict{kind: inTheWay}
		}
		return verdict{}
	}
}
