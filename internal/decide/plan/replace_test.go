package plan

import (
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestNothingIsReplacedThatNothingCanBePutInPlaceOf(t *testing.T) {
	claim := coffer.ObjectRef{GroupResource: claims, Namespace: "shop", Name: "data"}
	for name, c := range map[string]struct {
		volume  *coffer.Volume
		action  Action
		warning coffer.Code
	}{
		"a claim with a snapshot":    {&coffer.Volume{}, Replace, ""},
		"a claim without a snapshot": {nil, Skip, coffer.CodeVolumeRestoredEmpty},
	} {
		t.Run(name, func(t *testing.T) {
			p := Plan{Steps: []Step{{Target: claim, Action: Create, Policy: ReplaceExisting, Volume: c.volume}}, Namespaces: []string{"shop"}}
			have := Inventory{Objects: map[coffer.ObjectRef]Live{
				{GroupResource: namespaces, Name: "shop"}: {UID: "n"}, claim: {UID: "u"},
			}}
			s := p.Against(have).Steps[0]
			if s.Action != c.action || s.Warning != c.warning || s.UID != "u" || s.Reason == "" {
				t.Errorf("%+v", s)
			}
		})
	}
}
