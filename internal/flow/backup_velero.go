package flow

import (
	"bytes"
	"context"
	"fmt"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/archive"
	"github.com/coffer-backup/coffer/internal/format/velero"
)

// heldClaim is a claim that waits for its place in the archive.
type heldClaim struct {
	ref  coffer.ObjectRef
	body []byte
}

// hold keeps a claim until it is known what became of its volume: it is to name the snapshot to Velero, and one that named
// a snapshot that then did not become usable would never be bound there. As many claims are in memory while their volumes
// are decided on, and in no more bytes than that.
func (c *collection) hold(ref coffer.ObjectRef, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claims = append(c.claims, heldClaim{ref, bytes.Clone(body)})
}

// archiveVolumes waits for the snapshots, and ends the archive with the claims, and with the objects by which Velero finds
// their data. The latter are nothing that was captured: they are in the index and in Velero's list, and count nowhere.
func (b *backup) archiveVolumes(ctx context.Context, out *archive.Writer, to *collection) ([]coffer.Volume, error) {
	volumes, err := b.awaitVolumes(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, v := range volumes {
		if v.Result == coffer.VolumeCaptured {
			names[snapshotKey(v)] = b.Snapshots.PresentedName(b.run(), requestName(v))
		}
	}
	batch := out.NewBatch()
	held := map[string]bool{}
	for _, c := range to.claims {
		key := snapshotKey(coffer.Volume{Namespace: c.ref.Namespace, Claim: c.ref.Name})
		held[key] = true
		body, err := velero.Claim(c.body, names[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.ref, err)
		}
		if err := batch.Add(c.ref, body); err != nil {
			return nil, err
		}
	}
	to.claims = nil
	if err := batch.Close(); err != nil {
		return nil, err
	}
	// A member holds objects of one type.
	contents, snapshots := out.NewBatch(), out.NewBatch()
	for _, v := range volumes {
		name := names[snapshotKey(v)]
		if name == "" || !held[snapshotKey(v)] {
			continue
		}
		objects, err := velero.Snapshot(v, name)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			into := contents
			if o.Namespace != "" {
				into = snapshots
			}
			if err := into.Add(o.ObjectRef, o.Body); err != nil {
				return nil, err
			}
			to.added(o.APIVersion, o.Kind, o.ObjectRef)
		}
	}
	if err := contents.Close(); err != nil {
		return nil, err
	}
	return volumes, snapshots.Close()
}

// added notes an object of the archive that was not captured.
func (c *collection) added(apiVersion, kind string, ref coffer.ObjectRef) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resources.Add(apiVersion, kind, ref)
}
