package coffer

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Errors that every Container returns for these cases, wrapped.
var (
	// ErrBlobExists is returned by Put for a key that is taken.
	ErrBlobExists = errors.New("blob exists")
	// ErrBlobNotFound is returned by Get and Stat for a key that is not there.
	ErrBlobNotFound = errors.New("blob not found")
)

// BlobInfo describes one blob.
type BlobInfo struct {
	// Key of the blob: path segments separated by "/".
	Key string
	// Size in bytes.
	Size int64
	// Modified is when it was stored.
	Modified time.Time
}

// Container is a blob container. All methods may be called concurrently. Keys are relative paths of one or more
// segments separated by "/"; no segment is empty, "." or "..".
//
// Nothing is retried here: a wrapper does that for every implementation alike.
type Container interface {
	// Put stores all bytes of r under a key that is not taken, and returns how many they were. When it returns nil
	// the blob is durable; when it returns an error (of r, of the store, or of ctx) nothing is visible under the
	// key that was not there before. A taken key is ErrBlobExists.
	Put(ctx context.Context, key string, r io.Reader) (int64, error)
	// Get reads length bytes from offset; a negative length reads to the end. The caller closes the reader.
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	// Stat describes one blob.
	Stat(ctx context.Context, key string) (BlobInfo, error)
	// List yields every blob whose key begins with prefix, in order of keys. It ends after the first error.
	List(ctx context.Context, prefix string) iter.Seq2[BlobInfo, error]
	// Delete removes a blob durably. A key that is not there is no error.
	Delete(ctx context.Context, key string) error
}
