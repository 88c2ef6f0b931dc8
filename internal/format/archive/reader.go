package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Object is one object as it stands in an archive.
type Object struct {
	coffer.ObjectRef
	Body []byte
}

// Scan reads a whole archive from its beginning and calls each for every object, in the archive's order. A stream
// that is truncated, malformed or not the one that the index describes is an Error with CodeArchiveCorrupt: objects
// missing, added, altered or reordered. Errors of each end the scan and are returned as they are.
func Scan(r io.Reader, index Index, each func(Object) error) error {
	next := 0
	err := walk(r, func(o Object) error {
		if next == len(index) {
			return corrupt("archive holds %s, which its index does not list", o.ObjectRef)
		}
		if err := index[next].verify(o); err != nil {
			return err
		}
		next++
		return each(o)
	})
	if err != nil {
		return err
	}
	if next != len(index) {
		return corrupt("archive ends before %s, which its index lists", index[next].ObjectRef)
	}
	return nil
}

// ReadMember reads the objects of one gzip member, given the compressed bytes and the entries that the index lists
// for it, and verifies each.
func ReadMember(compressed []byte, entries []Entry, each func(Object) error) error {
	next := 0
	err := walk(bytes.NewReader(compressed), func(o Object) error {
		if next == len(entries) {
			return corrupt("archive member holds %s, which its index does not list", o.ObjectRef)
		}
		if err := entries[next].verify(o); err != nil {
			return err
		}
		next++
		return each(o)
	})
	if err == nil && next != len(entries) {
		err = corrupt("archive member ends before %s", entries[next].ObjectRef)
	}
	return err
}

func (e *Entry) verify(o Object) error {
	if o.ObjectRef != e.ObjectRef {
		return corrupt("archive holds %s where its index lists %s", o.ObjectRef, e.ObjectRef)
	}
	sum := sha256.Sum256(o.Body)
	if hex.EncodeToString(sum[:]) != e.SHA256 {
		return corrupt("%s does not have the SHA-256 that the index lists: it was altered", o.ObjectRef)
	}
	return nil
}

// walk calls each for every object of a gzipped tar, also of one without an end-of-tar mark, as a member is.
func walk(r io.Reader, each func(Object) error) error {
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return corrupt("archive: %w", err)
	}
	entries := tar.NewReader(zipped)
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return corrupt("archive: %w", err)
		}
		if header.Typeflag == tar.TypeDir {
			continue
		}
		if header.Typeflag != tar.TypeReg || header.Size < 0 || header.Size > maxObjectSize {
			return corrupt("archive entry %q is not a file of a plausible size", header.Name)
		}
		ref, isObject, err := ParsePath(header.Name)
		if err != nil {
			return corrupt("%w", err)
		}
		if !isObject {
			continue
		}
		body := make([]byte, header.Size)
		if _, err := io.ReadFull(entries, body); err != nil {
			return corrupt("archive entry %q: %w", header.Name, err)
		}
		if err := each(Object{ObjectRef: ref, Body: body}); err != nil {
			return err
		}
	}
	// What follows the end of the tar must be the end of the gzip stream too, checksum included.
	if n, err := io.Copy(io.Discard, io.LimitReader(zipped, maxMemberSize)); err != nil {
		return corrupt("archive: %w", err)
	} else if n == maxMemberSize {
		return corrupt("archive goes on after its end: %w", fmt.Errorf("more than %d bytes", n))
	}
	return nil
}
