package object

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/blob/blobtest"
)

// memory is a Store in memory, with pages of three.
type memory struct {
	mu sync.Mutex
	// objects by name; guarded by mu.
	objects map[string]stored
	// fail is asked before each call, with its name, and after it with "after " before that; what it answers is the
	// call's error.
	fail func(call string) error
}

type stored struct {
	id   string
	body []byte
}

// said is an error of the store whose verdict is known.
type said struct{ Verdict }

// Error is the cause's number.
func (s said) Error() string { return "said " + string(rune('A'+int(s.Cause))) }

func newMemory(t *testing.T) (*memory, *Container) {
	t.Helper()
	m := &memory{objects: map[string]stored{}, fail: func(string) error { return nil }}
	link, err := NewLink(LinkConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return m, New(Config{Store: m, Name: `bucket "x"`, Prefix: "a/b", Link: link, PartSize: 1 << 20, Pause: time.Millisecond, MaxParts: 100})
}

// call does something under the lock, unless it is told to fail before; it may fail after it too.
func (m *memory) call(name string, do func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail(name); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return m.fail("after " + name)
}

func (m *memory) create(ctx context.Context, name, id string, body []byte) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, taken := m.objects[name]; taken {
		return said{Verdict{Cause: Taken}}
	}
	m.objects[name] = stored{id: id, body: bytes.Clone(body)}
	return nil
}

// Create implements Store.
func (m *memory) Create(ctx context.Context, name, id string, body []byte) error {
	return m.call("create", func() error { return m.create(ctx, name, id, body) })
}

// Begin implements Store.
func (m *memory) Begin(_ context.Context, name, id string) (Upload, error) {
	return &memoryUpload{memory: m, name: name, id: id}, m.call("begin", func() error { return nil })
}

type memoryUpload struct {
	*memory
	name, id string
	parts    [][]byte
}

// Part implements Upload.
func (u *memoryUpload) Part(_ context.Context, number int, body []byte) error {
	return u.call("part", func() error {
		u.parts = append(u.parts[:number-1], bytes.Clone(body))
		return nil
	})
}

// Commit implements Upload.
func (u *memoryUpload) Commit(ctx context.Context) error {
	return u.call("commit", func() error { return u.create(ctx, u.name, u.id, bytes.Join(u.parts, nil)) })
}

// Abort implements Upload.
func (u *memoryUpload) Abort(context.Context) error {
	return u.call("abort", func() error { return nil })
}

func (m *memory) find(call, name string) (found stored, err error) {
	err = m.call(call, func() error {
		var ok bool
		if found, ok = m.objects[name]; !ok {
			return said{Verdict{Cause: Missing}}
		}
		return nil
	})
	return found, err
}

// Head implements Store.
func (m *memory) Head(_ context.Context, name string) (Head, error) {
	o, err := m.find("head", name)
	return Head{Size: int64(len(o.body)), Modified: time.Now(), ID: o.id}, err
}

// Read implements Store.
func (m *memory) Read(_ context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	o, err := m.find("read", name)
	if err != nil {
		return nil, err
	}
	if offset >= int64(len(o.body)) {
		return nil, said{Verdict{Cause: PastEnd}}
	}
	body := o.body[offset:]
	if length >= 0 {
		body = body[:min(length, int64(len(body)))]
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

// Page implements Store.
func (m *memory) Page(_ context.Context, r PageRequest) (Page, error) {
	var page Page
	err := m.call("page", func() error {
		for _, name := range slices.Sorted(maps.Keys(m.objects)) {
			rest, ok := strings.CutPrefix(name, r.Prefix)
			if !ok || name <= r.Token {
				continue
			}
			if len(page.Blobs)+len(page.Folders) == 3 {
				return nil
			}
			page.Next = name
			if folder, _, below := strings.Cut(rest, "/"); r.Folders && below {
				page.Folders = append(page.Folders, r.Prefix+folder+"/")
				continue
			}
			page.Blobs = append(page.Blobs, coffer.BlobInfo{Key: name, Size: int64(len(m.objects[name].body)), Modified: time.Now()})
		}
		page.Next = ""
		return nil
	})
	return page, err
}

// Remove implements Store.
func (m *memory) Remove(_ context.Context, name string) error {
	return m.call("remove", func() error {
		delete(m.objects, name)
		return nil
	})
}

// Make implements Store.
func (m *memory) Make(context.Context) error { return m.call("make", func() error { return nil }) }

// Judge implements Store.
func (m *memory) Judge(err error) Verdict {
	var s said
	if errors.As(err, &s) {
		return s.Verdict
	}
	return Verdict{Cause: Unanswered(err)}
}

func TestConformance(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) coffer.Container {
		_, c := newMemory(t)
		return c
	})
}

func TestAContainerIsMadeOnlyIfItIsMissing(t *testing.T) {
	for name, tt := range map[string]struct {
		fail func(string) error
		made bool
		want string
	}{
		"it is there":                     {func(string) error { return nil }, false, ""},
		"it is missing":                   {times(1, "page", NoContainer), true, ""},
		"a store that only says missing":  {times(1, "page", Missing), true, ""},
		"it cannot be looked into":        {times(99, "page", Forbidden), false, "list in bucket"},
		"it may not be made":              {both(times(1, "page", NoContainer), times(99, "make", Forbidden)), false, "make in bucket"},
		"a store that is busy for a time": {both(times(1, "page", NoContainer), times(2, "make", Busy)), true, ""},
	} {
		m, c := newMemory(t)
		m.fail = tt.fail
		made, err := c.Make(t.Context())
		if made != tt.made || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %t, %v", name, made, err)
		}
	}
}

func both(a, b func(string) error) func(string) error {
	return func(call string) error { return errors.Join(a(call), b(call)) }
}

// times is a fail function that fails the first n calls of a name.
func times(n int, name string, cause Cause) func(string) error {
	return func(call string) error {
		if call != name || n == 0 {
			return nil
		}
		n--
		return said{Verdict{Cause: cause}}
	}
}

func TestAPutWhoseAnswerWasLostIsRecognised(t *testing.T) {
	for call, size := range map[string]int{"after create": 10, "after commit": 3 << 20} {
		t.Run(call, func(t *testing.T) {
			m, c := newMemory(t)
			m.fail = times(1, call, Away)
			if n, err := c.Put(t.Context(), "k", strings.NewReader(strings.Repeat("x", size))); err != nil || n != int64(size) {
				t.Errorf("Put = %d, %v; want %d", n, err, size)
			}
			// The same from the last try: no answer ever comes.
			m.fail = times(tries, call, Away)
			if n, err := c.Put(t.Context(), "l", strings.NewReader(strings.Repeat("x", size))); err != nil || n != int64(size) {
				t.Errorf("Put without any answer = %d, %v; want %d", n, err, size)
			}
		})
	}
}

func TestATakenNameWithNothingThereIsCommittedInstead(t *testing.T) {
	m, c := newMemory(t)
	m.fail = times(1000, "create", Taken)
	if n, err := c.Put(t.Context(), "k", strings.NewReader("x")); err != nil || n != 1 {
		t.Errorf("Put = %d, %v; want 1", n, err)
	}
}

func TestRetriesEnd(t *testing.T) {
	for _, tt := range []struct {
		name    string
		verdict Verdict
		calls   int
		code    coffer.Code
	}{
		{"a store that is away", Verdict{Cause: Away}, tries, ""},
		{"a store that is throttled", Verdict{Cause: Throttled}, tries, ""},
		{"a store that asks for an hour", Verdict{Cause: Throttled, After: time.Hour}, 1, ""},
		{"what the SDK has tried again", Verdict{Cause: Away, Spent: true}, 1, ""},
		{"wrong credentials", Verdict{Cause: Unauthenticated}, 1, coffer.CodeLocationNotReady},
		{"credentials that may not", Verdict{Cause: Forbidden}, 1, coffer.CodeLocationNotReady},
		{"no bucket", Verdict{Cause: NoContainer}, 1, coffer.CodeLocationNotReady},
		{"an old clock", Verdict{Cause: Skewed}, 1, coffer.CodeLocationNotReady},
		{"a full store", Verdict{Cause: Full}, 1, coffer.CodeLocationNotReady},
		{"a certificate of nobody", Verdict{Cause: Untrusted}, 1, coffer.CodeLocationNotReady},
		{"a hold", Verdict{Cause: Held}, 1, coffer.CodeLocationNotReady},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, c := newMemory(t)
			calls := 0
			m.fail = func(string) error {
				calls++
				return said{tt.verdict}
			}
			err := c.Delete(t.Context(), "k")
			if err == nil || coffer.CodeOf(err) != tt.code || calls != tt.calls {
				t.Errorf("Delete = %v after %d calls; want the code %q after %d", err, calls, tt.code, tt.calls)
			}
		})
	}
}

func TestABlobOfTooManyPartsIsRefusedAndGivenUp(t *testing.T) {
	m, c := newMemory(t)
	c.MaxParts = 2
	aborted := false
	m.fail = func(call string) error {
		aborted = aborted || call == "abort"
		return nil
	}
	_, err := c.Put(t.Context(), "k", strings.NewReader(strings.Repeat("x", 3<<20)))
	if coffer.CodeOf(err) != coffer.CodeInvalid || !aborted {
		t.Errorf("Put = %v, aborted: %t; want %s, aborted", err, aborted, coffer.CodeInvalid)
	}
}

func TestAPutHoldsTwoPartsAtMost(t *testing.T) {
	_, c := newMemory(t)
	buffers := map[*byte]bool{}
	p := readParts(t.Context(), strings.NewReader(strings.Repeat("x", 10<<20)), c.PartSize)
	defer p.stop()
	for {
		next := p.next()
		if next.err != nil {
			t.Fatal(next.err)
		}
		if cap(next.body) > c.PartSize {
			t.Errorf("a part takes %d bytes, want %d at most", cap(next.body), c.PartSize)
		}
		if cap(next.body) > 0 {
			buffers[&next.body[:1][0]] = true
		}
		if next.last {
			break
		}
		p.done(next)
	}
	if len(buffers) > 2 {
		t.Errorf("%d buffers were used, want 2", len(buffers))
	}
}

func TestNamesThatAreNoKeysArePassedOver(t *testing.T) {
	m, c := newMemory(t)
	m.objects["a/b/"] = stored{}
	m.objects["a/b/folder/"] = stored{}
	m.objects["a/b/k"] = stored{}
	m.objects["a/bc"] = stored{}
	var keys []string
	for info, err := range c.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	if !slices.Equal(keys, []string{"k"}) {
		t.Errorf("listed %q, want k", keys)
	}
}

func TestNamesAreNotLongerThanStoresTake(t *testing.T) {
	_, c := newMemory(t)
	if _, err := c.Put(t.Context(), strings.Repeat("x", maxName), strings.NewReader("x")); coffer.CodeOf(err) != coffer.CodeInvalid {
		t.Errorf("Put = %v, want %s", err, coffer.CodeInvalid)
	}
}
