package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// memberSize is how many bytes of tar a member collects before it is closed: small enough that reading one object
// costs little, large enough that compression loses little (measured: under 1 % against one member).
const memberSize = 1 << 20

// Writer appends members to an archive. Its methods may be called concurrently: each Batch compresses in its
// caller's goroutine, and only finished members are written under a lock.
type Writer struct {
	modified time.Time

	mu     sync.Mutex // guards the fields below
	out    io.Writer
	offset int64
	index  Index
	err    error
}

// NewWriter begins an archive on w. All entries bear one time of modification, so that equal objects make equal
// bytes.
func NewWriter(w io.Writer, modified time.Time) (*Writer, error) {
	a := &Writer{out: w, modified: modified.UTC().Truncate(time.Second)}
	b := a.NewBatch()
	if err := b.addFile(versionPath, []byte(formatVersion)); err != nil {
		return nil, err
	}
	return a, b.Close()
}

// Index is what has been written. It is complete after Close.
func (a *Writer) Index() Index {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.index
}

// Bytes is the number of compressed bytes written so far.
func (a *Writer) Bytes() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.offset
}

// Close writes the end of the tar. Every batch must be closed before.
func (a *Writer) Close() error {
	var buf bytes.Buffer
	zipped := gzip.NewWriter(&buf)
	if err := tar.NewWriter(zipped).Close(); err != nil {
		return fmt.Errorf("close archive: %w", err)
	}
	if err := zipped.Close(); err != nil {
		return fmt.Errorf("close archive: %w", err)
	}
	return a.append(buf.Bytes(), nil)
}

func (a *Writer) append(member []byte, entries []Entry) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	n, err := a.out.Write(member)
	if err != nil {
		a.err = fmt.Errorf("write archive: %w", err)
		return a.err
	}
	for i := range entries {
		entries[i].Offset, entries[i].Length = a.offset, int64(len(member))
	}
	a.index = append(a.index, entries...)
	a.offset += int64(n)
	return nil
}

// Batch collects objects of one type. It is not safe for concurrent use.
type Batch struct {
	archive *Writer
	buf     bytes.Buffer
	zipped  *gzip.Writer
	tar     *tar.Writer
	raw     int64
	entries []Entry
}

// NewBatch begins a batch. The caller closes it.
func (a *Writer) NewBatch() *Batch {
	b := &Batch{archive: a}
	b.zipped = gzip.NewWriter(&b.buf)
	b.tar = tar.NewWriter(b.zipped)
	return b
}

// Add appends one object's JSON.
func (b *Batch) Add(ref coffer.ObjectRef, body []byte) error {
	if len(body) > maxObjectSize {
		return fmt.Errorf("%s has %d bytes, more than the %d that an archive takes", ref, len(body), maxObjectSize)
	}
	if err := b.addFile(Path(ref), body); err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	b.entries = append(b.entries, Entry{ObjectRef: ref, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:])})
	if b.raw < memberSize {
		return nil
	}
	return b.flush()
}

// Close writes what is left.
func (b *Batch) Close() error {
	if b.raw == 0 {
		return nil
	}
	return b.flush()
}

func (b *Batch) addFile(path string, body []byte) error {
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: path, Size: int64(len(body)), Mode: 0o755, ModTime: b.archive.modified,
	}
	if err := b.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("write archive entry %s: %w", path, err)
	}
	if _, err := b.tar.Write(body); err != nil {
		return fmt.Errorf("write archive entry %s: %w", path, err)
	}
	b.raw += int64(len(body))
	return nil
}

func (b *Batch) flush() error {
	// Flush pads the last entry to the tar block size without writing the end of the tar.
	if err := errors.Join(b.tar.Flush(), b.zipped.Close()); err != nil {
		return fmt.Errorf("compress archive member: %w", err)
	}
	err := b.archive.append(b.buf.Bytes(), b.entries)
	b.buf.Reset()
	b.zipped.Reset(&b.buf)
	b.tar = tar.NewWriter(b.zipped)
	b.raw, b.entries = 0, nil
	return err
}
