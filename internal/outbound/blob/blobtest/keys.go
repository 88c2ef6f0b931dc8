package blobtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func testCharacters(t *testing.T, c coffer.Container) {
	long := strings.Repeat("n", 200)
	keys := []string{
		` !"#$%&'()*+,-.0123456789:;<=>?@ABCXYZ[]^_` + "`abcxyz{|}~",
		"%2F", "%2e%2e/%00", "a b+c", "a?b=c&d", "a#b", "...", "a/...", ".hidden", "trailing. /x", " leading", "system:node",
		"ünïcödé/日本語/🔐", "e\u0301", "\u00e9", "UPPER", "upper", "snap~1", "CON", "-", "_",
		long + "/" + long + "/" + long + "/" + long,
	}
	for _, key := range keys {
		mustPut(t, c, key, "of "+key)
	}
	for _, key := range keys {
		if got := mustGet(t, c, key, 0, -1); got != "of "+key {
			t.Errorf("%q holds %q", key, got)
		}
		if info, err := c.Stat(t.Context(), key); err != nil || info.Key != key {
			t.Errorf("Stat(%q) = %+v, %v", key, info, err)
		}
	}
	got := mustList(t, c, "")
	slices.Sort(got)
	slices.Sort(keys)
	if diff := cmp.Diff(keys, got); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	for _, key := range keys {
		if err := c.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%q) = %v", key, err)
		}
	}
	mustBeEmpty(t, c)
}

func testManyKeys(t *testing.T, c coffer.Container) {
	var keys []string
	for i := range 50 {
		keys = append(keys, fmt.Sprintf("many/%02d/x", i), fmt.Sprintf("many/%02d.y", i))
	}
	for _, key := range keys {
		mustPut(t, c, key, "x")
	}
	mustPut(t, c, "other/z", "x")
	slices.Sort(keys)
	if diff := cmp.Diff(keys, mustList(t, c, "many/")); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}

func testEdges(t *testing.T, c coffer.Container) {
	mustPut(t, c, "k", "0123456789")
	for _, tt := range []struct {
		offset, length int64
		want           string
	}{{0, 1, "0"}, {9, 1, "9"}, {9, -1, "9"}, {9, 2, "9"}, {10, 1, ""}, {10, 0, ""}, {11, -1, ""}, {1000, 5, ""}, {5, 0, ""}, {0, 10, "0123456789"}, {0, 11, "0123456789"}} {
		if got := mustGet(t, c, "k", tt.offset, tt.length); got != tt.want {
			t.Errorf("Get(%d, %d) = %q, want %q", tt.offset, tt.length, got, tt.want)
		}
	}
	mustPut(t, c, "empty", "")
	for _, length := range []int64{-1, 0, 1} {
		if got := mustGet(t, c, "empty", 0, length); got != "" {
			t.Errorf("Get(0, %d) of an empty blob = %q", length, got)
		}
	}
}

func testTop(t *testing.T, c coffer.Container) {
	top, ok := c.(coffer.TopLister)
	if !ok {
		t.Fatal("this is no coffer.TopLister")
	}
	for i := range 10 {
		mustPut(t, c, fmt.Sprintf("f%d/x/y", i), "x")
		mustPut(t, c, fmt.Sprintf("f%d/z", i), "x")
		mustPut(t, c, fmt.Sprintf("b%d", i), "x")
	}
	got, err := top.Top(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprintf("b%d", i), fmt.Sprintf("f%d/", i))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Top (-want +got):\n%s", diff)
	}
}
