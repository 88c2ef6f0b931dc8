package pool

import (
	"strings"
	"testing"
)

func TestIDs(t *testing.T) {
	first, again := VolumeID("pvc-1"), VolumeID("pvc-1")
	if first != again || first == VolumeID("pvc-2") {
		t.Error("the same name must give the same id and another name another one")
	}
	for _, name := range []string{"pvc-1", strings.Repeat("long", 64), "../../etc/passwd", "", "ünï"} {
		if !IsID(VolumeID(name)) || !IsID(SnapshotID(name)) {
			t.Errorf("%q gives %q and %q", name, VolumeID(name), SnapshotID(name))
		}
	}
	for _, id := range []string{"", "../vol", "vol-1", "vol-" + strings.Repeat("A", 32), "vol-" + strings.Repeat("0", 32) + "/../x", "vol-" + strings.Repeat("0", 32) + "\n"} {
		if IsID(id) {
			t.Errorf("%q passes as an id", id)
		}
	}
}
