package plan

import (
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// scope knows what of a recovery point a request is about, by names alone.
type scope struct {
	rules selection.Rules
	// needed are the types of the objects in the selected namespaces.
	needed map[string]bool
}

// InScope says, for each of n objects, whether Make may do anything with it: of the others it needs to know no more than
// their names, for it skips them whatever they hold.
func InScope(n int, name func(i int) coffer.ObjectRef, r Request) []bool {
	s := newScope(n, name, r)
	in := make([]bool, n)
	for i := range n {
		in[i] = s.out(name(i)) == ""
	}
	return in
}

func newScope(n int, name func(i int) coffer.ObjectRef, r Request) scope {
	s := scope{rules: r.Rules, needed: map[string]bool{}}
	for i := range n {
		if ref := name(i); ref.Namespace != "" && r.Rules.Namespace(ref.Namespace).Include {
			s.needed[ref.GroupResource.String()] = true
		}
	}
	return s
}

// out is why an object is not in scope; empty if it is.
func (s scope) out(ref coffer.ObjectRef) string {
	if ref.Namespace != "" {
		return s.rules.Namespace(ref.Namespace).Reason
	}
	switch ref.GroupResource {
	case namespaces:
		return s.rules.Namespace(ref.Name).Reason
	case definitions:
		if s.rules.ClusterScope == selection.ClusterScopeNeeded && s.needed[ref.Name] {
			return ""
		}
	}
	if s.rules.ClusterScope != selection.ClusterScopeAll {
		return "cluster-scoped objects are not included"
	}
	return ""
}
