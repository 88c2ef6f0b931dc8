package gcs

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"slices"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	rawstorage "google.golang.org/api/storage/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/blob/object"
)

// store is an object.Store.
type store struct {
	bucket *storage.BucketHandle
	raw    *rawstorage.Service
	// project is where a new bucket is made; it is empty where the credentials name none.
	project string
}

// idKey is the metadata that holds the id of a put.
const idKey = "coffer-put"

// once is an object whose requests the SDK does not repeat.
func (s *store) once(name string) *storage.ObjectHandle {
	return s.bucket.Object(name).Retryer(storage.WithPolicy(storage.RetryNever))
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

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
	w.CRC32C, w.SendCRC32C = crc32.Checksum(body, castagnoli()), true
	_, err := w.Write(body)
	// The error of Close is the store's; that of Write may only say that the other end of a pipe is closed.
	if closeErr := w.Close(); closeErr != nil {
		err = closeErr
	}
	return err
}

// chunk is what a resumable upload sends at once, and holds a copy of.
const chunk = 8 << 20

// Make implements object.Store.
func (s *store) Make(ctx context.Context) error {
	err := s.bucket.Retryer(storage.WithPolicy(storage.RetryNever)).Create(ctx, s.project, nil)
	var answer *googleapi.Error
	if !errors.As(err, &answer) || answer.Code != http.StatusConflict {
		return err
	}
	// The name is taken, by this project or another: whoever may look into it may use it.
	_, err = s.bucket.Attrs(ctx)
	return err
}

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
	return &upload{store: s, writer: w, cancel: cancel, name: name}, nil
}

type upload struct {
	*store
	writer *storage.Writer
	cancel context.CancelFunc
	name   string
	size   int64
	sum    uint32
}

// Part implements object.Upload.
func (u *upload) Part(_ context.Context, _ int, body []byte) error {
	if _, err := u.writer.Write(body); err != nil {
		return spent{err}
	}
	u.size += int64(len(body))
	u.sum = crc32.Update(u.sum, castagnoli(), body)
	return nil
}

// Commit implements object.Upload. What the store holds is compared with what was sent: a chunk whose answer was lost is
// sent again, and the object is nothing if the store counted it twice.
func (u *upload) Commit(ctx context.Context) error {
	defer u.cancel()
	if err := u.writer.Close(); err != nil {
		return spent{err}
	}
	made := u.writer.Attrs()
	if made.Size == u.size && made.CRC32C == u.sum {
		return nil
	}
	err := fmt.Errorf("the store made %d bytes with checksum %08x of %d with checksum %08x", made.Size, made.CRC32C, u.size, u.sum)
	return errors.Join(spent{err}, u.bucket.Object(u.name).If(storage.Conditions{GenerationMatch: made.Generation}).Delete(ctx))
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

// Read implements object.Store. The reader of the storage package opens a body that breaks off again and again, without
// end if the store always breaks it; this one tells.
func (s *store) Read(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	call := s.raw.Objects.Get(s.bucket.BucketName(), name).Context(ctx)
	switch {
	case length > 0:
		call.Header().Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		call.Header().Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	got, err := call.Download()
	if err != nil {
		return nil, err
	}
	return got.Body, nil
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
