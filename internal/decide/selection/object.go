package selection

import (
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Closes says whether objects are in the recovery point because others need them.
func (s *Selection) Closes() bool {
	return s.rules.ClusterScope == ClusterScopeNeeded || s.picks != nil || s.included != nil || !s.labels.empty()
}

// Subject is what a selection has to know of an object.
type Subject struct {
	coffer.ObjectRef
	Labels map[string]string
	// Space is the namespace of the claim that a PersistentVolume is bound to, or kept for.
	Space string
	// Keys are the names by which others may need it: none for what nothing can need.
	Keys []string
}

// SubjectOf reads what a selection has to know off an object.
func SubjectOf(ref coffer.ObjectRef, h coffer.Header, body []byte) Subject {
	subject := Subject{ObjectRef: ref, Labels: h.Metadata.Labels}
	if ref.GroupResource == persistentVolumes {
		subject.Space, _ = claimOf(body)
	}
	if keys, needable := needKeys[ref.GroupResource]; needable && !builtIn(ref.GroupResource, h) {
		subject.Keys = keys(ref.Name, body)
	}
	return subject
}

// Object decides on one object of a type that Type let through. needed says what has been found to be needed up to
// now; nil is nothing. Reasons to leave out what was asked for come last: only that is worth to be named.
func (s *Selection) Object(t coffer.ResourceType, h coffer.Header, body []byte, needed Needed) Decision {
	ref := coffer.ObjectRef{GroupResource: t.GroupResource, Namespace: h.Metadata.Namespace, Name: h.Metadata.Name}
	d := s.Choose(t, SubjectOf(ref, h, body), needed)
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

// Choose is Object without what keeps an object out of a recovery point: for those that are in one.
func (s *Selection) Choose(t coffer.ResourceType, o Subject, needed Needed) Decision {
	d := s.asked(t, o)
	if d.Include || !d.OutOfScope {
		return d
	}
	if reason, ok := s.needs(o, needed); ok {
		return Decision{Include: true, Reason: reason}
	}
	return d
}

// asked decides whether an object is selected by its own merit.
func (s *Selection) asked(t coffer.ResourceType, o Subject) Decision {
	space := o.Namespace
	switch {
	case t.GroupResource == namespaces:
		space = o.Name
	case t.GroupResource == persistentVolumes && s.picks == nil:
		// Whoever leaves out a namespace does not want the volumes of its claims.
		space = o.Space
	}
	if space != "" {
		if d := s.Namespace(space); !d.Include {
			// A namespace that its label leaves out is named, once, and not all that it holds.
			d.OutOfScope = d.OutOfScope || t.GroupResource != namespaces
			return d
		}
	}
	if s.picks != nil {
		if !s.picks.has(o.ObjectRef) {
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
	if field := s.labels.mismatch(o.Labels); field != "" {
		return unasked("its labels do not match " + field)
	}
	return yes()
}

// needs says why an object that nobody has asked for is selected all the same.
func (s *Selection) needs(o Subject, needed Needed) (string, bool) {
	if needed == nil || o.GroupResource != namespaces && s.rules.ClusterScope == ClusterScopeNone {
		return "", false
	}
	for _, key := range o.Keys {
		if reason, found := needed(o.GroupResource, key); found {
			return reason, true
		}
	}
	return "", false
}
