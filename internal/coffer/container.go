package coffer

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"strings"
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
// segments separated by "/", see CheckBlobKey.
//
// What passes within seconds, a request that was lost or throttled, is retried inside. What lasts longer is an error
// without a code, after which the caller may try again; what a person must act on is an Error with
// CodeLocationNotReady.
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

// TopLister is a Container that can tell what lies directly in it without listing everything.
type TopLister interface {
	// Top returns the names of the blobs whose keys have one segment, and of the first segments of all others with a
	// "/" behind them, each once.
	Top(ctx context.Context) ([]string, error)
}

// Clocked is a Container whose store has a clock of its own.
type Clocked interface {
	// ClockSkew is how much the store's clock was ahead of this machine's when it last answered; negative if it was
	// behind, zero if they agree or nothing is known.
	ClockSkew() time.Duration
}

// CheckBlobKey is nil for a key that every Container takes: valid UTF-8 of segments that are not empty, "." or "..",
// without a backslash, which some stores take for "/", and without control characters, which listings cannot carry.
func CheckBlobKey(key string) error {
	control := func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffe || r == 0xffff }
	if !fs.ValidPath(key) || key == "." || strings.Contains(key, `\`) || strings.ContainsFunc(key, control) {
		return Errorf(CodeInvalid, "blob key %q is not a plain relative path", key)
	}
	return nil
}
