// Package selection decides which namespaces, resource types and objects belong to a recovery point.
package selection

import (
	"slices"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Decision is a yes or no with its reason. The reason is for a person and set only where the answer needs one: for
// every no, and for a yes to something that nobody has chosen but that what was chosen needs.
type Decision struct {
	Include bool
	// OutOfScope says of a no that nobody has asked for the thing: the ledger counts it, and does not name it.
	OutOfScope bool
	Reason     string
}

func yes() Decision { return Decision{Include: true} }

func no(reason string) Decision { return Decision{Reason: reason} }

func unasked(reason string) Decision { return Decision{OutOfScope: true, Reason: reason} }

// ClusterScope says which cluster-scoped objects belong to a recovery point.
type ClusterScope int

// The cluster scopes.
const (
	// ClusterScopeNeeded takes those that the selected objects need.
	ClusterScopeNeeded ClusterScope = iota
	// ClusterScopeAll takes all.
	ClusterScopeAll
	// ClusterScopeNone takes none but the namespaces themselves.
	ClusterScopeNone
)

// Rules are the filters of a backup or restore that go by namespace.
type Rules struct {
	// Included and Excluded are names of namespaces, or patterns of names with *, ? and [abc]. Nothing included
	// means all. What is excluded is left out, whatever includes it.
	Included, Excluded []string
	// SystemNamespaces are left out unless they are included by name.
	SystemNamespaces []string
	// ClusterScope of the selection.
	ClusterScope ClusterScope
}

// SystemNamespaces are those that Kubernetes keeps for itself. AKS Backup never takes them; here they can be
// included by name.
var systemNamespaces = []string{"kube-system", "kube-public", "kube-node-lease"}

// SystemNamespaces are the namespaces that a backup of all leaves out: those of Kubernetes itself and the
// extension's.
func SystemNamespaces(extension string) []string {
	return append(slices.Clone(systemNamespaces), extension)
}

// Check refuses rules that are malformed or contradict themselves.
func (r Rules) Check() error {
	for _, name := range r.Included {
		if err := checkNamespace("includedNamespaces", name); err != nil {
			return err
		}
	}
	for _, name := range r.Excluded {
		if err := checkNamespace("excludedNamespaces", name); err != nil {
			return err
		}
	}
	if slices.Contains(r.Excluded, "*") {
		return coffer.Errorf(coffer.CodeInvalid, "excludedNamespaces holds *, which leaves out every namespace").
			WithHint("name what is to be left out")
	}
	for _, ns := range r.Included {
		if slices.Contains(r.Excluded, ns) {
			return coffer.Errorf(coffer.CodeInvalid, "namespace %q is both in includedNamespaces and in excludedNamespaces", ns).
				WithHint("remove it from one of the two")
		}
		if by := matching(r.Excluded, ns); by != "" && !isPattern(ns) {
			return coffer.Errorf(coffer.CodeInvalid, "namespace %q is in includedNamespaces, and %q of excludedNamespaces leaves it out", ns, by).
				WithHint("remove one of the two")
		}
	}
	return nil
}

// All says whether all namespaces are selected but those that never are.
func (r Rules) All() bool { return len(r.Included) == 0 || slices.Contains(r.Included, "*") }

// Whole says whether all namespaces are selected but those that never are, and none is excluded.
func (r Rules) Whole() bool { return r.All() && len(r.Excluded) == 0 }

// Named are the included namespaces that are named and not matched: those that have to exist.
func (r Rules) Named() []string { return slices.DeleteFunc(slices.Clone(r.Included), isPattern) }

// Namespace decides on a namespace by its name.
func (r Rules) Namespace(name string) Decision {
	if by := matching(r.Excluded, name); by == name {
		return unasked("the namespace is excluded")
	} else if by != "" {
		return unasked("the namespace is excluded by " + by)
	}
	switch {
	case slices.Contains(r.Included, name):
		return yes()
	case slices.Contains(r.SystemNamespaces, name):
		return unasked("the namespace belongs to the system; include it by name to have it")
	case len(r.Included) == 0 || matching(r.Included, name) != "":
		return yes()
	}
	return unasked("the namespace is not included")
}

// excludeLabel on an object or a namespace leaves it out; AKS Backup documents it for claims.
const excludeLabel = "velero.io/exclude-from-backup"

// Excluded decides by the label that leaves an object, or a whole namespace, out of every backup.
func Excluded(labels map[string]string) Decision {
	if labels[excludeLabel] == "true" {
		return no("label " + excludeLabel + "=true")
	}
	return yes()
}
