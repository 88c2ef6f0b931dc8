// Package conflict decides what a restore does with an object that exists already.
package conflict

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
)

// Action is what is done with an object that exists.
type Action string

// The actions.
const (
	// Leave writes nothing.
	Leave Action = "leave"
	// Patch applies Decision.Patch.
	Patch Action = "patch"
	// Replace deletes the object and creates it again.
	Replace Action = "replace"
	// Fail ends the restore.
	Fail Action = "fail"
)

// Case is one object that exists, and what it would be if it were restored.
type Case struct {
	Type   coffer.GroupResource
	Policy plan.Policy
	// Live is the object as the API server has it, and Normal what transforming that would make of it: what the transformation
	// takes away from both, because the cluster allots it, is no difference.
	Live, Normal []byte
	// Desired is the transformed object of the recovery point.
	Desired []byte
}

// Decision is what to do, and why.
type Decision struct {
	Action Action
	// Reason is for a person.
	Reason string
	// Patch is the JSON merge patch that makes the live object the desired one, if that is the action.
	Patch []byte
	// Differs are the fields that differ, at most differsShown of them, and More is how many others do.
	Differs []string
	More    int
	// Kept are fields that differ and that the API server does not let anybody change: the patch leaves them out.
	Kept []Field
}

// Field is one that stays as it is, and why.
type Field struct {
	Path, Reason string
}

// String is for a warning.
func (f Field) String() string { return f.Path + " cannot be changed: " + f.Reason }

// Equal says that nothing differs but what is noise.
func (d Decision) Equal() bool { return len(d.Differs) == 0 }

// differsShown bounds the fields that a decision names.
const differsShown = 10

var (
	accounts    = coffer.GroupResource{Resource: "serviceaccounts"}
	definitions = coffer.GroupResource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}
)

// Decide compares an object that exists with what the recovery point has of it.
//
// No difference makes: status; metadata but for labels and annotations; null in place of nothing. Finalizers are among the
// metadata that stay: they are promises of the controllers that run now, and to take one away abandons what it protects.
//
// A ServiceAccount is merged under every policy but Fail, for controllers fill it: what it lacks is added.
func Decide(c Case) (Decision, error) {
	if c.Policy == plan.FailIfExists {
		return Decision{Action: Fail, Reason: "it exists, and the conflict policy is Fail"}, nil
	}
	desired, err := decode(c.Desired)
	if err != nil {
		return Decision{}, fmt.Errorf("read the restored object: %w", err)
	}
	text := c.Normal
	if c.Type == accounts {
		text = c.Live
	}
	live, err := decode(text)
	if err != nil {
		return Decision{}, fmt.Errorf("read the existing object: %w", err)
	}
	if c.Type == accounts {
		return decideAccount(live, desired)
	}
	d := difference{}
	patch := d.object(nil, content(live), content(desired))
	decision := Decision{Differs: d.paths, More: d.more}
	switch {
	case len(patch) == 0:
		decision.Action, decision.Reason = Leave, "it is as in the recovery point"
	case c.Policy == plan.ReplaceExisting:
		decision.Action, decision.Reason = Replace, "it differs, and the conflict policy is Replace"
	case c.Policy == plan.PatchExisting:
		decision.Kept = takeOut(c.Type, live, patch)
		return decision.patch(patch, "it differs, and the conflict policy is Patch")
	default:
		decision.Action, decision.Reason = Leave, "it differs, and the conflict policy is Skip"
	}
	return decision, nil
}

// Same says that nothing differs but what is noise, whatever the policy.
func Same(c Case) bool {
	c.Policy = plan.SkipExisting
	d, err := Decide(c)
	return err == nil && d.Equal()
}

// patch is the decision to apply what is left of a patch.
func (d Decision) patch(patch map[string]any, reason string) (Decision, error) {
	if len(patch) == 0 {
		d.Action, d.Reason = Leave, "it differs only in what cannot be changed"
		return d, nil
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return Decision{}, fmt.Errorf("encode patch: %w", err)
	}
	d.Action, d.Reason, d.Patch = Patch, reason, text
	return d, nil
}

// Without is the decision once the API server has refused fields that no table knows of: the patch leaves them out. It leaves the
// object alone if nothing is left of the patch, or if the refusal names nothing that the patch has.
func (d Decision) Without(fields []Field) (Decision, error) {
	patch, err := decode(d.Patch)
	if err != nil {
		return Decision{}, fmt.Errorf("read patch: %w", err)
	}
	before := size(patch)
	d.Kept = slices.Clone(d.Kept)
	for _, f := range fields {
		prune(patch, nearest(patch, parsePath(f.Path)))
		if !slices.Contains(d.Kept, f) {
			d.Kept = append(d.Kept, f)
		}
	}
	d.Patch = nil
	if size(patch) == before {
		patch = nil
	}
	return d.patch(patch, d.Reason)
}
