package flow

import (
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	goodRule = `{version: v1, resourceModifierRules: [{conditions: {groupResource: configmaps}, mergePatches: [{patchData: "data: {a: c}"}]}]}`
	badRule  = `{version: v1, resourceModifierRules: [{conditions: {groupResource: configmaps}, patches: [{operation: remove, path: /data/none}]}]}`
)

func TestADiffShowsWhatUsersChange(t *testing.T) {
	w := newPlannedShop(t)
	planned(t, w, modifiedBy(w, goodRule))
	items, err := diff(t, w)
	if got := items[settings]; err != nil || data(t, got.Result) != "map[a:c]" || data(t, got.Backup) != "map[a:b]" || len(got.Notes) > 0 {
		t.Errorf("%v, %+v", err, got)
	}
	modifiedBy(w, badRule)
	if _, err := diff(t, w); coffer.CodeOf(err) != coffer.CodeInvalid || !strings.Contains(err.Error(), "was changed") {
		t.Errorf("with other rules than those of the plan: %v", err)
	}
	planned(t, w, modifiedBy(w, badRule))
	items, err = diff(t, w)
	if got := items[settings]; err != nil || data(t, got.Result) != "map[a:b]" || !strings.Contains(strings.Join(got.Notes, ";"), "is not applied") {
		t.Errorf("%v, %+v", err, got)
	}
}

// Whoever has agreed to a plan has seen what the rules make of the objects.
func TestAPlanIsAnotherOneWithOtherModifiers(t *testing.T) {
	w := newPlannedShop(t)
	change := modifiedBy(w, goodRule)
	agreed := planned(t, w, change).Status.Plan.Digest
	named := func(s *v1alpha1.RestoreSpec) { s.PlanDigest = agreed }
	modifiedBy(w, badRule)
	if r := restoreOnce(t, w, change, named); r.Status.Reason != string(coffer.CodePlanChanged) || !strings.Contains(r.Status.Message, "resourceModifierReference") {
		t.Errorf("phase %s: %s: %s", r.Status.Phase, r.Status.Reason, r.Status.Message)
	}
	modifiedBy(w, goodRule)
	if r := restoreOnce(t, w, change, named); !r.Status.Phase.Succeeded() {
		t.Errorf("phase %s: %s", r.Status.Phase, r.Status.Message)
	}
}
