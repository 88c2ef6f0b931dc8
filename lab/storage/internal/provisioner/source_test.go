package provisioner

import (
	"strings"
	"testing"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const testDriver = "lab.csi.coffer.dev"

func ptr[T any](v T) *T { return &v }

// newClaim is a claim for 1 GiB, changed by modify.
func newClaim(modify ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: "shop", UID: "claim-uid"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			},
		},
	}
	for _, change := range modify {
		change(claim)
	}
	return claim
}

func withMode(mode corev1.PersistentVolumeMode) func(*corev1.PersistentVolumeClaim) {
	return func(claim *corev1.PersistentVolumeClaim) { claim.Spec.VolumeMode = &mode }
}

func withSize(size string) func(*corev1.PersistentVolumeClaim) {
	return func(claim *corev1.PersistentVolumeClaim) {
		claim.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse(size)
	}
}

// newSnapshot is a snapshot of 1 GiB that is ready and bound to the content.
func newSnapshot() (*snapshotv1.VolumeSnapshot, *snapshotv1.VolumeSnapshotContent) {
	snapshot := &snapshotv1.VolumeSnapshot{
		ObjectMeta: metav1.ObjectMeta{Name: "snap", Namespace: "shop", UID: "snap-uid"},
		Status: &snapshotv1.VolumeSnapshotStatus{
			BoundVolumeSnapshotContentName: ptr("content"),
			ReadyToUse:                     ptr(true),
			RestoreSize:                    ptr(resource.MustParse("1Gi")),
		},
	}
	content := &snapshotv1.VolumeSnapshotContent{
		ObjectMeta: metav1.ObjectMeta{Name: "content"},
		Spec: snapshotv1.VolumeSnapshotContentSpec{
			Driver:            testDriver,
			VolumeSnapshotRef: corev1.ObjectReference{Namespace: "shop", Name: "snap", UID: "snap-uid"},
			SourceVolumeMode:  ptr(corev1.PersistentVolumeFilesystem),
		},
		Status: &snapshotv1.VolumeSnapshotContentStatus{SnapshotHandle: ptr("snap-1")},
	}
	return snapshot, content
}

// mustFailWith checks an error against the words it must contain, or that there is none for "".
func mustFailWith(t *testing.T, err error, words string) {
	t.Helper()
	switch {
	case words == "" && err != nil:
		t.Errorf("unexpected error: %v", err)
	case words != "" && err == nil:
		t.Errorf("no error, want one with %q", words)
	case words != "" && !strings.Contains(err.Error(), words):
		t.Errorf("error %q does not say %q", err, words)
	}
}

func TestCheckSnapshot(t *testing.T) {
	for name, test := range map[string]struct {
		claim  *corev1.PersistentVolumeClaim
		modify func(*snapshotv1.VolumeSnapshot, *snapshotv1.VolumeSnapshotContent)
		want   string
	}{
		"a ready snapshot of the same driver can be restored": {},
		"a larger claim can be restored":                      {claim: newClaim(withSize("3Gi"))},
		"a smaller claim cannot": {
			claim: newClaim(withSize("1023Mi")), want: "requested size 1023Mi is less than the 1Gi of its source, snapshot snap"},
		"an unknown restore size is left to the driver": {
			claim:  newClaim(withSize("1Mi")),
			modify: func(s *snapshotv1.VolumeSnapshot, _ *snapshotv1.VolumeSnapshotContent) { s.Status.RestoreSize = nil }},
		"one that is being deleted cannot": {
			modify: func(s *snapshotv1.VolumeSnapshot, _ *snapshotv1.VolumeSnapshotContent) {
				s.DeletionTimestamp = ptr(metav1.Now())
			}, want: "is being deleted"},
		"one that is not ready cannot": {
			modify: func(s *snapshotv1.VolumeSnapshot, _ *snapshotv1.VolumeSnapshotContent) {
				s.Status.ReadyToUse = ptr(false)
			}, want: "not ready"},
		"one that does not say whether it is ready cannot": {
			modify: func(s *snapshotv1.VolumeSnapshot, _ *snapshotv1.VolumeSnapshotContent) { s.Status.ReadyToUse = nil }, want: "not ready"},
		"a content of another snapshot cannot": {
			modify: func(_ *snapshotv1.VolumeSnapshot, c *snapshotv1.VolumeSnapshotContent) {
				c.Spec.VolumeSnapshotRef.Name = "other"
			}, want: "belongs to shop/other"},
		"a content of a snapshot in another namespace cannot": {
			modify: func(_ *snapshotv1.VolumeSnapshot, c *snapshotv1.VolumeSnapshotContent) {
				c.Spec.VolumeSnapshotRef.Namespace = "elsewhere"
			}, want: "belongs to elsewhere/snap"},
		"a content of an earlier snapshot of that name cannot": {
			modify: func(_ *snapshotv1.VolumeSnapshot, c *snapshotv1.VolumeSnapshotContent) {
				c.Spec.VolumeSnapshotRef.UID = "earlier"
			}, want: "uid earlier"},
		"one of another driver cannot": {
			modify: func(_ *snapshotv1.VolumeSnapshot, c *snapshotv1.VolumeSnapshotContent) { c.Spec.Driver = "ebs" },
			want:   "taken by driver ebs"},
		"one without a handle cannot": {
			modify: func(_ *snapshotv1.VolumeSnapshot, c *snapshotv1.VolumeSnapshotContent) { c.Status = nil },
			want:   "no handle"},
		"another volume mode cannot": {
			claim: newClaim(withMode(corev1.PersistentVolumeBlock)), want: "modifies the mode"},
	} {
		t.Run(name, func(t *testing.T) {
			snapshot, content := newSnapshot()
			if test.modify != nil {
				test.modify(snapshot, content)
			}
			claim := test.claim
			if claim == nil {
				claim = newClaim()
			}
			handle, err := checkSnapshot(claim, testDriver, snapshot, content)
			mustFailWith(t, err, test.want)
			if (err == nil) != (handle == "snap-1") {
				t.Errorf("handle %q with error %v", handle, err)
			}
		})
	}
}

func TestCheckMode(t *testing.T) {
	const refused = "does not have permission"
	filesystem, block := corev1.PersistentVolumeFilesystem, corev1.PersistentVolumeBlock
	for name, test := range map[string]struct {
		source     *corev1.PersistentVolumeMode
		claim      *corev1.PersistentVolumeMode
		annotation *string
		want       string
	}{
		"the same mode is allowed":                                   {source: &block, claim: &block},
		"an unset mode means filesystem":                             {source: &filesystem},
		"filesystem as block is refused":                             {source: &filesystem, claim: &block, want: refused},
		"block as filesystem is refused":                             {source: &block, claim: &filesystem, want: refused},
		"block as an unset mode is refused":                          {source: &block, want: refused},
		"an unknown source mode is allowed":                          {claim: &block},
		"the annotation allows it":                                   {source: &block, claim: &filesystem, annotation: ptr("true")},
		"the annotation must be true":                                {source: &block, claim: &filesystem, annotation: ptr("false"), want: refused},
		"the annotation is not read loosely":                         {source: &block, claim: &filesystem, annotation: ptr("True"), want: refused},
		"the annotation does no harm where nothing is to be allowed": {source: &block, claim: &block, annotation: ptr("false")},
	} {
		t.Run(name, func(t *testing.T) {
			claim := newClaim()
			claim.Spec.VolumeMode = test.claim
			_, content := newSnapshot()
			content.Spec.SourceVolumeMode = test.source
			if test.annotation != nil {
				content.Annotations = map[string]string{"snapshot.storage.kubernetes.io/allow-volume-mode-change": *test.annotation}
			}
			mustFailWith(t, checkMode(claim, content), test.want)
		})
	}
}

func TestCheckClone(t *testing.T) {
	for name, test := range map[string]struct {
		claim  *corev1.PersistentVolumeClaim
		modify func(*corev1.PersistentVolumeClaim, *corev1.PersistentVolume)
		want   string
	}{
		"a bound claim of the same driver can be copied": {},
		"into a larger one": {claim: newClaim(withSize("2Gi"))},
		"not into a smaller one": {
			claim: newClaim(withSize("512Mi")), want: "requested size 512Mi is less than the 1Gi of its source, claim original"},
		"not into another volume mode": {
			claim: newClaim(withMode(corev1.PersistentVolumeBlock)), want: "has volume mode Filesystem, not Block"},
		"not while it is being deleted": {
			modify: func(c *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) {
				c.DeletionTimestamp = ptr(metav1.Now())
			},
			want: "is being deleted"},
		"not when it lost its volume": {
			modify: func(c *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) { c.Status.Phase = corev1.ClaimLost },
			want:   "is Lost, not Bound"},
		"not when the volume is another claim's": {
			modify: func(_ *corev1.PersistentVolumeClaim, v *corev1.PersistentVolume) { v.Spec.ClaimRef.UID = "other" },
			want:   "belongs to another claim"},
		"not of another driver": {
			modify: func(_ *corev1.PersistentVolumeClaim, v *corev1.PersistentVolume) { v.Spec.CSI.Driver = "ebs" },
			want:   "not a volume of driver"},
		"not of no CSI driver at all": {
			modify: func(_ *corev1.PersistentVolumeClaim, v *corev1.PersistentVolume) { v.Spec.CSI = nil },
			want:   "not a volume of driver"},
	} {
		t.Run(name, func(t *testing.T) {
			source := newClaim()
			source.Name, source.UID, source.Status.Phase = "original", "original-uid", corev1.ClaimBound
			volume := &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{
				Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
				ClaimRef: &corev1.ObjectReference{UID: "original-uid"},
				PersistentVolumeSource: corev1.PersistentVolumeSource{
					CSI: &corev1.CSIPersistentVolumeSource{Driver: testDriver, VolumeHandle: "vol-1"},
				},
			}}
			if test.modify != nil {
				test.modify(source, volume)
			}
			claim := test.claim
			if claim == nil {
				claim = newClaim()
			}
			handle, err := checkClone(claim, testDriver, source, volume)
			mustFailWith(t, err, test.want)
			if (err == nil) != (handle == "vol-1") {
				t.Errorf("handle %q with error %v", handle, err)
			}
		})
	}
}

func TestSourceOf(t *testing.T) {
	for name, test := range map[string]struct {
		source *corev1.TypedLocalObjectReference
		ref    *corev1.TypedObjectReference
		want   sourceKind
		errors string
	}{
		"no source is a blank volume": {want: blank},
		"a snapshot": {
			source: &corev1.TypedLocalObjectReference{APIGroup: ptr("snapshot.storage.k8s.io"), Kind: "VolumeSnapshot", Name: "s"}, want: fromSnapshot},
		"a snapshot by reference": {
			ref: &corev1.TypedObjectReference{APIGroup: ptr("snapshot.storage.k8s.io"), Kind: "VolumeSnapshot", Name: "s"}, want: fromSnapshot},
		"a snapshot of the claim's own namespace": {
			ref: &corev1.TypedObjectReference{APIGroup: ptr("snapshot.storage.k8s.io"), Kind: "VolumeSnapshot", Name: "s", Namespace: ptr("shop")}, want: fromSnapshot},
		"a snapshot of another namespace": {
			ref:    &corev1.TypedObjectReference{APIGroup: ptr("snapshot.storage.k8s.io"), Kind: "VolumeSnapshot", Name: "s", Namespace: ptr("other")},
			errors: "must be in the claim's", want: fromOther},
		"a claim": {
			source: &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "c"}, want: fromClaim},
		"a claim with an empty group": {
			source: &corev1.TypedLocalObjectReference{APIGroup: ptr(""), Kind: "PersistentVolumeClaim", Name: "c"}, want: fromClaim},
		"a populator's own kind": {
			ref: &corev1.TypedObjectReference{APIGroup: ptr("hello.example"), Kind: "Hello", Name: "h"}, want: fromOther},
		"a kind of the right name in the wrong group": {
			ref: &corev1.TypedObjectReference{APIGroup: ptr("other.example"), Kind: "VolumeSnapshot", Name: "s"}, want: fromOther},
	} {
		t.Run(name, func(t *testing.T) {
			claim := newClaim()
			claim.Spec.DataSource, claim.Spec.DataSourceRef = test.source, test.ref
			got, _, err := sourceOf(claim)
			mustFailWith(t, err, test.errors)
			if got != test.want {
				t.Errorf("got kind %d, want %d", got, test.want)
			}
		})
	}
}
