package flow

import "testing"

// TestABackupTellsHowLargeItsSnapshotsAre: what vaults are measured by.
func TestABackupTellsHowLargeItsSnapshotsAre(t *testing.T) {
	w := newShop(t)
	w.add("namespaces", "", "empty", nil)
	b := mustBackUp(t, w)
	var manifest struct {
		Volumes []struct {
			RestoreSize int64 `json:"restoreSize"`
		} `json:"volumes"`
	}
	readBlob(t, w, "backups/one/manifest.json", &manifest)
	if len(manifest.Volumes) != 1 || b.Status.Progress.SnapshotBytes != 1<<20 || manifest.Volumes[0].RestoreSize != 1<<20 {
		t.Errorf("the snapshots have %d bytes, of %+v", b.Status.Progress.SnapshotBytes, manifest.Volumes)
	}
	if n := b.Status.Progress.Namespaces; n != 1 {
		t.Errorf("there are %d namespaces", n)
	}
}
