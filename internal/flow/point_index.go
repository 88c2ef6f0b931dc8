package flow

import (
	"context"
	"io"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/archive"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// readIndex reads and verifies the whole index.
func (p *point) readIndex(ctx context.Context) error {
	blob, limits := p.indexBlob()
	return p.readBlob(ctx, blob, func(in io.Reader) (err error) {
		p.index, err = archive.ReadIndex(in, limits)
		return err
	})
}

// scanIndex verifies the index and calls each for every entry, of which none is held. What each was told is to be believed
// once it returns nil.
func (p *point) scanIndex(ctx context.Context, each func(archive.Entry) error) error {
	blob, limits := p.indexBlob()
	return p.readBlob(ctx, blob, func(in io.Reader) error { return archive.ScanIndex(in, limits, each) })
}

// scanIndexAgain is scanIndex of an index that it has verified, for callers that take their time. One that was changed
// since is refused at the end.
func (p *point) scanIndexAgain(ctx context.Context, each func(archive.Entry) error) error {
	blob, limits := p.indexBlob()
	limits.Verified = true
	in := &ranged{fetch: p.fetch(ctx, blob.Key), size: blob.Size}
	return p.readFrom(in, blob, func(in io.Reader) error { return archive.ScanIndex(in, limits, each) })
}

// indexBlob is the blob of the index, and what the signed manifest leaves room for. What an archive has beside the objects
// that were captured is two entries for Velero of each volume; some more cost nothing.
func (p *point) indexBlob() (coffer.BlobDigest, archive.IndexLimits) {
	const slack = 100
	archived, _ := recoverypoint.Blob(p.manifest, p.layout.Archive())
	blob, _ := recoverypoint.Blob(p.manifest, p.layout.Index())
	return blob, archive.IndexLimits{Entries: p.manifest.Objects + 4*int64(len(p.manifest.Volumes)) + slack, Archive: archived.Size}
}
