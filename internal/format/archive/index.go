package archive

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Entry says where one object stands in the archive.
type Entry struct {
	coffer.ObjectRef
	// Offset and Length bound the gzip member, in bytes of the compressed stream.
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
	// Size of the object's JSON in bytes.
	Size int64 `json:"size"`
	// SHA256 of the object's JSON, in hexadecimal digits.
	SHA256 string `json:"sha256"`
}

// Index lists every object of an archive, member by member.
type Index []Entry

const (
	// maxEntries bounds what a reader holds in memory. The largest clusters known have under a million objects.
	maxEntries = 5_000_000
	// maxObjectSize bounds one object. The API server takes at most 3 MiB; etcd's usual limit is 1.5 MiB.
	maxObjectSize = 16 << 20
	// maxMemberSize bounds a member as read: the writer's own are far smaller.
	maxMemberSize = 64 << 20
	// maxLineSize bounds one entry of the index. The API server sets no limit to the names of RBAC objects but that of
	// the object, and JSON writes some characters with six.
	maxLineSize = 16 << 20
)

// WriteTo writes the index as gzipped lines of JSON.
func (x Index) WriteTo(w io.Writer) (int64, error) {
	counted := &countingWriter{w: w}
	zipped := gzip.NewWriter(counted)
	encoder := json.NewEncoder(zipped)
	for i := range x {
		if err := encoder.Encode(&x[i]); err != nil {
			return counted.n, fmt.Errorf("write archive index: %w", err)
		}
	}
	if err := zipped.Close(); err != nil {
		return counted.n, fmt.Errorf("write archive index: %w", err)
	}
	return counted.n, nil
}

// ReadIndex reads what WriteTo wrote. Entries that no writer could have written are refused.
func ReadIndex(r io.Reader) (Index, error) {
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return nil, corrupt("archive index: %w", err)
	}
	lines := bufio.NewScanner(zipped)
	lines.Buffer(make([]byte, 64<<10), maxLineSize)
	var index Index
	for lines.Scan() {
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, corrupt("archive index line %d: %w", len(index)+1, err)
		}
		if err := e.check(); err != nil {
			return nil, corrupt("archive index line %d: %w", len(index)+1, err)
		}
		if len(index) == maxEntries {
			return nil, corrupt("archive index has more than %d entries", maxEntries)
		}
		index = append(index, e)
	}
	if err := lines.Err(); err != nil {
		return nil, corrupt("archive index: %w", err)
	}
	return index, nil
}

func (e *Entry) check() error {
	ref, isObject, err := ParsePath(Path(e.ObjectRef))
	switch {
	case err != nil:
		return err
	case !isObject || ref != e.ObjectRef:
		return fmt.Errorf("object %q cannot have a path", e.String())
	case e.Offset < 0 || e.Length <= 0 || e.Length > maxMemberSize:
		return errors.New("member out of bounds")
	case e.Size < 0 || e.Size > maxObjectSize:
		return fmt.Errorf("object of %d bytes", e.Size)
	case len(e.SHA256) != 64:
		return errors.New("malformed digest")
	}
	return nil
}

func corrupt(format string, args ...any) error {
	return coffer.Errorf(coffer.CodeArchiveCorrupt, format, args...)
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
