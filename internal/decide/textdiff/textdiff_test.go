package textdiff

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

var mapType = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "configmaps"}, Version: "v1", Kind: "ConfigMap"}

func TestText(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"nothing": {"", ""},
		"noise": {
			`{"metadata":{"name":"a","uid":"u","resourceVersion":"7","generation":2,"managedFields":[{}],"creationTimestamp":"then","ownerReferences":[{}],"labels":{"x":"y"}},
			 "spec":{"replicas":12345678901234567,"template":{"metadata":{"creationTimestamp":null}},"l":[null,{"a":null}]},"status":{"a":1}}`,
			"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  labels:\n    x: \"y\"\n  name: a\nspec:\n  l:\n  - null\n  - {}\n  replicas: 12345678901234567\n  template:\n    metadata: {}\n",
		},
		"numbers": {
			`{"apiVersion":"v1","kind":"X","n":[0,-1,18446744073709551615,1.5,1e3,123456789012345678901234567890,"7"]}`,
			"apiVersion: v1\nkind: X\n\"n\":\n- 0\n- -1\n- 18446744073709551615\n- 1.5\n- 1000\n- \"123456789012345678901234567890\"\n- \"7\"\n",
		},
		"its own version":                 {`{"apiVersion":"acme.io/v2","kind":"X"}`, "apiVersion: acme.io/v2\nkind: X\n"},
		"what a terminal would obey":      {`{"apiVersion":"v1","kind":"X","data":{"a":"\u001b[2J"}}`, "apiVersion: v1\ndata:\n  a: \"\\e[2J\"\nkind: X\n"},
		"metadata that are not an object": {`{"metadata":[1]}`, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n- 1\n"},
	} {
		got, err := Text([]byte(c.body), mapType)
		if err != nil || got != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, c.want)
		}
	}
	for _, body := range []string{"null", "[]", "{", strings.Repeat(`{"a":`, 20_000)} {
		if got, err := Text([]byte(body), mapType); err == nil {
			t.Errorf("%.20s: %s", body, got)
		}
	}
}

func TestUnified(t *testing.T) {
	got, err := Unified("live", "restored", "a: 1\nb: 2\nc: 3\n", "a: 1\nb: 4\nc: 3\n")
	if want := "--- live\n+++ restored\n@@ -1,3 +1,3 @@\n a: 1\n-b: 2\n+b: 4\n c: 3\n"; err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	if got, err := Unified("live", "restored", "a: 1\n", "a: 1\n"); err != nil || got != "" {
		t.Errorf("%v\n%s", err, got)
	}
	if got, err := Unified("live", "restored", "", "a: 1\n"); err != nil || !strings.HasSuffix(got, "@@ -0,0 +1 @@\n+a: 1\n") {
		t.Errorf("%v\n%s", err, got)
	}
}

// An object of many small values is much larger in memory than it is as JSON.
func TestObjectsThatAreTooLarge(t *testing.T) {
	many := func(n int) []byte { return []byte(`{"data":[` + strings.Repeat(`{"a":1},`, n) + `1]}`) }
	largest := many(49_990)
	if TooLarge(nil, []byte(`{"data":{"a":"`+strings.Repeat("[", 3<<20)+`"}}`), largest) {
		t.Error("a large text is taken for many values")
	}
	for name, body := range map[string][]byte{"many objects": many(50_010), "many values": []byte(`[` + strings.Repeat("1,", 100_000) + `1]`), "deep": []byte(strings.Repeat("[", 1_001))} {
		if !TooLarge(nil, body) {
			t.Errorf("%s are not too large", name)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Text(largest, mapType); err != nil {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 300<<20 {
		t.Errorf("the largest takes %d MiB", took>>20)
	}
}

// Archives that nobody has signed hold what somebody likes.
func TestLargeTextsThatHaveNothingInCommonAreCompared(t *testing.T) {
	var before, after strings.Builder
	for i := range 200_000 {
		before.WriteString(strings.Repeat("a", i%7) + "\n")
		after.WriteString(strings.Repeat("b", i%5) + "\n")
	}
	began := time.Now()
	if _, err := Unified("live", "restored", before.String(), after.String()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}
