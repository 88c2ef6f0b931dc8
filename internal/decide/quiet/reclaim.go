package quiet

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Reclaim says what becomes of a volume when the test is removed.
type Reclaim struct {
	// Ours says that the volume was made for a claim of the test, and goes with it.
	Ours bool
	// Policy is the reclaim policy that the volume has to have before its claim goes; empty if it may stay as it is.
	Policy corev1.PersistentVolumeReclaimPolicy
	// Reason, where that is worth to be told.
	Reason string
}

// Concerns says that a volume is that of a claim in a namespace of a run.
func Concerns(run string, v corev1.PersistentVolume) bool {
	return v.Spec.ClaimRef != nil && strings.HasPrefix(v.Spec.ClaimRef.Namespace, Prefix(run))
}

// ReclaimOf decides about a volume that a claim of a run is, or was, bound to. One that was there before the run began at start was
// not made for the claim, whoever has made it: nothing of it is deleted.
func ReclaimOf(v corev1.PersistentVolume, start time.Time) Reclaim {
	// Provisioners name volumes after the UID of their claim unless they are told otherwise.
	claim := v.Spec.ClaimRef
	named := claim != nil && claim.UID != "" && strings.HasSuffix(v.Name, string(claim.UID))
	made := v.Annotations["pv.kubernetes.io/provisioned-by"] != "" && (named || !v.CreationTimestamp.Time.Before(start))
	switch policy := v.Spec.PersistentVolumeReclaimPolicy; {
	case made && policy != corev1.PersistentVolumeReclaimDelete:
		return Reclaim{Ours: true, Policy: corev1.PersistentVolumeReclaimDelete}
	case made:
		return Reclaim{Ours: true}
	case policy != corev1.PersistentVolumeReclaimRetain:
		return Reclaim{Policy: corev1.PersistentVolumeReclaimRetain, Reason: keptVolume}
	default:
		return Reclaim{Reason: keptVolume}
	}
}

const keptVolume = "it was there before the test, and Kubernetes bound a claim of the test to it: it stays, released, with reclaim policy Retain; see what was written to it before it is used again"
