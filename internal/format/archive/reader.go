package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/bounded"
)

const (
	// maxObjectSize bounds one object. The API server takes at most 3 MiB; etcd's usual limit is 1.5 MiB.
	maxObjectSize = 16 << 20
	// maxMemberSize bounds a member as read, zipped and unzipped: the writer's own are far smaller.
	maxMemberSize = 64 << 20
	// maxMemberEntries bounds the objects of a member: each takes a kilobyte of the tar, so that the writer's own have about a
	// thousand.
	maxMemberEntries = 100_000
	// headerSize is what an entry takes in the tar beside its body and its path: its header, the one of an extended header,
	// and what pads the two, and the body, to whole blocks.
	headerSize = 4 << 10
	// maxPadding is what may follow the end of the tar.
	maxPadding = 1 << 20
)

// objectLimits bound the JSON of an object: nesting as the API server does, and values such that an object of the size that
// etcd takes can have all its bytes in them.
var objectLimits = bounded.JSONLimits{Depth: 10_000, Containers: 1_000_000, Values: 2_000_000}

// Object is one object as it stands in an archive.
type Object struct {
	coffer.ObjectRef
	// Version of a copy that stands beside the object, at another version; empty for the object itself. Only
	// StreamVersions has copies.
	Version string
	Body    []byte
}

// Scan reads a whole archive from its beginning and calls each for every object, in the archive's order. A stream
// that is truncated, malformed or not the one that the index describes is an Error with CodeArchiveCorrupt: objects
// missing, added, altered, reordered or longer than stated. What the index does not describe is not unpacked. Errors of
// each end the scan and are returned as they are.
func Scan(r io.Reader, index Index, each func(Object) error) error {
	return readIndexed(r, index, "archive", each)
}

// ReadMember reads the objects of one gzip member, given the compressed bytes and the entries that the index lists
// for it, and verifies each, as Scan does.
func ReadMember(compressed []byte, entries []Entry, each func(Object) error) error {
	return readIndexed(bytes.NewReader(compressed), entries, "archive member", each)
}

// readIndexed reads what is exactly what entries say.
func readIndexed(r io.Reader, entries []Entry, what string, each func(Object) error) error {
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return corrupt("%s: %w", what, err)
	}
	budget := int64(maxPadding)
	for i := range entries {
		budget += entries[i].Size + 2*int64(len(Path(entries[i].ObjectRef))) + headerSize
	}
	next := 0
	admit := func(h *tar.Header, ref coffer.ObjectRef, isObject bool) error {
		switch {
		case h.Name == versionPath && h.Size == int64(len(formatVersion)):
			return nil
		case !isObject:
			return corrupt("%s holds %q, which is not an object", what, h.Name)
		case next == len(entries):
			return corrupt("%s holds %s, which its index does not list", what, nameOf(ref))
		case ref != entries[next].ObjectRef:
			return corrupt("%s holds %s where its index lists %s", what, nameOf(ref), nameOf(entries[next].ObjectRef))
		case h.Size != entries[next].Size:
			return corrupt("%s has %d bytes where the index of the %s lists %d", nameOf(ref), h.Size, what, entries[next].Size)
		}
		return nil
	}
	err = walk(&bounded.Reader{R: zipped, Limit: budget}, false, admit, func(o Object) error {
		if err := entries[next].verify(o); err != nil {
			return err
		}
		next++
		return each(o)
	})
	if err == nil && next != len(entries) {
		err = corrupt("%s ends before %s, which its index lists", what, nameOf(entries[next].ObjectRef))
	}
	return err
}

func (e *Entry) verify(o Object) error {
	sum := sha256.Sum256(o.Body)
	if hex.EncodeToString(sum[:]) != e.SHA256 {
		return corrupt("%s does not have the SHA-256 that the index lists: it was altered", nameOf(o.ObjectRef))
	}
	return nil
}

// walk calls each for every object of a tar, also of one without an end mark, as a member's is, and for their copies at other
// versions if those are wanted. Before anything of an entry is read, admit may refuse it.
func walk(r io.Reader, copies bool, admit func(h *tar.Header, ref coffer.ObjectRef, isObject bool) error, each func(Object) error) error {
	entries := tar.NewReader(r)
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return corrupt("archive: %w", err)
		}
		ref, isObject, err := parseHeader(header)
		if err != nil {
			return err
		}
		if err := admit(header, ref, isObject); err != nil {
			return err
		}
		version := ""
		if !isObject {
			if ref, version, isObject = parseCopy(header.Name); !copies || !isObject {
				continue
			}
		}
		o, err := readObject(entries, header, ref)
		if err != nil {
			return err
		}
		o.Version = version
		if err := each(o); err != nil {
			return err
		}
	}
	// What follows the end of the tar must be the end of the gzip stream too, checksum included.
	if _, err := io.Copy(io.Discard, &bounded.Reader{R: r, Limit: maxPadding}); err != nil {
		return corrupt("archive, after its end: %w", err)
	}
	return nil
}

// parseHeader says what an entry of the tar is; folders are none of an object's.
func parseHeader(h *tar.Header) (ref coffer.ObjectRef, isObject bool, err error) {
	if h.Typeflag == tar.TypeDir {
		return ref, false, nil
	}
	if h.Typeflag != tar.TypeReg || h.Size < 0 || h.Size > maxObjectSize {
		return ref, false, corrupt("archive entry %s is not a file of a plausible size", quoted(h.Name))
	}
	ref, isObject, err = ParsePath(h.Name)
	if err != nil {
		return ref, false, corrupt("%w", err)
	}
	return ref, isObject, nil
}

func readObject(r io.Reader, h *tar.Header, ref coffer.ObjectRef) (Object, error) {
	body := make([]byte, h.Size)
	if _, err := io.ReadFull(r, body); err != nil {
		return Object{}, corrupt("%s: %w", nameOf(ref), err)
	}
	if err := bounded.JSON(body, objectLimits); err != nil {
		return Object{}, corrupt("%s: %w", nameOf(ref), err)
	}
	return Object{ObjectRef: ref, Body: body}, nil
}

// maxShown is how much of a name is shown: one that is hostile is long.
const maxShown = 300

// nameOf is the name of an object as it may be shown.
func nameOf(ref coffer.ObjectRef) string {
	if s := ref.String(); len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return ref.String()
}

// quoted is a text that need not be a name as it may be shown.
func quoted(text string) string {
	if len(text) > maxShown {
		return fmt.Sprintf("%q…", text[:maxShown])
	}
	return fmt.Sprintf("%q", text)
}
