package flow

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
)

// freeVolumes lets the PersistentVolumes that outlived their claims be bound again: one that was released still names the UID of
// the claim that is gone, and no other is bound to it before that is taken away. There are few of them.
func (a *application) freeVolumes(ctx context.Context) error {
	for _, s := range a.plan.Steps {
		if s.KeptVolume == "" || s.Action != plan.Create {
			continue
		}
		err := a.freeVolume(ctx, s)
		if coffer.Final(err) {
			a.warn(coffer.CodeVolumePending, s.Target.String(), fmt.Sprintf("PersistentVolume %s could not be freed for it: %v", s.KeptVolume, err))
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *application) freeVolume(ctx context.Context, s plan.Step) error {
	body, err := a.Cluster.Get(ctx, volumeType, "", s.KeptVolume)
	if coffer.CodeOf(err) == coffer.CodeNotFound {
		// It is restored.
		return nil
	}
	if err != nil {
		return err
	}
	var volume corev1.PersistentVolume
	if err := json.Unmarshal(body, &volume); err != nil {
		return fmt.Errorf("read PersistentVolume %s: %w", s.KeptVolume, err)
	}
	claim := volume.Spec.ClaimRef
	if claim == nil || claim.UID == "" {
		return nil
	}
	if claim.Namespace != s.Target.Namespace || claim.Name != s.Target.Name || volume.Status.Phase != corev1.VolumeReleased {
		return coffer.Errorf(coffer.CodeVolumePending, "it is %s, for claim %s/%s", volume.Status.Phase, claim.Namespace, claim.Name)
	}
	// Whoever changes it meanwhile comes first.
	patch := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q},"spec":{"claimRef":{"uid":null,"resourceVersion":null}}}`, volume.ResourceVersion)
	return a.patcher.Patch(ctx, volumeType, "", s.KeptVolume, patch)
}
