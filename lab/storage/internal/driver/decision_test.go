package driver

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coffer-backup/coffer/lab/storage/internal/pool"
)

func TestSizeFor(t *testing.T) {
	for name, test := range map[string]struct {
		required, limit   int64
		minimum, fallback int64
		want              int64
		impossible        bool
	}{
		"no wish gives the usual size":               {minimum: minBlock, fallback: gibibyte, want: gibibyte},
		"a wish is rounded up":                       {required: gibibyte + 1, minimum: minBlock, want: gibibyte + mebibyte},
		"a small wish becomes the minimum":           {required: mebibyte, minimum: minXFS, want: minXFS},
		"a limit alone bounds the usual size":        {limit: 400 * mebibyte, minimum: minXFS, fallback: gibibyte, want: 400 * mebibyte},
		"a limit below the minimum is impossible":    {limit: 100 * mebibyte, minimum: minXFS, fallback: gibibyte, impossible: true},
		"a limit that rounding passes is impossible": {required: gibibyte + 1, limit: gibibyte + 2, minimum: minBlock, impossible: true},
		"a wish equal to its limit is met":           {required: gibibyte, limit: gibibyte, minimum: minBlock, want: gibibyte},
		"the largest volume":                         {required: maxSize, minimum: minBlock, want: maxSize},
		"more than the largest volume is impossible": {required: maxSize + 1, minimum: minBlock, impossible: true},
		"a negative wish is impossible":              {required: -1, minimum: minBlock, impossible: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := sizeFor(&csi.CapacityRange{RequiredBytes: test.required, LimitBytes: test.limit}, test.minimum, test.fallback)
			if (err != nil) != test.impossible || got != test.want {
				t.Errorf("got %d, %v; want %d, impossible %t", got, err, test.want, test.impossible)
			}
		})
	}
}

func TestUseOf(t *testing.T) {
	mount := func(mode csi.VolumeCapability_AccessMode_Mode, fsType string) *csi.VolumeCapability {
		return &csi.VolumeCapability{
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: mode},
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{FsType: fsType}},
		}
	}
	block := &csi.VolumeCapability{
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER},
		AccessType: &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}},
	}
	const once, many = csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER, csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER
	for name, test := range map[string]struct {
		capabilities []*csi.VolumeCapability
		want         use
		refused      bool
	}{
		"block":                    {capabilities: []*csi.VolumeCapability{block}, want: use{mode: pool.Block}},
		"a filesystem of any type": {capabilities: []*csi.VolumeCapability{mount(once, "")}, want: use{mode: pool.Filesystem}},
		"ext4":                     {capabilities: []*csi.VolumeCapability{mount(once, "ext4")}, want: use{mode: pool.Filesystem, fsType: "ext4"}},
		"a type nobody has":        {capabilities: []*csi.VolumeCapability{mount(once, "zfs")}, refused: true},
		"writers on many nodes":    {capabilities: []*csi.VolumeCapability{mount(many, "")}, refused: true},
		"both modes at once":       {capabilities: []*csi.VolumeCapability{mount(once, ""), block}, refused: true},
		"neither mode":             {capabilities: []*csi.VolumeCapability{{AccessMode: block.AccessMode}}, refused: true},
		"no access mode":           {capabilities: []*csi.VolumeCapability{{AccessType: block.AccessType}}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := useOf(test.capabilities)
			if (err != nil) != test.refused || got != test.want {
				t.Errorf("got %+v, %v; want %+v, refused %t", got, err, test.want, test.refused)
			}
		})
	}
}

func TestPages(t *testing.T) {
	ids := make([]string, 5)
	for i := range ids {
		ids[i] = fmt.Sprintf("vol-%032x", i)
	}
	self := func(id string) string { return id }
	var got []string
	token := ""
	for {
		page, next, err := pageOf(ids, self, token, 2)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page...)
		if next == "" {
			break
		}
		token = next
	}
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Errorf("pages together differ from the list: %s", diff)
	}
	// The item a token was made of may be gone.
	if page, _, err := pageOf([]string{ids[0], ids[3]}, self, ids[1], 0); err != nil || len(page) != 1 || page[0] != ids[3] {
		t.Errorf("after a deleted item: %v, %v", page, err)
	}
	if _, _, err := pageOf(ids, self, "made up", 0); status.Code(err) != codes.Aborted {
		t.Errorf("a made-up token gives %v", err)
	}
}

func TestLocks(t *testing.T) {
	l := newLocks()
	unlock, err := l.lock(t.Context(), "a", "b", "a")
	if err != nil {
		t.Fatal(err)
	}
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.lock(expired, "c", "b"); status.Code(err) != codes.Aborted {
		t.Errorf("a lock that is held gives %v", err)
	}
	// What the failed call had taken is free again.
	release, err := l.lock(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	release()
	done := make(chan error)
	go func() {
		release, err := l.lock(t.Context(), "b")
		if err == nil {
			release()
		}
		done <- err
	}()
	unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStatusOfKeepsACodeAndGivesOne(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want codes.Code
	}{
		"an error with a code":        {err: status.Error(codes.OutOfRange, "x"), want: codes.OutOfRange},
		"a wrapped error with a code": {err: fmt.Errorf("volume v: %w", status.Error(codes.NotFound, "x")), want: codes.NotFound},
		"a volume that is not there":  {err: fmt.Errorf("volume v: %w", pool.ErrNotFound), want: codes.NotFound},
		"anything else":               {err: errors.New("x"), want: codes.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			if got := status.Code(statusOf(test.err)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestSocketPath(t *testing.T) {
	for endpoint, want := range map[string]string{
		"unix:///run/csi.sock": "/run/csi.sock",
		"/run/csi.sock":        "",
		"unix://csi.sock":      "",
		"tcp://127.0.0.1:1":    "",
		"":                     "",
	} {
		got, err := SocketPath(endpoint)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", endpoint, got, err, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"a driver name with a slash": {Name: "a/b", NodeID: "n", Pool: t.TempDir()},
		"no driver name":             {NodeID: "n", Pool: t.TempDir()},
		"no node id":                 {Name: "a", Pool: t.TempDir()},
		"no pool":                    {Name: "a", NodeID: "n"},
		"a pool that is not there":   {Name: "a", NodeID: "n", Pool: "/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(cfg); err == nil {
				t.Error("no error")
			}
		})
	}
}
