//go:build lab

package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
)

func TestASnapshotHoldsTheDataOfItsMoment(t *testing.T) {
	for _, fsType := range []string{"xfs", "ext4"} {
		t.Run(fsType, func(t *testing.T) {
			p := startDriver(t, newDir(t))
			before, after := strings.Repeat("before\n", 100_000), strings.Repeat("after\n", 200_000)
			source := p.create("source", 512*mebibyte, filesystem(fsType), nil)
			file := filepath.Join(source.use(), "data")
			mustWrite(t, file, before)
			snapshot := source.snapshot("moment")
			mustWrite(t, file, after)

			restored := p.create("restored", 768*mebibyte, filesystem(fsType), fromSnapshot(snapshot))
			// Source and copy, which have the same UUID, are mounted at the same time.
			mustHold(t, filepath.Join(restored.use(), "data"), before)
			mustHold(t, file, after)
			if got := restored.bytesOf(); got < 640*mebibyte {
				t.Errorf("the restored filesystem has %d bytes; it was not grown to the %d of its volume", got, restored.size)
			}
			if got := source.bytesOf(); got > 512*mebibyte {
				t.Errorf("the source has %d bytes now", got)
			}
			restored.unuse()
			source.unuse()
		})
	}
}

func TestASnapshotSharesItsBlocksWithTheVolume(t *testing.T) {
	p := startDriver(t, newDir(t))
	source := p.create("source", 64*mebibyte, block(), nil)
	mustRun(t, "dd", "if=/dev/urandom", "of="+source.use(), "bs=1M", "count=32", "oflag=direct", "status=none")
	snapshot := source.snapshot("moment")
	image := filepath.Join(p.dir, "pool", testName, "snapshots", snapshot.GetSnapshotId()+".img")
	if got, want := extents(t, image), extents(t, source.image()); got == "" || got != want {
		t.Errorf("the snapshot has extents\n%s\nwant those of the volume\n%s", got, want)
	}
	for _, line := range strings.Split(extents(t, image), "\n") {
		if !strings.Contains(line, "shared") {
			t.Errorf("extent %q is not shared", line)
		}
	}
	mustRun(t, "dd", "if=/dev/urandom", "of="+source.target, "bs=1M", "count=1", "seek=4", "oflag=direct", "conv=notrunc", "status=none")
	if extents(t, image) == extents(t, source.image()) {
		t.Error("writing to the volume changed the blocks of the snapshot")
	}
	source.unuse()
}

// extents lists a file's extents: logical and physical place, length, flags.
func extents(t testing.TB, path string) string {
	t.Helper()
	lines := regexp.MustCompile(`(?m)^ +\d+:.*$`).FindAllString(mustRun(t, "filefrag", "-v", path), -1)
	return strings.Join(lines, "\n")
}

func TestSnapshotsOutliveTheirVolume(t *testing.T) {
	p := startDriver(t, newDir(t))
	source := p.create("source", 0, filesystem(""), nil)
	mustWrite(t, filepath.Join(source.use(), "data"), "kept")
	snapshot := source.snapshot("moment")
	mustHaveCode(t, source.tryDelete(), codes.FailedPrecondition)
	source.unuse()
	if err := source.tryDelete(); err != nil {
		t.Fatal(err)
	}
	restored := p.create("restored", 0, filesystem(""), fromSnapshot(snapshot))
	if _, err := p.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: snapshot.GetSnapshotId()}); err != nil {
		t.Fatal(err)
	}
	mustHold(t, filepath.Join(restored.use(), "data"), "kept")
	restored.unuse()
}

func TestAVolumeSmallerThanItsSourceIsRefused(t *testing.T) {
	p := startDriver(t, newDir(t))
	source := p.create("source", 512*mebibyte, block(), nil)
	_, err := p.CreateVolume(t.Context(), &csi.CreateVolumeRequest{
		Name: "small", CapacityRange: &csi.CapacityRange{RequiredBytes: 100 * mebibyte},
		VolumeCapabilities: []*csi.VolumeCapability{block()}, VolumeContentSource: fromSnapshot(source.snapshot("moment"))})
	mustHaveCode(t, err, codes.OutOfRange)
}

func TestACloneIsIndependentOfItsSource(t *testing.T) {
	p := startDriver(t, newDir(t))
	source := p.create("source", 0, filesystem(""), nil)
	file := filepath.Join(source.use(), "data")
	mustWrite(t, file, "first")
	clone := p.create("clone", 2*gibibyte, filesystem(""), fromVolume(source))
	copied := filepath.Join(clone.use(), "data")
	mustWrite(t, copied, "second")
	mustHold(t, file, "first")
	mustHold(t, copied, "second")
	clone.unuse()
	source.unuse()
}
