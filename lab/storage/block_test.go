//go:build lab

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
)

func TestABlockVolumeIsWrittenThroughItsDevice(t *testing.T) {
	p := startDriver(t, newDir(t))
	v := p.create("raw", 32*mebibyte, block(), nil)
	target := v.use()
	info, err := os.Stat(target)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode()&os.ModeDevice == 0 || info.Mode()&os.ModeCharDevice != 0 {
		t.Errorf("%s has mode %s, want a block device", target, info.Mode())
	}
	pattern := strings.Repeat("raw data ", 1000)
	writeAt(t, target, 5*mebibyte, pattern)
	snapshot := v.snapshot("moment")
	writeAt(t, target, 5*mebibyte, strings.Repeat("X", len(pattern)))
	if got := v.bytesOf(); got != 32*mebibyte {
		t.Errorf("stats report %d bytes, want %d", got, 32*mebibyte)
	}
	restored := p.create("restored", 0, block(), fromSnapshot(snapshot))
	if got := readAt(t, restored.use(), 5*mebibyte, len(pattern)); got != pattern {
		t.Errorf("the restored volume holds %.30q, want %.30q", got, pattern)
	}
	restored.unuse()
	v.unuse()
	if _, err := os.Lstat(target); !os.IsNotExist(err) {
		t.Errorf("target is still there: %v", err)
	}
	if got := readAt(t, v.image(), 5*mebibyte, 4); got != "XXXX" {
		t.Errorf("the volume's file holds %q, want what was written to the device", got)
	}
}

func TestRawDataIsNotFormattedOver(t *testing.T) {
	p := startDriver(t, newDir(t))
	raw := p.create("raw", 512*mebibyte, block(), nil)
	writeAt(t, raw.use(), 3*mebibyte, "precious")
	raw.unuse()
	restored := p.create("restored", 0, filesystem(""), fromSnapshot(raw.snapshot("moment")))
	mustHaveCode(t, restored.tryStage(), codes.FailedPrecondition)
	if got := readAt(t, restored.image(), 3*mebibyte, 8); got != "precious" {
		t.Errorf("the volume holds %q now", got)
	}
	restored.unstage()
}

func TestAnInterruptedFormatIsDoneAgain(t *testing.T) {
	p := startDriver(t, newDir(t))
	v := p.create("half", 0, filesystem("ext4"), nil)
	writeAt(t, v.image(), 8*mebibyte, strings.Repeat("half an inode table", 1000))
	mustWrite(t, v.use()+"/data", "fine")
	v.unuse()
}

func TestASingleWriterVolumeHasOneTarget(t *testing.T) {
	p := startDriver(t, newDir(t))
	for _, capability := range []*csi.VolumeCapability{block(), filesystem("")} {
		capability.AccessMode.Mode = csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER
		v := p.create("single-"+capabilityName(capability), 0, capability, nil)
		first := v.use()
		v.publish()
		v.target = first + "-second"
		_, err := p.NodePublishVolume(t.Context(), &csi.NodePublishVolumeRequest{
			VolumeId: v.id, StagingTargetPath: v.staging, TargetPath: v.target, VolumeCapability: capability})
		mustHaveCode(t, err, codes.FailedPrecondition)
		v.target = first
		v.unuse()
	}
}

func capabilityName(capability *csi.VolumeCapability) string {
	if capability.GetBlock() != nil {
		return "block"
	}
	return "mount"
}

func writeAt(t testing.TB, path string, offset int64, data string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(data), offset); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

func readAt(t testing.TB, path string, offset int64, length int) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, length)
	if _, err := f.ReadAt(data, offset); err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestACopyOfABlankVolumeIsFormatted(t *testing.T) {
	p := startDriver(t, newDir(t))
	blank := p.create("blank", 0, filesystem(""), nil)
	restored := p.create("restored", 0, filesystem(""), fromSnapshot(blank.snapshot("moment")))
	mustWrite(t, restored.use()+"/data", "fine")
	restored.unuse()
}
