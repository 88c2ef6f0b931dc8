package flow

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/archive"
)

// walker reads a tar: archive.Stream, or archive.StreamVersions for the copies at other versions as well.
type walker func(io.Reader, func(archive.Object) error) error

// streamVelero reads the tar from its beginning, and everything that is read is also written to sum.
func (p *point) streamVelero(ctx context.Context, walk walker, sum io.Writer, each func(archive.Object) error) error {
	key := p.layout.Archive()
	blob, err := p.location.Container.Get(ctx, key, 0, -1)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		return p.refuse(key, "it is missing")
	}
	if err != nil {
		return err
	}
	return errors.Join(streamFrom(blob, key, walk, sum, each), blob.Close())
}

// streamFrom is streamVelero of a blob that is being read.
func streamFrom(blob io.Reader, key string, walk walker, sum io.Writer, each func(archive.Object) error) error {
	source := &source{r: blob}
	read := io.TeeReader(source, sum)
	err := walk(read, each)
	if err == nil {
		_, err = io.Copy(io.Discard, read)
	}
	if source.err != nil {
		// The store failed to give the bytes: that says nothing against them, and passes.
		err = fmt.Errorf("read %s: %w", key, source.err)
	}
	return err
}

// source remembers the error that its reader ended with, but for the end.
type source struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
