// Package plan decides, before anything is written, what a restore does with each object of a recovery point.
package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// Action is what a restore does with one object.
type Action string

// The actions.
const (
	// Create creates the object; if it exists, the conflict policy decides.
	Create Action = "create"
	// RestoreVolume creates a claim whose volume is made of a snapshot.
	RestoreVolume Action = "restore volume"
	// Skip leaves the object out.
	Skip Action = "skip"
)

// Step is one object of the plan.
type Step struct {
	// Item is the object's position in the items that the plan was made of.
	Item int
	// Target is what the object is called in the cluster: its namespace may be mapped.
	Target coffer.ObjectRef
	// Type at which it is created.
	Type   coffer.ResourceType
	Action Action
	// Reason for the action, where it is not plain.
	Reason string
	// Warn says that the reason is something that the user has to know of.
	Warn bool
	// Order of the step: lower ones are done first, equal ones at the same time.
	Order int
	// Volume is the one to restore.
	Volume *coffer.Volume
}

// Request is what a restore was asked for.
type Request struct {
	// Rules select by the names in the recovery point.
	Rules selection.Rules
	// Mappings of namespaces, from the recovery point to the cluster.
	Mappings map[string]string
	// VolumeData says whether claims get their data back.
	VolumeData bool
}

// Plan is everything that a restore will do.
type Plan struct {
	// Steps in the order in which they are done, skipped ones too.
	Steps []Step
	// Namespaces of the cluster that steps create or write to, sorted.
	Namespaces []string
}

// Target is the name of a namespace in the cluster.
func (r Request) Target(namespace string) string {
	if mapped, ok := r.Mappings[namespace]; ok {
		return mapped
	}
	return namespace
}

// Check refuses a request that contradicts itself or the recovery point. namespaces are those of the recovery point.
func (r Request) Check(point string, namespaces []string) error {
	if err := r.Rules.Check(); err != nil {
		return err
	}
	targets := map[string]string{}
	for from, to := range r.Mappings {
		if !slices.Contains(namespaces, from) {
			return coffer.Errorf(coffer.CodeNamespaceNotFound, "namespaceMappings: recovery point %s has no namespace %q", point, from).
				WithHint("it has: %s", strings.Join(namespaces, ", "))
		}
		if to == "" {
			return coffer.Errorf(coffer.CodeInvalid, "namespaceMappings: namespace %q is mapped to nothing", from)
		}
		if other, taken := targets[to]; taken {
			return coffer.Errorf(coffer.CodeInvalid, "namespaceMappings: namespaces %q and %q are both mapped to %q", min(from, other), max(from, other), to)
		}
		targets[to] = from
	}
	for _, ns := range namespaces {
		other, taken := targets[ns]
		if _, mapped := r.Mappings[ns]; taken && !mapped && ns != other && r.Rules.Namespace(ns).Include {
			return coffer.Errorf(coffer.CodeInvalid, "namespaceMappings: %q is mapped to %q, into which the namespace of that name is restored as well", other, ns).
				WithHint("map %q elsewhere, or leave it out with excludedNamespaces", ns)
		}
	}
	for _, ns := range r.Rules.Included {
		if !slices.Contains(namespaces, ns) {
			return coffer.Errorf(coffer.CodeNamespaceNotFound, "includedNamespaces: recovery point %s has no namespace %q", point, ns).
				WithHint("it has: %s", strings.Join(namespaces, ", "))
		}
	}
	return nil
}

// Make makes the plan. served finds the type at which the cluster serves a resource, if it does.
func Make(items []Item, volumes []coffer.Volume, r Request, served func(coffer.GroupResource) (coffer.ResourceType, bool)) Plan {
	m := maker{
		request: r, served: served, byUID: map[string]int{}, volumes: map[string]*coffer.Volume{},
		scope: newScope(len(items), func(i int) coffer.ObjectRef { return items[i].ObjectRef }, r),
	}
	for i := range volumes {
		m.volumes[volumes[i].Namespace+"/"+volumes[i].Claim] = &volumes[i]
	}
	for i, item := range items {
		if item.UID != "" {
			m.byUID[item.UID] = i
		}
	}
	m.items = items
	steps := make([]Step, len(items))
	targets := map[string]bool{}
	for i := range items {
		steps[i] = m.step(i)
		switch target := steps[i].Target; {
		case steps[i].Action == Skip:
		case target.Namespace != "":
			targets[target.Namespace] = true
		case target.GroupResource == namespaces:
			targets[target.Name] = true
		}
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return a.Order - b.Order })
	p := Plan{Steps: steps}
	for ns := range targets {
		p.Namespaces = append(p.Namespaces, ns)
	}
	slices.Sort(p.Namespaces)
	return p
}

type maker struct {
	request Request
	served  func(coffer.GroupResource) (coffer.ResourceType, bool)
	items   []Item
	byUID   map[string]int
	volumes map[string]*coffer.Volume
	scope   scope
}

func (m *maker) step(i int) Step {
	item := m.items[i]
	s := Step{Item: i, Target: item.ObjectRef, Action: Create, Order: orderOf(item.GroupResource)}
	s.Target.Namespace = m.request.Target(item.Namespace)
	if item.Namespace == "" {
		s.Target.Namespace = ""
	}
	if item.GroupResource == namespaces {
		s.Target.Name = m.request.Target(item.Name)
	}
	if reason := m.scope.out(item.ObjectRef); reason != "" {
		return s.skip(reason)
	}
	if item.remade != "" {
		return s.skip(item.remade)
	}
	if owner := m.remadeByOwner(item); owner != "" {
		return s.skip(owner)
	}
	t, ok := m.served(item.GroupResource)
	if !ok && !m.defines(item.GroupResource) {
		s.Warn = true
		return s.skip(fmt.Sprintf("the cluster does not serve %s", item.GroupResource))
	}
	s.Type = t
	if item.GroupResource == claims {
		return m.claimStep(s, item)
	}
	return s
}

func (s Step) skip(reason string) Step {
	s.Action, s.Reason = Skip, reason
	return s
}

func (m *maker) claimStep(s Step, item Item) Step {
	volume := m.volumes[item.Namespace+"/"+item.Name]
	switch {
	case !m.request.VolumeData:
		s.Reason = "the restore was asked for no volume data"
	case volume == nil:
		s.Reason, s.Warn = "the claim gets an empty volume: the recovery point knows of no volume for it", true
	case volume.Result != coffer.VolumeCaptured:
		s.Reason, s.Warn = "the claim gets an empty volume: its data was not captured, because "+volume.Reason, true
	default:
		s.Action, s.Volume = RestoreVolume, volume
	}
	return s
}

// remadeByOwner says why an object is not restored beside its owner. An owner that is not restored either makes
// nothing: then the object is.
func (m *maker) remadeByOwner(item Item) string {
	if !remadeTypes[item.GroupResource] {
		return ""
	}
	for _, o := range item.Owners {
		if !o.Controller || !controllers[groupOf(o.APIVersion)+"/"+o.Kind] {
			continue
		}
		at, archived := m.byUID[o.UID]
		if !archived || m.scope.out(m.items[at].ObjectRef) != "" {
			continue
		}
		return fmt.Sprintf("%s %s makes it", o.Kind, o.Name)
	}
	return ""
}

// defines says whether the recovery point itself brings the definition of a type.
func (m *maker) defines(t coffer.GroupResource) bool {
	return slices.ContainsFunc(m.items, func(i Item) bool {
		return i.GroupResource == definitions && i.Name == t.String() && m.scope.out(i.ObjectRef) == ""
	})
}

func groupOf(apiVersion string) string {
	group, _, found := strings.Cut(apiVersion, "/")
	if !found {
		return ""
	}
	return group
}
