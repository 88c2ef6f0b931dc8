package modifier

import (
	"errors"
	"fmt"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Effect is what became of one rule with one object.
type Effect string

// The effects. A rule is applied as a whole or not at all.
const (
	// Applied means that the rule has changed the object, or found it as it wants it.
	Applied Effect = "applied"
	// Guarded means that a test operation of the rule kept it from changing the object.
	Guarded Effect = "skipped by a test"
	// Failed means that the rule cannot be applied to the object.
	Failed Effect = "failed"
)

// Outcome is what became of one rule whose conditions an object meets.
type Outcome struct {
	// Rule names the rule: resourceModifierRules[0].
	Rule   string
	Effect Effect
	// Reason names the operation and says why it did not change the object; empty for Applied.
	Reason string
}

// errGuard says that a test operation failed: that is what it is for.
var errGuard = errors.New("the test is not met")

// Apply changes an object as the rules say, one after the other, so that the last one wins. All conditions are looked up in the
// object as it was before the first. A rule that fails leaves it as the rules before made it. ref holds the names that the
// object has in the recovery point; its JSON must have the same.
func (m *Modifiers) Apply(ref coffer.ObjectRef, object []byte) ([]byte, []Outcome) {
	if m == nil {
		return object, nil
	}
	original := object
	var outcomes []Outcome
	for _, r := range m.rules {
		if !r.conditions.concern(ref) || !r.conditions.met(original) {
			continue
		}
		changed, err := r.apply(object)
		switch {
		case err == nil:
			object = changed
			outcomes = append(outcomes, Outcome{Rule: r.at, Effect: Applied})
		case errors.Is(err, errGuard):
			outcomes = append(outcomes, Outcome{Rule: r.at, Effect: Guarded, Reason: err.Error()})
		default:
			outcomes = append(outcomes, Outcome{Rule: r.at, Effect: Failed, Reason: err.Error()})
		}
	}
	return object, outcomes
}

func (r rule) apply(object []byte) (changed []byte, err error) {
	// The libraries meet objects and patches that nobody has seen before. The API server catches their panics too.
	defer func() {
		if p := recover(); p != nil {
			changed, err = nil, fmt.Errorf("the patch cannot be applied to this object: %v", p)
		}
	}()
	changed, err = r.patch.apply(object)
	if err != nil {
		return nil, err
	}
	if len(changed) > maxObject {
		return nil, fmt.Errorf("the object would have %d bytes, and an API server takes %d", len(changed), maxObject)
	}
	return changed, sameIdentity(object, changed)
}
