package metadb

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestAFileIsForItsOwnerOnly(t *testing.T) {
	for name, mode := range map[string]os.FileMode{"a new file": 0, "a file that others may read": 0o644} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			path := filepath.Join(folder, "catalogue.db")
			if mode != 0 {
				if err := errors.Join(os.WriteFile(path, nil, mode), os.Chmod(path, mode)); err != nil {
					t.Fatal(err)
				}
			}
			db := mustOpenSQLite(t, SQLite{File: path})
			if err := seed(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			files, err := os.ReadDir(folder)
			if err != nil || len(files) < 3 {
				t.Fatalf("the folder has %v (%v), want the file, its log and its index", files, err)
			}
			for _, file := range files {
				info, err := file.Info()
				if err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s has mode %v (%v)", file.Name(), info.Mode(), err)
				}
			}
		})
	}
}

func TestAFileThatCannotBeUsedIsRefusedClearly(t *testing.T) {
	for _, c := range []struct {
		name string
		file func(t *testing.T, folder string) string
		want string
	}{
		{"a folder that is not there", func(_ *testing.T, folder string) string { return filepath.Join(folder, "none", "x.db") }, "make the folder"},
		{"a folder in place of the file", func(_ *testing.T, folder string) string { return folder }, "is a directory"},
		{"a file system that is read-only", newReadOnly, "mounted read-only"},
		{"a file that is something else", func(t *testing.T, folder string) string {
			path := filepath.Join(folder, "x.db")
			if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, "file is not a database"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, err := OpenSQLite(t.Context(), SQLite{File: c.file(t, t.TempDir())})
			if err == nil {
				_ = db.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %q, want one with %q", err, c.want)
			}
		})
	}
}

// newReadOnly is a file in a folder that nobody can write to.
func newReadOnly(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join(folder, "x.db")
	if os.Getuid() != 0 {
		if err := os.Chmod(folder, 0o500); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := unix.Mount("tmpfs", folder, "tmpfs", unix.MS_RDONLY, "size=1m"); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	})
	return path
}

func TestNetworkFileSystemsAreKnown(t *testing.T) {
	for magic, want := range map[int64]string{
		0x6969: "NFS", 0x517B: "SMB", 0xFF534D42: "SMB", 0xFE534D42: "SMB", 0x00C36400: "CephFS", 0x01021997: "9P",
		// As an int32 reads it.
		-0x00ACB2BE: "SMB",
		0xEF53:      "", 0x58465342: "", 0x01021994: "", 0x9123683E: "", 0x794C7630: "", 0x65735546: "",
	} {
		if got := networkFileSystems(magic); got != want {
			t.Errorf("%#x is %q, want %q", magic, got, want)
		}
	}
	if _, err := networkFileSystem(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there is on no file system")
	}
}

func TestTheSettingsOfAFileAreSafe(t *testing.T) {
	db := mustOpenSQLite(t, SQLite{File: filepath.Join(t.TempDir(), "x.db")})
	for setting, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		var got string
		if err := db.write.QueryRowContext(t.Context(), "PRAGMA "+setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", setting, got, want, err)
		}
	}
	if _, err := db.read.ExecContext(t.Context(), "DELETE FROM resources"); err == nil {
		t.Error("a reader writes")
	}
}

// TestAnotherProcessThatWritesIsWaitedFor has two that have the same file open.
func TestAnotherProcessThatWritesIsWaitedFor(t *testing.T) {
	p := newFile(t)
	one, other := p.mustOpen(t, nil), p.mustOpen(t, nil)
	if err := seed(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if err := other.Update(t.Context(), useCase); err != nil {
		t.Error(err)
	}
	if dump(t, one) != dump(t, other) {
		t.Error("two that have the same file open see different things")
	}
	if _, err := other.write.ExecContext(t.Context(), "PRAGMA busy_timeout = 1"); err != nil {
		t.Fatal(err)
	}
	tx, err := one.write.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	mustBeAway(t, seed(t.Context(), other), "another process")
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := seed(t.Context(), other); err != nil {
		t.Error(err)
	}
}

func TestEntriesOfTheAuditLogAreKept(t *testing.T) {
	db := newFile(t).mustOpen(t, nil)
	mustKeepAudit(t, db, "DELETE FROM audit", "UPDATE audit SET status = 200", "REPLACE INTO audit SELECT * FROM audit", "DELETE FROM audit_scopes")
}

// mustKeepAudit tries statements that change what is in the audit log.
func mustKeepAudit(t *testing.T, db *Database, statements ...string) {
	t.Helper()
	if err := errors.Join(seed(t.Context(), db), db.Update(t.Context(), useCase)); err != nil {
		t.Fatal(err)
	}
	before := dump(t, db)
	for _, statement := range statements {
		if _, err := db.write.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("%s is done", statement)
		}
	}
	if dump(t, db) != before {
		t.Error("the audit log has changed")
	}
	// Those that are old enough may go, and no others with them.
	end := time.Unix(1_000_000, 0)
	err := db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		_, old := tx.DeleteAudit(ctx, end, maxPage)
		return errors.Join(old, tx.AppendAudit(ctx, catalogue.AuditEntry{Time: end, Target: crashVault}))
	})
	if err != nil {
		t.Fatal(err)
	}
	before = dump(t, db)
	for _, statement := range statements {
		if _, err := db.write.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("%s is done with what is young", statement)
		}
	}
	if dump(t, db) != before || !strings.Contains(before, " 1 1\n") {
		t.Errorf("the audit log has changed from\n%s", before)
	}
	if err := db.Ping(t.Context()); coffer.CodeOf(err) != "" || err != nil {
		t.Error(err)
	}
}

// TestAFileThatHasGoneTakesNothing moves the file away while it is in use, and puts another in its place: what is written then would be found by
// nobody.
func TestAFileThatHasGoneTakesNothing(t *testing.T) {
	for name, replace := range map[string]func(path string) error{
		"nothing is there":                 func(string) error { return nil },
		"another file is there":            func(path string) error { return os.WriteFile(path, nil, ownerOnly) },
		"its copy is there":                func(path string) error { return exec.Command("cp", path+".away", path).Run() },
		"a folder of that name is there":   func(path string) error { return os.Mkdir(path, 0o700) },
		"a link to where it is is no loss": func(path string) error { return os.Symlink(path+".away", path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "coffer.db")
			p := place{SQLite: path}
			db := p.mustOpen(t, nil)
			if err := seed(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			before := dump(t, db)
			if err := errors.Join(os.Rename(path, path+".away"), replace(path)); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(name, "no loss") {
				if err := errors.Join(db.Update(t.Context(), useCase), db.Ping(t.Context())); err != nil {
					t.Error(err)
				}
				return
			}
			mustBeAway(t, db.Update(t.Context(), useCase), path)
			mustBeAway(t, db.Ping(t.Context()), path)
			if err := errors.Join(os.RemoveAll(path), os.Rename(path+".away", path)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, dump(t, db)); diff != "" {
				t.Errorf("the state changed (-want +got):\n%s", diff)
			}
			if err := db.Update(t.Context(), useCase); err != nil {
				t.Errorf("it is back: %v", err)
			}
		})
	}
}
