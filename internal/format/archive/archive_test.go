package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func configMap(namespace, name string) coffer.ObjectRef {
	return coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "configmaps"}, Namespace: namespace, Name: name}
}

// newArchive writes n ConfigMaps and a cluster-scoped object, and answers the bytes and the index.
func newArchive(t *testing.T, n int) ([]byte, Index) {
	t.Helper()
	var buf bytes.Buffer
	w, err := NewWriter(&buf, time.Unix(1_800_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	maps := w.NewBatch()
	for i := range n {
		body := fmt.Sprintf(`{"data":{"k":%q}}`, strings.Repeat(fmt.Sprint(i), 5000))
		if err := maps.Add(configMap("shop", fmt.Sprintf("map-%d", i)), []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	role := w.NewBatch()
	ref := coffer.ObjectRef{GroupResource: coffer.GroupResource{Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}, Name: "system:basic-user"}
	if err := errors.Join(role.Add(ref, []byte(`{}`)), maps.Close(), role.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), w.Index()
}

func TestEveryTarReaderReadsTheArchive(t *testing.T) {
	data, index := newArchive(t, 700)
	zipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	entries := tar.NewReader(zipped)
	var names []string
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	want := []string{"metadata/version"}
	for _, e := range index {
		want = append(want, Path(e.ObjectRef))
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("tar entries (-want +got):\n%s", diff)
	}
}

func TestScanYieldsEveryObjectInOrder(t *testing.T) {
	data, index := newArchive(t, 700)
	var got []coffer.ObjectRef
	err := Scan(bytes.NewReader(data), index, func(o Object) error {
		got = append(got, o.ObjectRef)
		return nil
	})
	if err != nil || len(got) != len(index) || len(got) != 701 {
		t.Fatalf("Scan = %v with %d objects, want 701", err, len(got))
	}
}

func TestOneMemberIsReadAlone(t *testing.T) {
	data, index := newArchive(t, 700)
	members := map[int64][]Entry{}
	for _, e := range index {
		members[e.Offset] = append(members[e.Offset], e)
	}
	if len(members) < 4 {
		t.Fatalf("the archive has %d members, want several", len(members))
	}
	seen := 0
	for _, entries := range members {
		first := entries[0]
		err := ReadMember(data[first.Offset:first.Offset+first.Length], entries, func(Object) error {
			seen++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen != len(index) {
		t.Errorf("members hold %d objects, want %d", seen, len(index))
	}
}

func TestConcurrentBatchesMakeOneArchive(t *testing.T) {
	var buf bytes.Buffer
	w, err := NewWriter(&buf, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	const batches, each = 8, 300
	done := make(chan error, batches)
	for b := range batches {
		go func() {
			batch := w.NewBatch()
			for i := range each {
				if err := batch.Add(configMap(fmt.Sprint("ns", b), fmt.Sprint(i)), make([]byte, 10_000)); err != nil {
					done <- err
					return
				}
			}
			done <- batch.Close()
		}()
	}
	for range batches {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := Scan(&buf, w.Index(), func(Object) error { n++; return nil }); err != nil || n != batches*each {
		t.Errorf("Scan = %v with %d objects, want %d", err, n, batches*each)
	}
}

func TestDamageIsFound(t *testing.T) {
	data, index := newArchive(t, 50)
	damage := map[string]func([]byte, Index) ([]byte, Index){
		"truncated at half":          func(d []byte, x Index) ([]byte, Index) { return d[:len(d)/2], x },
		"last byte missing":          func(d []byte, x Index) ([]byte, Index) { return d[:len(d)-1], x },
		"empty":                      func(_ []byte, x Index) ([]byte, Index) { return nil, x },
		"not gzip":                   func(_ []byte, x Index) ([]byte, Index) { return []byte("hello"), x },
		"an object not in the index": func(d []byte, x Index) ([]byte, Index) { return d, x[:len(x)-1] },
		"an object missing":          func(d []byte, x Index) ([]byte, Index) { return d, append(x[:len(x):len(x)], x[0]) },
		"another digest": func(d []byte, x Index) ([]byte, Index) {
			x = append(Index{}, x...)
			x[3].SHA256 = strings.Repeat("0", 64)
			return d, x
		},
		"another name": func(d []byte, x Index) ([]byte, Index) {
			x = append(Index{}, x...)
			x[3].Name = "other"
			return d, x
		},
	}
	for name, change := range damage {
		t.Run(name, func(t *testing.T) {
			d, x := change(data, index)
			err := Scan(bytes.NewReader(d), x, func(Object) error { return nil })
			if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
				t.Errorf("Scan = %v, want %s", err, coffer.CodeArchiveCorrupt)
			}
		})
	}
}

func TestAnyFlippedByteIsFoundOrHarmless(t *testing.T) {
	data, index := newArchive(t, 3)
	for at := range data {
		flipped := bytes.Clone(data)
		flipped[at] ^= 0x10
		var got []Object
		err := Scan(bytes.NewReader(flipped), index, func(o Object) error {
			got = append(got, o)
			return nil
		})
		// A byte of a gzip header (time, name) changes nothing that is restored.
		if err == nil && len(got) != len(index) {
			t.Fatalf("byte %d: Scan found nothing wrong with %d of %d objects", at, len(got), len(index))
		}
	}
}

func TestPathIsInvertible(t *testing.T) {
	for _, ref := range []coffer.ObjectRef{
		configMap("shop", "a.b-c"),
		{GroupResource: coffer.GroupResource{Group: "apps", Resource: "deployments"}, Namespace: "n", Name: "x"},
		{GroupResource: coffer.GroupResource{Resource: "namespaces"}, Name: "cluster"},
		{GroupResource: coffer.GroupResource{Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}, Name: "system:node:1"},
		{GroupResource: coffer.GroupResource{Resource: "pods"}, Namespace: "namespaces", Name: "namespaces"},
	} {
		got, isObject, err := ParsePath(Path(ref))
		if got != ref || !isObject || err != nil {
			t.Errorf("ParsePath(Path(%v)) = %v, %v, %v", ref, got, isObject, err)
		}
	}
}

func TestHostilePathsAreRefused(t *testing.T) {
	for _, path := range []string{
		"", "/etc/passwd", "../x", "resources/../../x.json", "resources/pods/namespaces/a/../b.json", "resources/pods/x.json",
		"resources/pods/cluster/", "resources/pods/namespaces/a", "other/pods/cluster/x.json", "resources//cluster/x.json",
	} {
		if ref, isObject, err := ParsePath(path); err == nil {
			t.Errorf("ParsePath(%q) = %v, %v", path, ref, isObject)
		}
	}
	for _, path := range []string{"resources/pods/v1-preferredversion/namespaces/a/b.json", "metadata/version"} {
		if _, isObject, err := ParsePath(path); isObject || err != nil {
			t.Errorf("ParsePath(%q) = %v, %v; want it passed over", path, isObject, err)
		}
	}
}

func TestIndexRoundTrip(t *testing.T) {
	_, index := newArchive(t, 10)
	var buf bytes.Buffer
	if _, err := index.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	got, err := ReadIndex(&buf, IndexLimits{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(index, got); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
}

func TestCopiesAtOtherVersionsAreToldFromObjects(t *testing.T) {
	scaler := coffer.ObjectRef{GroupResource: coffer.GroupResource{Group: "autoscaling", Resource: "horizontalpodautoscalers"}, Namespace: "shop", Name: "web"}
	const folder = "resources/horizontalpodautoscalers.autoscaling/"
	for path, want := range map[string]string{
		folder + "v1/namespaces/shop/web.json":                             "v1",
		folder + "v2-preferredversion/namespaces/shop/web.json":            "",
		folder + "namespaces/shop/web.json":                                "",
		folder + "v1/v2/namespaces/shop/web.json":                          "",
		"resources/horizontalpodautoscalers.autoscaling":                   "",
		"metadata/v1/namespaces/shop/web.json":                             "",
		"horizontalpodautoscalers.autoscaling/v1/namespaces/shop/web.json": "",
	} {
		ref, version, isCopy := parseCopy(path)
		if isCopy != (want != "") || isCopy && (ref != scaler || version != want) {
			t.Errorf("parseCopy(%q) = %v, %q, %v, want %q", path, ref, version, isCopy, want)
		}
	}
}
