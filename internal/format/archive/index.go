package archive

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/bounded"
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
	maxEntries = 2_000_000
	// maxLineSize bounds one entry of the index. The API server sets no limit to the names of RBAC objects but that of
	// the object, and JSON writes some characters with six.
	maxLineSize = 16 << 20
	// freeIndex is what the text of an index may have whatever it lists, and entryText what it may have more for each
	// entry: a line has about 250 bytes, and with the longest names that are usual 1,200.
	freeIndex, entryText = 64 << 20, 2 << 10
)

// IndexLimits are what is known of an archive before its index is read.
type IndexLimits struct {
	// Entries is how many there may be at most. Zero or more than 2,000,000 mean that many.
	Entries int64
	// Archive is the archive's size in bytes, in which every member has to lie. Zero means that it is not known.
	Archive int64
}

// ReadIndex reads what Writer.WriteIndex wrote. Entries that no writer could have written are an Error with CodeArchiveCorrupt that
// names the line: members that lie outside of the archive, overlap or come out of order, sizes beyond all bounds, objects
// that are listed twice or have no path.
func ReadIndex(r io.Reader, limits IndexLimits) (Index, error) {
	if limits.Entries <= 0 || limits.Entries > maxEntries {
		limits.Entries = maxEntries
	}
	if limits.Archive <= 0 {
		limits.Archive = math.MaxInt64
	}
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return nil, corrupt("archive index: %w", err)
	}
	lines := bufio.NewScanner(&bounded.Reader{R: zipped, Limit: freeIndex + limits.Entries*entryText})
	lines.Buffer(make([]byte, 64<<10), maxLineSize)
	var index Index
	order := memberOrder{archive: limits.Archive}
	listed := map[[16]byte]struct{}{}
	for lines.Scan() {
		line := len(index) + 1
		if int64(line) > limits.Entries {
			return nil, corrupt("archive index line %d: there can be no more than %d entries", line, limits.Entries)
		}
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, corrupt("archive index line %d: %w", line, err)
		}
		path := Path(e.ObjectRef)
		err := e.check(path)
		if err == nil {
			err = order.add(&e)
		}
		if err != nil {
			return nil, corrupt("archive index line %d: %w", line, err)
		}
		// Half a digest is as good as the path, and takes a tenth of the memory.
		sum := sha256.Sum256([]byte(path))
		id := [16]byte(sum[:16])
		if _, again := listed[id]; again {
			return nil, corrupt("archive index line %d: %s is listed twice", line, nameOf(e.ObjectRef))
		}
		listed[id] = struct{}{}
		index = append(index, e)
	}
	if err := lines.Err(); err != nil {
		return nil, corrupt("archive index, after line %d: %w", len(index), err)
	}
	return index, nil
}

func (e *Entry) check(path string) error {
	ref, isObject, err := ParsePath(path)
	switch {
	case err != nil:
		return err
	case !isObject || ref != e.ObjectRef:
		return fmt.Errorf("object %s cannot have a path", quoted(e.String()))
	case e.Size < 0 || e.Size > maxObjectSize:
		return fmt.Errorf("%s has %d bytes, and an object has up to %d", nameOf(e.ObjectRef), e.Size, maxObjectSize)
	case len(e.SHA256) != 2*sha256.Size || strings.Trim(e.SHA256, "0123456789abcdef") != "":
		return fmt.Errorf("%s has a malformed digest", nameOf(e.ObjectRef))
	}
	return nil
}

// memberOrder follows the members as the index lists them: one behind the other, as they were written.
type memberOrder struct {
	archive int64
	// offset and end are of the last member, and size is that of its objects.
	offset, end, size int64
}

func (m *memberOrder) add(e *Entry) error {
	switch {
	case e.Offset < 0 || e.Length <= 0 || e.Length > maxMemberSize:
		return fmt.Errorf("member out of bounds: %d bytes at %d", e.Length, e.Offset)
	case e.Offset > m.archive-e.Length:
		return fmt.Errorf("member out of bounds: %d bytes at %d of an archive of %d", e.Length, e.Offset, m.archive)
	case m.end > 0 && e.Offset == m.offset && e.Offset+e.Length == m.end:
		m.size += e.Size
	case e.Offset < m.end:
		return fmt.Errorf("the member at %d begins before the one at %d ends", e.Offset, m.offset)
	default:
		m.offset, m.end, m.size = e.Offset, e.Offset+e.Length, e.Size
	}
	if m.size > maxMemberSize {
		return fmt.Errorf("the member at %d holds more than %d bytes", m.offset, maxMemberSize)
	}
	return nil
}

func corrupt(format string, args ...any) error {
	return coffer.Errorf(coffer.CodeArchiveCorrupt, format, args...)
}
