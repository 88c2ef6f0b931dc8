//go:build stores

package metadb

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// newSmallDisk is a file on a file system of so many bytes, of its own.
func newSmallDisk(t *testing.T, size string) (place, string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, NOT TESTED: a small file system can be mounted by root only")
	}
	root := t.TempDir()
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, 0); err != nil {
			t.Errorf("unmount %s: %v", root, err)
		}
	})
	return place{SQLite: filepath.Join(root, "catalogue.db")}, root
}

func TestADiskThatIsFullKeepsTheState(t *testing.T) {
	p, root := newSmallDisk(t, "4m")
	db := p.mustOpen(t, nil)
	if err := seed(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(root, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 16<<20), 0o600); err == nil {
		t.Fatal("the disk is not small")
	}
	fill := func(ctx context.Context, tx catalogue.Tx) error {
		if err := useCase(ctx, tx); err != nil {
			return err
		}
		_, err := tx.PutResource(ctx, catalogue.Resource{ID: crashInstance(9), Body: json.RawMessage(strings.Repeat("x", 1<<20))}, catalogue.Condition{})
		return err
	}
	before := dump(t, db)
	for range 3 {
		mustBeAway(t, db.Update(t.Context(), fill), "catalogue.db")
		if diff := cmp.Diff(before, dump(t, db)); diff != "" {
			t.Fatalf("the state changed (-want +got):\n%s", diff)
		}
	}
	if err := db.Close(); err != nil {
		t.Logf("closing: %v", err)
	}
	// A process that starts on a full disk is told, and so is one that has nothing yet.
	for _, p := range []place{p, {SQLite: filepath.Join(root, "another.db")}} {
		db, err := p.open(t.Context(), nil)
		if err != nil {
			mustBeAway(t, err, "disk")
			continue
		}
		if diff := cmp.Diff(before, dump(t, db)); diff != "" {
			t.Errorf("on the full disk, the state is (-want +got):\n%s", diff)
		}
		_ = db.Close()
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	db = p.mustOpen(t, nil)
	if diff := cmp.Diff(before, dump(t, db)); diff != "" {
		t.Fatalf("after it was opened again, the state is (-want +got):\n%s", diff)
	}
	if err := errors.Join(db.Update(t.Context(), fill), db.Close()); err != nil {
		t.Error(err)
	}
}
