package cli

import (
	"encoding/csv"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// restoreArgs are the flags of `coffer restore create` by which a restore is asked for. What restoreFlags makes of them is the
// spec again, but for planOnly and cancel.
func restoreArgs(s v1alpha1.RestoreSpec) []string {
	var a flagList
	a.text("backup-name", s.BackupName, "")
	a.text("storage-location", s.StorageLocation, "default")
	a.list("included-namespaces", s.IncludedNamespaces)
	a.list("excluded-namespaces", s.ExcludedNamespaces)
	a.list("namespace-mappings", pairs(s.NamespaceMappings))
	a.list("included-resource-types", s.IncludedResourceTypes)
	a.list("excluded-resource-types", s.ExcludedResourceTypes)
	a.each("label-selectors", s.LabelSelectors)
	a.each("or-label-selectors", s.OrLabelSelectors)
	for _, o := range s.IncludedObjects {
		name := o.Name
		if o.Namespace != "" {
			name = o.Namespace + "/" + o.Name
		}
		a.each("included-objects", []string{o.Type + "=" + name})
	}
	if s.IncludeClusterScopeResources != nil {
		a.text("include-cluster-scope-resources", boolText(*s.IncludeClusterScopeResources), "")
	}
	a.text("persistent-volume-restore-mode", string(s.PersistentVolumeRestoreMode), string(v1alpha1.RestoreWithVolumeData))
	a.text("conflict-policy", string(s.ConflictPolicy), string(v1alpha1.ConflictSkip))
	var policies []string
	for _, p := range s.ConflictPolicies {
		policies = append(policies, p.Type+"="+string(p.Policy))
	}
	a.list("conflict-policies", policies)
	a.flag("confirm-replace", s.ConfirmReplace)
	a.flag("restore-rollout-history", s.RestoreRolloutHistory)
	a.list("priorities", s.Priorities)
	a.list("restore-hook-references", references(s.RestoreHookReferences))
	if ref := s.ResourceModifierReference; ref != nil {
		a.text("resource-modifier-reference", ref.Namespace+"/"+ref.Name, "")
	}
	a.list("storage-class-mappings", pairs(s.StorageClassMappings))
	a.flag("preserve-node-ports", s.PreserveNodePorts)
	if status := s.RestoreStatus; status != nil {
		included := status.IncludedTypes
		if len(included)+len(status.ExcludedTypes) == 0 {
			included = []string{"*"} // No types are all types.
		}
		a.list("restore-status-included-types", included)
		a.list("restore-status-excluded-types", status.ExcludedTypes)
	}
	if s.ReadyTimeout != nil {
		a.text("ready-timeout", s.ReadyTimeout.Duration.String(), "")
	}
	a.text("plan-digest", s.PlanDigest, "")
	return a
}

// flagList is a command line that is being written.
type flagList []string

func (a *flagList) text(name, value, usual string) {
	if value != "" && value != usual {
		*a = append(*a, "--"+name+"="+value)
	}
}

func (a *flagList) flag(name string, set bool) {
	if set {
		*a = append(*a, "--"+name)
	}
}

// list gives the values of a flag that takes several, separated by commas as in a line of CSV.
func (a *flagList) list(name string, values []string) {
	if len(values) == 0 {
		return
	}
	var line strings.Builder
	w := csv.NewWriter(&line)
	// Writing into memory does not fail.
	_ = w.Write(values)
	w.Flush()
	a.text(name, strings.TrimSuffix(line.String(), "\n"), "")
}

// each gives the values of a flag that is repeated.
func (a *flagList) each(name string, values []string) {
	for _, v := range values {
		a.text(name, v, "")
	}
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

func pairs[V ~string](m map[string]V) []string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		all = append(all, key+"="+string(m[key]))
	}
	return all
}

func references(refs []v1alpha1.NamespacedReference) []string {
	var all []string
	for _, r := range refs {
		all = append(all, r.Namespace+"/"+r.Name)
	}
	return all
}

// targetArgs are the flags that name the same cluster.
func (p *program) targetArgs() []string {
	var a flagList
	a.text("kubeconfig", p.target.Kubeconfig, "")
	a.text("context", p.target.Context, "")
	a.text("namespace", p.target.Namespace, v1alpha1.DefaultNamespace)
	return a
}

var plainWord = regexp.MustCompile(`^[-A-Za-z0-9_./:=,@%+]+$`)

// shellText is a command line as one types it.
func shellText(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if !plainWord.MatchString(w) {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
