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
	"sync"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/bounded"
)

const (
	// memberSize is how many bytes of tar a member collects before it is closed: small enough that reading one object
	// costs little, large enough that compression loses little (measured: under 1 % against one member).
	memberSize = 1 << 20
	// compressionLevel is where more time stops to save bytes; docs/design/0002-capture.md has the measurement.
	compressionLevel = 3
	// maxCompressors bounds how many members are compressed at a time: each takes some megabytes.
	maxCompressors = 4
	// maxPath is the longest path that readers of tars take: its header is a file of at most 1 MiB.
	maxPath = 1<<20 - 64
	// maxEscape is what JSON makes of one byte at most.
	maxEscape = 6
)

// partLimits are those of readers, less what the other parts of a body may have.
var partLimits = bounded.JSONLimits{Depth: objectLimits.Depth - 1, Containers: objectLimits.Containers - 1, Values: objectLimits.Values - 10}

// ErrNotArchivable is what objects are refused with that no archive can hold. The batch goes on without them.
var ErrNotArchivable = errors.New("no archive can hold it")

// Writer appends members to an archive. Its methods may be called concurrently. Members are compressed by a few
// goroutines, and stand in the archive in the order in which they are finished.
type Writer struct {
	modified time.Time
	// compressors are those that are idle.
	compressors chan *compressor
	// raw are buffers of members that were written.
	raw sync.Pool
	// members are those that are being compressed.
	members sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	out    io.Writer
	offset int64
	// entries is how many objects there are, and freeIndex what is left for those whose names take more of the index than
	// readers allow for one.
	entries, freeIndex int
	index              *spool
	err                error
}

// compressor makes gzip members.
type compressor struct {
	buf    bytes.Buffer
	zipped *gzip.Writer
}

// NewWriter begins an archive on w. All entries bear one time of modification, so that equal objects make equal
// bytes. The caller ends it with Close or Abort, whatever happens.
func NewWriter(w io.Writer, modified time.Time) (*Writer, error) {
	n := min(runtime.GOMAXPROCS(0), maxCompressors)
	a := &Writer{out: w, modified: modified.UTC().Truncate(time.Second), compressors: make(chan *compressor, n), index: newSpool(), freeIndex: freeIndex}
	// A member ends with the object that fills it.
	a.raw.New = func() any { return bytes.NewBuffer(make([]byte, 0, memberSize+memberSize/8)) }
	for range n {
		zipped, err := gzip.NewWriterLevel(io.Discard, compressionLevel)
		if err != nil {
			return nil, fmt.Errorf("begin archive: %w", err)
		}
		a.compressors <- &compressor{zipped: zipped}
	}
	b := a.NewBatch()
	if err := b.addFile(versionPath, int64(len(formatVersion)), []byte(formatVersion)); err != nil {
		return nil, err
	}
	// Readers find it first.
	return a, errors.Join(b.Close(), a.wait())
}

// WriteIndex writes the index as gzipped lines of JSON. To be called after Close, as often as need be.
func (a *Writer) WriteIndex(w io.Writer) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.index.WriteTo(w)
}

// Bytes is the number of compressed bytes written so far.
func (a *Writer) Bytes() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.offset
}

// Close waits for the members and writes the end of the tar. Every batch must be closed before.
func (a *Writer) Close() error {
	if err := a.wait(); err != nil {
		return err
	}
	var buf bytes.Buffer
	zipped := gzip.NewWriter(&buf)
	if err := tar.NewWriter(zipped).Close(); err != nil {
		return fmt.Errorf("close archive: %w", err)
	}
	if err := zipped.Close(); err != nil {
		return fmt.Errorf("close archive: %w", err)
	}
	return errors.Join(a.append(buf.Bytes(), nil), a.index.close())
}

// Abort waits for what is still being compressed, of an archive that is given up. After Close it does nothing.
func (a *Writer) Abort() { _ = a.wait() }

// wait waits for the members, and answers the first error of any.
func (a *Writer) wait() error {
	a.members.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// fail keeps the first error.
func (a *Writer) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		a.err = err
	}
}

// compress makes a member of raw tar. It waits for a compressor, and not for the member: errors come with later calls.
func (a *Writer) compress(raw *bytes.Buffer, entries []pending) {
	c := <-a.compressors
	a.members.Go(func() {
		defer func() {
			if raw.Cap() <= 4*memberSize {
				raw.Reset()
				a.raw.Put(raw)
			}
			a.compressors <- c
		}()
		finished := make([]Entry, 0, len(entries))
		for _, e := range entries {
			sum := sha256.Sum256(raw.Bytes()[e.at : e.at+e.size])
			finished = append(finished, Entry{ObjectRef: e.ref, Size: int64(e.size), SHA256: hex.EncodeToString(sum[:])})
		}
		c.buf.Reset()
		c.zipped.Reset(&c.buf)
		_, err := c.zipped.Write(raw.Bytes())
		if err := errors.Join(err, c.zipped.Close()); err != nil {
			a.fail(fmt.Errorf("compress archive member: %w", err))
			return
		}
		_ = a.append(c.buf.Bytes(), finished)
	})
}

func (a *Writer) append(member []byte, entries []Entry) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	if a.entries += len(entries); a.entries > maxEntries {
		a.err = coffer.Errorf(coffer.CodeInvalid, "more than %d objects are selected, and no archive can hold more", maxEntries).
			WithHint("make several backups, each of some namespaces")
		return a.err
	}
	n, err := a.out.Write(member)
	if err != nil {
		a.err = fmt.Errorf("write archive: %w", err)
		return a.err
	}
	for i := range entries {
		entries[i].Offset, entries[i].Length = a.offset, int64(len(member))
		if err := a.index.add(&entries[i]); err != nil {
			a.err = err
			return err
		}
	}
	a.offset += int64(n)
	return nil
}

// Batch collects objects of one type. It is not safe for concurrent use, and holds up to about a member in memory until
// it is closed.
type Batch struct {
	archive *Writer
	raw     *bytes.Buffer
	tar     *tar.Writer
	entries []pending
}

// pending is an object in the raw tar of a member.
type pending struct {
	ref      coffer.ObjectRef
	at, size int
}

// NewBatch begins a batch. The caller closes it.
func (a *Writer) NewBatch() *Batch { return &Batch{archive: a} }

// Add appends one object's JSON, which may come in parts, and keeps none of it. An object that no archive can hold is
// refused with ErrNotArchivable; any other error is the archive's, perhaps of an earlier object.
func (b *Batch) Add(ref coffer.ObjectRef, body ...[]byte) error {
	size := 0
	for _, part := range body {
		size += len(part)
	}
	path := Path(ref)
	if err := check(ref, path, size, body); err != nil {
		return err
	}
	if err := b.archive.admit(path); err != nil {
		return err
	}
	if err := b.addFile(path, int64(size), body...); err != nil {
		return err
	}
	b.entries = append(b.entries, pending{ref: ref, at: b.raw.Len() - size, size: size})
	if b.raw.Len() < memberSize {
		return nil
	}
	return b.Close()
}

// check refuses what would make the archive one that readers refuse.
func check(ref coffer.ObjectRef, path string, size int, body [][]byte) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrNotArchivable, fmt.Sprintf(format, args...))
	}
	switch {
	case size > maxObjectSize:
		return refuse("it has %d bytes, and at most %d can be kept", size, maxObjectSize)
	case len(path) > maxPath:
		return refuse("its name has %d bytes, and a path at most %d", len(ref.Name), maxPath)
	case !utf8.ValidString(path) || strings.ContainsRune(path, 0):
		return refuse("its name cannot be written in a tar")
	}
	if back, isObject, err := ParsePath(path); err != nil || !isObject || back != ref {
		return refuse("its name cannot be the name of a file")
	}
	for _, part := range body {
		if err := bounded.JSON(part, partLimits); err != nil {
			return refuse("its %v", err)
		}
	}
	return nil
}

// admit refuses an object whose name is so long that, with those of others before, readers would refuse the index. Nobody is
// to spoil the archive of a whole cluster by the names of their own objects.
func (a *Writer) admit(path string) error {
	// otherFields is more than an entry has beside its name.
	const otherFields = 512
	if len(path) <= (entryText-otherFields)/maxEscape {
		return nil
	}
	text, err := json.Marshal(path)
	if err != nil {
		return fmt.Errorf("%w: its name: %w", ErrNotArchivable, err)
	}
	more := len(text) + otherFields - entryText
	if more <= 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if more > a.freeIndex {
		return fmt.Errorf("%w: its name has %d bytes, and there are too many long names already", ErrNotArchivable, len(path))
	}
	a.freeIndex -= more
	return nil
}

// Close hands on what is left to be compressed. The batch may be used again.
func (b *Batch) Close() error {
	if b.raw == nil {
		return nil
	}
	// Pads the last entry to the tar block size, without writing the end of the tar.
	if err := b.tar.Flush(); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	b.archive.compress(b.raw, b.entries)
	b.raw, b.tar, b.entries = nil, nil, nil
	b.archive.mu.Lock()
	defer b.archive.mu.Unlock()
	return b.archive.err
}

func (b *Batch) addFile(path string, size int64, body ...[]byte) error {
	if b.raw == nil {
		b.raw, _ = b.archive.raw.Get().(*bytes.Buffer)
		b.tar = tar.NewWriter(b.raw)
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: path, Size: size, Mode: 0o755, ModTime: b.archive.modified}
	if err := b.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("write archive entry %s: %w", path, err)
	}
	for _, part := range body {
		if _, err := b.tar.Write(part); err != nil {
			return fmt.Errorf("write archive entry %s: %w", path, err)
		}
	}
	return nil
}
