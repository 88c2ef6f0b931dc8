package plan

import (
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

func TestVolumesThatOutliveTheirClaimsAreRestoredAsTheyWere(t *testing.T) {
	volume := func(policy string) map[string]any {
		return map[string]any{"spec": map[string]any{
			"persistentVolumeReclaimPolicy": policy, "claimRef": map[string]any{"namespace": "shop", "name": "data", "uid": "old"},
		}}
	}
	captured := []coffer.Volume{{Namespace: "shop", Claim: "data", Result: coffer.VolumeCaptured, Driver: "d", Handle: "h"}}
	for name, tt := range map[string]struct {
		policy  string
		volumes []coffer.Volume
		request Request
		// kept says that the volume is restored, and why says why not.
		kept bool
		why  string
	}{
		"retained, without a snapshot": {policy: "Retain", request: whole(), kept: true},
		"retained, of one namespace": {policy: "Retain", request: Request{
			Config: selection.Config{Rules: selection.Rules{Included: []string{"shop"}}}, VolumeData: true,
		}, kept: true},
		"retained, with a snapshot": {policy: "Retain", volumes: captured, request: whole(), why: "a volume of its own"},
		"deleted with its claim":    {policy: "Delete", request: whole(), why: "a volume of its own"},
		"into another namespace": {policy: "Retain", request: Request{
			Config: selection.Config{Rules: selection.Rules{ClusterScope: selection.ClusterScopeAll}}, VolumeData: true, Mappings: map[string]string{"shop": "copy"},
		}, why: "must not share its storage"},
		"without volume data": {policy: "Retain", request: Request{
			Config: selection.Config{Rules: selection.Rules{ClusterScope: selection.ClusterScopeAll}},
		}, why: "no volume data"},
		"without its claim": {policy: "Retain", request: Request{
			Config: selection.Config{Rules: selection.Rules{ClusterScope: selection.ClusterScopeAll}, ExcludedTypes: []string{"persistentvolumeclaims"}}, VolumeData: true,
		}, why: "its claim is not restored"},
	} {
		t.Run(name, func(t *testing.T) {
			claim := object(t, "persistentvolumeclaims", "shop", "data", map[string]any{"spec": map[string]any{"volumeName": "pv-1"}})
			pv := object(t, "persistentvolumes", "", "pv-1", volume(tt.policy))
			items := []Item{object(t, "namespaces", "", "shop", nil), claim, pv}
			p := mustMake(t, items, tt.volumes, tt.request)
			var ofVolume, ofClaim *Step
			for i, s := range p.Steps {
				switch s.Target.GroupResource {
				case persistentVolumes:
					ofVolume = &p.Steps[i]
				case claims:
					ofClaim = &p.Steps[i]
				}
			}
			if ofVolume == nil {
				t.Fatalf("the plan does not name the volume: %+v", p)
			}
			if kept := ofVolume.Action == Create; kept != tt.kept || !strings.Contains(ofVolume.Reason, tt.why) {
				t.Errorf("the volume: %s: %s", ofVolume.Action, ofVolume.Reason)
			}
			if ofClaim == nil {
				return
			}
			if kept := ofClaim.KeptVolume == "pv-1"; kept != tt.kept || kept != (ofClaim.Warning == coffer.CodeVolumeKept) {
				t.Errorf("the claim: %+v", ofClaim)
			}
			if tt.kept && ofVolume.Order >= ofClaim.Order {
				t.Error("the claim comes before its volume")
			}
			for _, s := range p.Against(existing(claim)).Steps {
				if s.Target.GroupResource == claims && (s.KeptVolume != "" || s.Warning == coffer.CodeVolumeKept) {
					t.Errorf("a claim that exists: %+v", s)
				}
			}
		})
	}
}

// A volume that was released stays behind with the name of the claim that it once had.
func TestAVolumeOfAnEarlierClaimOfTheNameIsNotBoundAgain(t *testing.T) {
	volume := func(name string) Item {
		return object(t, "persistentvolumes", "", name, map[string]any{"spec": map[string]any{
			"persistentVolumeReclaimPolicy": "Retain", "claimRef": map[string]any{"namespace": "shop", "name": "data"},
		}})
	}
	claim := object(t, "persistentvolumeclaims", "shop", "data", map[string]any{"spec": map[string]any{"volumeName": "now"}})
	for _, items := range [][]Item{{claim, volume("now"), volume("once")}, {volume("once"), volume("now"), claim}} {
		steps := stepsByName(mustMake(t, items, nil, whole()))
		if s := steps[claim.String()]; s.KeptVolume != "now" {
			t.Errorf("the claim is bound to %q: %s", s.KeptVolume, s.Reason)
		}
		if s := steps["persistentvolumes now"]; s.Action != Create {
			t.Errorf("its volume: %+v", s)
		}
		if s := steps["persistentvolumes once"]; s.Action != Skip || !strings.Contains(s.Reason, "its claim is bound to another volume, now") {
			t.Errorf("the other one: %+v", s)
		}
	}
}
