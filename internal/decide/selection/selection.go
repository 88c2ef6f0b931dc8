// Package selection decides which namespaces, resource types and objects belong to a recovery point.
package selection

import (
	"slices"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Decision is a yes or no with its reason. The reason is for a person and set only where the answer needs one: for
// every no that concerns something of the user's.
type Decision struct {
	Include bool
	Reason  string
}

func yes() Decision { return Decision{Include: true} }

func no(reason string) Decision { return Decision{Reason: reason} }

// ClusterScope says which cluster-scoped objects belong to a recovery point.
type ClusterScope int

// The cluster scopes.
const (
	// ClusterScopeNeeded takes those that the selected namespaces need.
	ClusterScopeNeeded ClusterScope = iota
	// ClusterScopeAll takes all.
	ClusterScopeAll
	// ClusterScopeNone takes none but the namespaces themselves.
	ClusterScopeNone
)

// Rules are the filters of a backup or restore.
type Rules struct {
	// Included and Excluded are namespaces. Nothing included means all but SystemNamespaces.
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

// Check refuses rules that contradict themselves.
func (r Rules) Check() error {
	for _, ns := range r.Included {
		if slices.Contains(r.Excluded, ns) {
			return coffer.Errorf(coffer.CodeInvalid, "namespace %q is both in includedNamespaces and in excludedNamespaces", ns).
				WithHint("remove it from one of the two")
		}
	}
	return nil
}

// Whole says whether all namespaces are selected but those that never are.
func (r Rules) Whole() bool { return len(r.Included) == 0 && len(r.Excluded) == 0 }

// Namespace decides on a namespace by its name.
func (r Rules) Namespace(name string) Decision {
	switch {
	case slices.Contains(r.Excluded, name):
		return no("the namespace is excluded")
	case len(r.Included) > 0 && !slices.Contains(r.Included, name):
		return no("the namespace is not included")
	case len(r.Included) == 0 && slices.Contains(r.SystemNamespaces, name):
		return no("the namespace belongs to the system; include it by name to have it")
	}
	return yes()
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

// Object decides on one object of a type that is selected.
func (r Rules) Object(ref coffer.ObjectRef, h coffer.Header, body []byte) Decision {
	if d := Excluded(h.Metadata.Labels); !d.Include {
		return d
	}
	if h.Metadata.DeletionTimestamp != "" {
		return no("it is being deleted")
	}
	if ref.Namespace != "" {
		return r.Namespace(ref.Namespace)
	}
	if home, known := homeNamespace(ref, body); known {
		if home == "" {
			return r.unbound()
		}
		return r.Namespace(home)
	}
	return yes()
}

func (r Rules) unbound() Decision {
	if r.ClusterScope == ClusterScopeAll {
		return yes()
	}
	return no("no selected namespace needs it")
}
