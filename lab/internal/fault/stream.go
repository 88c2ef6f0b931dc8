package fault

import (
	"context"
	"errors"
	"io"
	"time"
)

// errCut ends a stream that a rule cuts.
var errCut = errors.New("cut by a rule")

// cutReader ends with errCut after left bytes, if there are more.
type cutReader struct {
	io.ReadCloser
	left int64
}

func (c *cutReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		// A body that ends just here is whole.
		n, err := io.ReadFull(c.ReadCloser, make([]byte, 1))
		if n == 0 {
			return 0, err
		}
		return 0, errCut
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.ReadCloser.Read(p)
	c.left -= int64(n)
	return n, err
}

// slowReader passes bytesPerSecond.
type slowReader struct {
	io.ReadCloser
	// ctx is the request's: a reader has no other way to learn of its end.
	ctx            context.Context
	bytesPerSecond int64
}

func (s *slowReader) Read(p []byte) (int, error) {
	// Ten steps a second look like a slow line rather than like a hanging one.
	if step := max(1, s.bytesPerSecond/10); int64(len(p)) > step {
		p = p[:step]
	}
	n, err := s.ReadCloser.Read(p)
	if n > 0 {
		if waited := wait(s.ctx, time.Duration(n)*time.Second/time.Duration(s.bytesPerSecond)); waited != nil {
			return 0, waited
		}
	}
	return n, err
}

// wait returns nil after d, or the context's error if that ends before.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
