// Package modifier decides what resource modifiers make of a restored object: the rules that users keep in a ConfigMap,
// with the spelling and the meaning that AKS Backup and Velero give them.
package modifier

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// MaxText is the most that the text of a ConfigMap's rules may have: as much as a ConfigMap can hold.
const MaxText = 1 << 20

// maxObject is the most that an object may grow to: what an API server takes in one request.
const maxObject = 3 << 20

// BuiltinFunc makes an empty object of a type that Kubernetes itself defines; for any other it is an error.
type BuiltinFunc func(schema.GroupVersionKind) (runtime.Object, error)

// Modifiers are the rules of one ConfigMap. They may be used concurrently. The zero value changes nothing.
type Modifiers struct {
	rules  []rule
	digest string
}

// rule is one rule, checked and compiled. Exactly one kind of patches is set.
type rule struct {
	// at names the rule in messages.
	at         string
	conditions conditions
	patch      patch
}

// patch is one of the three kinds of patches.
type patch interface {
	// apply answers the changed object, or which operation is why it was not changed.
	apply(object []byte) (changed []byte, err error)
}

// document is the text of the ConfigMap.
type document struct {
	Version               string      `json:"version"`
	ResourceModifierRules []ruleEntry `json:"resourceModifierRules"`
}

type ruleEntry struct {
	Conditions       conditionsEntry  `json:"conditions"`
	Patches          []operationEntry `json:"patches,omitempty"`
	MergePatches     []patchEntry     `json:"mergePatches,omitempty"`
	StrategicPatches []patchEntry     `json:"strategicPatches,omitempty"`
}

type patchEntry struct {
	PatchData string `json:"patchData,omitempty"`
}

// Parse reads the rules off the data of a ConfigMap, which source names in errors. What can be wrong with rules, whatever
// objects they meet, is refused here: Velero finds some of it with each object only.
func Parse(source string, data map[string]string, builtin BuiltinFunc) (*Modifiers, error) {
	refuse := func(err error) error {
		return coffer.Errorf(coffer.CodeInvalid, "resource modifiers of ConfigMap %s: %w", source, err)
	}
	if len(data) != 1 {
		keys := strings.Join(slices.Sorted(maps.Keys(data)), ", ")
		return nil, refuse(fmt.Errorf("its data must have exactly one key, and it has %d: %s", len(data), shorten(keys)))
	}
	m := &Modifiers{}
	for _, text := range data {
		if len(text) > MaxText {
			return nil, refuse(fmt.Errorf("it has %d bytes, and %d are allowed", len(text), MaxText))
		}
		rules, err := parse(text, builtin)
		if err != nil {
			return nil, refuse(err)
		}
		sum := sha256.Sum256([]byte(text))
		m.rules, m.digest = rules, "sha256:"+hex.EncodeToString(sum[:])
	}
	return m, nil
}

func parse(text string, builtin BuiltinFunc) ([]rule, error) {
	var d document
	if err := yaml.UnmarshalStrict([]byte(text), &d); err != nil {
		return nil, fmt.Errorf("it is not the YAML of resource modifiers: %s", shorten(err.Error()))
	}
	if !strings.EqualFold(d.Version, "v1") {
		return nil, fmt.Errorf("version %q is not known, write: version: v1", shorten(d.Version))
	}
	if len(d.ResourceModifierRules) == 0 {
		return nil, fmt.Errorf("it has no resourceModifierRules")
	}
	var rules []rule
	for i, entry := range d.ResourceModifierRules {
		at := fmt.Sprintf("resourceModifierRules[%d]", i)
		r, err := entry.compile(builtin)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		r.at = at
		rules = append(rules, r)
	}
	return rules, nil
}

func (e ruleEntry) compile(builtin BuiltinFunc) (rule, error) {
	conditions, err := e.Conditions.compile()
	if err != nil {
		return rule{}, err
	}
	r := rule{conditions: conditions}
	switch {
	case len(e.Patches) > 0 && len(e.MergePatches) == 0 && len(e.StrategicPatches) == 0:
		r.patch, err = compileOperations("patches", e.Patches)
	case len(e.Patches) == 0 && len(e.MergePatches) > 0 && len(e.StrategicPatches) == 0:
		r.patch, err = compileMerges(e.MergePatches)
	case len(e.Patches) == 0 && len(e.MergePatches) == 0 && len(e.StrategicPatches) > 0:
		r.patch, err = compileStrategics(e.StrategicPatches, builtin)
	default:
		err = fmt.Errorf("it must have exactly one of patches, mergePatches and strategicPatches")
	}
	return r, err
}

// Digest is the SHA-256 of the rules' text, "sha256:" and 64 hexadecimal digits; empty if there are none. Equal digests mean
// equal changes.
func (m *Modifiers) Digest() string {
	if m == nil {
		return ""
	}
	return m.digest
}

// Concern says whether a rule may be about an object, by its names in the recovery point alone. If not, Apply changes nothing.
func (m *Modifiers) Concern(ref coffer.ObjectRef) bool {
	return m != nil && slices.ContainsFunc(m.rules, func(r rule) bool { return r.conditions.concern(ref) })
}

// Idle names the rules that are about none of the objects, by their names in the recovery point: most likely their conditions
// were mistyped.
func (m *Modifiers) Idle(refs []coffer.ObjectRef) []string {
	if m == nil {
		return nil
	}
	var idle []string
	for _, r := range m.rules {
		if !slices.ContainsFunc(refs, r.conditions.concern) {
			idle = append(idle, r.at)
		}
	}
	return idle
}

// shorten keeps what is quoted of a user's text readable.
func shorten(text string) string {
	const shown = 200
	if len(text) > shown {
		return strings.ToValidUTF8(text[:shown], "") + "…"
	}
	return text
}
