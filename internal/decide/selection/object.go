package selection

import (
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Closes says whether objects are in the recovery point because others need them.
func (s *Selection) Closes() bool {
	return s.rules.ClusterScope == ClusterScopeNeeded || s.picks != nil || s.included != nil || !s.labels.empty()
}

// Object decides on one object of a type that Type let through. needed says what has been found to be needed up to
// now; nil is nothing. Reasons to leave out what was asked for come last: only that is worth to be named.
func (s *Selection) Object(t coffer.ResourceType, h coffer.Header, body []byte, needed Needed) Decision {
	ref := coffer.ObjectRef{GroupResource: t.GroupResource, Namespace: h.Metadata.Namespace, Name: h.Metadata.Name}
	d := s.asked(t, ref, h, body)
	if !d.Include && d.OutOfScope {
		reason, ok := s.needs(t.GroupResource, ref, h, body, needed)
		if !ok {
			return d
		}
		d = Decision{Include: true, Reason: reason}
	}
	if !d.Include {
		return d
	}
	if excluded := Excluded(h.Metadata.Labels); !excluded.Include {
		return excluded
	}
	if h.Metadata.DeletionTimestamp != "" {
		return no("it is being deleted")
	}
	return d
}

// asked decides whether an object is selected by its own merit.
func (s *Selection) asked(t coffer.ResourceType, ref coffer.ObjectRef, h coffer.Header, body []byte) Decision {
	space := ref.Namespace
	switch {
	case t.GroupResource == namespaces:
		space = ref.Name
	case t.GroupResource == persistentVolumes && s.picks == nil:
		// Whoever leaves out a namespace does not want the volumes of its claims.
		space, _ = claimOf(body)
	}
	if space != "" {
		if d := s.Namespace(space); !d.Include {
			// A namespace that its label leaves out is named, once, and not all that it holds.
			d.OutOfScope = d.OutOfScope || t.GroupResource != namespaces
			return d
		}
	}
	if s.picks != nil {
		if !s.picks.has(ref) {
			return unasked("it is not among includedObjects")
		}
		return yes()
	}
	if !t.Namespaced && t.GroupResource != namespaces && s.rules.ClusterScope != ClusterScopeAll {
		return unasked("no selected object needs it")
	}
	if !s.chosen(t.GroupResource) {
		return unasked("the type is not included")
	}
	if field := s.labels.mismatch(h.Metadata.Labels); field != "" {
		return unasked("its labels do not match " + field)
	}
	return yes()
}

// needs says why an object that nobody has asked for is captured all the same.
func (s *Selection) needs(t coffer.GroupResource, ref coffer.ObjectRef, h coffer.Header, body []byte, needed Needed) (string, bool) {
	find, needable := findNeed[t]
	if !needable || needed == nil || builtIn(t, h) {
		return "", false
	}
	if t != namespaces && s.rules.ClusterScope == ClusterScopeNone {
		return "", false
	}
	return find(ref.Name, body, needed)
}
