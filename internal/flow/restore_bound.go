package flow

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// foreignVolumes are the restored claims that are bound to a volume which was there before them, by NAMESPACE/NAME with the name
// of the volume. Kubernetes binds a claim to any free volume of its class and size, whatever snapshot it names, before it has one
// made of the snapshot; and then the claim has somebody else's data.
func (r *restore) foreignVolumes(ctx context.Context) (map[string]string, error) {
	restored, err := r.restoredClaims(ctx)
	if err != nil {
		return nil, err
	}
	bound := map[string]corev1.PersistentVolumeClaim{}
	for _, c := range restored {
		if c.bound() {
			bound[c.claim.Namespace+"/"+c.claim.Name] = c.claim
		}
	}
	if len(bound) == 0 {
		return nil, nil
	}
	foreign := map[string]string{}
	_, err = listSome(ctx, r.Cluster, volumeType, "", func(v corev1.PersistentVolume) bool {
		if v.Spec.ClaimRef == nil {
			return false
		}
		key := v.Spec.ClaimRef.Namespace + "/" + v.Spec.ClaimRef.Name
		c, ours := bound[key]
		if ours && c.Spec.VolumeName == v.Name && v.CreationTimestamp.Before(&c.CreationTimestamp) {
			foreign[key] = v.Name
		}
		return false
	})
	return foreign, err
}

// warnOfForeign warns of claims that have not the data of the recovery point although they are bound.
func (r *restore) warnOfForeign(ctx context.Context) error {
	foreign, err := r.foreignVolumes(ctx)
	if coffer.Final(err) {
		r.warn(coffer.CodeVolumeForeign, volumeType.GroupResource.String(),
			"it is not known whether the restored claims are bound to volumes made of their snapshots: "+err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range r.plan.Steps {
		volume, is := foreign[s.Target.Namespace+"/"+s.Target.Name]
		if !is || !s.RestoresData() {
			continue
		}
		r.warn(coffer.CodeVolumeForeign, s.Target.String(), fmt.Sprintf(
			"the claim does not have the data of the recovery point: Kubernetes has bound it to PersistentVolume %s, which was there before it and fits its class and size; "+
				"stop what uses the claim, delete it, see that no such volume is Available, and restore the claim again", volume))
	}
	r.update(func() { r.object.Status.Progress.VolumesBound -= len(foreign) })
	return nil
}
