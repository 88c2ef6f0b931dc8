package csi

import (
	"context"
	"fmt"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Release implements coffer.Snapshots.
func (s *Snapshots) Release(ctx context.Context, run string, match func(coffer.SnapshotState) bool) (bool, error) {
	return s.each(ctx, run, match, s.release)
}

// Discard implements coffer.Snapshots.
func (s *Snapshots) Discard(ctx context.Context, run string, match func(coffer.SnapshotState) bool) (bool, error) {
	return s.each(ctx, run, match, s.discard)
}

// each takes one step towards the removal of every snapshot of a run that matches, and answers whether none is left.
func (s *Snapshots) each(ctx context.Context, run string, match func(coffer.SnapshotState) bool, remove func(context.Context, *object) error) (bool, error) {
	found, err := s.objects(ctx, run)
	if err != nil {
		return false, err
	}
	left := 0
	for k, o := range found {
		if match != nil && !match(o.state(k)) {
			continue
		}
		left++
		if err := remove(ctx, o); err != nil {
			return false, err
		}
	}
	return left == 0, nil
}

// release removes the VolumeSnapshot first and its content when that is gone: the snapshot controller marks the
// content as free only while it deletes the VolumeSnapshot.
func (s *Snapshots) release(ctx context.Context, o *object) error {
	if o.content != nil && o.content.Spec.DeletionPolicy != snapshotv1.VolumeSnapshotContentRetain {
		if err := s.setPolicy(ctx, o.content, snapshotv1.VolumeSnapshotContentRetain); err != nil {
			return err
		}
	}
	if o.snapshot != nil {
		return s.delete(ctx, o.snapshot)
	}
	return s.deleteFreed(ctx, o.content)
}

// discard deletes what the run cut, through the policy of its content.
func (s *Snapshots) discard(ctx context.Context, o *object) error {
	if o.content == nil {
		return s.delete(ctx, o.snapshot)
	}
	if presented := o.content.Spec.Source.SnapshotHandle != nil; presented {
		return s.release(ctx, o)
	}
	if err := s.setPolicy(ctx, o.content, snapshotv1.VolumeSnapshotContentDelete); err != nil {
		return err
	}
	if o.snapshot != nil {
		return s.delete(ctx, o.snapshot)
	}
	return s.deleteFreed(ctx, o.content)
}

func (s *Snapshots) setPolicy(ctx context.Context, c *snapshotv1.VolumeSnapshotContent, policy snapshotv1.DeletionPolicy) error {
	if c.Spec.DeletionPolicy == policy {
		return nil
	}
	before := c.DeepCopy()
	c.Spec.DeletionPolicy = policy
	if err := s.client.Patch(ctx, c, client.MergeFrom(before)); ignoreNotFound(err) != nil {
		return translate(err, "set deletionPolicy %s of VolumeSnapshotContent %s", policy, c.Name)
	}
	return nil
}

// deleteFreed deletes a content whose VolumeSnapshot is gone.
func (s *Snapshots) deleteFreed(ctx context.Context, c *snapshotv1.VolumeSnapshotContent) error {
	if c.Annotations[beingDeletedAnnotation] == "" {
		before := c.DeepCopy()
		if c.Annotations == nil {
			c.Annotations = map[string]string{}
		}
		c.Annotations[beingDeletedAnnotation] = "yes"
		if err := s.client.Patch(ctx, c, client.MergeFrom(before)); ignoreNotFound(err) != nil {
			return translate(err, "mark VolumeSnapshotContent %s", c.Name)
		}
	}
	return s.delete(ctx, c)
}

// nudgeAnnotation is changed to make a controller look at an object again that is being deleted.
const nudgeAnnotation = "clusterbackup.dataprotection.microsoft.com/nudged"

// nudgeAfter is how long a deletion may take before the object is nudged, again and again.
const nudgeAfter = 2 * time.Second

// delete asks for an object's deletion. One that is being deleted already is nudged if it does not go: the snapshotter
// sidecar (seen in v8.7.0) can overlook a deletion that happens while it writes the object's status, and looks again
// only at its next resync, a quarter of an hour later.
func (s *Snapshots) delete(ctx context.Context, o client.Object) error {
	if since := o.GetDeletionTimestamp(); since != nil {
		if time.Since(since.Time) < nudgeAfter {
			return nil
		}
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, nudgeAnnotation, time.Now().UTC().Format(time.RFC3339))
		if err := s.client.Patch(ctx, o, client.RawPatch(types.MergePatchType, patch)); ignoreNotFound(err) != nil {
			return translate(err, "nudge %s", describe(o))
		}
		return nil
	}
	if err := ignoreNotFound(s.client.Delete(ctx, o)); err != nil {
		return translate(err, "delete %s", describe(o))
	}
	return nil
}

func describe(o client.Object) string {
	if o.GetNamespace() == "" {
		return fmt.Sprintf("%T %s", o, o.GetName())
	}
	return fmt.Sprintf("%T %s/%s", o, o.GetNamespace(), o.GetName())
}

func unixNano(n int64) time.Time { return time.Unix(0, n).UTC() }
