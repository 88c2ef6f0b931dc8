package flow

import (
	"io"

	"github.com/coffer-backup/coffer/internal/format/encryption"
)

// rangeSize is how much is asked for at once.
const rangeSize = 4 << 20

// ranged reads a blob in ranges, so that no request is open while its reader pauses: a person looks at a page, and a store
// gives up on a connection that stands still for a minute.
type ranged struct {
	fetch encryption.FetchFunc
	// size of the blob, and offset is how much of it was asked for.
	size, offset int64
	have         []byte
}

// Read implements io.Reader.
func (r *ranged) Read(p []byte) (int, error) {
	if len(r.have) == 0 {
		length := min(rangeSize, r.size-r.offset)
		if length <= 0 {
			return 0, io.EOF
		}
		data, err := r.fetch(r.offset, length)
		if err != nil {
			return 0, err
		}
		r.offset += length
		r.have = data
	}
	n := copy(p, r.have)
	r.have = r.have[n:]
	return n, nil
}
