package object

import (
	"context"
	"errors"
	"io"
)

// parts cuts a stream into parts, reading one ahead of the one that is being sent.
type parts struct {
	ctx   context.Context //nolint:containedctx // lives as long as one Put
	quit  context.CancelFunc
	ready chan part
	// free holds the two buffers, or room for them.
	free chan []byte
}

// part is a piece of a stream, or the error that ended it.
type part struct {
	body []byte
	last bool
	err  error
}

func readParts(ctx context.Context, r io.Reader, size int) *parts {
	inner, quit := context.WithCancel(ctx)
	p := &parts{ctx: ctx, quit: quit, ready: make(chan part), free: make(chan []byte, 2)}
	p.free <- nil
	p.free <- nil
	go func() {
		defer close(p.ready)
		for {
			var next part
			select {
			case buffer := <-p.free:
				next = readPart(inner, r, buffer, size)
			case <-inner.Done():
				return
			}
			select {
			case p.ready <- next:
			case <-inner.Done():
				return
			}
			if next.last || next.err != nil {
				return
			}
		}
	}()
	return p
}

// next is the next part. Its body is valid until done.
func (p *parts) next() part {
	if next, ok := <-p.ready; ok {
		return next
	}
	return part{err: p.ctx.Err()}
}

func (p *parts) done(used part) { p.free <- used.body }

// stop ends the reading, and returns when the reader is not used any more.
func (p *parts) stop() {
	p.quit()
	for range p.ready { // what was read ahead is dropped
	}
}

// smallest is the length of a buffer to begin with: most blobs are small.
const smallest = 64 << 10

// readPart reads until the part is full or the stream ends, and checks the context after each read: a source may end
// because its context has.
func readPart(ctx context.Context, r io.Reader, buffer []byte, size int) part {
	buffer = buffer[:0]
	for len(buffer) < size {
		if len(buffer) == cap(buffer) {
			grown := make([]byte, len(buffer), min(size, max(smallest, 2*cap(buffer))))
			copy(grown, buffer)
			buffer = grown
		}
		n, err := r.Read(buffer[len(buffer):min(cap(buffer), size)])
		buffer = buffer[:len(buffer)+n]
		if ctx.Err() != nil {
			return part{err: ctx.Err()}
		}
		if errors.Is(err, io.EOF) {
			return part{body: buffer, last: true}
		}
		if err != nil {
			return part{err: err}
		}
	}
	return part{body: buffer}
}
