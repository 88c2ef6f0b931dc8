package csi

import (
	"context"
	"strings"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// object is one snapshot of a run as the cluster has it: either part may be missing, for the content is made after
// the VolumeSnapshot and survives it.
type object struct {
	snapshot *snapshotv1.VolumeSnapshot
	content  *snapshotv1.VolumeSnapshotContent
}

// key names a snapshot of a run.
type key struct{ namespace, request string }

// objects finds all snapshots of a run with two requests, whatever their number.
func (s *Snapshots) objects(ctx context.Context, run string) (map[key]*object, error) {
	found := map[key]*object{}
	at := func(namespace, request string) *object {
		key := key{namespace, request}
		if found[key] == nil {
			found[key] = &object{}
		}
		return found[key]
	}
	var snapshots snapshotv1.VolumeSnapshotList
	if err := s.client.List(ctx, &snapshots, client.MatchingLabels{managedByLabel: managedBy}); err != nil {
		return nil, translate(err, "list VolumeSnapshots")
	}
	for i := range snapshots.Items {
		v := &snapshots.Items[i]
		if request, ours := strings.CutPrefix(v.Name, prefix(run)); ours {
			at(v.Namespace, request).snapshot = v
		}
	}
	var contents snapshotv1.VolumeSnapshotContentList
	if err := s.client.List(ctx, &contents); err != nil {
		return nil, translate(err, "list VolumeSnapshotContents")
	}
	for i := range contents.Items {
		c := &contents.Items[i]
		ref := c.Spec.VolumeSnapshotRef
		if request, ours := strings.CutPrefix(ref.Name, prefix(run)); ours {
			at(ref.Namespace, request).content = c
		}
	}
	return found, nil
}

// Observe implements coffer.Snapshots.
func (s *Snapshots) Observe(ctx context.Context, run string) ([]coffer.SnapshotState, error) {
	found, err := s.objects(ctx, run)
	if err != nil {
		return nil, err
	}
	states := make([]coffer.SnapshotState, 0, len(found))
	for key, o := range found {
		states = append(states, o.state(key))
	}
	return states, nil
}

func (o *object) state(k key) coffer.SnapshotState {
	state := coffer.SnapshotState{Namespace: k.namespace, Request: k.request}
	if o.content != nil {
		state.Content, state.Driver = o.content.Name, o.content.Spec.Driver
		readContent(&state, o.content.Status)
	}
	if o.snapshot == nil || o.snapshot.Status == nil {
		// A VolumeSnapshot that is gone took nothing with it: the content and the data are there.
		state.Ready = state.Ready && o.snapshot == nil
		return state
	}
	status := o.snapshot.Status
	state.Ready = state.Ready && status.ReadyToUse != nil && *status.ReadyToUse
	if status.Error != nil && status.Error.Message != nil {
		state.Problem = *status.Error.Message
	}
	return state
}

func readContent(state *coffer.SnapshotState, status *snapshotv1.VolumeSnapshotContentStatus) {
	if status == nil {
		return
	}
	if status.SnapshotHandle != nil {
		state.Handle = *status.SnapshotHandle
	}
	if status.CreationTime != nil {
		// The sidecar writes nanoseconds since 1970.
		state.Cut, state.CutTime = true, unixNano(*status.CreationTime)
	}
	if status.RestoreSize != nil {
		state.RestoreSize = *status.RestoreSize
	}
	state.Ready = status.ReadyToUse != nil && *status.ReadyToUse
	if status.Error != nil && status.Error.Message != nil {
		state.Problem = *status.Error.Message
	}
}
