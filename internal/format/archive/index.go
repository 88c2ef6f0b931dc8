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
	// Verified says that the same bytes were read before: whether an object is listed twice is known.
	Verified bool
}

// ReadIndex reads what Writer.WriteIndex wrote. Entries that no writer could have written are an Error with CodeArchiveCorrupt that
// names the line: members that lie outside of the archive, overlap or come out of order, sizes beyond all bounds, objects
// that are listed twice or have no path.
func ReadIndex(r io.Reader, limits IndexLimits) (Index, error) {
	var index Index
	err := ScanIndex(r, limits, func(e Entry) error {
		index = append(index, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return index, nil
}

// ScanIndex is ReadIndex for an index that need not fit into memory: it calls each for every entry, in order. Of an entry,
// 16 bytes are kept until the end, or none if the index is Verified. Errors of each end the reading and are returned as they
// are.
func ScanIndex(r io.Reader, limits IndexLimits, each func(Entry) error) error {
	if limits.Entries <= 0 || limits.Entries > maxEntries {
		limits.Entries = maxEntries
	}
	if limits.Archive <= 0 {
		limits.Archive = math.MaxInt64
	}
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return corrupt("archive index: %w", err)
	}
	lines := bufio.NewScanner(&bounded.Reader{R: zipped, Limit: freeIndex + limits.Entries*entryText})
	lines.Buffer(make([]byte, 64<<10), maxLineSize)
	check := indexCheck{limits: limits, order: memberOrder{archive: limits.Archive}, listed: map[[16]byte]struct{}{}}
	for lines.Scan() {
		e, err := check.entry(lines.Bytes())
		if err != nil {
			return corrupt("archive index line %d: %w", check.lines, err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return corrupt("archive index, after line %d: %w", check.lines, err)
	}
	return nil
}

// indexCheck is what is remembered of the lines of an index while it is read.
type indexCheck struct {
	limits IndexLimits
	lines  int64
	order  memberOrder
	listed map[[16]byte]struct{}
}

// entry reads one line.
func (c *indexCheck) entry(line []byte) (Entry, error) {
	var e Entry
	if c.lines++; c.lines > c.limits.Entries {
		return e, fmt.Errorf("there can be no more than %d entries", c.limits.Entries)
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return e, err
	}
	path := Path(e.ObjectRef)
	if err := e.check(path); err != nil {
		return e, err
	}
	if err := c.order.add(&e); err != nil {
		return e, err
	}
	if c.limits.Verified {
		return e, nil
	}
	// Half a digest is as good as the path, and takes a tenth of the memory.
	sum := sha256.Sum256([]byte(path))
	id := [16]byte(sum[:16])
	if _, again := c.listed[id]; again {
		return e, fmt.Errorf("%s is listed twice", nameOf(e.ObjectRef))
	}
	c.listed[id] = struct{}{}
	return e, nil
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
	// offset and end are of the last member, size is that of its objects, and entries is how many they are.
	offset, end, size, entries int64
}

func (m *memberOrder) add(e *Entry) error {
	switch {
	case e.Offset < 0 || e.Length <= 0 || e.Length > maxMemberSize:
		return fmt.Errorf("member out of bounds: %d bytes at %d", e.Length, e.Offset)
	case e.Offset > m.archive-e.Length:
		return fmt.Errorf("member out of bounds: %d bytes at %d of an archive of %d", e.Length, e.Offset, m.archive)
	case m.end > 0 && e.Offset == m.offset && e.Offset+e.Length == m.end:
		m.size += e.Size
		m.entries++
	case e.Offset < m.end:
		return fmt.Errorf("the member at %d begins before the one at %d ends", e.Offset, m.offset)
	default:
		m.offset, m.end, m.size, m.entries = e.Offset, e.Offset+e.Length, e.Size, 1
	}
	if m.size > maxMemberSize || m.entries > maxMemberEntries {
		return fmt.Errorf("the member at %d holds more than %d bytes or %d objects", m.offset, maxMemberSize, maxMemberEntries)
	}
	return nil
}

func corrupt(format string, args ...any) error {
	return coffer.Errorf(coffer.CodeArchiveCorrupt, format, args...)
}
