package volume

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func newClaim(change ...func(*corev1.PersistentVolumeClaim)) corev1.PersistentVolumeClaim {
	claim := corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data"},
		Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "pv"},
		Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
	}
	for _, c := range change {
		c(&claim)
	}
	return claim
}

func newVolume(driver string) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv"}}
	if driver != "" {
		v.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: driver}
	}
	return v
}

func TestDecide(t *testing.T) {
	classes := []coffer.SnapshotClass{
		{Name: "z", Driver: "disk"}, {Name: "a", Driver: "disk"}, {Name: "preferred", Driver: "file", Default: true}, {Name: "b", Driver: "file"},
	}
	annotate := func(class string) func(*corev1.PersistentVolumeClaim) {
		return func(c *corev1.PersistentVolumeClaim) { c.Annotations = map[string]string{classAnnotation: class} }
	}
	for _, tt := range []struct {
		name   string
		claim  corev1.PersistentVolumeClaim
		volume *corev1.PersistentVolume
		off    bool
		class  string
		code   coffer.Code
		reason string
	}{
		{name: "the driver's first class by name", claim: newClaim(), volume: newVolume("disk"), class: "a"},
		{name: "the driver's default class before others", claim: newClaim(), volume: newVolume("file"), class: "preferred"},
		{name: "the class that the claim names", claim: newClaim(annotate("z")), volume: newVolume("disk"), class: "z"},
		{name: "a class of another driver is not taken", claim: newClaim(annotate("b")), volume: newVolume("disk"), code: coffer.CodeSnapshotUnsupported, reason: `"b"`},
		{name: "a driver without a class", claim: newClaim(), volume: newVolume("nosnap"), code: coffer.CodeSnapshotUnsupported, reason: "nosnap"},
		{name: "not a CSI volume", claim: newClaim(), volume: newVolume(""), code: coffer.CodeSnapshotUnsupported, reason: "not provided by a CSI driver"},
		{name: "an unbound claim", claim: newClaim(func(c *corev1.PersistentVolumeClaim) { c.Status.Phase = "" }), code: coffer.CodeClaimNotBound, reason: "Pending"},
		{name: "a lost volume", claim: newClaim(), code: coffer.CodeVolumeNotFound, reason: `"pv"`},
		{name: "asked for no data: no warning", claim: newClaim(), volume: newVolume("disk"), off: true, reason: "snapshotVolumes"},
		{
			name: "the label that leaves it out: no warning",
			claim: newClaim(func(c *corev1.PersistentVolumeClaim) {
				c.Labels = map[string]string{"velero.io/exclude-from-backup": "true"}
			}),
			volume: newVolume("disk"), reason: "exclude-from-backup",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := Decide(tt.claim, tt.volume, classes, Request{Snapshots: !tt.off})
			if d.Class != tt.class || d.Volume.Code != tt.code || !strings.Contains(d.Volume.Reason, tt.reason) {
				t.Errorf("Decide = %+v, want class %q, code %q, reason with %q", d, tt.class, tt.code, tt.reason)
			}
			if captured := d.Volume.Result == coffer.VolumeCaptured; captured != (tt.class != "") {
				t.Errorf("result = %s with class %q", d.Volume.Result, d.Class)
			}
		})
	}
}
