package archive

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// spool is an index that is being written: compressed at once, for of its entries there are as many as a cluster has
// objects. A thousand take about 60 KiB, a fifth of what they take uncompressed.
type spool struct {
	kept    chunks
	zipped  *gzip.Writer
	encoder *json.Encoder
}

func newSpool() *spool {
	s := &spool{}
	s.zipped = gzip.NewWriter(&s.kept)
	s.encoder = json.NewEncoder(s.zipped)
	return s
}

func (s *spool) add(e *Entry) error {
	if err := s.encoder.Encode(e); err != nil {
		return fmt.Errorf("write archive index: %w", err)
	}
	return nil
}

// close ends it: only then it is what ReadIndex reads.
func (s *spool) close() error {
	if err := s.zipped.Close(); err != nil {
		return fmt.Errorf("write archive index: %w", err)
	}
	return nil
}

// WriteTo implements io.WriterTo.
func (s *spool) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for _, chunk := range s.kept {
		n, err := w.Write(chunk)
		if written += int64(n); err != nil {
			return written, fmt.Errorf("write archive index: %w", err)
		}
	}
	return written, nil
}

// chunks are bytes that grow without being copied.
type chunks [][]byte

const chunkSize = 64 << 10

// Write implements io.Writer.
func (c *chunks) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		last := len(*c) - 1
		if last < 0 || len((*c)[last]) == chunkSize {
			*c = append(*c, make([]byte, 0, chunkSize))
			continue
		}
		room := min(len(p), chunkSize-len((*c)[last]))
		(*c)[last], p = append((*c)[last], p[:room]...), p[room:]
	}
	return n, nil
}
