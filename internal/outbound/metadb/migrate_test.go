package metadb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/coffer-backup/coffer/internal/catalogue"
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
	for from := int64(0); from <= versions(t); from++ {
		p := fresh(t)
		if from > 0 {
			old := p.mustBeOfVersion(t, dialect, from)
			if err := old.Close(); err != nil {
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

// versions is how many there are.
func versions(t *testing.T) int64 {
	t.Helper()
	files, err := fs.ReadDir(migrations, "migrations/sqlite")
	if err != nil || len(files) < 4 {
		t.Fatalf("there are %d migrations: %v", len(files), err)
	}
	return int64(len(files))
}

// mustBeOfVersion makes what an older program has left, and answers a connection to it that migrates nothing.
func (p place) mustBeOfVersion(t *testing.T, dialect goose.Dialect, version int64) *sql.DB {
	t.Helper()
	driver, name := "pgx", p.Postgres
	if p.SQLite != "" {
		driver, name = "sqlite", p.SQLite
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	provider, err := migrator(db, dialect, &fileLock{path: t.TempDir() + "/lock"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	if has, err := provider.GetDBVersion(t.Context()); err != nil || has != version {
		t.Fatalf("the database has version %d, want %d: %v", has, version, err)
	}
	return db
}

// testOldPoints has recovery points from before it was kept apart whether they are good: their bodies say so, where they are readable. All are of
// the operational tier, which was the only one.
func testOldPoints(t *testing.T, dialect goose.Dialect, fresh func(t *testing.T) place) {
	t.Helper()
	bodies := []struct {
		body string
		good bool
	}{
		{`{"recoveryPointState":"Completed"}`, true}, {`{"recoveryPointState":"Partial"}`, false}, {" {\n\"a\": [1, \"ü\"], \"recoveryPointState\" : \"Partial\"}\n", false},
		{`{"recoveryPointState":"P\u0061rtial"}`, false}, {`{"recoveryPointState":"partial"}`, true}, {`{"recoveryPointState":["Partial"]}`, true},
		{`{"recoveryPointState":null}`, true}, {`{"properties":{"recoveryPointState":"Partial"}}`, true}, {`{}`, true}, {`null`, true}, {`7`, true},
		{`"Partial"`, true}, {`["Partial"]`, true}, {``, true}, {`{"recoveryPointState":"Partial"`, true}, {`{"recoveryPointState":"Partial"} and more`, true},
		{"\xff\xfe", true}, {"\x00", true}, {strings.Repeat("[", 100_000), true},
		{strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), true}, {`'; DROP TABLE points; --`, true},
	}
	for from := int64(1); from < 4; from++ {
		p := fresh(t)
		old := p.mustBeOfVersion(t, dialect, from)
		_, err := old.ExecContext(t.Context(), "INSERT INTO resources (key, spelling, type, version, body, facts, links, created_by, created_at, changed_by, changed_at)"+
			" VALUES ($1, $2, 't', 1, $3, $3, $3, 'b', 1, 'b', 1)", crashInstance(1).Key(), string(crashInstance(1)), []byte("[]"))
		for n, b := range bodies {
			if err == nil {
				_, err = old.ExecContext(t.Context(), "INSERT INTO points (instance, name, time, expiry, body) SELECT id, $1, $2, $3, $4 FROM resources",
					fmt.Sprintf("p%02d", n), int64(-n), sql.NullInt64{Int64: int64(n), Valid: n > 0}, []byte(b.body))
			}
		}
		if err := errors.Join(err, old.Close()); err != nil {
			t.Fatal(err)
		}
		err = p.mustOpen(t, nil).View(t.Context(), func(ctx context.Context, v catalogue.View) error {
			points, err := v.Points(ctx, catalogue.PointQuery{Instance: crashInstance(1), Limit: maxPage})
			if len(points) != len(bodies) {
				t.Fatalf("from version %d, %d recovery points of %d are there", from, len(points), len(bodies))
			}
			for n, b := range bodies {
				want := catalogue.Point{Instance: crashInstance(1), Name: fmt.Sprintf("p%02d", n), Time: fromMicros(int64(-n)), Good: b.good, Operational: true, Body: body([]byte(b.body))}
				if n > 0 {
					want.Expiry = fromMicros(int64(n))
				}
				if diff := cmp.Diff(want, points[n]); diff != "" {
					t.Errorf("from version %d, %.60q (-want +got):\n%s", from, b.body, diff)
				}
			}
			expiring, expiringErr := v.Expiring(ctx, fromMicros(1), "", 10)
			if len(expiring) != 1 {
				t.Errorf("from version %d, what expires is of %v", from, expiring)
			}
			return errors.Join(err, expiringErr)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecoveryPointsOfOlderFilesSayWhetherTheyAreGood(t *testing.T) {
	testOldPoints(t, goose.DialectSQLite3, newFile)
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
