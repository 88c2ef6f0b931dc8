package archive

import (
	"archive/tar"
	"bytes"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// rezip packs what a fuzzer has made, which would hardly ever find a checksum that fits; without compressing it, for speed.
func rezip(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// newSeed is a small archive, unzipped, and its index.
func newSeed(f *testing.F) ([]byte, Index) {
	f.Helper()
	var packed, plain bytes.Buffer
	w, err := NewWriter(&packed, time.Unix(0, 0))
	if err != nil {
		f.Fatal(err)
	}
	b := w.NewBatch()
	for _, o := range []Object{{configMap("a", "b"), "", []byte(`{"a":[1]}`)}, {configMap("a", "ü:~"), "", []byte(`{}`)}} {
		if err := b.Add(o.ObjectRef, o.Body); err != nil {
			f.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	zipped, err := gzip.NewReader(&packed)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := plain.ReadFrom(zipped); err != nil {
		f.Fatal(err)
	}
	return plain.Bytes(), w.Index()
}

func seedTars(f *testing.F) {
	f.Helper()
	good, _ := newSeed(f)
	f.Add(good)
	f.Add([]byte{})
	f.Add(good[:len(good)-1024])
	f.Add(good[:700])
	for _, parts := range []func(*tar.Writer) error{
		special(tar.Header{Typeflag: tar.TypeSymlink, Name: "resources/x", Linkname: "/etc/shadow"}),
		special(tar.Header{Typeflag: tar.TypeDir, Name: "resources/"}),
		file("resources/pods/v1-preferredversion/namespaces/a/b.json", []byte("{}")),
		file("resources/pods/namespaces/../b.json", []byte("{}")),
	} {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		if err := parts(w); err != nil {
			f.Fatal(err)
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(buf.Bytes())
	}
}

// FuzzScan: an archive is read as its index describes it, or refused.
func FuzzScan(f *testing.F) {
	_, index := newSeed(f)
	seedTars(f)
	f.Fuzz(func(t *testing.T, plain []byte) {
		var got []coffer.ObjectRef
		err := Scan(bytes.NewReader(rezip(t, plain)), index, func(o Object) error {
			got = append(got, o.ObjectRef)
			return nil
		})
		if err != nil && coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
			t.Errorf("Scan = %v", err)
		}
		if err == nil && (len(got) != 2 || got[0] != index[0].ObjectRef || got[1] != index[1].ObjectRef) {
			t.Errorf("Scan let %v through", got)
		}
	})
}

// FuzzStream: of an archive without an index every object has a path, one spelling of it, and the stated size.
func FuzzStream(f *testing.F) {
	seedTars(f)
	f.Fuzz(func(t *testing.T, plain []byte) {
		err := Stream(bytes.NewReader(rezip(t, plain)), func(o Object) error {
			if ref, ok, err := ParsePath(Path(o.ObjectRef)); err != nil || !ok || ref != o.ObjectRef {
				t.Errorf("Stream let %v through", o.ObjectRef)
			}
			if len(o.Body) > len(plain) {
				t.Errorf("%v has %d bytes of %d", o.ObjectRef, len(o.Body), len(plain))
			}
			return nil
		})
		if err != nil && coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
			t.Errorf("Stream = %v", err)
		}
	})
}

// FuzzGzip: what is no gzip is refused, whatever reads it.
func FuzzGzip(f *testing.F) {
	good, index := newSeed(f)
	f.Add(rezip(f, good))
	f.Add(append(rezip(f, good[:1024]), rezip(f, good[1024:])...))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		nobody := func(Object) error { return nil }
		_, indexErr := ReadIndex(bytes.NewReader(data), IndexLimits{})
		for _, err := range []error{Scan(bytes.NewReader(data), index, nobody), ReadMember(data, index, nobody), Stream(bytes.NewReader(data), nobody), indexErr} {
			if err != nil && coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
				t.Errorf("got %v", err)
			}
		}
	})
}

// FuzzReadIndex: an index that is read can be written, and is read again as what it was.
func FuzzReadIndex(f *testing.F) {
	_, index := newSeed(f)
	var text bytes.Buffer
	zipped, err := gzip.NewReader(bytes.NewReader(lines(f, index...)))
	if err != nil {
		f.Fatal(err)
	}
	if _, err := text.ReadFrom(zipped); err != nil {
		f.Fatal(err)
	}
	f.Add(text.Bytes())
	f.Add([]byte{})
	f.Add([]byte("[[[[[[[[\n"))
	f.Add([]byte(`{"resource":"pods","name":"..","length":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		limits := IndexLimits{Entries: 100, Archive: 1 << 40}
		got, err := ReadIndex(bytes.NewReader(rezip(t, text)), limits)
		if err != nil {
			if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
				t.Errorf("ReadIndex = %v", err)
			}
			return
		}
		end := int64(0)
		for i, e := range got {
			if ref, ok, err := ParsePath(Path(e.ObjectRef)); err != nil || !ok || ref != e.ObjectRef {
				t.Errorf("ReadIndex let %v through", e.ObjectRef)
			}
			same := i > 0 && got[i-1].Offset == e.Offset && got[i-1].Length == e.Length
			if e.Offset+e.Length > limits.Archive || !same && e.Offset < end {
				t.Errorf("entry %d is at %d, %d bytes, behind %d", i, e.Offset, e.Length, end)
			}
			end = e.Offset + e.Length
		}
		again, err := ReadIndex(bytes.NewReader(lines(t, got...)), limits)
		if err != nil || len(again) != len(got) {
			t.Errorf("what was read is not readable: %v", err)
		}
	})
}

// FuzzParsePath: a path that is taken for an object's is the one path of that object.
func FuzzParsePath(f *testing.F) {
	for _, path := range []string{
		"", "metadata/version", "resources/pods/namespaces/a/b.json", "resources/deployments.apps/cluster/system:x.json",
		"resources/pods./cluster/x.json", "resources/pods/cluster/.json", "resources/pods/v1/cluster/a.json", "resources/../cluster/x.json",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		ref, isObject, err := ParsePath(path)
		switch {
		case err != nil && isObject:
			t.Errorf("ParsePath(%q) = %v with %v", path, ref, err)
		case err != nil && !utf8.ValidString(err.Error()):
			t.Errorf("ParsePath(%q): the message is no text", path)
		case isObject && (Path(ref) != path || ref.Name == "" || ref.Resource == ""):
			t.Errorf("ParsePath(%q) = %v, whose path is %q", path, ref, Path(ref))
		}
	})
}
