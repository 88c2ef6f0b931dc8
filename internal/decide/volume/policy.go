package volume

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Policies decide volume by volume whether there is a snapshot of it. The first one that matches does; none matching,
// there is.
type Policies []policy

type policy struct {
	conditions v1alpha1.VolumePolicyConditions
	// least and most bound the capacity, both included; nil is no bound.
	least, most *resource.Quantity
	skip        bool
	// text says what the policy is, for reasons.
	text string
}

// ParsePolicies reads the policies of a backup.
func ParsePolicies(from []v1alpha1.VolumePolicy) (Policies, error) {
	all := make(Policies, 0, len(from))
	for i, f := range from {
		field := fmt.Sprintf("volumePolicies[%d]", i)
		p := policy{conditions: f.Conditions, skip: f.Action.Type == v1alpha1.VolumeSkip}
		if err := p.parseCapacity(field); err != nil {
			return nil, err
		}
		for _, phase := range f.Conditions.PVCPhase {
			if !slices.Contains([]string{"Pending", "Bound", "Lost"}, string(phase)) {
				return nil, coffer.Errorf(coffer.CodeInvalid, "%s: pvcPhase %q is not a phase of claims", field, phase).
					WithHint("write Pending, Bound or Lost")
			}
		}
		if f.Action.Type != v1alpha1.VolumeSkip && f.Action.Type != v1alpha1.VolumeSnapshot {
			return nil, coffer.Errorf(coffer.CodeInvalid, "%s: action type %q is not known", field, f.Action.Type).
				WithHint("write snapshot or skip")
		}
		conditions := p.describe()
		if conditions == "" && i < len(from)-1 {
			return nil, coffer.Errorf(coffer.CodeInvalid, "%s has no conditions: it matches every volume, and those after it are never reached", field).
				WithHint("give it a condition, or make it the last")
		}
		p.text = field
		if conditions != "" {
			p.text += " (" + conditions + ")"
		}
		all = append(all, p)
	}
	return all, nil
}

func (p *policy) parseCapacity(field string) error {
	text := p.conditions.Capacity
	if text == "" {
		return nil
	}
	refuse := func(problem string) error {
		return coffer.Errorf(coffer.CodeInvalid, "%s: capacity %q: %s", field, text, problem).
			WithHint(`write "MIN,MAX", as in "1Gi,100Gi"; either may be left out`)
	}
	least, most, found := strings.Cut(text, ",")
	if !found {
		return refuse("there is no comma between the least and the most")
	}
	for _, bound := range []struct {
		text string
		into **resource.Quantity
	}{{least, &p.least}, {most, &p.most}} {
		if bound.text = strings.TrimSpace(bound.text); bound.text == "" {
			continue
		}
		q, err := resource.ParseQuantity(bound.text)
		if err != nil || q.Sign() < 0 {
			return refuse(fmt.Sprintf("%q is not a size", bound.text))
		}
		*bound.into = &q
	}
	switch {
	case p.least == nil && p.most == nil:
		return refuse("both bounds are missing")
	case p.least != nil && p.most != nil && p.least.Cmp(*p.most) > 0:
		return refuse("the least is more than the most")
	}
	return nil
}

// describe lists the conditions.
func (p *policy) describe() string {
	var parts []string
	c := p.conditions
	if c.Capacity != "" {
		parts = append(parts, "capacity "+c.Capacity)
	}
	if len(c.StorageClass) > 0 {
		parts = append(parts, "storageClass "+strings.Join(c.StorageClass, " or "))
	}
	if c.CSI != nil {
		parts = append(parts, "csi driver "+c.CSI.Driver)
	}
	if len(c.PVCLabels) > 0 {
		var labels []string
		for k, v := range c.PVCLabels {
			labels = append(labels, k+"="+string(v))
		}
		slices.Sort(labels)
		parts = append(parts, "pvcLabels "+strings.Join(labels, " and "))
	}
	if len(c.PVCPhase) > 0 {
		var phases []string
		for _, phase := range c.PVCPhase {
			phases = append(phases, string(phase))
		}
		parts = append(parts, "pvcPhase "+strings.Join(phases, " or "))
	}
	return strings.Join(parts, ", ")
}

// skips names the policy by which a claim's volume is left out, or nothing.
func (all Policies) skips(claim corev1.PersistentVolumeClaim, volume *corev1.PersistentVolume) string {
	for _, p := range all {
		if !p.matches(claim, volume) {
			continue
		}
		if p.skip {
			return p.text
		}
		return ""
	}
	return ""
}

func (p *policy) matches(claim corev1.PersistentVolumeClaim, volume *corev1.PersistentVolume) bool {
	c := p.conditions
	if p.least != nil || p.most != nil {
		size := sizeOf(claim, volume)
		if p.least != nil && size.Cmp(*p.least) < 0 || p.most != nil && size.Cmp(*p.most) > 0 {
			return false
		}
	}
	if len(c.StorageClass) > 0 && !slices.Contains(c.StorageClass, classOf(claim, volume)) {
		return false
	}
	if c.CSI != nil && (volume == nil || volume.Spec.CSI == nil || volume.Spec.CSI.Driver != c.CSI.Driver) {
		return false
	}
	for k, v := range c.PVCLabels {
		if have, labelled := claim.Labels[k]; !labelled || have != string(v) {
			return false
		}
	}
	return len(c.PVCPhase) == 0 || slices.Contains(c.PVCPhase, v1alpha1.VolumeClaimPhase(phaseOf(claim)))
}

// sizeOf is what the volume has, or what the claim asks for while it has none.
func sizeOf(claim corev1.PersistentVolumeClaim, volume *corev1.PersistentVolume) resource.Quantity {
	if volume != nil {
		return volume.Spec.Capacity[corev1.ResourceStorage]
	}
	return claim.Spec.Resources.Requests[corev1.ResourceStorage]
}

func classOf(claim corev1.PersistentVolumeClaim, volume *corev1.PersistentVolume) string {
	switch {
	case claim.Spec.StorageClassName != nil:
		return *claim.Spec.StorageClassName
	case volume != nil:
		return volume.Spec.StorageClassName
	}
	return ""
}
