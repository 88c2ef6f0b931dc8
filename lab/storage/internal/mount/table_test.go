package mount

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestParseTable(t *testing.T) {
	table, err := parseTable(strings.NewReader(`24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw
36 35 7:0 / /mnt/with\040space rw,noatime shared:1 master:2 - xfs /dev/loop0 rw
37 35 7:0 /sub /mnt/with\040space ro,noatime - xfs /dev/loop0 rw
38 35 0:6 /loop1 /pods/a\134b/volume rw - devtmpfs devtmpfs rw
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Table{
		{Device: unix.Mkdev(0, 6), Root: "/", Point: "/dev"},
		{Device: unix.Mkdev(7, 0), Root: "/", Point: "/mnt/with space"},
		{Device: unix.Mkdev(7, 0), Root: "/sub", Point: "/mnt/with space", ReadOnly: true},
		{Device: unix.Mkdev(0, 6), Root: "/loop1", Point: `/pods/a\b/volume`},
	}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("table differs (-want +got):\n%s", diff)
	}
	if got, found := table.At("/mnt/with space"); !found || got.Root != "/sub" {
		t.Errorf("at the point of two mounts: %+v, %t; want the later one", got, found)
	}
	if _, found := table.At("/mnt"); found {
		t.Error("something is found where nothing is mounted")
	}
}

func TestParseTableRefusesNonsense(t *testing.T) {
	for _, line := range []string{"36 35 7:0 /", "36 35 seven:0 / /mnt rw", "36 35 7 / /mnt rw"} {
		if _, err := parseTable(strings.NewReader(line)); err == nil {
			t.Errorf("%q is accepted", line)
		}
	}
}

func TestExt4Size(t *testing.T) {
	superblock := make([]byte, superblockOffset+superblockLength)
	put := func(offset int, value uint32) {
		binary.LittleEndian.PutUint32(superblock[superblockOffset+offset:], value)
	}
	put(blocksLowOffset, 1000)
	put(logBlockSizeOffset, 2)
	put(blocksHighOffset, 1)
	if size, block, err := ext4Size(bytes.NewReader(superblock)); err != nil || size != 1000*4096 || block != 4096 {
		t.Errorf("got %d in blocks of %d, %v; the high half does not count without the 64bit feature", size, block, err)
	}
	put(featuresOffset, feature64Bit)
	if size, _, err := ext4Size(bytes.NewReader(superblock)); err != nil || size != (1<<32+1000)*4096 {
		t.Errorf("with the 64bit feature: got %d, %v", size, err)
	}
	if _, _, err := ext4Size(bytes.NewReader(superblock[:100])); err == nil {
		t.Error("no error for a device without a superblock")
	}
}
