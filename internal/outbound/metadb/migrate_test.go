package metadb

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// TestReleasedMigrationsAreNotEdited compares with testdata/migrations.txt, to which each migration is added when it is written.
// A line of it is never changed.
func TestReleasedMigrationsAreNotEdited(t *testing.T) {
	text, err := os.ReadFile("testdata/migrations.txt")
	if err != nil {
		t.Fatal(err)
	}
	var lines, names strings.Builder
	for _, folder := range []string{"postgres", "sqlite"} {
		files, err := fs.ReadDir(migrations, "migrations/"+folder)
		if err != nil {
			t.Fatal(err)
		}
		for n, file := range files {
			contents, err := fs.ReadFile(migrations, path.Join("migrations", folder, file.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(file.Name(), fmt.Sprintf("%05d_", n+1)) {
				t.Errorf("%s is not number %d", file.Name(), n+1)
			}
			sum := sha256.Sum256(contents)
			fmt.Fprintf(&lines, "%s %s/%s\n", hex.EncodeToString(sum[:]), folder, file.Name())
			fmt.Fprintf(&names, "%s ", file.Name())
		}
	}
	if lines.String() != string(text) {
		t.Errorf("the migrations are\n%sand testdata/migrations.txt says\n%s", lines.String(), text)
	}
	if half := names.String()[:names.Len()/2]; names.String() != half+half {
		t.Errorf("the databases have different migrations: %s", names.String())
	}
}

// testMigrations brings a database from each version to this one, by many at once.
func testMigrations(t *testing.T, dialect goose.Dialect, fresh func(t *testing.T) place) {
	t.Helper()
	var want string
	for from := int64(0); ; from++ {
		p := fresh(t)
		if from > 0 {
			// What is at this version now goes back.
			db := p.mustOpen(t, nil)
			provider, err := migrator(db.write, dialect, &fileLock{path: t.TempDir() + "/lock"})
			if err != nil {
				t.Fatal(err)
			}
			if _, latest, err := provider.GetVersions(t.Context()); err != nil || from > latest {
				return
			}
			if _, err := provider.UpTo(t.Context(), from); err != nil {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		together := make(chan struct{})
		for range 8 {
			all.Go(func() {
				<-together
				db, err := p.open(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		close(together)
		all.Wait()
		db := p.mustOpen(t, nil)
		applied := applied(t, db)
		if err := seed(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if got := applied + dump(t, db); want == "" {
			want = got
		} else if got != want {
			t.Errorf("from version %d, the database comes to\n%s, want\n%s", from, got, want)
		}
		if strings.Count(applied, "1 ") != 1 {
			t.Errorf("the migrations %s were applied", applied)
		}
	}
}

// applied are the numbers of the migrations that a database has had.
func applied(t *testing.T, db *Database) (numbers string) {
	t.Helper()
	rows, err := db.write.QueryContext(t.Context(), "SELECT version_id FROM schema_version ORDER BY version_id")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var version int
		if err := rows.Scan(&version); err != nil {
			t.Fatal(err)
		}
		numbers += fmt.Sprint(version, " ")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return numbers
}

func TestAFileIsMigratedOnce(t *testing.T) {
	testMigrations(t, goose.DialectSQLite3, newFile)
}

// testNewer marks a database as one of a version to come.
func testNewer(t *testing.T, p place) {
	t.Helper()
	db := p.mustOpen(t, nil)
	_, err := db.write.ExecContext(t.Context(), "INSERT INTO schema_version (version_id, is_applied) VALUES (4711, $1)", true)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	db, err = p.open(t.Context(), nil)
	if err == nil {
		_ = db.Close()
	}
	if coffer.CodeOf(err) != coffer.CodeDatabaseUnavailable || !coffer.Final(err) || !strings.Contains(err.Error(), "4711") || !strings.Contains(err.Error(), "newer coffer-server") {
		t.Errorf("a database of a newer version: %v", err)
	}
}

func TestAFileOfANewerVersionIsRefused(t *testing.T) {
	testNewer(t, newFile(t))
}
