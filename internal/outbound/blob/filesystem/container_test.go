package filesystem

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/blob/blobtest"
)

func newContainer(t *testing.T) (container *Container, folder string) {
	t.Helper()
	root := t.TempDir()
	if err := Create(root, "backups"); err != nil {
		t.Fatal(err)
	}
	c, err := Open(root, "backups")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, filepath.Join(root, "backups")
}

func TestConformance(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) coffer.Container {
		c, _ := newContainer(t)
		return c
	})
}

func TestMissingContainerIsNotMade(t *testing.T) {
	root := t.TempDir()
	_, err := Open(root, "absent")
	if coffer.CodeOf(err) != coffer.CodeLocationNotReady {
		t.Fatalf("Open = %v, want %s", err, coffer.CodeLocationNotReady)
	}
	if entries, _ := os.ReadDir(root); len(entries) != 0 {
		t.Error("Open made a folder")
	}
}

func TestContainerNameLeadsNowhereElse(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../x", "a/b", ".hidden"} {
		if _, err := Open(t.TempDir(), name); coffer.CodeOf(err) != coffer.CodeInvalid {
			t.Errorf("Open(%q) = %v, want %s", name, err, coffer.CodeInvalid)
		}
	}
}

func TestSymbolicLinkLeadsNowhereElse(t *testing.T) {
	c, folder := newContainer(t)
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Get(t.Context(), "link", 0, -1); err == nil {
		_ = r.Close()
		t.Error("Get followed a link out of the container")
	}
}

func TestOldUnfinishedFilesAreSweptAndNewOnesKept(t *testing.T) {
	root := t.TempDir()
	temp := filepath.Join(root, "backups", temporary)
	if err := os.MkdirAll(temp, 0o750); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"old": 48 * time.Hour, "new": time.Minute} {
		file := filepath.Join(temp, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Open(root, "backups")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	entries, err := os.ReadDir(temp)
	if err != nil || len(entries) != 1 || entries[0].Name() != "new" {
		t.Errorf("left %v, %v; want only the new file", entries, err)
	}
}

func TestFullDiskIsSaidAndLeavesNothing(t *testing.T) {
	c, _ := newContainer(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no /dev/full here: %v", err)
	}
	_, writeErr := full.Write([]byte("x"))
	_ = full.Close()
	coded := c.fail("put", "k", writeErr)
	if coffer.CodeOf(coded) != coffer.CodeLocationNotReady || !strings.Contains(coded.Error(), "make room") {
		t.Errorf("full disk reads %q", coded)
	}
}
