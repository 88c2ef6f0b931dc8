// Package blobtest is the conformance suite of coffer.Container: every implementation passes it.
package blobtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Run runs the suite. open opens a new, empty container each time.
func Run(t *testing.T, open func(t *testing.T) coffer.Container) {
	t.Helper()
	tests := map[string]func(*testing.T, coffer.Container){
		"what was put is got, whole and in ranges":           testRoundTrip,
		"a taken key is refused and keeps its bytes":         testCreateOnly,
		"of many writers of one key exactly one wins":        testRace,
		"a reader that fails leaves nothing":                 testFailedReader,
		"a cancelled put leaves nothing":                     testCancelled,
		"list yields every key of a prefix in order":         testList,
		"a deleted blob is gone, and deleting again is fine": testDelete,
		"a missing key is ErrBlobNotFound":                   testMissing,
		"keys that lead elsewhere are refused":               testHostileKeys,
		"a deleted key can be put again":                     testReuse,
		"a blob of several megabytes survives":               testLarge,
		"a stream of 40 MiB survives, a cut one leaves none": testStream,
		"of many long streams to one key exactly one wins":   testLongRace,
		"keys of every legal character and length are kept":  testCharacters,
		"a long list comes whole and in order":               testManyKeys,
		"ranges at the edges are what is there":              testEdges,
		"the top level is told without the rest":             testTop,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func testRoundTrip(t *testing.T, c coffer.Container) {
	mustPut(t, c, "a/b/c.json", "0123456789")
	for _, tt := range []struct {
		offset, length int64
		want           string
	}{{0, -1, "0123456789"}, {3, 4, "3456"}, {8, 100, "89"}, {10, -1, ""}, {0, 0, ""}} {
		if got := mustGet(t, c, "a/b/c.json", tt.offset, tt.length); got != tt.want {
			t.Errorf("Get(%d, %d) = %q, want %q", tt.offset, tt.length, got, tt.want)
		}
	}
	info, err := c.Stat(t.Context(), "a/b/c.json")
	if err != nil || info.Size != 10 || info.Key != "a/b/c.json" || info.Modified.IsZero() {
		t.Errorf("Stat = %+v, %v; want key, size 10 and a time", info, err)
	}
	mustPut(t, c, "empty", "")
	if got := mustGet(t, c, "empty", 0, -1); got != "" {
		t.Errorf("empty blob = %q", got)
	}
}

func testCreateOnly(t *testing.T, c coffer.Container) {
	mustPut(t, c, "k", "first")
	if _, err := c.Put(t.Context(), "k", strings.NewReader("second")); !errors.Is(err, coffer.ErrBlobExists) {
		t.Errorf("second Put = %v, want ErrBlobExists", err)
	}
	if got := mustGet(t, c, "k", 0, -1); got != "first" {
		t.Errorf("blob = %q after a refused Put, want %q", got, "first")
	}
}

func testRace(t *testing.T, c coffer.Container) {
	const writers = 8
	var wins sync.Map
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			body := strings.Repeat(fmt.Sprint(i), 10_000)
			if _, err := c.Put(t.Context(), "x/race", strings.NewReader(body)); err == nil {
				wins.Store(i, body)
			} else if !errors.Is(err, coffer.ErrBlobExists) {
				t.Errorf("Put = %v, want ErrBlobExists", err)
			}
		})
	}
	group.Wait()
	var bodies []string
	wins.Range(func(_, body any) bool {
		bodies = append(bodies, body.(string))
		return true
	})
	if len(bodies) != 1 {
		t.Fatalf("%d writers won, want 1", len(bodies))
	}
	if got := mustGet(t, c, "x/race", 0, -1); got != bodies[0] {
		t.Error("the blob is not the winner's")
	}
}

func testFailedReader(t *testing.T, c coffer.Container) {
	broken := errors.New("source broke")
	r := io.MultiReader(bytes.NewReader(make([]byte, 100_000)), iotest.ErrReader(broken))
	if _, err := c.Put(t.Context(), "a/half", r); !errors.Is(err, broken) {
		t.Errorf("Put = %v, want the reader's error", err)
	}
	mustBeEmpty(t, c)
}

func testCancelled(t *testing.T, c coffer.Container) {
	ctx, cancel := context.WithCancel(t.Context())
	r := io.MultiReader(strings.NewReader("begun"), &onRead{do: cancel}, strings.NewReader("never"))
	if _, err := c.Put(ctx, "a/half", r); !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v, want context.Canceled", err)
	}
	mustBeEmpty(t, c)
}

func testList(t *testing.T, c coffer.Container) {
	keys := []string{"b/1", "b/1.x", "b/1/2", "b/10", "b/é ü", "ba", "c/d"}
	for _, k := range []string{"ba", "b/10", "c/d", "b/1.x", "b/é ü", "b/1/2"} {
		mustPut(t, c, k, k)
	}
	// A key that is also another's folder is legal in an object store, and an error in a file system: never lost.
	if _, err := c.Put(t.Context(), "b/1", strings.NewReader("b/1")); err != nil {
		keys = keys[1:]
	}
	for prefix, want := range map[string][]string{
		"": keys, "b/": keys[:len(keys)-2], "b": keys[:len(keys)-1], "c/": {"c/d"}, "none/": nil, "b/10": {"b/10"},
	} {
		if diff := cmp.Diff(want, mustList(t, c, prefix)); diff != "" {
			t.Errorf("List(%q) (-want +got):\n%s", prefix, diff)
		}
	}
	for _, err := range c.List(t.Context(), "") {
		if err != nil {
			t.Errorf("List = %v", err)
		}
		break // leaving early is fine
	}
}

func testDelete(t *testing.T, c coffer.Container) {
	mustPut(t, c, "a/b", "x")
	mustPut(t, c, "a/c", "y")
	for range 2 {
		if err := c.Delete(t.Context(), "a/b"); err != nil {
			t.Fatalf("Delete = %v", err)
		}
	}
	if diff := cmp.Diff([]string{"a/c"}, mustList(t, c, "")); diff != "" {
		t.Errorf("after Delete (-want +got):\n%s", diff)
	}
}

func testMissing(t *testing.T, c coffer.Container) {
	mustPut(t, c, "a/b", "x")
	for _, key := range []string{"none", "a", "a/b/c", "a/none"} {
		if _, err := c.Get(t.Context(), key, 0, -1); key != "a" && !errors.Is(err, coffer.ErrBlobNotFound) {
			t.Errorf("Get(%q) = %v, want ErrBlobNotFound", key, err)
		}
		if _, err := c.Stat(t.Context(), key); !errors.Is(err, coffer.ErrBlobNotFound) {
			t.Errorf("Stat(%q) = %v, want ErrBlobNotFound", key, err)
		}
	}
}

func testHostileKeys(t *testing.T, c coffer.Container) {
	for _, key := range []string{"", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "a/", "a\x00b"} {
		if _, err := c.Put(t.Context(), key, strings.NewReader("x")); err == nil {
			t.Errorf("Put(%q) was accepted", key)
		}
		if _, err := c.Get(t.Context(), key, 0, -1); err == nil {
			t.Errorf("Get(%q) was accepted", key)
		}
		if err := c.Delete(t.Context(), key); err == nil {
			t.Errorf("Delete(%q) was accepted", key)
		}
	}
}

func testReuse(t *testing.T, c coffer.Container) {
	mustPut(t, c, "a/b", "old")
	if err := c.Delete(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	mustPut(t, c, "a/b", "new")
	if got := mustGet(t, c, "a/b", 0, -1); got != "new" {
		t.Errorf("blob = %q, want %q", got, "new")
	}
}

func testLarge(t *testing.T, c coffer.Container) {
	body := make([]byte, 9<<20+17)
	if _, err := rand.Read(body); err != nil {
		t.Fatal(err)
	}
	n, err := c.Put(t.Context(), "large", bytes.NewReader(body))
	if err != nil || n != int64(len(body)) {
		t.Fatalf("Put = %d, %v", n, err)
	}
	if mustGet(t, c, "large", 0, -1) != string(body) {
		t.Error("the bytes differ")
	}
}

func mustPut(t *testing.T, c coffer.Container, key, body string) {
	t.Helper()
	if n, err := c.Put(t.Context(), key, strings.NewReader(body)); err != nil || n != int64(len(body)) {
		t.Fatalf("Put(%q) = %d, %v", key, n, err)
	}
}

func mustGet(t *testing.T, c coffer.Container, key string, offset, length int64) string {
	t.Helper()
	r, err := c.Get(t.Context(), key, offset, length)
	if err != nil {
		t.Fatalf("Get(%q) = %v", key, err)
	}
	body, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	return string(body)
}

func mustList(t *testing.T, c coffer.Container, prefix string) []string {
	t.Helper()
	var keys []string
	for info, err := range c.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("List(%q) = %v", prefix, err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func mustBeEmpty(t *testing.T, c coffer.Container) {
	t.Helper()
	if keys := mustList(t, c, ""); len(keys) != 0 {
		t.Errorf("container holds %q, want nothing", keys)
	}
}

// onRead calls do at its first Read and ends.
type onRead struct{ do func() }

func (r *onRead) Read([]byte) (int, error) {
	r.do()
	return 0, io.EOF
}
