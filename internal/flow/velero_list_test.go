package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// hostileBucket has backups of Velero's whose descriptions are as long as they can be. It counts the lists of volumes that
// are read at the same time.
type hostileBucket struct {
	coffer.Container

	reading, most atomic.Int64
}

func newHostileBucket(t *testing.T, backups int) *hostileBucket {
	t.Helper()
	w := newWorld(t)
	long := strings.Repeat("\U0001F600", 500)
	var namespaces []string
	for range 50 {
		namespaces = append(namespaces, long)
	}
	for i := range backups {
		name := fmt.Sprintf("b-%03d", i)
		p := newVeleroPoint()
		p.infos = nil
		for range 50 {
			p.infos = append(p.infos, map[string]any{"pvcName": long, "pvcNamespace": long, "skipped": true, "skippedReason": long})
		}
		blobs := p.blobs(t)
		backup, err := json.Marshal(map[string]any{
			"apiVersion": "velero.io/v1", "kind": "Backup", "metadata": map[string]any{"name": name},
			"spec": map[string]any{"includedNamespaces": namespaces}, "status": map[string]any{"phase": long},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.put(t, recoverypoint.LayoutOf(name).VeleroBackup(), backup)
		w.put(t, recoverypoint.LayoutOf(name).VolumeInfo(), blobs[recoverypoint.LayoutOf("one").VolumeInfo()])
	}
	return &hostileBucket{Container: w.container}
}

// Get implements coffer.Container.
func (b *hostileBucket) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	in, err := b.Container.Get(ctx, key, offset, length)
	if err != nil || !strings.HasSuffix(key, "-volumeinfo.json.gz") {
		return in, err
	}
	return &watchedRead{ReadCloser: in, bucket: b}, nil
}

type watchedRead struct {
	io.ReadCloser
	bucket *hostileBucket
	begun  bool
}

// Read implements io.Reader.
func (r *watchedRead) Read(p []byte) (int, error) {
	if !r.begun {
		r.begun = true
		n := r.bucket.reading.Add(1)
		if n > r.bucket.most.Load() {
			r.bucket.most.Store(n)
		}
		<-time.After(time.Millisecond)
	}
	n, err := r.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		r.bucket.reading.Add(-1)
	}
	return n, err
}

func TestWhatIsShownOfVelerosBackupsFitsIntoAnObjectWhateverTheyAre(t *testing.T) {
	b := newHostileBucket(t, maxVeleroBackups)
	shown, total, err := VeleroBackups(t.Context(), b)
	if err != nil || total != maxVeleroBackups || len(shown) == 0 {
		t.Fatalf("VeleroBackups = %d of %d, %v", len(shown), total, err)
	}
	text, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	// The API server takes 1.5 MiB.
	if len(text) > 1<<20 {
		t.Errorf("%d backups are shown in %d bytes", len(shown), len(text))
	}
}

func TestOfManyBackupsOfVelerosTheNewestAreShown(t *testing.T) {
	w := newWorld(t)
	const n = 2*maxVeleroBackups + 50
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		name := fmt.Sprintf("b-%03d", i)
		layout := recoverypoint.LayoutOf(name)
		w.put(t, layout.VeleroBackup(), fmt.Appendf(nil, `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":%q}}`, name))
		// The first ones are the newest.
		at := begin.Add(-time.Duration(i) * time.Hour)
		if err := os.Chtimes(filepath.Join(w.root, "backups", layout.VeleroBackup()), at, at); err != nil {
			t.Fatal(err)
		}
	}
	w.put(t, recoverypoint.LayoutOf("b-001").Manifest(), []byte("ours"))
	shown, total, err := VeleroBackups(t.Context(), w.container)
	if err != nil || total != n-1 || len(shown) != maxVeleroBackups {
		t.Fatalf("VeleroBackups = %d of %d, %v", len(shown), total, err)
	}
	if shown[0].Name != "b-000" || shown[1].Name != "b-002" || shown[maxVeleroBackups-1].Name != fmt.Sprintf("b-%03d", maxVeleroBackups) {
		t.Errorf("shown are %s, %s, … %s", shown[0].Name, shown[1].Name, shown[maxVeleroBackups-1].Name)
	}
}

func TestListsOfVolumesOfVelerosAreInMemoryOneByOne(t *testing.T) {
	b := newHostileBucket(t, 20)
	if _, _, err := VeleroBackups(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if most := b.most.Load(); most != 1 {
		t.Errorf("%d were read at the same time", most)
	}
}

func TestWhatARestoreWarnsOfFitsIntoItsStatusWhateverItIsCalled(t *testing.T) {
	p := newVeleroPoint()
	long := strings.Repeat("😀", 500_000)
	p.infos = append(p.infos, map[string]any{"backupMethod": "PodVolumeBackup", "pvbInfo": map[string]any{"podName": long, "podNamespace": "shop", "volumeName": long}})
	w := newVeleroWorld(t, p)
	r, err := w.restoreOnce(t, keep(t, w, newVeleroRestore()))
	if err != nil || r.Status.WarningCount == 0 {
		t.Fatalf("Restore = %v, %d warnings", err, r.Status.WarningCount)
	}
	text, err := json.Marshal(r.Status)
	if err != nil || len(text) > 100_000 {
		t.Errorf("the status has %d bytes, %v", len(text), err)
	}
}
