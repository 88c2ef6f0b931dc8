package flow

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/archive"
)

// read reads the recovery point twice: once to verify it and to learn its types, and once to tell of it.
func (c *contents) read(ctx context.Context, each func(ContentsItem) error) error {
	c.present = map[coffer.GroupResource]bool{}
	_, err := c.open(ctx)
	if errors.Is(err, errOfVelero) {
		return c.readStreamed(ctx, each)
	}
	if err != nil {
		return err
	}
	if err := c.readKeys(ctx); err != nil {
		return err
	}
	if err := c.verifyIndex(ctx); err != nil {
		return err
	}
	if err := c.choose(ctx); err != nil {
		return err
	}
	if c.Bodies {
		return c.readBodies(ctx, each)
	}
	return c.scanIndexAgain(ctx, func(e archive.Entry) error {
		if !c.wants(e.ObjectRef) {
			return ctx.Err()
		}
		return each(ContentsItem{ObjectRef: e.ObjectRef, Size: e.Size})
	})
}

func (c *contents) verifyIndex(ctx context.Context) error {
	select {
	case c.verifying <- struct{}{}:
		defer func() { <-c.verifying }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return c.scanIndex(ctx, func(e archive.Entry) error {
		if err := c.sees(e.ObjectRef); err != nil {
			return err
		}
		return ctx.Err()
	})
}

// fetched is a span of the archive with its bytes.
type fetched struct {
	archive.Span
	data []byte
}

// readBodies goes through the index and reads the members that hold what is wanted, a span ahead of what is told.
func (c *contents) readBodies(ctx context.Context, each func(ContentsItem) error) error {
	if err := c.openArchive(ctx); err != nil {
		return err
	}
	stages, ctx := errgroup.WithContext(ctx)
	spans, read := make(chan archive.Span), make(chan fetched)
	stages.Go(func() error {
		defer close(spans)
		return c.wantedSpans(ctx, func(s archive.Span) error { return send(ctx, spans, s) })
	})
	stages.Go(func() error {
		defer close(read)
		for s := range spans {
			data, err := c.readRange(ctx, s.Offset, s.Length)
			if err != nil {
				return err
			}
			if err := send(ctx, read, fetched{s, data}); err != nil {
				return err
			}
		}
		return nil
	})
	stages.Go(func() error {
		for f := range read {
			for _, m := range f.Members {
				err := archive.ReadMember(f.Of(m, f.data), m.Entries, func(o archive.Object) error {
					if !c.wants(o.ObjectRef) {
						return ctx.Err()
					}
					return each(itemOf(o))
				})
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	return stages.Wait()
}

// wantedSpans calls each for the spans that hold what is wanted, in the order of the archive.
func (c *contents) wantedSpans(ctx context.Context, each func(archive.Span) error) error {
	joiner := archive.Joiner{Gap: spanGap, Most: spanSize}
	var member archive.Member
	wanted := false
	// end takes the member whose last entry was seen.
	end := func() error {
		if !wanted {
			return ctx.Err()
		}
		if done, ok := joiner.Add(member); ok {
			return each(done)
		}
		return ctx.Err()
	}
	err := c.scanIndexAgain(ctx, func(e archive.Entry) error {
		if len(member.Entries) > 0 && e.Offset != member.Offset {
			if err := end(); err != nil {
				return err
			}
			member, wanted = archive.Member{}, false
		}
		member.Offset, member.Length = e.Offset, e.Length
		member.Entries = append(member.Entries, e)
		wanted = wanted || c.wants(e.ObjectRef)
		return nil
	})
	if err != nil {
		return err
	}
	if err := end(); err != nil {
		return err
	}
	if rest, ok := joiner.Rest(); ok {
		return each(rest)
	}
	return nil
}

func send[T any](ctx context.Context, to chan<- T, value T) error {
	select {
	case to <- value:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readStreamed reads a backup of Velero's, of which nothing says where an object stands. The later of two objects of one
// name is the one that counts.
func (c *contents) readStreamed(ctx context.Context, each func(ContentsItem) error) error {
	if _, err := c.openVelero(ctx, io.Discard); err != nil {
		return err
	}
	// Half a digest of its path for each object, and at which place it comes last.
	last := map[[16]byte]int{}
	var size int64
	before, n := sha256.New(), 0
	counted := io.MultiWriter(before, countWriter(func(n int) { size += int64(n) }))
	err := c.streamVelero(ctx, archive.Stream, counted, func(o archive.Object) error {
		last[placeOf(o.ObjectRef)] = n
		n++
		return errors.Join(c.sees(o.ObjectRef), ctx.Err())
	})
	if err != nil {
		return err
	}
	if err := c.choose(ctx); err != nil {
		return err
	}
	again := &ranged{fetch: c.fetch(ctx, c.layout.Archive()), size: size}
	now, n := sha256.New(), 0
	err = streamFrom(again, c.layout.Archive(), archive.Stream, now, func(o archive.Object) error {
		at, known := last[placeOf(o.ObjectRef)]
		n++
		if !known || at != n-1 || !c.wants(o.ObjectRef) {
			return ctx.Err()
		}
		item := itemOf(o)
		if !c.Bodies {
			item.Body = nil
		}
		return each(item)
	})
	if err == nil && hexSum(now) != hexSum(before) {
		err = coffer.Errorf(coffer.CodeArchiveCorrupt, "recovery point %s was changed while it was being read", c.name)
	}
	return err
}

func placeOf(ref coffer.ObjectRef) [16]byte {
	sum := sha256.Sum256([]byte(archive.Path(ref)))
	return [16]byte(sum[:16])
}
