package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// newTar is a gzipped tar of whatever write writes, which need not be what a writer of ours would.
func newTar(t testing.TB, write func(w *tar.Writer) error) []byte {
	t.Helper()
	var buf bytes.Buffer
	zipped := gzip.NewWriter(&buf)
	w := tar.NewWriter(zipped)
	if err := write(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func file(name string, body []byte) func(*tar.Writer) error {
	return func(w *tar.Writer) error {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(body))}); err != nil {
			return err
		}
		_, err := w.Write(body)
		return err
	}
}

func special(h tar.Header) func(*tar.Writer) error {
	return func(w *tar.Writer) error { return w.WriteHeader(&h) }
}

func all(parts ...func(*tar.Writer) error) func(*tar.Writer) error {
	return func(w *tar.Writer) error {
		for _, p := range parts {
			if err := p(w); err != nil {
				return err
			}
		}
		return nil
	}
}

// entry is what an index says of an object with a body.
func entry(ref coffer.ObjectRef, body []byte) Entry {
	sum := sha256.Sum256(body)
	return Entry{ObjectRef: ref, Length: 1, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:])}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	good, path := []byte(`{"a":1}`), Path(configMap("shop", "a"))
	brackets := bytes.Repeat([]byte("["), 1_000_000)
	index := Index{entry(configMap("shop", "a"), good)}
	for _, tt := range []struct {
		name  string
		parts func(*tar.Writer) error
		index Index
		// want is part of the error.
		want string
	}{
		{"a symbolic link", special(tar.Header{Typeflag: tar.TypeSymlink, Name: path, Linkname: "/etc/shadow"}), index, "not a file"},
		{"a hard link", special(tar.Header{Typeflag: tar.TypeLink, Name: path, Linkname: "x"}), index, "not a file"},
		{"a device", special(tar.Header{Typeflag: tar.TypeBlock, Name: path}), index, "not a file"},
		{"a folder", special(tar.Header{Typeflag: tar.TypeDir, Name: "resources/"}), index, "not an object"},
		{"a way out of the folder", file("resources/../../etc/passwd", good), index, "not a plain relative path"},
		{"an absolute path", file("/"+path, good), index, "not a plain relative path"},
		{"another spelling of a path", file("resources/configmaps./namespaces/shop/a.json", good), index, "not of an object"},
		{"an object without a name", file("resources/configmaps/namespaces/shop/.json", good), index, "not of an object"},
		{"a file that is no object", file("metadata/other", good), index, "not an object"},
		{"a version of another size", file(versionPath, make([]byte, 1<<20)), index, "not an object"},
		{"an object twice", all(file(path, good), file(path, good)), index, "which its index does not list"},
		{"an object longer than stated", file(path, append(bytes.Clone(good), ' ')), index, "has 8 bytes where the index"},
		{"an object shorter than stated", file(path, good[:1]), index, "has 1 bytes where the index"},
		{"another body of the same length", file(path, []byte(`{"a":2}`)), index, "SHA-256"},
		{"a name of many bytes", file("resources/"+strings.Repeat("x", 500_000)+"/cluster/a.json", good), index, "where its index lists"},
		{"a million brackets", file(path, brackets), Index{entry(configMap("shop", "a"), brackets)}, "nests deeper"},
		{"nothing", all(), index, "ends before configmaps shop/a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := newTar(t, tt.parts)
			nobody := func(o Object) error { return nil }
			for what, err := range map[string]error{
				"Scan":       Scan(bytes.NewReader(data), tt.index, nobody),
				"ReadMember": ReadMember(data, tt.index, nobody),
			} {
				if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s = %v, want %s with %q", what, err, coffer.CodeArchiveCorrupt, tt.want)
				}
				if err != nil && len(err.Error()) > 1500 {
					t.Errorf("%s: the message has %d bytes", what, len(err.Error()))
				}
			}
		})
	}
}

// zeros are n bytes, which gzip packs a thousandfold.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

// Read implements io.Reader.
func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func zip(t testing.TB, r io.Reader) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// mustAllocate is a failure if do allocates more than a number of bytes, all in all.
func mustAllocate(t *testing.T, most uint64, do func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > most {
		t.Errorf("%d bytes were allocated, want at most %d", n, most)
	}
}

func TestBombsAreNotUnpacked(t *testing.T) {
	const size = 512 << 20
	index := Index{entry(configMap("shop", "a"), []byte("{}"))}
	plain := newTar(t, file(Path(configMap("shop", "a")), []byte("{}")))
	var header bytes.Buffer
	w := tar.NewWriter(&header)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: Path(configMap("shop", "a")), Size: maxObjectSize}); err != nil {
		t.Fatal(err)
	}
	var skipped bytes.Buffer
	w = tar.NewWriter(&skipped)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "metadata/version", Size: maxObjectSize}); err != nil {
		t.Fatal(err)
	}
	passedOver := io.MultiReader(bytes.NewReader(skipped.Bytes()), zeros(maxObjectSize))
	many := make([]io.Reader, 0, size/maxObjectSize)
	for range cap(many) {
		many = append(many, io.MultiReader(bytes.NewReader(skipped.Bytes()), zeros(maxObjectSize)))
	}
	for _, tt := range []struct {
		name string
		data []byte
		// streamed bombs are for Stream, which knows no index.
		streamed bool
	}{
		{"an object that is longer than its index says", zip(t, io.MultiReader(&header, zeros(maxObjectSize))), false},
		{"an entry that is passed over", zip(t, passedOver), false},
		{"zeros behind the end", append(bytes.Clone(plain), zip(t, zeros(size))...), false},
		{"zeros behind the end of Velero's", append(bytes.Clone(plain), zip(t, zeros(size))...), true},
		{"entries of Velero's that are passed over", zip(t, io.MultiReader(many...)), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mustAllocate(t, 8<<20, func() {
				nobody := func(Object) error { return nil }
				var err error
				if tt.streamed {
					err = Stream(bytes.NewReader(tt.data), nobody)
				} else {
					err = Scan(bytes.NewReader(tt.data), index, nobody)
				}
				if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func lines(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	if _, err := Index(entries).WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func at(e Entry, name string, offset, length int64) Entry {
	e.Name, e.Offset, e.Length = name, offset, length
	return e
}

func TestHostileIndexesAreRefused(t *testing.T) {
	e := entry(configMap("shop", "a"), []byte("{}"))
	change := func(f func(*Entry)) Entry {
		e := e
		f(&e)
		return e
	}
	for _, tt := range []struct {
		name    string
		entries []Entry
		want    string
	}{
		{"a member behind the archive's end", []Entry{at(e, "a", 990, 20)}, "line 1: member out of bounds: 20 bytes at 990 of an archive of 1000"},
		{"a member far behind it", []Entry{at(e, "a", 1<<63-1, 1<<20)}, "line 1: member out of bounds"},
		{"a member before its beginning", []Entry{at(e, "a", -1, 10)}, "line 1: member out of bounds"},
		{"a member of nothing", []Entry{at(e, "a", 0, 0)}, "line 1: member out of bounds"},
		{"members that overlap", []Entry{at(e, "a", 0, 100), at(e, "b", 99, 100)}, "line 2: the member at 99 begins before the one at 0 ends"},
		{"one member of two lengths", []Entry{at(e, "a", 0, 100), at(e, "b", 0, 99)}, "line 2: the member at 0 begins before"},
		{"members out of order", []Entry{at(e, "a", 200, 100), at(e, "b", 0, 100)}, "line 2: the member at 0 begins before"},
		{"an object twice", []Entry{at(e, "a", 0, 100), at(e, "b", 100, 100), at(e, "a", 200, 100)}, "line 3: configmaps shop/a is listed twice"},
		{"an object beyond all bounds", []Entry{change(func(e *Entry) { e.Size = 1 << 40 })}, "line 1: configmaps shop/a has 1099511627776 bytes"},
		{"a negative size", []Entry{change(func(e *Entry) { e.Size = -1 })}, "line 1: configmaps shop/a has -1 bytes"},
		{"no digest", []Entry{change(func(e *Entry) { e.SHA256 = "" })}, "malformed digest"},
		{"a digest that is none", []Entry{change(func(e *Entry) { e.SHA256 = strings.Repeat("x", 64) })}, "malformed digest"},
		{"a name that is a way out", []Entry{change(func(e *Entry) { e.Namespace = ".." })}, "not a plain relative path"},
		{"a name with a slash", []Entry{change(func(e *Entry) { e.Name = "b/c" })}, "line 1:"},
		{"no type", []Entry{change(func(e *Entry) { e.Resource = "" })}, "line 1:"},
		{"more entries than there can be", []Entry{at(e, "a", 0, 9), at(e, "b", 0, 9), at(e, "c", 0, 9), at(e, "d", 0, 9)}, "line 4: there can be no more than 3 entries"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadIndex(bytes.NewReader(lines(t, tt.entries...)), IndexLimits{Entries: 3, Archive: 1000})
			if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ReadIndex = %v, want %s with %q", err, coffer.CodeArchiveCorrupt, tt.want)
			}
		})
	}
	for name, text := range map[string]io.Reader{
		"a million brackets":   strings.NewReader(strings.Repeat("[", 1_000_000)),
		"a line without end":   io.MultiReader(strings.NewReader(`{"name":"`), zeros(1<<30)),
		"lines without number": io.LimitReader(newlines{}, 1<<30),
	} {
		t.Run(name, func(t *testing.T) {
			data := zip(t, text)
			mustAllocate(t, 64<<20, func() {
				if _, err := ReadIndex(bytes.NewReader(data), IndexLimits{}); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
					t.Errorf("ReadIndex = %v", err)
				}
			})
		})
	}
}

type newlines struct{}

// Read implements io.Reader.
func (newlines) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	return len(p), nil
}

func TestTenMillionTinyEntriesCostWhatAFewDo(t *testing.T) {
	const stated, made = 1000, 10_000_000
	reader, writer := io.Pipe()
	go func() {
		zipped, err := gzip.NewWriterLevel(writer, gzip.BestSpeed)
		if err != nil {
			writer.CloseWithError(err)
			return
		}
		for i := range made {
			line, err := json.Marshal(at(entry(configMap("a", "b"), nil), fmt.Sprint(i), 0, 1))
			if err == nil {
				_, err = zipped.Write(append(line, '\n'))
			}
			if err != nil {
				writer.CloseWithError(err)
				return
			}
		}
		writer.CloseWithError(zipped.Close())
	}()
	_, err := ReadIndex(reader, IndexLimits{Entries: stated})
	reader.CloseWithError(io.ErrClosedPipe)
	if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt || !strings.Contains(err.Error(), "line 1001") {
		t.Errorf("ReadIndex = %v, want it refused at line 1001", err)
	}
	// Of an archive that nothing vouches for, the ratio is what bounds them.
	var one bytes.Buffer
	w := tar.NewWriter(&one)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: Path(configMap("a", "b"))}); err != nil {
		t.Fatal(err)
	}
	some := bytes.Repeat(one.Bytes(), 1000)
	parts := make([]io.Reader, maxStreamed/1000+1)
	for i := range parts {
		parts[i] = bytes.NewReader(some)
	}
	seen := 0
	err = Stream(bytes.NewReader(zip(t, io.MultiReader(parts...))), func(Object) error { seen++; return nil })
	if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt || seen > maxStreamed {
		t.Errorf("Stream = %v after %d objects", err, seen)
	}
}

func TestAnIndexIsScannedAsItIsRead(t *testing.T) {
	_, index := newArchive(t, 2000)
	var blob bytes.Buffer
	if _, err := index.WriteTo(&blob); err != nil {
		t.Fatal(err)
	}
	for _, verified := range []bool{false, true} {
		i := 0
		err := ScanIndex(bytes.NewReader(blob.Bytes()), IndexLimits{Verified: verified}, func(e Entry) error {
			if e != index[i] {
				t.Errorf("entry %d is %v", i, e)
			}
			i++
			return nil
		})
		if err != nil || i != len(index) {
			t.Errorf("%d entries, %v", i, err)
		}
	}
	stop := errors.New("stop")
	if err := ScanIndex(bytes.NewReader(blob.Bytes()), IndexLimits{}, func(Entry) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestAMemberOfTooManyObjectsIsRefused(t *testing.T) {
	order := memberOrder{archive: 1 << 40}
	e := Entry{Offset: 0, Length: 100}
	for i := range maxMemberEntries {
		if err := order.add(&e); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
	}
	if err := order.add(&e); err == nil {
		t.Error("there may be as many as somebody likes")
	}
	next := Entry{Offset: 100, Length: 100}
	if err := order.add(&next); err != nil {
		t.Errorf("the next member: %v", err)
	}
}

func TestASpanOfTinyMembersListsFewEntries(t *testing.T) {
	var index Index
	for i := range int64(4 * maxSpanEntries) {
		index = append(index, Entry{Offset: i / 10, Length: 1})
	}
	spans := Spans(index.Members(func(int) bool { return true }), 1<<20, 1<<30)
	listed := 0
	for _, s := range spans {
		entries := 0
		for _, m := range s.Members {
			entries += len(m.Entries)
		}
		if listed += entries; entries > maxSpanEntries {
			t.Errorf("a span lists %d entries", entries)
		}
	}
	if listed != len(index) {
		t.Errorf("%d entries are listed, want %d", listed, len(index))
	}
}
