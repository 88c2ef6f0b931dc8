package metadb

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// migrations are numbered, and never edited once they are released.
//
//go:embed migrations
var migrations embed.FS

// migrate brings a database to this program's version. Several processes may do so at once: the locker lets one at a time.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, locker lock.SessionLocker) error {
	provider, err := migrator(db, dialect, locker)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("bring the database to this version: %w", err)
	}
	has, knows, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the database's version: %w", err)
	}
	if has > knows {
		return coffer.Errorf(coffer.CodeDatabaseUnavailable, "the catalogue's database has version %d, and this coffer-server knows versions up to %d only", has, knows).
			WithHint("a newer coffer-server has used it: run that one, or restore the database as it was before")
	}
	return nil
}

func migrator(db *sql.DB, dialect goose.Dialect, locker lock.SessionLocker) (*goose.Provider, error) {
	folder := "postgres"
	if dialect == goose.DialectSQLite3 {
		folder = "sqlite"
	}
	files, err := fs.Sub(migrations, "migrations/"+folder)
	if err != nil {
		return nil, err
	}
	provider, err := goose.NewProvider(dialect, db, files,
		goose.WithTableName("schema_version"), goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return provider, nil
}
