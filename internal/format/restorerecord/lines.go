package restorerecord

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"iter"

	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/bounded"
)

const (
	// formatVersion is raised when an older reader could not understand a record.
	formatVersion = 1
	// maxLine bounds one line. The API server sets no limit to the names of RBAC objects but that of the object.
	maxLine = 16 << 20
	// freeText is what a record may have whatever it lists, and lineText what it may have more for each line.
	freeText, lineText = 64 << 20, 4 << 10
)

// The limits of a header, which lists namespaces and types, and of the lines after it.
var (
	headerLimits = bounded.JSONLimits{Depth: 4, Containers: 100_000, Values: 1_000_000}
	lineLimits   = bounded.JSONLimits{Depth: 3, Containers: 16, Values: 1_000}
)

// record writes lines of JSON, gzipped, and sums them up as they are before.
type record struct {
	zipped *gzip.Writer
	sum    hash.Hash
	lines  *json.Encoder
}

func newRecord(w io.Writer) *record {
	r := &record{zipped: gzip.NewWriter(w), sum: sha256.New()}
	r.lines = json.NewEncoder(io.MultiWriter(r.zipped, r.sum))
	return r
}

// write writes a header and lines, and answers their digest.
func write[L any](w io.Writer, what string, header any, lines iter.Seq[L]) (string, error) {
	r := newRecord(w)
	err := r.lines.Encode(header)
	for line := range lines {
		if err != nil {
			break
		}
		err = r.lines.Encode(line)
	}
	if err == nil {
		err = r.zipped.Close()
	}
	if err != nil {
		return "", fmt.Errorf("write %s: %w", what, err)
	}
	return digest(r.sum), nil
}

// digestPrefix is what digests begin with.
const digestPrefix = "sha256:"

func digest(sum hash.Hash) string { return digestPrefix + hex.EncodeToString(sum.Sum(nil)) }

// read reads a header and lines, at most as many as may be, and answers their digest. What write could not have written is
// an Error with CodeArchiveCorrupt; errors of the callers' functions are returned as they are.
func read[H, L any](in io.Reader, what string, most int, header func(H) error, each func(L) error) (string, error) {
	corrupt := func(line int, err error) (string, error) {
		return "", coffer.Errorf(coffer.CodeArchiveCorrupt, "%s, line %d: %w", what, line, err)
	}
	zipped, err := gzip.NewReader(in)
	if err != nil {
		return corrupt(0, err)
	}
	sum := sha256.New()
	text := &bounded.Reader{R: zipped, Limit: freeText + int64(most)*lineText}
	lines := bufio.NewScanner(io.TeeReader(text, sum))
	lines.Buffer(make([]byte, 64<<10), maxLine)
	n := 0
	for lines.Scan() {
		n++
		if n == 1 {
			var h H
			if err := decode(lines.Bytes(), headerLimits, &h); err != nil {
				return corrupt(n, err)
			}
			if err := header(h); err != nil {
				return "", err
			}
			continue
		}
		if n > most+1 {
			return corrupt(n, fmt.Errorf("there can be no more than %d lines", most+1))
		}
		var l L
		if err := decode(lines.Bytes(), lineLimits, &l); err != nil {
			return corrupt(n, err)
		}
		if err := each(l); err != nil {
			return "", err
		}
	}
	if err := lines.Err(); err != nil {
		return corrupt(n, err)
	}
	if n == 0 {
		return corrupt(n, io.ErrUnexpectedEOF)
	}
	return digest(sum), nil
}

func decode(line []byte, limits bounded.JSONLimits, into any) error {
	if err := bounded.JSON(line, limits); err != nil {
		return err
	}
	return json.Unmarshal(line, into)
}

func checkVersion(what string, version int) error {
	if version != formatVersion {
		return coffer.Errorf(coffer.CodeArchiveCorrupt, "%s has format version %d, and this program reads %d", what, version, formatVersion).
			WithHint("use the version of Coffer that has written it, or a later one")
	}
	return nil
}
