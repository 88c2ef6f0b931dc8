package gcs

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/blob/object"
)

// store is an object.Store.
type store struct {
	bucket *storage.BucketHandle
}

// idKey is the metadata that holds the id of a put.
const idKey = "coffer-put"

// once is an object whose requests the SDK does not repeat.
func (s *store) once(name string) *storage.ObjectHandle {
	return s.bucket.Object(name).Retryer(storage.WithPolicy(storage.RetryNever))
}

func configure(w *storage.Writer, id string) {
	w.ContentType = "application/octet-stream"
	w.Metadata = map[string]string{idKey: id}
}

// Create implements object.Store. The checksum goes along, for otherwise a broken upload would be noticed only after it
// is visible.
func (s *store) Create(ctx context.Context, name, id string, body []byte) error {
	w := s.once(name).If(storage.Conditions{DoesNotExist: true}).NewWriter(ctx)
	configure(w, id)
	w.ChunkSize = 0
	w.CRC32C, w.SendCRC32C = crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)), true
	_, err := w.Write(body)
	// The error of Close is the store's; that of Write may only say that the other end of a pipe is closed.
	if closeErr := w.Close(); closeErr != nil {
		err = closeErr
	}
	return err
}

// chunk is what a resumable upload sends at once, and holds a copy of.
const chunk = 8 << 20

// Begin implements object.Store. Parts of a resumable upload are tried again by the SDK, which knows how much of one has
// arrived.
func (s *store) Begin(ctx context.Context, name, id string) (object.Upload, error) {
	ctx, cancel := context.WithCancel(ctx)
	again := func(err error) bool {
		switch s.Judge(err).Cause {
		case object.Away, object.Throttled, object.Busy:
			return true
		}
		return false
	}
	w := s.bucket.Object(name).Retryer(storage.WithMaxAttempts(5), storage.WithErrorFunc(again)).
		If(storage.Conditions{DoesNotExist: true}).NewWriter(ctx)
	configure(w, id)
	w.ChunkSize = chunk
	w.ChunkRetryDeadline = 20 * time.Second
	return &upload{writer: w, cancel: cancel}, nil
}

type upload struct {
	writer *storage.Writer
	cancel context.CancelFunc
}

// Part implements object.Upload.
func (u *upload) Part(_ context.Context, _ int, body []byte) error {
	if _, err := u.writer.Write(body); err != nil {
		return spent{err}
	}
	return nil
}

// Commit implements object.Upload.
func (u *upload) Commit(context.Context) error {
	defer u.cancel()
	if err := u.writer.Close(); err != nil {
		return spent{err}
	}
	return nil
}

// Abort implements object.Upload. What was sent is invisible, and Google removes it after a week.
func (u *upload) Abort(context.Context) error {
	u.cancel()
	_ = u.writer.Close()
	return nil
}

// spent is an error of an upload that cannot be gone on with.
type spent struct{ error }

// Unwrap is the SDK's error.
func (s spent) Unwrap() error { return s.error }

// Head implements object.Store.
func (s *store) Head(ctx context.Context, name string) (object.Head, error) {
	a, err := s.once(name).Attrs(ctx)
	if err != nil {
		return object.Head{}, err
	}
	return object.Head{Size: a.Size, Modified: a.Updated, ID: a.Metadata[idKey]}, nil
}

// Read implements object.Store.
func (s *store) Read(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	return s.once(name).NewRangeReader(ctx, offset, length)
}

// pageSize is Google's greatest.
const pageSize = 1000

// Page implements object.Store.
func (s *store) Page(ctx context.Context, r object.PageRequest) (object.Page, error) {
	query := &storage.Query{Prefix: r.Prefix}
	if r.Folders {
		query.Delimiter = "/"
	}
	limit := pageSize
	if r.Limit > 0 {
		limit = r.Limit
	}
	objects := s.bucket.Retryer(storage.WithPolicy(storage.RetryNever)).Objects(ctx, query)
	var found []*storage.ObjectAttrs
	next, err := iterator.NewPager(objects, limit, r.Token).NextPage(&found)
	if err != nil {
		return object.Page{}, err
	}
	page := object.Page{Next: next}
	for _, a := range found {
		if a.Prefix != "" {
			page.Folders = append(page.Folders, a.Prefix)
			continue
		}
		page.Blobs = append(page.Blobs, coffer.BlobInfo{Key: a.Name, Size: a.Size, Modified: a.Updated})
	}
	return page, nil
}

// Remove implements object.Store.
func (s *store) Remove(ctx context.Context, name string) error { return s.once(name).Delete(ctx) }

// reasons are those of Google that say more than their HTTP status.
var reasons = map[string]object.Cause{
	"rateLimitExceeded":     object.Throttled,
	"userRateLimitExceeded": object.Throttled,
	"quotaExceeded":         object.Full,
	"retentionPolicyNotMet": object.Held,
	"objectUnderActiveHold": object.Held,
}

// Judge implements object.Store.
func (s *store) Judge(err error) object.Verdict {
	var broken spent
	v := object.Verdict{Spent: errors.As(err, &broken)}
	var answer *googleapi.Error
	var token *auth.Error
	switch {
	case errors.Is(err, storage.ErrBucketNotExist):
		v.Cause = object.NoContainer
	case errors.Is(err, storage.ErrObjectNotExist):
		v.Cause = object.Missing
	case errors.As(err, &answer):
		v.Cause, v.After = object.ByStatus(answer.Code), object.RetryAfter(answer.Header)
		v.Says = fmt.Sprintf("%s (HTTP status %d)", answer.Message, answer.Code)
		i := slices.IndexFunc(answer.Errors, func(e googleapi.ErrorItem) bool { return reasons[e.Reason] != object.Unknown })
		if i >= 0 {
			v.Cause = reasons[answer.Errors[i].Reason]
		}
	case errors.As(err, &token):
		v.Cause = object.Unauthenticated
		if token.Response != nil && token.Response.StatusCode >= 500 {
			v.Cause = object.Away
		}
	default:
		v.Cause = object.Unanswered(err)
	}
	return v
}
