package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/archive"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// parallelLists bounds how many types are listed at the same time. Each holds one page of objects.
const parallelLists = 4

// capture streams the objects into the archive, waits for the snapshots to be usable, and seals the recovery point.
// An attempt that did not come to the seal is thrown away: what it wrote is removed first.
func (b *backup) capture(ctx context.Context) error {
	if err := b.open(ctx); err != nil {
		return err
	}
	if m, digest, err := readManifest(ctx, b.location, b.object.Name); err == nil && m.UID == b.run() {
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
	b.update(func() { b.object.Status.Progress.Objects, b.object.Status.Progress.Bytes = 0, 0 })
	digest, err := b.put(ctx, b.layout.Archive(), func(w io.Writer) error {
		out, err := archive.NewWriter(w, b.Now())
		if err != nil {
			return err
		}
		if err := b.captureTypes(ctx, out, to); err != nil {
			return err
		}
		if volumes, err = b.archiveVolumes(ctx, out, to); err != nil {
			return err
		}
		if err := out.Close(); err != nil {
			return err
		}
		to.index = out.Index()
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
	return b.captureScope(ctx, func(ctx context.Context, t coffer.ResourceType) error { return b.captureType(ctx, t, out, to) }, to)
}

// progressInterval is how often the status tells how far a capture is.
const progressInterval = 2 * time.Second

func (b *backup) reportProgress(ctx context.Context, out *archive.Writer, to *collection, done <-chan struct{}) {
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		select {
		case <-done:
			b.update(func() {
				b.object.Status.Progress.Objects, b.object.Status.Progress.Bytes = to.count(), out.Bytes()
			})
			return
		case <-tick.C:
			b.update(func() {
				b.object.Status.Progress.Objects, b.object.Status.Progress.Bytes = to.count(), out.Bytes()
			})
			// Progress that cannot be shown now is shown next time.
			_ = b.save(ctx)
		}
	}
}

// captureType lists one type into the archive. A type that cannot be read is a gap and a warning: the rest is backed
// up.
func (b *backup) captureType(ctx context.Context, t coffer.ResourceType, out *archive.Writer, to *collection) error {
	batch := out.NewBatch()
	seen := map[string]bool{}
	began, before := b.Now(), to.countOf(t)
	for _, namespace := range b.listNamespaces(t) {
		err := b.Cluster.List(ctx, t, namespace, func(page []json.RawMessage) error {
			for _, raw := range page {
				if err := b.captureObject(t, raw, batch, seen, to); err != nil {
					return err
				}
			}
			return nil
		})
		if coffer.Final(err) && coffer.CodeOf(err) != coffer.CodeLocationNotReady {
			b.recordGap(to, coffer.TypeGap{What: t.GroupResource.String(), Reason: err.Error()})
			break
		}
		if err != nil {
			return err
		}
	}
	if err := batch.Close(); err != nil {
		return err
	}
	if n := to.countOf(t) - before; n > 0 {
		b.Log.Info("type captured", "type", t.GroupResource.String(), "objects", n, "took", b.Now().Sub(began))
	}
	return nil
}

func (b *backup) captureObject(t coffer.ResourceType, raw json.RawMessage, batch *archive.Batch, seen map[string]bool, to *collection) error {
	var h coffer.Header
	if err := json.Unmarshal(raw, &h); err != nil {
		return fmt.Errorf("read %s: %w", t.GroupResource, err)
	}
	ref := coffer.ObjectRef{GroupResource: t.GroupResource, Namespace: h.Metadata.Namespace, Name: h.Metadata.Name}
	id := ref.Namespace + "/" + ref.Name
	if seen[id] {
		// A list that was continued at a later resource version names some objects twice.
		return nil
	}
	seen[id] = true
	decision := b.scope.Object(t, h, raw, to.needed)
	b.noteDecision(to, ref, decision)
	if !decision.Include {
		return nil
	}
	body := withType(raw, h, t)
	if t.GroupResource == claimType.GroupResource {
		to.hold(ref, body)
	} else if err := batch.Add(ref, body); err != nil {
		return err
	}
	to.captured(t, ref)
	b.noteNeeds(to, ref, raw)
	return nil
}

// withType puts apiVersion and kind into an object from a list, where the API server leaves them out of built-in
// types.
func withType(raw json.RawMessage, h coffer.Header, t coffer.ResourceType) []byte {
	if h.APIVersion != "" && h.Kind != "" {
		return raw
	}
	head := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,`, t.APIVersion(), t.Kind)
	return append([]byte(head), bytes.TrimPrefix(bytes.TrimSpace(raw), []byte("{"))...)
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
	index     archive.Index
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
		needs:     map[coffer.GroupResource]map[string]string{},
		unasked:   map[coffer.TypeGap]int64{},
	}
}

func (c *collection) captured(t coffer.ResourceType, ref coffer.ObjectRef) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects++
	c.coverage.Captured[t.GroupResource.String()]++
	c.resources.Add(t.APIVersion(), t.Kind, ref)
	if ref.Namespace != "" {
		c.spaces[ref.Namespace] = true
	}
}

func (c *collection) count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.objects
}

// countOf is how many objects of a type were captured.
func (c *collection) countOf(t coffer.ResourceType) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.coverage.Captured[t.GroupResource.String()]
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
