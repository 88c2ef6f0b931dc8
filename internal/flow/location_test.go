package flow

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/ownership"
	"github.com/coffer-backup/coffer/internal/outbound/blob/filesystem"
)

func newContainer(t *testing.T) coffer.Container {
	t.Helper()
	root := t.TempDir()
	if err := filesystem.Create(root, "backups"); err != nil {
		t.Fatal(err)
	}
	c, err := filesystem.Open(root, "backups")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func owner(cluster string) ownership.Owner {
	return ownership.Owner{Cluster: cluster, Name: "name of " + cluster, Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func TestAContainerHasOneOwner(t *testing.T) {
	c := newContainer(t)
	for range 2 {
		if got, err := Own(t.Context(), c, owner("a")); err != nil || got != owner("a") {
			t.Fatalf("Own = %+v, %v; want a", got, err)
		}
	}
	got, err := Own(t.Context(), c, owner("b"))
	if coffer.CodeOf(err) != coffer.CodeLocationNotReady || got != owner("a") {
		t.Fatalf("Own of another = %+v, %v; want the owner and %s", got, err, coffer.CodeLocationNotReady)
	}
	for _, text := range []string{"name of a (a)", "2026-01-02T03:04:05Z", "readOnly", "take-over"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

func TestOfClustersThatClaimAtOnceOneWins(t *testing.T) {
	c := newContainer(t)
	var winners sync.Map
	var group sync.WaitGroup
	for _, cluster := range []string{"a", "b", "c", "d"} {
		group.Go(func() {
			if _, err := Own(t.Context(), c, owner(cluster)); err == nil {
				winners.Store(cluster, true)
			} else if coffer.CodeOf(err) != coffer.CodeLocationNotReady {
				t.Errorf("Own = %v", err)
			}
		})
	}
	group.Wait()
	n := 0
	winners.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d clusters own the container, want 1", n)
	}
}

func TestAContainerWithOtherThingsIsNotClaimed(t *testing.T) {
	c := newContainer(t)
	for _, key := range []string{"photos/cat.jpg", "backups/old/velero-backup.json"} {
		if _, err := c.Put(t.Context(), key, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Own(t.Context(), c, owner("a"))
	if coffer.CodeOf(err) != coffer.CodeLocationNotReady || !strings.Contains(err.Error(), `"photos/"`) || strings.Contains(err.Error(), "backups/\"") {
		t.Errorf("Own = %v, want %s that names photos/", err, coffer.CodeLocationNotReady)
	}
	if _, err := OwnerOf(t.Context(), c); !errors.Is(err, coffer.ErrBlobNotFound) {
		t.Errorf("OwnerOf = %v, want nobody", err)
	}
	if err := c.Delete(t.Context(), "photos/cat.jpg"); err != nil {
		t.Fatal(err)
	}
	if _, err := Own(t.Context(), c, owner("a")); err != nil {
		t.Errorf("Own of Velero's container = %v", err)
	}
}

func TestTakeOverIsOfTheOwnerThatWasMeant(t *testing.T) {
	c := newContainer(t)
	if _, err := Own(t.Context(), c, owner("a")); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ from, by, want string }{{"x", "b", "a"}, {"a", "b", "b"}, {"a", "c", "b"}} {
		if err := TakeOver(t.Context(), c, step.from, owner(step.by)); err != nil {
			t.Fatalf("%s from %s: %v", step.by, step.from, err)
		}
		if got, err := OwnerOf(t.Context(), c); err != nil || got.Cluster != step.want {
			t.Errorf("%s took over from %s: the owner is %+v, %v; want %s", step.by, step.from, got, err, step.want)
		}
	}
}

func TestABackupIntoAnothersContainerIsRefused(t *testing.T) {
	w := newShop(t)
	if _, err := Own(t.Context(), w.container, owner("another")); err != nil {
		t.Fatal(err)
	}
	b := backUp(t, w, keep(t, w, newBackupObject()))
	if b.Status.Reason != string(coffer.CodeLocationNotReady) || !strings.Contains(b.Status.Message, "another") {
		t.Errorf("the backup ended with %s: %s; want %s", b.Status.Reason, b.Status.Message, coffer.CodeLocationNotReady)
	}
	mustHaveNoBlobs(t, w, "backups/")
}
