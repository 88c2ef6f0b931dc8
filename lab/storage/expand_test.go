//go:build lab

package main

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

func TestAFilesystemGrowsWhileItIsUsed(t *testing.T) {
	p := startDriver(t, newDir(t))
	v := p.create("growing", 512*mebibyte, filesystem("xfs"), nil)
	file := filepath.Join(v.use(), "data")
	mustWrite(t, file, "before")
	v.expandController(gibibyte)
	if got := v.bytesOf(); got > 512*mebibyte {
		t.Errorf("the filesystem has %d bytes before the node expanded it", got)
	}
	if err := v.expandNode(gibibyte); err != nil {
		t.Fatal(err)
	}
	if got := v.bytesOf(); got < 900*mebibyte {
		t.Errorf("the filesystem has %d bytes after it was expanded to %d", got, gibibyte)
	}
	mustHold(t, file, "before")
	v.unuse()
}

// The kernel grows a mounted ext4 only for a process with CAP_SYS_RESOURCE, which some machines withhold from root too.
func TestAnExt4GrowsOnlineOrWhenItIsStagedAgain(t *testing.T) {
	p := startDriver(t, newDir(t))
	v := p.create("growing", 64*mebibyte, filesystem("ext4"), nil)
	mustWrite(t, filepath.Join(v.use(), "data"), "before")
	v.expandController(256 * mebibyte)
	err := v.expandNode(256 * mebibyte)
	if !mayGrowExt4(t) {
		mustHaveCode(t, err, codes.FailedPrecondition)
		v.unuse()
		v.use()
		err = v.expandNode(256 * mebibyte)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := v.bytesOf(); got < 200*mebibyte {
		t.Errorf("the filesystem has %d bytes after it was expanded to %d", got, 256*mebibyte)
	}
	mustHold(t, filepath.Join(v.target, "data"), "before")
	v.unuse()
}

func mayGrowExt4(t testing.TB) bool {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	return data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

func TestABlockVolumeGrowsWhileItIsUsed(t *testing.T) {
	p := startDriver(t, newDir(t))
	v := p.create("growing", 32*mebibyte, block(), nil)
	target := v.use()
	v.expandController(64 * mebibyte)
	if err := v.expandNode(64 * mebibyte); err != nil {
		t.Fatal(err)
	}
	writeAt(t, target, 63*mebibyte, "at the end")
	if got := v.bytesOf(); got != 64*mebibyte {
		t.Errorf("stats report %d bytes, want %d", got, 64*mebibyte)
	}
	v.unuse()
}
