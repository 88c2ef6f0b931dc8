package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// Make makes the plan for a cluster of which nothing is known but the types that it serves: every object is created. See
// Against for what exists. The warnings name what of the request matches nothing in the recovery point; an error is a
// request that cannot be carried out.
func Make(items []Item, volumes []coffer.Volume, r Request, served Types) (Plan, []selection.Warning, error) {
	types := pointTypes(items, served)
	var spaces []selection.Space
	for _, name := range Namespaces(items) {
		spaces = append(spaces, selection.Space{Name: name})
	}
	chosen, warnings, err := selection.New(r.Config, types, spaces)
	if err != nil {
		return Plan{}, nil, err
	}
	m := maker{
		request: r, served: served, byUID: map[string]int{}, volumes: map[string]*coffer.Volume{},
		chooser: chooser{items: items, chosen: chosen}, planned: map[string]bool{}, claimAt: map[string]int{},
	}
	more, err := m.readTypes(types)
	if err != nil {
		return Plan{}, nil, err
	}
	for i := range volumes {
		m.volumes[volumes[i].Namespace+"/"+volumes[i].Claim] = &volumes[i]
	}
	m.choose(types)
	for i := range items {
		if items[i].UID != "" {
			m.byUID[items[i].UID] = i
		}
		if items[i].GroupResource == claims {
			m.claimAt[items[i].Namespace+"/"+items[i].Name] = i
		}
		if items[i].GroupResource == definitions && m.decisions[i].Include {
			m.planned[items[i].Name] = true
		}
	}
	if err := m.checkPicks(); err != nil {
		return Plan{}, nil, err
	}
	m.keep()
	return m.plan(), append(warnings, more...), nil
}

type maker struct {
	chooser
	request Request
	served  Types
	byUID   map[string]int
	volumes map[string]*coffer.Volume
	// orders and policies are by type.
	orders   map[coffer.GroupResource]int
	policies map[coffer.GroupResource]Policy
	// planned are the definitions that the plan restores.
	planned map[string]bool
	// claimAt are the claims, and kept the PersistentVolumes that are restored as they were, both by the claims.
	claimAt map[string]int
	kept    map[string]string
}

// readTypes finds the types that the request says something of.
func (m *maker) readTypes(types []coffer.ResourceType) (warnings []selection.Warning, err error) {
	if m.orders, warnings, err = m.request.orders(types); err != nil {
		return nil, err
	}
	m.policies = map[coffer.GroupResource]Policy{}
	for _, p := range m.request.Policies {
		found, warning, err := m.request.Types("conflictPolicies", p.Type, types)
		if err != nil {
			return nil, err
		}
		if warning != nil {
			warnings = append(warnings, *warning)
		}
		for _, t := range found {
			if _, chosen := m.policies[t.GroupResource]; !chosen {
				m.policies[t.GroupResource] = p.Policy
			}
		}
	}
	for _, t := range types {
		if _, chosen := m.policies[t.GroupResource]; !chosen {
			m.policies[t.GroupResource] = cmp.Or(m.request.Policy, SkipExisting)
		}
	}
	return warnings, nil
}

// checkPicks refuses a request for single objects that the recovery point lacks.
func (m *maker) checkPicks() error {
	picks := m.chosen.Picks()
	if len(picks) == 0 {
		return nil
	}
	missing := map[coffer.ObjectRef]bool{}
	for _, p := range picks {
		missing[p.Ref] = true
	}
	for i := range m.items {
		delete(missing, m.items[i].ObjectRef)
	}
	for _, p := range picks {
		if missing[p.Ref] {
			return coffer.Errorf(coffer.CodeNothingMatches, "includedObjects: recovery point %s has no %s", m.request.Point, p.Ref).
				WithHint("correct the name, or take it out")
		}
	}
	return nil
}

func (m *maker) plan() Plan {
	var p Plan
	steps := make([]Step, 0, len(m.items))
	stepOf := make([]int, len(m.items))
	unasked := map[coffer.TypeGap]int64{}
	for i := range m.items {
		stepOf[i] = -1
		if d := m.decisions[i]; !d.Include && d.OutOfScope {
			unasked[coffer.TypeGap{What: m.items[i].GroupResource.String(), Reason: d.Reason}]++
			continue
		}
		stepOf[i] = len(steps)
		steps = append(steps, m.step(i))
	}
	present := func(i int) bool { return stepOf[i] >= 0 && steps[stepOf[i]].Action != Skip }
	targets := map[string]bool{}
	for i := range steps {
		switch target := steps[i].Target; {
		case steps[i].Action == Skip:
			continue
		case target.Namespace != "":
			targets[target.Namespace] = true
		case target.GroupResource == namespaces:
			targets[target.Name] = true
		}
		m.own(&steps[i], present)
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return a.Order - b.Order })
	p.Steps, p.Namespaces = steps, slices.Sorted(maps.Keys(targets))
	for gap, n := range unasked {
		p.NotSelected = append(p.NotSelected, coffer.NotSelected{TypeGap: gap, Objects: n})
	}
	slices.SortFunc(p.NotSelected, func(a, b coffer.NotSelected) int {
		return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.Reason, b.Reason))
	})
	return p
}

func (m *maker) step(i int) Step {
	item := &m.items[i]
	s := Step{Item: i, Target: item.ObjectRef, Action: Create, Order: m.orders[item.GroupResource]}
	if item.Namespace != "" {
		s.Target.Namespace = m.request.Target(item.Namespace)
	}
	if item.GroupResource == namespaces {
		s.Target.Name = m.request.Target(item.Name)
	}
	d := m.decisions[i]
	if !d.Include {
		return s.skip(d.Reason)
	}
	if item.remade != "" {
		return s.skip(item.remade)
	}
	if owner := m.remadeByOwner(item); owner != "" {
		return s.skip(owner)
	}
	if item.retains != "" {
		if why := m.leftAlone(item); why != "" {
			return s.skip(why)
		}
	}
	s.because(d.Reason)
	s.Policy = m.policy(s.Target, d)
	s.Shared = m.shares(item)
	if !m.version(&s, item) {
		return s
	}
	if item.GroupResource == claims {
		m.claim(&s, item)
	}
	return s
}

func (s Step) skip(reason string) Step {
	s.Action, s.Reason = Skip, reason
	return s
}

// because adds a reason.
func (s *Step) because(reason string) {
	switch {
	case reason == "":
	case s.Reason == "":
		s.Reason = reason
	default:
		s.Reason += "; " + reason
	}
}

// version finds the type at which an object is written. It answers false for one that cannot be.
func (m *maker) version(s *Step, item *Item) bool {
	t, exact, served := m.served.For(item.GroupResource, item.APIVersion)
	switch {
	case !served && m.planned[item.GroupResource.String()]:
		s.Unchecked = "its definition is restored first"
	case !served:
		*s = s.skip(fmt.Sprintf("the cluster does not serve %s", item.GroupResource))
		s.Warning = coffer.CodeTypeNotCaptured
		return false
	case !exact:
		s.because(fmt.Sprintf("it was archived at %s, which the cluster does not serve: it is written at %s, where its fields may mean something else", item.APIVersion, t.APIVersion()))
		s.Warning = coffer.CodeVersionNotServed
	}
	s.Type = t
	return true
}

func (m *maker) claim(s *Step, item *Item) {
	key := item.Namespace + "/" + item.Name
	volume := m.volumes[key]
	switch kept := m.kept[key]; {
	case kept != "":
		s.KeptVolume, s.Warning = kept, coffer.CodeVolumeKept
		s.because("it is bound to PersistentVolume " + kept + " again, which outlived it: the data is as it is now, not as it was then, for there is no snapshot of it")
	case !m.request.VolumeData:
		s.because("the restore was asked for no volume data")
	case volume == nil:
		s.because("the claim gets an empty volume: the recovery point knows of no volume for it")
		s.Warning = coffer.CodeVolumeRestoredEmpty
	case volume.Result != coffer.VolumeCaptured:
		s.because("the claim gets an empty volume: its data was not captured, because " + volume.Reason)
		s.Warning = coffer.CodeVolumeRestoredEmpty
	default:
		s.Action, s.Volume = RestoreVolume, volume
	}
}

func groupOf(apiVersion string) string {
	group, _, found := strings.Cut(apiVersion, "/")
	if !found {
		return ""
	}
	return group
}
