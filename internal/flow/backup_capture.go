package flow

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
	"github.com/coffer-backup/coffer/internal/format/archive"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// capture streams the objects into the archive, waits for the snapshots to be usable, and seals the recovery point.
// An attempt that did not come to the seal is thrown away: what it wrote is removed first.
func (b *backup) capture(ctx context.Context) error {
	if err := b.open(ctx); err != nil {
		return err
	}
	digest, err := b.sealedDigest(ctx)
	if err != nil {
		return err
	}
	if digest != "" {
		// The process died between the seal and the status.
		b.update(func() { b.object.Status.ManifestDigest = digest })
		return nil
	}
	if err := b.removeAttempt(ctx); err != nil {
		return err
	}
	if err := b.readKeys(ctx); err != nil {
		return err
	}
	// What an earlier attempt did not get, this one may.
	b.retract(coffer.CodeTypeNotCaptured, coffer.CodeInconsistent, coffer.CodeObjectNotCaptured, coffer.CodeNamespaceNotFound)
	collected := newCollection()
	archived, volumes, err := b.archive(ctx, collected)
	if err != nil {
		return err
	}
	if err := b.checkFound(collected, volumes); err != nil {
		return err
	}
	return b.seal(ctx, collected, archived, volumes)
}

// sealedDigest is the digest of the manifest that this run has sealed, or empty if there is none, or none that anybody could
// use. While that cannot be known, it is an error: nothing is thrown away on a guess.
func (b *backup) sealedDigest(ctx context.Context) (string, error) {
	manifest, digest, err := readManifest(ctx, b.location, b.object.Name)
	switch coffer.CodeOf(err) {
	case coffer.CodeBackupNotFound, coffer.CodeArchiveCorrupt, coffer.CodeSignerNotTrusted:
		return "", nil
	}
	if err != nil || manifest.UID != b.run() {
		return "", err
	}
	return digest, nil
}

// removeAttempt removes what an earlier attempt of this run wrote. The claim stays: it says that the rest is ours.
func (b *backup) removeAttempt(ctx context.Context) error {
	for info, err := range b.location.Container.List(ctx, b.layout.Prefix()) {
		if err != nil {
			return err
		}
		if info.Key == b.layout.Claim() {
			continue
		}
		if err := b.location.Container.Delete(ctx, info.Key); err != nil {
			return err
		}
	}
	return nil
}

// archive writes the archive and returns its digest, and what became of the volumes.
func (b *backup) archive(ctx context.Context, to *collection) (coffer.BlobDigest, []coffer.Volume, error) {
	// The cluster may have got other types and namespaces while its volumes were cut.
	if err := b.lookAround(ctx); err != nil {
		return coffer.BlobDigest{}, nil, err
	}
	var volumes []coffer.Volume
	for _, g := range b.scope.gaps {
		b.recordGap(to, g)
	}
	b.noteGoneNamespaces(to)
	digest, err := b.put(ctx, b.layout.Archive(), func(w io.Writer) error {
		out, err := archive.NewWriter(w, b.Now())
		if err != nil {
			return err
		}
		defer out.Abort()
		if err := b.captureTypes(ctx, out, to); err != nil {
			return err
		}
		if volumes, err = b.archiveVolumes(ctx, out, to); err != nil {
			return err
		}
		if err := out.Close(); err != nil {
			return err
		}
		to.index = out
		return nil
	})
	return digest, volumes, err
}

func (b *backup) captureTypes(ctx context.Context, out *archive.Writer, to *collection) error {
	done := make(chan struct{})
	var progress sync.WaitGroup
	progress.Go(func() { b.reportProgress(ctx, out, to, done) })
	defer func() {
		close(done)
		progress.Wait()
	}()
	err := b.captureScope(ctx, func(ctx context.Context, t coffer.ResourceType) error { return b.captureType(ctx, t, out, to) }, to)
	if err != nil {
		return err
	}
	b.noteNewTypes(ctx, to)
	return nil
}

// noteNewTypes records the types that the cluster got while it was read. Those that went away have been found by their
// lists.
func (b *backup) noteNewTypes(ctx context.Context, to *collection) {
	types, _, err := b.Cluster.Types(ctx)
	var now *selection.Selection
	if err == nil {
		// What a pattern stands for is known of the types that there were.
		now, _, err = selection.New(backupConfig(b.object.Spec, b.Namespace), types, b.scope.spaces)
	}
	if err != nil {
		// Nothing is missing that was there when the backup was asked for.
		b.Log.Info("types were not compared", "error", err)
		return
	}
	for _, t := range types {
		known := slices.ContainsFunc(b.scope.types, func(k coffer.ResourceType) bool { return k.GroupResource == t.GroupResource })
		if !known && now.Type(t).Include {
			to.skippedType(t, "the cluster got the type while the backup was running")
		}
	}
}

// noteGoneNamespaces records the namespaces that were named, were there when the run was validated, and are not any more.
func (b *backup) noteGoneNamespaces(to *collection) {
	for _, name := range backupConfig(b.object.Spec, b.Namespace).Named() {
		if slices.ContainsFunc(b.scope.spaces, func(s selection.Space) bool { return s.Name == name }) {
			continue
		}
		ref := coffer.ObjectRef{GroupResource: namespaceType.GroupResource, Name: name}
		to.skipped(coffer.SkippedObject{ObjectRef: ref, Code: coffer.CodeNamespaceNotFound, Reason: "the namespace went away while the backup was running"})
		b.warn(coffer.CodeNamespaceNotFound, ref.String(), "it is not in the recovery point: the namespace went away while the backup was running")
	}
}

func (b *backup) recordGap(to *collection, g coffer.TypeGap) {
	to.gap(g)
	b.warn(coffer.CodeTypeNotCaptured, g.What, "it is not in the recovery point: "+g.Reason)
}

// collection gathers what the other blobs of a recovery point say about the archive.
type collection struct {
	mu        sync.Mutex // guards all fields
	coverage  coffer.Coverage
	resources recoverypoint.ResourceList
	spaces    map[string]bool
	objects   int64
	// listed counts the objects that were read, selected or not, and remaining those that are still to come, by type.
	listed    int64
	remaining map[coffer.GroupResource]int64
	index     *archive.Writer
	// needs are the reasons for which cluster-scoped objects are needed, by type and name; see selection.Need.
	needs map[coffer.GroupResource]map[string]string
	// unasked counts objects that nobody has asked for, by type and reason.
	unasked map[coffer.TypeGap]int64
	// claims are added to the archive last.
	claims []heldClaim
}

func newCollection() *collection {
	return &collection{
		coverage:  coffer.Coverage{Captured: map[string]int64{}},
		resources: recoverypoint.ResourceList{},
		spaces:    map[string]bool{},
		remaining: map[coffer.GroupResource]int64{},
		needs:     map[coffer.GroupResource]map[string]string{},
		unasked:   map[coffer.TypeGap]int64{},
	}
}

// captured notes objects of one type that are in the archive.
func (c *collection) captured(t coffer.ResourceType, refs []coffer.ObjectRef) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects += int64(len(refs))
	c.coverage.Captured[t.GroupResource.String()] += int64(len(refs))
	c.resources.Add(t.APIVersion(), t.Kind, refs...)
	for _, ref := range refs {
		if ref.Namespace != "" {
			c.spaces[ref.Namespace] = true
		}
	}
}

func (c *collection) count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.objects
}

func (c *collection) skippedType(t coffer.ResourceType, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.coverage.SkippedTypes = append(c.coverage.SkippedTypes, coffer.TypeGap{What: t.GroupResource.String(), Reason: reason})
}

func (c *collection) gap(g coffer.TypeGap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.coverage.Gaps = append(c.coverage.Gaps, g)
}

// inconsistent notes a type that is not of one moment.
func (c *collection) inconsistent(g coffer.TypeGap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.coverage.Inconsistent = append(c.coverage.Inconsistent, g)
}

func (c *collection) skipped(o coffer.SkippedObject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.coverage.SkippedObjects = append(c.coverage.SkippedObjects, o)
}

// ledger is the coverage in a stable order.
func (c *collection) ledger(volumes []coffer.Volume) coffer.Coverage {
	c.mu.Lock()
	defer c.mu.Unlock()
	ledger := c.coverage
	ledger.Volumes = volumes
	ledger.Namespaces = slices.Sorted(maps.Keys(c.spaces))
	byWhat := func(a, b coffer.TypeGap) int { return strings.Compare(a.What, b.What) }
	slices.SortFunc(ledger.Gaps, byWhat)
	slices.SortFunc(ledger.SkippedTypes, byWhat)
	slices.SortFunc(ledger.Inconsistent, byWhat)
	for left, n := range c.unasked {
		ledger.NotSelected = append(ledger.NotSelected, coffer.NotSelected{TypeGap: left, Objects: n})
	}
	slices.SortFunc(ledger.NotSelected, func(a, b coffer.NotSelected) int {
		return strings.Compare(a.What+"\x00"+a.Reason, b.What+"\x00"+b.Reason)
	})
	slices.SortFunc(ledger.Needed, func(a, b coffer.NeededObject) int { return strings.Compare(a.String(), b.String()) })
	slices.SortFunc(ledger.SkippedObjects, func(a, b coffer.SkippedObject) int { return strings.Compare(a.String(), b.String()) })
	return ledger
}
