package plan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// Request is what a restore was asked for.
type Request struct {
	// Config selects by the names in the recovery point.
	selection.Config
	// Mappings of namespaces, from the recovery point to the cluster.
	Mappings map[string]string
	// VolumeData says whether claims get their data back.
	VolumeData bool
	// Policy for objects that exist; empty is SkipExisting. Of Policies, the first that matches a type comes before it.
	Policy   Policy
	Policies []TypePolicy
	// ConfirmReplace has to be set for ReplaceExisting.
	ConfirmReplace bool
	// RolloutHistory asks for the revisions of workloads, which those would otherwise make anew.
	RolloutHistory bool
	// Priorities are spellings of types that go first, "-", and of such that go last.
	Priorities []string
	// Extension is the namespace in which the restore itself runs; empty is none.
	Extension string
	// LeaveOutFunc says why an archived object is not restored although it is selected; empty if it is. Nil leaves out none.
	LeaveOutFunc func(ref coffer.ObjectRef, body []byte) string
}

// TypePolicy is a policy for the types of one spelling.
type TypePolicy struct {
	Type   string
	Policy Policy
}

// Target is the name of a namespace in the cluster.
func (r Request) Target(namespace string) string {
	if mapped, ok := r.Mappings[namespace]; ok {
		return mapped
	}
	return namespace
}

// Check refuses what can be refused without knowing the recovery point.
func (r Request) Check() error {
	if err := r.Config.Check(); err != nil {
		return err
	}
	if err := r.checkPolicies(); err != nil {
		return err
	}
	if err := r.checkPriorities(); err != nil {
		return err
	}
	return r.checkMappings()
}

func (r Request) checkPolicies() error {
	all := append([]TypePolicy{{Policy: cmp.Or(r.Policy, SkipExisting)}}, r.Policies...)
	for i, p := range all {
		if !slices.Contains([]Policy{SkipExisting, PatchExisting, ReplaceExisting, FailIfExists}, p.Policy) {
			return coffer.Errorf(coffer.CodeInvalid, "conflict policy %q is not known", p.Policy).WithHint("write Skip, Patch, Replace or Fail")
		}
		if i == 0 {
			continue
		}
		if err := selection.CheckSpelling("conflictPolicies", p.Type); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(all, func(p TypePolicy) bool { return p.Policy == ReplaceExisting }) && !r.ConfirmReplace {
		return coffer.Errorf(coffer.CodeInvalid, "conflict policy Replace deletes what exists, the data of claims included, and is not confirmed").
			WithHint("set confirmReplace (--confirm-replace) if that is meant; Patch changes what exists and deletes nothing")
	}
	return nil
}

func (r Request) checkPriorities() error {
	dashes := 0
	for _, p := range r.Priorities {
		if p == lowPriorities {
			dashes++
			continue
		}
		if err := selection.CheckSpelling("priorities", p); err != nil {
			return err
		}
	}
	if dashes > 1 {
		return coffer.Errorf(coffer.CodeInvalid, "priorities has %q more than once: it stands between the types that go first and those that go last", lowPriorities)
	}
	return nil
}

func (r Request) checkMappings() error {
	targets := map[string]string{}
	for from, to := range r.Mappings {
		if to == "" {
			return coffer.Errorf(coffer.CodeInvalid, "namespaceMappings: namespace %q is mapped to nothing", from)
		}
		if other, taken := targets[to]; taken {
			return coffer.Errorf(coffer.CodeInvalid, "namespaceMappings: namespaces %q and %q are both mapped to %q", min(from, other), max(from, other), to)
		}
		targets[to] = from
	}
	return nil
}

// CheckPoint refuses a request that contradicts itself or the recovery point. namespaces are those of the recovery point.
func (r Request) CheckPoint(point string, namespaces []string) error {
	if err := r.Check(); err != nil {
		return err
	}
	targets := map[string]string{}
	for from, to := range r.Mappings {
		if !slices.Contains(namespaces, from) {
			return coffer.Errorf(coffer.CodeNamespaceNotFound, "namespaceMappings: recovery point %s has no namespace %q", point, from).
				WithHint("it has: %s", strings.Join(namespaces, ", "))
		}
		targets[to] = from
	}
	for _, ns := range namespaces {
		other, taken := targets[ns]
		if _, mapped := r.Mappings[ns]; taken && !mapped && ns != other && r.wants(ns) {
			return coffer.Errorf(coffer.CodeInvalid, "namespaceMappings: %q is mapped to %q, into which the namespace of that name is restored as well", other, ns).
				WithHint("map %q elsewhere, or leave it out with excludedNamespaces", ns)
		}
	}
	for _, ns := range r.Named() {
		if !slices.Contains(namespaces, ns) {
			return coffer.Errorf(coffer.CodeNamespaceNotFound, "includedNamespaces: recovery point %s has no namespace %q", point, ns).
				WithHint("it has: %s", strings.Join(namespaces, ", "))
		}
	}
	return nil
}

// wants says whether anything of a namespace may be restored.
func (r Request) wants(namespace string) bool {
	if len(r.Objects) == 0 {
		return r.Namespace(namespace).Include
	}
	return slices.ContainsFunc(r.Objects, func(o selection.ObjectName) bool { return o.Namespace == namespace })
}

// readsLabels and readsNeeds say what has to be known of items beside what every plan goes by.
func (r Request) readsLabels() bool { return len(r.LabelSelectors)+len(r.OrLabelSelectors) > 0 }

func (r Request) readsNeeds() bool {
	return r.ClusterScope != selection.ClusterScopeNone && !r.takesAll()
}

// takesAll says that every cluster-scoped object is restored whatever needs it.
func (r Request) takesAll() bool {
	return r.ClusterScope == selection.ClusterScopeAll && len(r.Objects)+len(r.IncludedTypes) == 0 && !r.readsLabels()
}
