package encryption

import (
	"fmt"
	"io"

	"filippo.io/age"

	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	// chunkSize is how much of the plain text is sealed at once, and sealedSize what becomes of it.
	chunkSize  = 64 << 10
	sealedSize = chunkSize + 16
)

// FetchFunc reads a range of an encrypted blob, all of it or not at all.
type FetchFunc func(offset, length int64) ([]byte, error)

// Random reads parts of an encrypted blob. Its methods may be called concurrently.
type Random struct {
	keys Keys
	// size of the blob, payload is where its chunks begin, plain is the size of what it holds.
	size, payload, plain int64
	// ends are the header and the last chunk, by which each part is known to belong to the whole.
	ends []piece
}

// Open prepares to read parts of a blob of this size. It reads its header and its last chunk, by which age authenticates the
// length. Errors are as of Decrypt; those of fetch are returned as they are.
func (k Keys) Open(size int64, fetch FetchFunc) (*Random, error) {
	if len(k.identities) == 0 {
		return nil, ErrNoIdentity
	}
	head, err := fetch(0, min(size, maxHeader))
	if err != nil {
		return nil, err
	}
	source := &pieces{have: []piece{{0, head}}, fetch: fetch}
	_, plain, err := age.DecryptReaderAt(source, size, k.identities...)
	if source.err != nil {
		return nil, source.err
	}
	if err != nil {
		return nil, explain(err)
	}
	chunks := max(1, (plain+chunkSize-1)/chunkSize)
	return &Random{
		keys: k, size: size, plain: plain, payload: size - plain - chunks*(sealedSize-chunkSize), ends: source.have,
	}, nil
}

// Size of what the blob holds, in bytes.
func (r *Random) Size() int64 { return r.plain }

// Read reads a part, with one fetch of the chunks that it lies in.
func (r *Random) Read(offset, length int64, fetch FetchFunc) ([]byte, error) {
	if offset < 0 || length <= 0 || offset > r.plain-length {
		return nil, coffer.Errorf(coffer.CodeArchiveCorrupt, "there are no %d bytes at %d in %d", length, offset, r.plain)
	}
	first := r.payload + offset/chunkSize*sealedSize
	end := min(r.payload+((offset+length-1)/chunkSize+1)*sealedSize, r.size)
	chunks, err := fetch(first, end-first)
	if err != nil {
		return nil, err
	}
	source := &pieces{have: append(r.ends[:len(r.ends):len(r.ends)], piece{first, chunks})}
	plain, _, err := age.DecryptReaderAt(source, r.size, r.keys.identities...)
	if err != nil {
		return nil, explain(err)
	}
	part := make([]byte, length)
	if n, err := plain.ReadAt(part, offset); n < len(part) {
		return nil, explain(err)
	}
	return part, nil
}

// pieces is an io.ReaderAt of the parts of a blob that are there; one other is fetched, and kept.
type pieces struct {
	have  []piece
	fetch FetchFunc
	// err is that of a fetch, which is nothing against the blob.
	err error
}

type piece struct {
	offset int64
	data   []byte
}

// ReadAt implements io.ReaderAt.
func (s *pieces) ReadAt(p []byte, offset int64) (int, error) {
	n := s.copy(p, offset)
	if n == len(p) {
		return n, nil
	}
	// The last chunk is all that is ever missing: a header that needs more is none.
	if s.fetch == nil || len(s.have) > 1 || s.err != nil {
		return n, io.ErrUnexpectedEOF
	}
	missing := offset + int64(n)
	data, err := s.fetch(missing, int64(len(p)-n))
	if err == nil && len(data) != len(p)-n {
		err = fmt.Errorf("%d of %d bytes at %d", len(data), len(p)-n, missing)
	}
	if err != nil {
		s.err = err
		return n, err
	}
	s.have = append(s.have, piece{missing, data})
	return n + copy(p[n:], data), nil
}

// copy copies what is there from the beginning of p on.
func (s *pieces) copy(p []byte, offset int64) (n int) {
	for again := true; again && n < len(p); {
		again = false
		for _, have := range s.have {
			from := offset + int64(n) - have.offset
			if from < 0 || from >= int64(len(have.data)) {
				continue
			}
			n += copy(p[n:], have.data[from:])
			again = true
			if n == len(p) {
				break
			}
		}
	}
	return n
}
