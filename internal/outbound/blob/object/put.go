package object

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// settleTime bounds the question what became of a put whose answer was lost, and the clearing up after one that failed.
// It is asked also when the caller's context has ended.
const settleTime = 15 * time.Second

// Put implements coffer.Container. A blob of at most one part is sent whole; a longer one in parts that become visible
// together at the end.
//
// Whether a put took effect is decided by a random id that is kept with the object: if the answer to the last request
// is lost, and also if the store says that the name is taken (by a try of ours, perhaps), the object that is there is
// looked at.
func (c *Container) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	name, err := c.object(key)
	if err != nil {
		return 0, err
	}
	id := rand.Text()
	parts := readParts(ctx, r, c.PartSize)
	defer parts.stop()
	first := parts.next()
	if first.err != nil {
		return 0, first.err
	}
	if first.last {
		err = c.retry(ctx, func() error { return c.Store.Create(ctx, name, id, first.body) })
		n, err := c.settle(ctx, key, name, id, int64(len(first.body)), err)
		if !errors.Is(err, errNothingThere) {
			return n, err
		}
		// A store may take the invisible parts of an upload that was cut for a blob. A commit does without them.
		return c.putParts(ctx, key, name, id, first, parts)
	}
	// Much would be sent in vain under a name that is taken.
	if _, err := c.head(ctx, name); err == nil {
		return 0, fmt.Errorf("put %s in %s: %w", key, c.Name, coffer.ErrBlobExists)
	}
	return c.putParts(ctx, key, name, id, first, parts)
}

func (c *Container) putParts(ctx context.Context, key, name, id string, first part, parts *parts) (int64, error) {
	var upload Upload
	err := c.retry(ctx, func() error {
		var err error
		upload, err = c.Store.Begin(ctx, name, id)
		return err
	})
	if err != nil {
		return 0, c.fail("put", key, err)
	}
	size, err := c.sendParts(ctx, upload, key, first, parts)
	if err != nil {
		c.abort(ctx, upload)
		return 0, err
	}
	err = c.retry(ctx, func() error { return upload.Commit(ctx) })
	n, err := c.settle(ctx, key, name, id, size, err)
	if err != nil {
		c.abort(ctx, upload)
	}
	return n, err
}

func (c *Container) sendParts(ctx context.Context, upload Upload, key string, p part, parts *parts) (int64, error) {
	var size int64
	for number := 1; ; number++ {
		if c.MaxParts > 0 && number > c.MaxParts {
			return 0, coffer.Errorf(coffer.CodeInvalid, "put %s in %s: the blob has more than the %d parts of %d bytes that the store takes",
				key, c.Name, c.MaxParts, c.PartSize)
		}
		if len(p.body) > 0 {
			if err := c.retry(ctx, func() error { return upload.Part(ctx, number, p.body) }); err != nil {
				return 0, c.fail("put", key, err)
			}
		}
		size += int64(len(p.body))
		if p.last {
			return size, nil
		}
		parts.done(p)
		if p = parts.next(); p.err != nil {
			return 0, p.err
		}
	}
}

// settle says what became of a put whose last request ended with err.
func (c *Container) settle(ctx context.Context, key, name, id string, size int64, err error) (int64, error) {
	if err == nil {
		return size, nil
	}
	cause := c.Store.Judge(err).Cause
	switch cause {
	case Unauthenticated, Forbidden, Skewed, Full, NoContainer:
		return 0, c.fail("put", key, err)
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	head, headErr := c.head(asking, name)
	switch {
	case headErr == nil && head.ID == id:
		return size, nil
	case headErr == nil:
		return 0, fmt.Errorf("put %s in %s: %w", key, c.Name, coffer.ErrBlobExists)
	case ctx.Err() != nil:
		return 0, fmt.Errorf("put %s in %s: %w", key, c.Name, ctx.Err())
	}
	if cause == Taken && c.Store.Judge(headErr).Cause == Missing {
		return 0, fmt.Errorf("put %s in %s: %w", key, c.Name, errNothingThere)
	}
	return 0, c.fail("put", key, err)
}

// errNothingThere is a name that the store calls taken, under which there is nothing.
var errNothingThere = errors.New("the store calls the name taken and holds no blob of it")

func (c *Container) abort(ctx context.Context, upload Upload) {
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	// Parts that stay behind are invisible, and the store or its lifecycle rule removes them.
	_ = c.retry(ending, func() error { return upload.Abort(ending) })
}
