package selection

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// ObjectName names one object as a user writes it: with any spelling of its type, but one without wildcards.
type ObjectName struct {
	Type string
	// Namespace is empty for a cluster-scoped object.
	Namespace string
	Name      string
}

// String is TYPE NAMESPACE/NAME.
func (o ObjectName) String() string {
	if o.Namespace == "" {
		return o.Type + " " + o.Name
	}
	return o.Type + " " + o.Namespace + "/" + o.Name
}

func (o ObjectName) check() (spelling, error) {
	s, err := parseSpelling("includedObjects", o.Type)
	switch {
	case err != nil:
		return s, err
	case s.isPattern():
		return s, coffer.Errorf(coffer.CodeInvalid, "includedObjects: %s: the type of a single object has no wildcards", o)
	case o.Name == "" || isPattern(o.Namespace):
		return s, coffer.Errorf(coffer.CodeInvalid, "includedObjects: %s: a single object has a name, and its namespace no wildcards", o)
	}
	for _, problem := range content.IsPathSegmentName(o.Name) {
		return s, coffer.Errorf(coffer.CodeInvalid, "includedObjects: %s: the name %s", o, problem)
	}
	if o.Namespace != "" {
		return s, checkNamespace("includedObjects", o.Namespace)
	}
	return s, nil
}

// Pick is one object that was named, with its type.
type Pick struct {
	Type coffer.ResourceType
	Ref  coffer.ObjectRef
}

// picks are all of them, by type.
type picks struct {
	all    []Pick
	byType map[coffer.GroupResource]map[string]bool
}

func (p *picks) holds(t coffer.GroupResource) bool { return p.byType[t] != nil }

func (p *picks) has(ref coffer.ObjectRef) bool {
	return p.byType[ref.GroupResource][ref.Namespace+"/"+ref.Name]
}

// namespaces in which objects of a type were named.
func (p *picks) namespaces(t coffer.GroupResource) map[string]bool {
	found := map[string]bool{}
	for _, pick := range p.all {
		if pick.Ref.GroupResource == t {
			found[pick.Ref.Namespace] = true
		}
	}
	return found
}

// pick finds the types of the named objects. Nobody names an object that may well not be there: what is not known is
// refused.
func (c Config) pick(types []coffer.ResourceType) (*picks, error) {
	if len(c.Objects) == 0 {
		return nil, nil
	}
	p := &picks{byType: map[coffer.GroupResource]map[string]bool{}}
	for _, name := range c.Objects {
		s, err := name.check()
		if err != nil {
			return nil, err
		}
		found := s.resolve(types)
		if reason := s.never(found); reason != "" {
			return nil, coffer.Errorf(coffer.CodeInvalid, "includedObjects: %s is never captured: %s", name, reason)
		}
		if len(found) != 1 {
			return nil, c.refusePick(name, s, found, types)
		}
		t := found[0]
		switch {
		case t.Namespaced && name.Namespace == "":
			return nil, coffer.Errorf(coffer.CodeInvalid, "includedObjects: %s: say in which namespace it is", name)
		case !t.Namespaced && name.Namespace != "":
			return nil, coffer.Errorf(coffer.CodeInvalid, "includedObjects: %s: objects of type %s are in no namespace", name, t.GroupResource)
		}
		ref := coffer.ObjectRef{GroupResource: t.GroupResource, Namespace: name.Namespace, Name: name.Name}
		if p.byType[t.GroupResource] == nil {
			p.byType[t.GroupResource] = map[string]bool{}
		}
		if !p.has(ref) {
			p.byType[t.GroupResource][ref.Namespace+"/"+ref.Name] = true
			p.all = append(p.all, Pick{Type: t, Ref: ref})
		}
	}
	return p, nil
}

func (c Config) refusePick(name ObjectName, s spelling, found, types []coffer.ResourceType) error {
	if len(found) == 0 {
		err := coffer.Errorf(coffer.CodeInvalid, "includedObjects: %s: %s has no resource type %q", name, c.source(), name.Type)
		if near := s.nearest(types); len(near) > 0 {
			return err.WithHint("did you mean %s?", strings.Join(near, ", "))
		}
		if c.Point != "" {
			return err
		}
		return err.WithHint("see `kubectl api-resources`")
	}
	var names []string
	for _, t := range found {
		names = append(names, t.GroupResource.String())
	}
	return coffer.Errorf(coffer.CodeInvalid, "includedObjects: %s: several types are called %q", name, name.Type).
		WithHint("write one of %s", strings.Join(names, ", "))
}
