package volume

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func newPolicy(action v1alpha1.VolumeAction, conditions v1alpha1.VolumePolicyConditions) v1alpha1.VolumePolicy {
	return v1alpha1.VolumePolicy{Conditions: conditions, Action: v1alpha1.VolumePolicyAction{Type: action}}
}

func TestPolicies(t *testing.T) {
	fast := "fast"
	claim := newClaim(func(c *corev1.PersistentVolumeClaim) {
		c.Spec.StorageClassName, c.Labels = &fast, map[string]string{"tier": "cache", "app": "web"}
	})
	pending := newClaim(func(c *corev1.PersistentVolumeClaim) {
		c.Status.Phase = ""
		c.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("5Gi")}
	})
	disk := newVolume("disk")
	disk.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}
	skip := func(c v1alpha1.VolumePolicyConditions) []v1alpha1.VolumePolicy {
		return []v1alpha1.VolumePolicy{newPolicy(v1alpha1.VolumeSkip, c)}
	}
	type conditions = v1alpha1.VolumePolicyConditions
	for _, tt := range []struct {
		name     string
		claim    corev1.PersistentVolumeClaim
		volume   *corev1.PersistentVolume
		policies []v1alpha1.VolumePolicy
		skipped  string
	}{
		{"no policy", claim, disk, nil, ""},
		{"no condition matches all", claim, disk, skip(conditions{}), "volumePolicies[0] says skip"},
		{"the capacity, from below", claim, disk, skip(conditions{Capacity: "10Gi,"}), "volumePolicies[0] (capacity 10Gi,) says skip"},
		{"the capacity, from above", claim, disk, skip(conditions{Capacity: ",10Gi"}), "capacity ,10Gi"},
		{"the capacity, in other units", claim, disk, skip(conditions{Capacity: "10737418240 , 10Ti"}), "capacity"},
		{"a lesser capacity", claim, disk, skip(conditions{Capacity: "11Gi,100Gi"}), ""},
		{"a greater capacity", claim, disk, skip(conditions{Capacity: "0,9.9Gi"}), ""},
		{"the capacity that an unbound claim asks for", pending, nil, skip(conditions{Capacity: "5Gi,5Gi"}), "capacity"},
		{"the storage class", claim, disk, skip(conditions{StorageClass: []string{"slow", "fast"}}), "storageClass slow or fast"},
		{"another storage class", claim, disk, skip(conditions{StorageClass: []string{"slow"}}), ""},
		{"the driver", claim, disk, skip(conditions{CSI: &v1alpha1.VolumePolicyCSI{Driver: "disk"}}), "csi driver disk"},
		{"another driver", claim, disk, skip(conditions{CSI: &v1alpha1.VolumePolicyCSI{Driver: "file"}}), ""},
		{"the driver of no volume", pending, nil, skip(conditions{CSI: &v1alpha1.VolumePolicyCSI{Driver: "disk"}}), ""},
		{"the labels", claim, disk, skip(conditions{PVCLabels: map[string]v1alpha1.VolumeLabelValue{"tier": "cache", "app": "web"}}), "pvcLabels app=web and tier=cache"},
		{"one of the labels", claim, disk, skip(conditions{PVCLabels: map[string]v1alpha1.VolumeLabelValue{"tier": "cache", "app": "db"}}), ""},
		{"a label that is not there", claim, disk, skip(conditions{PVCLabels: map[string]v1alpha1.VolumeLabelValue{"none": ""}}), ""},
		{"the phase", pending, nil, skip(conditions{PVCPhase: []v1alpha1.VolumeClaimPhase{"Lost", "Pending"}}), "pvcPhase Lost or Pending"},
		{"another phase", claim, disk, skip(conditions{PVCPhase: []v1alpha1.VolumeClaimPhase{"Pending"}}), ""},
		{"all conditions have to match", claim, disk, skip(conditions{Capacity: "1Gi,", StorageClass: []string{"slow"}}), ""},
		{
			"the first that matches decides", claim, disk,
			append([]v1alpha1.VolumePolicy{newPolicy(v1alpha1.VolumeSnapshot, conditions{StorageClass: []string{"fast"}})}, skip(conditions{})...), "",
		},
		{
			"one that does not match decides nothing", claim, disk,
			append([]v1alpha1.VolumePolicy{newPolicy(v1alpha1.VolumeSnapshot, conditions{StorageClass: []string{"slow"}})}, skip(conditions{})...), "volumePolicies[1] says skip",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			policies, err := ParsePolicies(tt.policies)
			if err != nil {
				t.Fatal(err)
			}
			d := Decide(tt.claim, tt.volume, []coffer.SnapshotClass{{Name: "a", Driver: "disk"}}, Request{Snapshots: true, Policies: policies})
			if d.LeftOut != (tt.skipped != "") || d.LeftOut && (!strings.Contains(d.Volume.Reason, tt.skipped) || d.Volume.Code != "" || d.Volume.Result != coffer.VolumeSkipped) {
				t.Errorf("Decide = %+v, want skipped by %q", d, tt.skipped)
			}
		})
	}
}

func TestPoliciesThatAreNoneAreRefused(t *testing.T) {
	for text, p := range map[string]v1alpha1.VolumePolicy{
		"no comma":                       newPolicy(v1alpha1.VolumeSkip, v1alpha1.VolumePolicyConditions{Capacity: "10Gi"}),
		`"tenGi" is not a size`:          newPolicy(v1alpha1.VolumeSkip, v1alpha1.VolumePolicyConditions{Capacity: "tenGi,"}),
		`"-1" is not a size`:             newPolicy(v1alpha1.VolumeSkip, v1alpha1.VolumePolicyConditions{Capacity: "-1,1"}),
		"both bounds are missing":        newPolicy(v1alpha1.VolumeSkip, v1alpha1.VolumePolicyConditions{Capacity: ","}),
		"least is more than the most":    newPolicy(v1alpha1.VolumeSkip, v1alpha1.VolumePolicyConditions{Capacity: "2Gi,1Gi"}),
		"1Gi,2Gi,3Gi":                    newPolicy(v1alpha1.VolumeSkip, v1alpha1.VolumePolicyConditions{Capacity: "1Gi,2Gi,3Gi"}),
		`action type "fs-backup"`:        newPolicy("fs-backup", v1alpha1.VolumePolicyConditions{}),
		`pvcPhase "Broken"`:              newPolicy(v1alpha1.VolumeSkip, v1alpha1.VolumePolicyConditions{PVCPhase: []v1alpha1.VolumeClaimPhase{"Broken"}}),
		"volumePolicies[0]: action type": newPolicy("", v1alpha1.VolumePolicyConditions{}),
	} {
		if _, err := ParsePolicies([]v1alpha1.VolumePolicy{p}); coffer.CodeOf(err) != coffer.CodeInvalid || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: %v, want %q", p, err, text)
		}
	}
	all := newPolicy(v1alpha1.VolumeSkip, v1alpha1.VolumePolicyConditions{})
	if _, err := ParsePolicies([]v1alpha1.VolumePolicy{all, all}); coffer.CodeOf(err) != coffer.CodeInvalid {
		t.Errorf("a policy that is never reached: %v", err)
	}
}
