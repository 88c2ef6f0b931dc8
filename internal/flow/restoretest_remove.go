package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/quiet"
)

// trace is something that a test has made and that is still there.
type trace struct {
	what string
	// how says what to do if it does not go.
	how string
}

func (t trace) String() string { return t.what + ": " + t.how }

func textsOf(traces []trace) []string {
	var texts []string
	for _, t := range traces {
		texts = append(texts, t.String())
	}
	return texts
}

// clear removes everything and says what could not be removed. Nothing of it keeps the run from its end.
func (t *restoreTest) clear(ctx context.Context) error {
	left, err := t.remove(ctx)
	if err != nil {
		return err
	}
	for _, l := range left {
		t.warn(coffer.CodeTracesLeft, l.what, fmt.Sprintf("it was not gone after %s: %s; deleting the RestoreTest object removes it as well", t.RemovalTimeout, l.how))
	}
	return nil
}

// remove removes everything that the run has made, and answers what is not gone in time. It needs nothing of the recovery point, so
// that it works after any failure, and nothing of what an earlier process knew.
func (t *restoreTest) remove(ctx context.Context) (left []trace, err error) {
	_, err = poll(ctx, t.RemovalTimeout, func(ctx context.Context) (bool, error) {
		var err error
		left, err = t.removeOnce(ctx)
		return len(left) == 0, err
	})
	if err != nil {
		return nil, err
	}
	if len(left) == 0 {
		t.update(func() { t.test.Status.ScratchNamespaces = nil })
	}
	return left, t.save(ctx)
}

// removeOnce takes one step towards the removal of everything, and answers what is still there.
func (t *restoreTest) removeOnce(ctx context.Context) ([]trace, error) {
	// Before their claims go, for the reclaim policy decides what becomes of the volumes then.
	left, err := t.reclaimVolumes(ctx)
	if err != nil {
		return nil, err
	}
	namespaces, err := t.removeNamespaces(ctx)
	if err != nil {
		return nil, err
	}
	left = append(namespaces, left...)
	released, err := t.Snapshots.Release(ctx, t.run(), nil)
	switch {
	case coffer.CodeOf(err) == coffer.CodeSnapshotAPIUnavailable:
	case err != nil:
		return nil, err
	case !released:
		left = append(left, trace{
			"VolumeSnapshots and VolumeSnapshotContents coffer-" + t.run() + "-*",
			"`kubectl get volumesnapshotcontents` says what they wait for; the snapshots themselves are not deleted with them",
		})
	}
	return left, nil
}

func (t *restoreTest) removeNamespaces(ctx context.Context) (left []trace, err error) {
	var mine []coffer.Header
	err = t.Cluster.ListMetadata(ctx, namespaceType, "", func(page coffer.Page) error {
		for _, raw := range page.Items {
			if owned, err := t.isolated.owns(raw); err != nil || !owned {
				if err != nil {
					return err
				}
				continue
			}
			var h coffer.Header
			if err := json.Unmarshal(raw, &h); err != nil {
				return fmt.Errorf("read a namespace: %w", err)
			}
			mine = append(mine, h)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, h := range mine {
		name := h.Metadata.Name
		if h.Metadata.DeletionTimestamp == "" {
			// One that is another one by now is looked at anew next time.
			_, err := t.Cluster.Delete(ctx, namespaceType, "", name, h.Metadata.UID)
			if code := coffer.CodeOf(err); err != nil && code != coffer.CodeNotFound && code != coffer.CodeChanged {
				return nil, err
			}
		}
		left = append(left, trace{"namespaces " + name, fmt.Sprintf("`kubectl get namespace %s -o yaml` says in status.conditions what it waits for", name)})
	}
	return left, nil
}

// reclaimVolumes lets the volumes that were made for the run's claims go with them, whatever their class says, and keeps those that
// were not.
func (t *restoreTest) reclaimVolumes(ctx context.Context) (left []trace, err error) {
	volumes, err := listSome[corev1.PersistentVolume](ctx, t.Cluster, volumeType, "", func(v corev1.PersistentVolume) bool {
		return quiet.Concerns(t.run(), v)
	})
	if err != nil {
		return nil, err
	}
	var start time.Time
	if at := t.status.StartTime; at != nil {
		start = at.Time
	}
	for _, v := range volumes {
		r := quiet.ReclaimOf(v, start)
		if r.Policy != "" {
			// The UID is a precondition.
			patch := fmt.Appendf(nil, `{"metadata":{"uid":%q},"spec":{"persistentVolumeReclaimPolicy":%q}}`, v.UID, r.Policy)
			err := t.Cluster.Patch(ctx, volumeType, "", v.Name, patch)
			if err != nil && coffer.CodeOf(err) != coffer.CodeNotFound {
				return nil, err
			}
		}
		if r.Ours {
			left = append(left, trace{"persistentvolumes " + v.Name, fmt.Sprintf("`kubectl describe pv %s` says what its driver waits for", v.Name)})
		} else {
			t.warn(coffer.CodeTracesLeft, "persistentvolumes "+v.Name, r.Reason)
		}
	}
	return left, nil
}
