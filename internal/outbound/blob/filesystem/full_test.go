//go:build stores

package filesystem

import (
	"bytes"
	"crypto/rand"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// newSmallDisk is a container on a file system of so many bytes, of its own.
func newSmallDisk(t *testing.T, size string) *Container {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, NOT TESTED: a small file system can be mounted by root only")
	}
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, 0); err != nil {
			t.Errorf("unmount %s: %v", root, err)
		}
	})
	if err := Create(root, "backups"); err != nil {
		t.Fatal(err)
	}
	c, err := Open(root, "backups")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestAFullDiskLosesNothingAndIsGoneOnWithOnceThereIsRoom(t *testing.T) {
	c := newSmallDisk(t, "1m")
	if _, err := c.Put(t.Context(), "backups/old/manifest.json", strings.NewReader("kept")); err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 4<<20)
	if _, err := rand.Read(big); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := c.Put(t.Context(), "backups/new/new.tar.gz", bytes.NewReader(big))
		if coffer.CodeOf(err) != coffer.CodeLocationNotReady || !strings.Contains(err.Error(), "make room") {
			t.Fatalf("Put on a full disk = %v, want %s that says what to do", err, coffer.CodeLocationNotReady)
		}
	}
	var keys []string
	for info, err := range c.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	if len(keys) != 1 || keys[0] != "backups/old/manifest.json" {
		t.Errorf("the container holds %q, want only what was there", keys)
	}
	// What failed took no room with it: a blob of most of the disk still goes in, under the name that failed.
	if _, err := c.Put(t.Context(), "backups/new/new.tar.gz", bytes.NewReader(big[:800<<10])); err != nil {
		t.Errorf("Put of what there is room for = %v", err)
	}
}
