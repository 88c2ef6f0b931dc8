package flow

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/format/archive"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// prepare opens the location, verifies the recovery point from its first byte to its last, and makes the plan. It
// does so once in a process; a new process does it again.
func (r *restore) prepare(ctx context.Context) error {
	if r.items != nil {
		return nil
	}
	if r.location.Container == nil {
		location, err := r.Settings.Location(ctx, r.object.Spec.StorageLocation)
		if err != nil {
			return err
		}
		r.location = location
	}
	digest, err := r.readPoint(ctx)
	if err != nil {
		return err
	}
	r.request = restoreRequest(r.object.Spec)
	if err := r.request.Check(r.manifest.Name, r.namespaces()); err != nil {
		return err
	}
	served, err := r.servedTypes(ctx)
	if err != nil {
		return err
	}
	r.plan = plan.Make(r.items, r.manifest.Volumes, r.request, served.find)
	r.update(func() { r.object.Status.ManifestDigest = digest })
	return nil
}

// verify reads every blob of the recovery point and compares it with the manifest, and every object with the index.
func (r *restore) verify(ctx context.Context) error {
	archived, _ := recoverypoint.Blob(r.manifest, r.layout.Archive())
	for _, blob := range r.manifest.Blobs {
		var err error
		switch blob.Key {
		case r.layout.Archive():
			continue // below: it is read by the index
		case r.layout.Index():
			err = r.readBlob(ctx, blob, func(in io.Reader) (err error) {
				r.index, err = archive.ReadIndex(in, r.indexLimits(archived.Size))
				return err
			})
		case r.layout.Coverage():
			err = r.readBlob(ctx, blob, r.logGaps)
		default:
			err = r.readBlob(ctx, blob, func(io.Reader) error { return nil })
		}
		if err != nil {
			return err
		}
	}
	items := make([]plan.Item, 0, len(r.index))
	err := r.readBlob(ctx, archived, func(in io.Reader) error {
		return archive.Scan(in, r.index, func(o archive.Object) error {
			item, err := plan.Read(o.ObjectRef, o.Body)
			items = append(items, item)
			return err
		})
	})
	if err != nil {
		return err
	}
	r.items = items
	return nil
}

// indexLimits are what the signed manifest leaves room for. What an archive has beside the objects that were captured is two
// entries for Velero of each volume; some more cost nothing.
func (r *restore) indexLimits(archived int64) archive.IndexLimits {
	const slack = 100
	return archive.IndexLimits{Entries: r.manifest.Objects + 4*int64(len(r.manifest.Volumes)) + slack, Archive: archived}
}

// logGaps tells the log what the recovery point lacks, so that nobody looks for it in the cluster. A ledger that cannot be
// read keeps nobody from their data.
func (r *restore) logGaps(in io.Reader) error {
	coverage, err := recoverypoint.ReadCoverage(in)
	if err != nil {
		r.Log.Warn("what the recovery point lacks is not known", "reason", err.Error())
	}
	for _, g := range coverage.Gaps {
		r.Log.Warn("the recovery point lacks a type", "what", g.What, "reason", g.Reason)
	}
	return nil
}

// readBlob gives a blob to read, then reads what read left over, and compares size and SHA-256 with the manifest's.
// An error of read that another digest explains is reported as that.
func (r *restore) readBlob(ctx context.Context, want coffer.BlobDigest, read func(io.Reader) error) error {
	blob, err := r.location.Container.Get(ctx, want.Key, 0, -1)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		return r.refuse(want.Key, "it is missing")
	}
	if err != nil {
		return err
	}
	defer func() { _ = blob.Close() }()
	sum, size := sha256.New(), int64(0)
	counted := io.TeeReader(blob, io.MultiWriter(sum, countWriter(func(n int) { size += int64(n) })))
	readErr := read(bufio.NewReaderSize(counted, 256<<10))
	if readErr != nil && !coffer.Final(readErr) {
		return readErr
	}
	if _, err := io.Copy(io.Discard, counted); err != nil {
		return fmt.Errorf("read %s: %w", want.Key, err)
	}
	switch {
	case size != want.Size:
		return r.refuse(want.Key, fmt.Sprintf("it has %d bytes, and the manifest says %d", size, want.Size))
	case hexSum(sum) != want.SHA256:
		return r.refuse(want.Key, "it does not have the SHA-256 that the manifest says: it was altered")
	}
	return readErr
}

func (r *restore) refuse(key, why string) error {
	return coffer.Errorf(coffer.CodeArchiveCorrupt, "recovery point %s is refused, and nothing was restored: %s: %s", r.manifest.Name, key, why).
		WithHint("restore another recovery point, or bring this one back from a copy of the blob container")
}

type countWriter func(int)

func (c countWriter) Write(p []byte) (int, error) {
	c(len(p))
	return len(p), nil
}

// namespaces are those of the recovery point.
func (r *restore) namespaces() []string {
	found := map[string]bool{}
	for _, item := range r.items {
		switch {
		case item.Namespace != "":
			found[item.Namespace] = true
		case item.GroupResource == namespaceType.GroupResource:
			found[item.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// typeTable finds the type that a cluster serves for a resource.
type typeTable map[coffer.GroupResource]coffer.ResourceType

func (t typeTable) find(g coffer.GroupResource) (coffer.ResourceType, bool) {
	found, ok := t[g]
	return found, ok
}

func (r *restore) servedTypes(ctx context.Context) (typeTable, error) {
	types, _, err := r.Cluster.Types(ctx)
	if err != nil {
		return nil, err
	}
	table := typeTable{}
	for _, t := range types {
		table[t.GroupResource] = t
	}
	return table, nil
}
