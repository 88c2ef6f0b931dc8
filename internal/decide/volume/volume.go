// Package volume decides which claims can be captured as CSI snapshots, and by which snapshot class.
package volume

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// Decision says how a claim is captured: by the class, or not at all, for Volume.Reason.
type Decision struct {
	// Volume is filled in as far as it is known before the snapshot. Its result is VolumeCaptured if a class was
	// found.
	Volume coffer.Volume
	// Class to take the snapshot with; empty if the claim is skipped.
	Class string
	// LeftOut says that somebody chose to skip this volume, by a policy or a label.
	LeftOut bool
}

// classAnnotation on a claim names the VolumeSnapshotClass to use for it. Velero's name: people have set it already.
const classAnnotation = "velero.io/csi-volumesnapshot-class"

// Request is what a backup was asked for.
type Request struct {
	// Snapshots false means that it was asked for no volume data.
	Snapshots bool
	// Policies for single volumes.
	Policies Policies
}

// Decide decides on one claim in scope. volume is the PersistentVolume it is bound to, nil if there is none.
func Decide(claim corev1.PersistentVolumeClaim, volume *corev1.PersistentVolume, classes []coffer.SnapshotClass, r Request) Decision {
	d := Decision{Volume: describe(claim, volume)}
	skip := func(code coffer.Code, format string, args ...any) Decision {
		d.Volume.Result, d.Volume.Code, d.Volume.Reason = coffer.VolumeSkipped, code, fmt.Sprintf(format, args...)
		return d
	}
	switch excluded, policy := selection.Excluded(claim.Labels), r.Policies.skips(claim, volume); {
	case !r.Snapshots:
		return skip("", "the backup was asked for no volume data (snapshotVolumes: false)")
	case !excluded.Include:
		return d.leaveOut(excluded.Reason)
	case policy != "":
		return d.leaveOut(policy + " says skip")
	case claim.Status.Phase != corev1.ClaimBound:
		return skip(coffer.CodeClaimNotBound, "the claim is %s, not bound to a volume", phaseOf(claim))
	case volume == nil:
		return skip(coffer.CodeVolumeNotFound, "PersistentVolume %q, to which the claim is bound, does not exist", claim.Spec.VolumeName)
	case volume.Spec.CSI == nil:
		return skip(coffer.CodeSnapshotUnsupported, "PersistentVolume %q is not provided by a CSI driver, so no snapshot can be taken", volume.Name)
	}
	d.Volume.Driver = volume.Spec.CSI.Driver
	class, reason := chooseClass(claim, d.Volume.Driver, classes)
	if class == "" {
		return skip(coffer.CodeSnapshotUnsupported, "%s", reason)
	}
	d.Class, d.Volume.Result = class, coffer.VolumeCaptured
	return d
}

// leaveOut skips a volume because somebody chose to.
func (d Decision) leaveOut(reason string) Decision {
	d.LeftOut, d.Volume.Result, d.Volume.Reason = true, coffer.VolumeSkipped, reason
	return d
}

func describe(claim corev1.PersistentVolumeClaim, volume *corev1.PersistentVolume) coffer.Volume {
	v := coffer.Volume{
		Namespace: claim.Namespace, Claim: claim.Name,
		PersistentVolume: claim.Spec.VolumeName, VolumeMode: string(corev1.PersistentVolumeFilesystem),
	}
	if claim.Spec.StorageClassName != nil {
		v.StorageClass = *claim.Spec.StorageClassName
	}
	if volume != nil && volume.Spec.VolumeMode != nil {
		v.VolumeMode = string(*volume.Spec.VolumeMode)
	}
	return v
}

func phaseOf(claim corev1.PersistentVolumeClaim) string {
	if claim.Status.Phase == "" {
		return string(corev1.ClaimPending)
	}
	return string(claim.Status.Phase)
}

// chooseClass prefers the class that the claim names, then the driver's default class, then its first by name: the
// order is fixed, so that each backup uses the same.
func chooseClass(claim corev1.PersistentVolumeClaim, driver string, classes []coffer.SnapshotClass) (class, reason string) {
	ofDriver := slices.DeleteFunc(slices.Clone(classes), func(c coffer.SnapshotClass) bool { return c.Driver != driver })
	if len(ofDriver) == 0 {
		return "", fmt.Sprintf("there is no VolumeSnapshotClass for CSI driver %q: the driver takes no snapshots, or the class is missing", driver)
	}
	if wanted := claim.Annotations[classAnnotation]; wanted != "" {
		for _, c := range ofDriver {
			if c.Name == wanted {
				return c.Name, ""
			}
		}
		return "", fmt.Sprintf("annotation %s names class %q, which is not one of CSI driver %q", classAnnotation, wanted, driver)
	}
	slices.SortFunc(ofDriver, func(a, b coffer.SnapshotClass) int {
		if a.Default != b.Default {
			if a.Default {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return ofDriver[0].Name, ""
}
