package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// gated is a store that takes nothing until it is opened.
type gated struct {
	open chan struct{}
	bytes.Buffer
}

func (g *gated) Write(p []byte) (int, error) {
	<-g.open
	return g.Buffer.Write(p)
}

func TestObjectsOfOneTypeAreReadWhileOthersAreCompressedAndWritten(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("on one core there is one compressor")
	}
	out := &gated{open: make(chan struct{})}
	var first sync.Once
	go first.Do(func() { out.open <- struct{}{} }) // for metadata/version
	w, err := NewWriter(out, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	added := make(chan error)
	go func() {
		batch := w.NewBatch()
		// One member is being written, and the next one collected.
		for i := range 15 {
			if err := batch.Add(configMap("n", fmt.Sprint(i)), bytes.Repeat([]byte("x"), 100<<10)); err != nil {
				added <- err
				return
			}
		}
		added <- nil
		added <- batch.Close()
	}()
	select {
	case err := <-added:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the reader waits for the store")
	}
	close(out.open)
	if err := errors.Join(<-added, w.Close()); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := Scan(&out.Buffer, w.Index(), func(Object) error { n++; return nil }); err != nil || n != 15 {
		t.Errorf("Scan = %v with %d objects", err, n)
	}
}

func TestWhatNoArchiveHoldsIsRefusedAndTheRestIsKept(t *testing.T) {
	var buf bytes.Buffer
	w, err := NewWriter(&buf, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	role := func(name string) coffer.ObjectRef {
		return coffer.ObjectRef{GroupResource: coffer.GroupResource{Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}, Name: name}
	}
	batch := w.NewBatch()
	for name, refused := range map[string]bool{
		"plain":                         false,
		"system:odd name=1@x é😀":        false,
		strings.Repeat("n", 1<<20-200):  false,
		strings.Repeat("n", 1<<20):      true,
		strings.Repeat("é", 800<<10):    true,
		strings.Repeat("n", 1_500_000):  true,
		"with\x00nothing":               true,
		"not\xffutf8":                   true,
		"a/b":                           true,
		"..":                            false,
		"":                              true,
		strings.Repeat("long-name", 30): false,
	} {
		err := batch.Add(role(name), []byte(`{"a":`), []byte(`1}`))
		if errors.Is(err, ErrNotArchivable) != refused || !refused && err != nil {
			t.Errorf("Add of %.40q... = %.200v", name, err)
		}
		if refused && len(err.Error()) > 300 {
			t.Errorf("the refusal has %d bytes", len(err.Error()))
		}
	}
	if err := batch.Add(role("large"), make([]byte, maxObjectSize+1)); !errors.Is(err, ErrNotArchivable) {
		t.Errorf("Add of a large object = %v", err)
	}
	deep := strings.Repeat("[", objectLimits.Depth) + strings.Repeat("]", objectLimits.Depth)
	if err := batch.Add(role("deep"), []byte(`{"a":`), []byte(deep), []byte(`}`)); !errors.Is(err, ErrNotArchivable) {
		t.Errorf("Add of an object that readers refuse = %v", err)
	}
	if err := errors.Join(batch.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	index := w.Index()
	if len(index) != 5 {
		t.Errorf("the index has %d entries", len(index))
	}
	if err := Scan(&buf, index, func(o Object) error {
		if string(o.Body) != `{"a":1}` {
			t.Errorf("%.40s has %q", o.ObjectRef, o.Body)
		}
		return nil
	}); err != nil {
		t.Errorf("Scan = %.300v", err)
	}
}

func TestLongNamesDoNotMakeAnIndexThatIsRefused(t *testing.T) {
	var buf bytes.Buffer
	w, err := NewWriter(&buf, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	batch := w.NewBatch()
	kept, refused := 0, 0
	// In the JSON of the index each of these has six times the bytes.
	for i := range 15 {
		err := batch.Add(configMap("n", fmt.Sprint(i)+strings.Repeat("<", 1<<20-200)), []byte(`{}`))
		switch {
		case err == nil:
			kept++
		case errors.Is(err, ErrNotArchivable):
			refused++
		default:
			t.Fatal(err)
		}
	}
	if err := batch.Add(configMap("n", "short"), []byte(`{}`)); err != nil {
		t.Errorf("Add of an ordinary object after long ones = %.200v", err)
	}
	if err := errors.Join(batch.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	var index bytes.Buffer
	if _, err := w.WriteIndex(&index); err != nil {
		t.Fatal(err)
	}
	read, err := ReadIndex(&index, IndexLimits{Entries: int64(kept + 1)})
	if err != nil || len(read) != kept+1 || kept < 5 || refused == 0 {
		t.Errorf("ReadIndex = %d entries, %.200v; %d kept, %d refused", len(read), err, kept, refused)
	}
}

func TestTheIndexIsWrittenAsItIsRead(t *testing.T) {
	var buf bytes.Buffer
	w, err := NewWriter(&buf, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	batch := w.NewBatch()
	const n = 20_000
	for i := range n {
		if err := batch.Add(configMap("n", fmt.Sprint(i)), fmt.Appendf(nil, `{"n":%d}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(batch.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	var once, twice bytes.Buffer
	size, err := w.WriteIndex(&once)
	if _, again := w.WriteIndex(&twice); err != nil || again != nil || size != int64(once.Len()) || !bytes.Equal(once.Bytes(), twice.Bytes()) {
		t.Fatalf("WriteIndex = %d, %v, then %v", size, err, again)
	}
	if perObject := once.Len() / n; perObject > 100 {
		t.Errorf("the index takes %d bytes of memory for each object", perObject)
	}
	index, err := ReadIndex(&once, IndexLimits{})
	if err != nil || len(index) != n {
		t.Fatalf("ReadIndex = %v with %d entries", err, len(index))
	}
	if diff := cmp.Diff(index, w.Index()); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
}

func TestAStoreThatFailsEndsTheArchive(t *testing.T) {
	full := errors.New("the disk is full")
	reader, writer := io.Pipe()
	go func() {
		_, _ = io.CopyN(io.Discard, reader, 2000)
		reader.CloseWithError(full)
	}()
	w, err := NewWriter(writer, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	batch := w.NewBatch()
	for i := 0; err == nil && i < 100_000; i++ {
		err = batch.Add(configMap("n", fmt.Sprint(i)), make([]byte, 10_000))
	}
	if !errors.Is(err, full) {
		t.Errorf("Add = %v", err)
	}
	if err := w.Close(); !errors.Is(err, full) {
		t.Errorf("Close = %v", err)
	}
	w.Abort()
}

// BenchmarkWrite says how much JSON of one type is written in a second.
func BenchmarkWrite(b *testing.B) {
	body := []byte(`{"apiVersion":"v1","kind":"ConfigMap","data":{"x":"` + strings.Repeat("listen_7 address_12 timeout_3 ", 100) + `"}}`)
	w, err := NewWriter(io.Discard, time.Unix(0, 0))
	if err != nil {
		b.Fatal(err)
	}
	batch := w.NewBatch()
	b.SetBytes(int64(len(body)))
	for i := 0; b.Loop(); i++ {
		if err := batch.Add(configMap("n", fmt.Sprint(i)), body); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(batch.Close(), w.Close()); err != nil {
		b.Fatal(err)
	}
}
