package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// existing is an inventory of a cluster that has these objects.
func existing(objects ...Item) Inventory {
	inv := Inventory{Objects: map[coffer.ObjectRef]Live{}}
	for _, o := range objects {
		inv.Objects[o.ObjectRef] = Live{UID: "live " + o.String()}
		if o.Namespace != "" {
			inv.Objects[coffer.ObjectRef{GroupResource: namespaces, Name: o.Namespace}] = Live{UID: "live " + o.Namespace}
		}
	}
	return inv
}

func stepsByName(p Plan) map[string]Step {
	steps := map[string]Step{}
	for _, s := range p.Steps {
		steps[s.Target.String()] = s
	}
	return steps
}

func TestARestoreDoesNotDeleteWhatItRunsBy(t *testing.T) {
	items := []Item{
		object(t, "clusterroles.rbac.authorization.k8s.io", "", "r", nil), object(t, "clusterrolebindings.rbac.authorization.k8s.io", "", "b", nil),
		object(t, "roles.rbac.authorization.k8s.io", "shop", "r", nil), object(t, "rolebindings.rbac.authorization.k8s.io", "shop", "b", nil),
		object(t, "deployments.apps", "coffer", "coffer-extension", nil), object(t, "persistentvolumeclaims", "coffer", "storage", nil),
		object(t, "deployments.apps", "shop", "web", nil),
	}
	r := whole()
	r.Policy, r.Extension = ReplaceExisting, "coffer"
	for name, s := range stepsByName(mustMake(t, items, nil, r).Against(existing(items...))) {
		if want := name == "deployments.apps shop/web"; (s.Action == Replace) != want || s.Action == Create {
			t.Errorf("%s: %s", name, s.Action)
		}
	}
}

func TestWhatExistsIsMetByItsPolicy(t *testing.T) {
	secret, account, usual := object(t, "secrets", "shop", "s", nil), object(t, "serviceaccounts", "shop", "a", nil), object(t, "serviceaccounts", "shop", "default", nil)
	claim, space := object(t, "persistentvolumeclaims", "shop", "data", nil), object(t, "namespaces", "", "shop", nil)
	definition := object(t, "customresourcedefinitions.apiextensions.k8s.io", "", "things.acme.io", nil)
	items := []Item{secret, account, usual, claim, space, definition}
	volumes := []coffer.Volume{{Namespace: "shop", Claim: "data", Result: coffer.VolumeCaptured, Handle: "h"}}
	for _, tt := range []struct {
		policy Policy
		// want are the actions on secret, account, default account, claim, namespace, definition.
		want []Action
	}{
		{"", []Action{Skip, Patch, Patch, Skip, Skip, Skip}},
		{SkipExisting, []Action{Skip, Patch, Patch, Skip, Skip, Skip}},
		{PatchExisting, []Action{Patch, Patch, Patch, Patch, Patch, Patch}},
		{ReplaceExisting, []Action{Replace, Patch, Patch, Replace, Patch, Patch}},
		{FailIfExists, []Action{Fail, Fail, Patch, Fail, Fail, Fail}},
	} {
		t.Run("policy "+string(tt.policy), func(t *testing.T) {
			r := whole()
			r.Policy = tt.policy
			draft := mustMake(t, items, volumes, r)
			fitted := draft.Against(existing(items...))
			steps := stepsByName(fitted)
			for i, item := range items {
				s := steps[item.String()]
				if s.Action != tt.want[i] || s.UID != "live "+item.String() || s.Reason == "" {
					t.Errorf("%s: %+v, want %s", item, s, tt.want[i])
				}
				if kept := s.Volume != nil; kept != (item.Name == "data" && s.Action == Replace) {
					t.Errorf("%s: volume %v", item, s.Volume)
				}
			}
			if s := steps[claim.String()]; (s.Warning != "") != (s.Action != Replace) {
				t.Errorf("a claim whose data is not restored must be a warning, and no other: %+v", s)
			}
			if err := fitted.Conflicts(); (err != nil) != (tt.policy == FailIfExists) {
				t.Errorf("Conflicts = %v", err)
			}
			if err := mustMake(t, items, volumes, r).Against(existing()).Conflicts(); err != nil {
				t.Errorf("nothing exists: %v", err)
			}
		})
	}
}

func TestAPolicyOfATypeComesBeforeThatOfAll(t *testing.T) {
	items := []Item{object(t, "secrets", "shop", "s", nil), object(t, "configmaps", "shop", "c", nil), object(t, "deployments.apps", "shop", "d", nil)}
	r := whole()
	r.Policy, r.ConfirmReplace = FailIfExists, true
	r.Policies = []TypePolicy{{"v1/secrets", SkipExisting}, {"*.apps", ReplaceExisting}, {"*", PatchExisting}, {"secrets", FailIfExists}}
	var got []Action
	for _, s := range mustMake(t, items, nil, r).Against(existing(items...)).Steps {
		got = append(got, s.Action)
	}
	if want := []Action{Skip, Patch, Replace}; !slices.Equal(got, want) {
		t.Errorf("actions %v, want %v", got, want)
	}
	r.Policies = []TypePolicy{{"secret", SkipExisting}, {"cofigmaps", SkipExisting}}
	_, warnings, err := Make(items, nil, r, everyType(items))
	if err != nil || len(warnings) != 2 || !strings.Contains(warnings[1].String(), "did you mean configmaps") {
		t.Errorf("a type that is not there: %v, %v", warnings, err)
	}
}

// What is said of a claim that is made does not hold for one that exists.
func TestOfAClaimThatExistsItIsNotSaidThatItIsEmpty(t *testing.T) {
	claim := object(t, "persistentvolumeclaims", "shop", "data", map[string]any{"spec": map[string]any{"volumeName": "pv"}})
	volume := object(t, "persistentvolumes", "", "pv", map[string]any{"spec": map[string]any{
		"persistentVolumeReclaimPolicy": "Retain", "claimRef": map[string]any{"namespace": "shop", "name": "data"},
	}})
	for _, items := range [][]Item{{claim}, {claim, volume}} {
		r := whole()
		r.Policy = PatchExisting
		s := stepsByName(mustMake(t, items, nil, r).Against(existing(claim)))[claim.String()]
		if s.Action != Patch || s.Warning != "" || s.Reason != "it exists: what differs is changed" {
			t.Errorf("%s (%s): %s", s.Action, s.Warning, s.Reason)
		}
	}
}

// Whoever restores a namespace did not ask for its classes and roles to be as they were.
func TestWhatIsOnlyNeededIsLeftAloneUnderEveryPolicy(t *testing.T) {
	class := object(t, "storageclasses.storage.k8s.io", "", "fast", nil)
	claim := object(t, "persistentvolumeclaims", "shop", "data", map[string]any{"spec": map[string]any{"storageClassName": "fast"}})
	for _, policy := range []Policy{SkipExisting, PatchExisting, ReplaceExisting, FailIfExists} {
		r := asks(selection.Rules{Included: []string{"shop"}})
		r.Policy = policy
		p := mustMake(t, []Item{class, claim}, nil, r)
		if s := stepsByName(p)[class.String()]; s.Action != Create || !strings.Contains(s.Reason, "data is of it") {
			t.Errorf("%s, and it does not exist: %+v", policy, s)
		}
		if s := stepsByName(p.Against(existing(class)))[class.String()]; s.Action != Skip {
			t.Errorf("%s, and it exists: %+v", policy, s)
		}
	}
}

func TestWhatIsGoingAwayIsNoConflict(t *testing.T) {
	secret := object(t, "secrets", "shop", "s", nil)
	r := whole()
	r.Policy = FailIfExists
	draft := mustMake(t, []Item{secret}, nil, r)
	have := existing(secret)
	have.Objects[secret.ObjectRef] = Live{UID: "u", Terminating: true}
	if s := draft.Against(have).Steps[0]; s.Action != Create || !s.Terminating || s.Unchecked != "" {
		t.Errorf("an object that is being deleted: %+v", s)
	}
	have = existing(secret)
	have.Objects[coffer.ObjectRef{GroupResource: namespaces, Name: "shop"}] = Live{UID: "n", Terminating: true}
	if s := draft.Against(have).Steps[0]; s.Action != Create || s.Unchecked == "" || s.UID != "" {
		t.Errorf("in a namespace that is being deleted: %+v", s)
	}
}

func TestWhatCannotBeKnownIsUnchecked(t *testing.T) {
	secret, class := object(t, "secrets", "shop", "s", nil), object(t, "storageclasses.storage.k8s.io", "", "fast", nil)
	draft := mustMake(t, []Item{secret, class}, nil, whole())
	steps := stepsByName(draft.Against(existing()))
	if s := steps[secret.String()]; s.Action != Create || !strings.Contains(s.Unchecked, "namespace does not exist yet") {
		t.Errorf("in a namespace that is made first: %+v", s)
	}
	if s := steps[class.String()]; s.Unchecked != "" {
		t.Errorf("what does not exist for sure: %+v", s)
	}
	have := existing(object(t, "secrets", "shop", "other", nil))
	have.UnknownFunc = func(ref coffer.ObjectRef) string {
		if ref.Resource == "secrets" {
			return "secrets may not be listed"
		}
		return ""
	}
	if s := stepsByName(draft.Against(have))[secret.String()]; s.Action != Create || s.Unchecked != "secrets may not be listed" || s.Policy != SkipExisting {
		t.Errorf("of a type that cannot be listed: %+v", s)
	}
}

func TestConflictsNameTheFirstOnes(t *testing.T) {
	var items []Item
	for i := range 12 {
		items = append(items, object(t, "secrets", "shop", fmt.Sprintf("s-%02d", i), nil))
	}
	r := whole()
	r.Policy = FailIfExists
	err := mustMake(t, items, nil, r).Against(existing(items...)).Conflicts()
	if coffer.CodeOf(err) != coffer.CodeObjectsExist || !strings.Contains(err.Error(), "secrets shop/s-00") || !strings.Contains(err.Error(), "and 7 more") {
		t.Errorf("Conflicts = %v", err)
	}
}

// Whatever exists, a plan keeps what Make has decided of the rest, and writes only what it says.
func TestAnyInventoryGivesAConsistentPlan(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same plans every time
	types := []string{"namespaces", "secrets", "serviceaccounts", "persistentvolumeclaims", "deployments.apps", "pods", "clusterroles.rbac.authorization.k8s.io"}
	for range 300 {
		var items []Item
		have := existing()
		for i := range 1 + r.IntN(20) {
			resource := types[r.IntN(len(types))]
			ns := fmt.Sprintf("ns-%d", r.IntN(3))
			if resource == "namespaces" || strings.HasPrefix(resource, "clusterroles") {
				ns = ""
			}
			items = append(items, object(t, resource, ns, fmt.Sprintf("n-%d", i), nil))
			if r.IntN(2) == 0 {
				have.Objects[items[i].ObjectRef] = Live{UID: fmt.Sprint("u", i), Terminating: r.IntN(5) == 0}
			}
			if r.IntN(2) == 0 && ns != "" {
				have.Objects[coffer.ObjectRef{GroupResource: namespaces, Name: ns}] = Live{UID: ns, Terminating: r.IntN(5) == 0}
			}
		}
		request := whole()
		request.Policy = []Policy{SkipExisting, PatchExisting, ReplaceExisting, FailIfExists}[r.IntN(4)]
		draft := mustMake(t, items, nil, request)
		before := slices.Clone(draft.Steps)
		fitted := draft.Against(have)
		if diff := cmp.Diff(before, draft.Steps); diff != "" {
			t.Fatalf("Against has changed its receiver:\n%s", diff)
		}
		if diff := cmp.Diff(fitted, draft.Against(have)); diff != "" {
			t.Fatalf("the same inventory gives another plan:\n%s", diff)
		}
		for _, s := range fitted.Steps {
			live, exists := have.Objects[s.Target]
			switch s.Action {
			case Patch, Replace, Fail:
				if !exists || s.UID != live.UID || live.Terminating || s.Reason == "" {
					t.Fatalf("%+v, live %+v", s, live)
				}
			case Create:
				if exists && !live.Terminating && s.Unchecked == "" {
					t.Fatalf("created although it exists: %+v", s)
				}
			}
			if s.Action == Replace && (s.Target.GroupResource == namespaces || s.Target.GroupResource == definitions) {
				t.Fatalf("this deletes what nobody has a copy of: %+v", s)
			}
		}
		if len(fitted.Steps) != len(items) {
			t.Fatalf("%d steps of %d items", len(fitted.Steps), len(items))
		}
	}
}
