package flow

import (
	"context"
	"io"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/capability"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/format/archive"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// read opens the location, verifies what of the recovery point is asked for, and drafts the plan without knowing what
// exists. It does so once in a process; a new process does it again.
func (r *restore) read(ctx context.Context) error {
	if r.drafted {
		return nil
	}
	for _, l := range r.readings() {
		if err := l.do(ctx); err != nil {
			return err
		}
	}
	r.drafted = true
	r.update(func() { r.object.Status.ManifestDigest = r.digest })
	return nil
}

// readings are what read reads, in order.
func (r *restore) readings() []look {
	location := "BackupStorageLocation " + r.object.Spec.StorageLocation
	looks := []look{{name: capability.StorageLocation, resource: location, otherwise: coffer.CodeLocationNotReady, do: func(ctx context.Context) error {
		return r.openLocation(ctx, r.Settings, r.object.Spec.StorageLocation)
	}}}
	read := []string{capability.Request, capability.StorageLocation, capability.ResourceTypes}
	if ref := r.object.Spec.ResourceModifierReference; ref != nil {
		looks = append(looks, look{name: capability.ResourceModifiers, resource: "ConfigMap " + ref.Namespace + "/" + ref.Name, do: r.readModifiers})
		read = append(read, capability.ResourceModifiers)
	}
	return append(looks,
		look{name: capability.ResourceTypes, do: r.readServed},
		look{name: capability.RecoveryPoint, resource: "recovery point " + r.object.Spec.BackupName, needs: read, long: true, otherwise: coffer.CodeLocationNotReady, do: r.readItems},
		look{name: capability.Selection, needs: []string{capability.RecoveryPoint}, do: r.makeDraft})
}

// readServed reads which types the cluster serves.
func (r *restore) readServed(ctx context.Context) (err error) {
	r.served, err = r.servedTypes(ctx)
	return err
}

// readItems reads and verifies what of the recovery point is asked for.
func (r *restore) readItems(ctx context.Context) (err error) {
	r.request = restoreRequest(r.object.Spec)
	r.request.Extension = r.Config.Namespace
	if r.isolated != nil {
		r.request.LeaveOutFunc = r.isolated.LeaveOut
	}
	r.digest, err = r.readPoint(ctx)
	return err
}

// makeDraft drafts the plan.
func (r *restore) makeDraft(context.Context) (err error) {
	if r.isolated != nil {
		r.isolated.keepApart(&r.request, r.namespaces())
	}
	if err := r.request.CheckPoint(r.manifest.Name, r.namespaces()); err != nil {
		return err
	}
	if r.draft, r.unmatched, err = plan.Make(r.items, r.manifest.Volumes, r.request, r.served); err != nil {
		return err
	}
	return r.resolveChanges()
}

// verify reads what the restore goes by and compares it with the manifest and the index: the whole recovery point, or, if
// less than half of the archive is asked for, the index and the members that hold it. Nothing else is believed later.
func (r *restore) verify(ctx context.Context) error {
	if err := r.readIndex(ctx); err != nil {
		return err
	}
	if err := r.openArchive(ctx); err != nil {
		return err
	}
	items := make([]plan.Item, len(r.index))
	name := func(i int) coffer.ObjectRef { return r.index[i].ObjectRef }
	wanted := plan.InScope(len(items), name, r.request, r.served)
	for i := range items {
		items[i].ObjectRef = name(i)
	}
	read := func(i int, o archive.Object) (err error) {
		if wanted[i] {
			items[i], err = r.request.Read(o.ObjectRef, o.Body)
		}
		return err
	}
	var err error
	if archived, _ := recoverypoint.Blob(r.manifest, r.layout.Archive()); r.bytesOf(wanted) > archived.Size/2 {
		err = r.readWhole(ctx, archived, read)
	} else if err = r.readGaps(ctx); err == nil {
		err = r.eachMember(ctx, func(i int) bool { return wanted[i] }, read)
	}
	if err != nil {
		return err
	}
	r.items = items
	return nil
}

// bytesOf is how much of the archive holds what is wanted.
func (r *restore) bytesOf(wanted []bool) int64 {
	var n int64
	for _, m := range r.index.Members(func(i int) bool { return wanted[i] }) {
		n += m.Length
	}
	return n
}

// readWhole reads the archive from its beginning to its end, and every other blob.
func (r *restore) readWhole(ctx context.Context, archived coffer.BlobDigest, each func(i int, o archive.Object) error) error {
	for _, blob := range r.manifest.Blobs {
		var read func(io.Reader) error
		switch blob.Key {
		case r.layout.Archive(), r.layout.Index():
			continue // the one is read below, the other was before
		case r.layout.Coverage():
			read = r.tellGaps
		}
		if err := r.readBlob(ctx, blob, read); err != nil {
			return err
		}
	}
	return r.readBlob(ctx, archived, func(in io.Reader) error {
		i := -1
		return archive.Scan(in, r.index, func(o archive.Object) error {
			i++
			return each(i, o)
		})
	})
}

// readGaps reads the ledger alone, if it says that something is missing.
func (r *restore) readGaps(ctx context.Context) error {
	coverage, listed := recoverypoint.Blob(r.manifest, r.layout.Coverage())
	if !r.manifest.Partial || !listed {
		return nil
	}
	return r.readBlob(ctx, coverage, r.tellGaps)
}

// tellGaps says what the recovery point lacks, so that nobody looks for it in the cluster. A ledger that cannot be read keeps
// nobody from their data.
func (r *restore) tellGaps(in io.Reader) error {
	coverage, err := recoverypoint.ReadCoverage(in)
	if err != nil {
		r.warn(coffer.CodeTypeNotCaptured, "", "what the recovery point lacks is not known: "+err.Error())
	}
	for _, g := range coverage.Gaps {
		r.warn(coffer.CodeTypeNotCaptured, g.What, "the recovery point lacks it: "+g.Reason)
	}
	return nil
}

// namespaces are those of the recovery point.
func (r *restore) namespaces() []string { return plan.Namespaces(r.items) }

// servedTypes are the types of the cluster at all their versions.
func (r *restore) servedTypes(ctx context.Context) (plan.Types, error) {
	types, gaps, err := r.Cluster.Versions(ctx)
	if err != nil {
		return nil, err
	}
	for _, g := range gaps {
		r.Log.Warn("the cluster does not say which types it serves", "what", g.What, "reason", g.Reason)
	}
	return plan.NewTypes(types), nil
}
