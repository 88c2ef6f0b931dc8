package plan

import (
	"cmp"
	"slices"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// InScope says, for each of n objects, whether Make may do anything with it: of the others it needs to know no more than
// their names, for it skips them whatever they hold. types are those of the cluster: they tell what the kinds in a
// request are called.
func InScope(n int, name func(i int) coffer.ObjectRef, r Request, types Types) []bool {
	s := namesScope{request: r, defined: map[string]bool{}}
	s.known, s.included = r.typesByName(n, name, types)
	in := make([]bool, n)
	for i := range n {
		in[i] = s.holds(name(i))
		if in[i] && name(i).Namespace != "" {
			s.defined[name(i).GroupResource.String()] = true
		}
	}
	for i := range n {
		// Definitions are large, and which are needed their names tell.
		if ref := name(i); ref.GroupResource == definitions && !in[i] {
			in[i] = s.request.ClusterScope != selection.ClusterScopeNone && s.defined[ref.Name]
		}
	}
	return in
}

type namesScope struct {
	request Request
	// known are the types whose kinds are known, and included those of them that includedResourceTypes names.
	known, included map[coffer.GroupResource]bool
	// defined are the types of objects in scope.
	defined map[string]bool
}

// typesByName resolves the included types as far as that is possible without having read an object.
func (r Request) typesByName(n int, name func(i int) coffer.ObjectRef, types Types) (known, included map[coffer.GroupResource]bool) {
	if len(r.IncludedTypes) == 0 {
		return nil, nil
	}
	known, included = map[coffer.GroupResource]bool{}, map[coffer.GroupResource]bool{}
	var all []coffer.ResourceType
	for i := range n {
		g := name(i).GroupResource
		if !known[g] && len(types[g]) > 0 {
			known[g] = true
			all = append(all, types[g][0])
		}
	}
	for _, text := range r.IncludedTypes {
		// Nobody is warned here, and what is malformed was refused before.
		found, _, _ := r.Types("includedResourceTypes", text, all)
		for _, t := range found {
			included[t.GroupResource] = true
		}
	}
	return known, included
}

func (s namesScope) holds(ref coffer.ObjectRef) bool {
	r := s.request
	if len(r.Objects) > 0 {
		picked := slices.ContainsFunc(r.Objects, func(o selection.ObjectName) bool {
			return o.Name == ref.Name && o.Namespace == ref.Namespace || ref.GroupResource == namespaces && o.Namespace == ref.Name
		})
		return picked || ref.Namespace == "" && s.needable(ref)
	}
	switch {
	case ref.Namespace != "":
		return r.Namespace(ref.Namespace).Include && s.typeIncluded(ref.GroupResource)
	case ref.GroupResource == namespaces:
		return r.Namespace(ref.Name).Include
	case s.needable(ref):
		return true
	}
	return r.ClusterScope == selection.ClusterScopeAll && s.typeIncluded(ref.GroupResource)
}

// typeIncluded is true for what is not known as well.
func (s namesScope) typeIncluded(g coffer.GroupResource) bool {
	return s.included == nil || !s.known[g] || s.included[g]
}

// needable says of a cluster-scoped object that others may need it.
func (s namesScope) needable(ref coffer.ObjectRef) bool {
	return s.request.readsNeeds() && ref.GroupResource != definitions && ref.GroupResource != namespaces && selection.Needable(ref.GroupResource)
}

// pointTypes are the types of the items, with what is known of them, sorted.
func pointTypes(items []Item, served Types) []coffer.ResourceType {
	found := map[coffer.GroupResource]coffer.ResourceType{}
	for i := range items {
		g := items[i].GroupResource
		t, known := found[g]
		if known && t.Kind != "" {
			continue
		}
		t = coffer.ResourceType{GroupResource: g, Kind: items[i].Kind, Namespaced: items[i].Namespace != ""}
		if t.Kind == "" && len(served[g]) > 0 {
			t.Kind = served[g][0].Kind
		}
		found[g] = t
	}
	types := make([]coffer.ResourceType, 0, len(found))
	for _, t := range found {
		types = append(types, t)
	}
	slices.SortFunc(types, func(a, b coffer.ResourceType) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource))
	})
	return types
}

// Namespaces are those of a recovery point, sorted.
func Namespaces(items []Item) []string {
	found := map[string]bool{}
	for i := range items {
		switch {
		case items[i].Namespace != "":
			found[items[i].Namespace] = true
		case items[i].GroupResource == namespaces:
			found[items[i].Name] = true
		}
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// chooser applies the request's selection to the items.
type chooser struct {
	items  []Item
	chosen *selection.Selection
	types  map[coffer.GroupResource]coffer.ResourceType
	// needs are those that have been found, with the reason for each.
	needs map[coffer.GroupResource]map[string]string
	// decisions on the items.
	decisions []selection.Decision
}

// choose decides on all items, so that what an object needs is looked for after it.
func (c *chooser) choose(types []coffer.ResourceType) {
	c.decisions = make([]selection.Decision, len(c.items))
	c.needs = map[coffer.GroupResource]map[string]string{}
	c.types = map[coffer.GroupResource]coffer.ResourceType{}
	for _, t := range types {
		c.types[t.GroupResource] = t
	}
	stages := c.chosen.Stages(types)
	stageOf := map[coffer.GroupResource]int{}
	for i, stage := range stages {
		for _, t := range stage {
			stageOf[t.GroupResource] = i
		}
	}
	for stage := range stages {
		byType := map[coffer.GroupResource]selection.Decision{}
		for _, t := range stages[stage] {
			byType[t.GroupResource] = c.ofType(t)
		}
		for i := range c.items {
			if g := c.items[i].GroupResource; stageOf[g] == stage {
				c.decide(i, byType[g])
			}
		}
	}
}

func (c *chooser) ofType(t coffer.ResourceType) selection.Decision {
	d := c.chosen.Type(t)
	if d.Include && c.chosen.OnlyNeeded(t) && len(c.needs[t.GroupResource]) == 0 {
		return selection.Decision{OutOfScope: true, Reason: "no selected object needs one"}
	}
	return d
}

func (c *chooser) decide(i int, ofType selection.Decision) {
	item := &c.items[i]
	d := ofType
	if d.Include {
		subject := selection.Subject{ObjectRef: item.ObjectRef, Labels: item.labels, Keys: item.keys}
		if item.GroupResource == namespaces {
			subject.Keys = []string{item.Name}
		}
		d = c.chosen.Choose(c.types[item.GroupResource], subject, func(g coffer.GroupResource, name string) (string, bool) {
			reason, needed := c.needs[g][name]
			return reason, needed
		})
	}
	if !ofType.Include {
		// Of a whole type that is left out, there is nothing to say of each object.
		d.OutOfScope = true
	}
	c.decisions[i] = d
	if !d.Include || item.remade != "" || !c.chosen.Closes() {
		return
	}
	for _, n := range selection.NeedsOfName(item.ObjectRef) {
		c.note(item.ObjectRef, n)
	}
	for _, n := range item.needs {
		c.note(item.ObjectRef, n)
	}
}

func (c *chooser) note(ref coffer.ObjectRef, n selection.Need) {
	of := c.needs[n.Type]
	if of == nil {
		of = map[string]string{}
		c.needs[n.Type] = of
	}
	if _, known := of[n.Name]; !known {
		of[n.Name] = ref.String() + " is " + n.Word + " it"
	}
}
