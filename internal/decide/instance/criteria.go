package instance

import (
	"cmp"
	"regexp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// criteria make of a request what the run in the target is told.
func (r *reader) criteria(at string, c *arm.RestoreCriteria) v1alpha1.RestoreSpec {
	options := arm.CofferRestoreOptions{}
	if c.Coffer != nil {
		options = *c.Coffer
	}
	s := selected{
		included: c.IncludedNamespaces, excluded: c.ExcludedNamespaces,
		includedTypes: c.IncludedResourceTypes, excludedTypes: c.ExcludedResourceTypes,
		labels: c.LabelSelectors, orLabels: options.OrLabelSelectors, objects: options.IncludedObjects,
	}
	r.selection(at, s)
	spec := v1alpha1.RestoreSpec{
		IncludedNamespaces: c.IncludedNamespaces, ExcludedNamespaces: c.ExcludedNamespaces,
		NamespaceMappings:     r.namespaceMappings(arm.At(at, "namespaceMappings"), c.NamespaceMappings),
		IncludedResourceTypes: c.IncludedResourceTypes, ExcludedResourceTypes: c.ExcludedResourceTypes,
		LabelSelectors: c.LabelSelectors, OrLabelSelectors: options.OrLabelSelectors, IncludedObjects: options.IncludedObjects,
		IncludeClusterScopeResources: c.IncludeClusterScopeResources,
		PersistentVolumeRestoreMode: v1alpha1.VolumeRestoreMode(cmp.Or(c.PersistentVolumeRestoreMode.Canonical(
			arm.Word(v1alpha1.RestoreWithVolumeData), arm.Word(v1alpha1.RestoreWithoutVolumeData)), arm.Word(v1alpha1.RestoreWithVolumeData))),
		ConflictPolicy:        v1alpha1.ConflictPolicy(cmp.Or(c.ConflictPolicy.Canonical(arm.ConflictPolicies()...), arm.Word(v1alpha1.ConflictSkip))),
		RestoreHookReferences: r.references(arm.At(at, "restoreHookReferences"), c.RestoreHookReferences),
	}
	if m := c.ResourceModifierReference; m != nil {
		r.reference(arm.At(at, "resourceModifierReference"), *m)
		spec.ResourceModifierReference = m
	}
	if options.OnlyNeededClusterScopeResources {
		// The wire needs a word on cluster-scoped objects where a Restore has none.
		if c.IncludeClusterScopeResources != nil && *c.IncludeClusterScopeResources {
			r.Addf(arm.At(at, "includeClusterScopeResources"), `write false beside "onlyNeededClusterScopeResources": true`,
				"is true, and coffer.onlyNeededClusterScopeResources is too")
		}
		spec.IncludeClusterScopeResources = nil
	}
	r.options(arm.At(at, "coffer"), options, &spec)
	r.conflicts(at, spec)
	return spec
}

func (r *reader) namespaceMappings(at string, mappings map[string]string) map[string]v1alpha1.NamespaceName {
	if !r.count(at, len(mappings), maxNamespaces) || len(mappings) == 0 {
		return nil
	}
	read := make(map[string]v1alpha1.NamespaceName, len(mappings))
	for from, to := range mappings {
		for _, name := range []string{from, to} {
			if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
				r.Addf(at, `write {"old": "new"}`, "maps %s to %s: %s is not the name of a namespace: %s", shown(from), shown(to), shown(name), problems[0])
			}
		}
		read[from] = v1alpha1.NamespaceName(to)
	}
	return read
}

var digestForm = regexp.MustCompile(`^(sha256:[0-9a-f]{64})?$`)

// options are what ARM has no fields for.
func (r *reader) options(at string, o arm.CofferRestoreOptions, spec *v1alpha1.RestoreSpec) {
	spec.ConfirmReplace, spec.RestoreRolloutHistory = o.ConfirmReplace, o.RestoreRolloutHistory
	spec.PlanOnly, spec.PlanDigest, spec.PreserveNodePorts = o.PlanOnly, o.PlanDigest, o.PreserveNodePorts
	if !digestForm.MatchString(o.PlanDigest) {
		r.Addf(arm.At(at, "planDigest"), "write it as status.plan.digest has it", "is not sha256: and 64 hexadecimal digits")
	}
	if r.each(arm.At(at, "priorities"), "priorities", o.Priorities, maxReferences, func(text string) error {
		if text == "-" {
			return nil // it stands between what goes first and what goes last
		}
		return checkType("priorities", text)
	}) {
		spec.Priorities = o.Priorities
	}
	path := arm.At(at, "conflictPolicies")
	if r.count(path, len(o.ConflictPolicies), maxReferences) {
		for i, p := range o.ConflictPolicies {
			r.Add(arm.At(arm.Item(path, i), "type"), without("type", checkType("type", p.Type)))
			known := arm.Word(p.Policy).Canonical(arm.ConflictPolicies()...)
			if known == "" {
				r.Addf(arm.At(arm.Item(path, i), "policy"), "write Skip, Patch, Replace or Fail", "is %s", shown(string(p.Policy)))
			}
			spec.ConflictPolicies = append(spec.ConflictPolicies, v1alpha1.TypeConflictPolicy{Type: p.Type, Policy: v1alpha1.ConflictPolicy(known)})
		}
	}
	r.storageClasses(arm.At(at, "storageClassMappings"), o.StorageClassMappings, spec)
	if s := o.RestoreStatus; s != nil {
		const most = 200
		path := arm.At(at, "restoreStatus")
		sound := r.each(arm.At(path, "includedTypes"), "includedTypes", s.IncludedTypes, most, func(text string) error { return checkType("includedTypes", text) })
		if r.each(arm.At(path, "excludedTypes"), "excludedTypes", s.ExcludedTypes, most, func(text string) error { return checkType("excludedTypes", text) }) && sound {
			spec.RestoreStatus = s
		}
	}
	if o.ReadyTimeout != "" {
		d, err := time.ParseDuration(o.ReadyTimeout)
		if err != nil || d < 0 || d > 24*time.Hour {
			r.Addf(arm.At(at, "readyTimeout"), "write a time from 0s to 24h, such as 5m", "is %s", shown(o.ReadyTimeout))
		}
		spec.ReadyTimeout = &metav1.Duration{Duration: d}
	}
}

func (r *reader) storageClasses(at string, mappings map[string]string, spec *v1alpha1.RestoreSpec) {
	if !r.count(at, len(mappings), maxReferences) {
		return
	}
	for from, to := range mappings {
		if to == "" || len(validation.IsDNS1123Subdomain(to)) > 0 || len(validation.IsDNS1123Subdomain(from)) > 0 {
			r.Addf(at, `write {"old": "new"}`, "maps %s to %s, which are not both names of storage classes", shown(from), shown(to))
		}
		if spec.StorageClassMappings == nil {
			spec.StorageClassMappings = map[string]v1alpha1.StorageClassName{}
		}
		spec.StorageClassMappings[from] = v1alpha1.StorageClassName(to)
	}
}

// conflicts checks what is said of objects that exist, of priorities and of mappings as a plan would.
func (r *reader) conflicts(at string, spec v1alpha1.RestoreSpec) {
	request := plan.Request{
		Config:         selection.Config{},
		Mappings:       make(map[string]string, len(spec.NamespaceMappings)),
		Policy:         plan.Policy(spec.ConflictPolicy),
		ConfirmReplace: spec.ConfirmReplace,
		Priorities:     spec.Priorities,
	}
	for from, to := range spec.NamespaceMappings {
		request.Mappings[from] = string(to)
	}
	for _, p := range spec.ConflictPolicies {
		request.Policies = append(request.Policies, plan.TypePolicy{Type: p.Type, Policy: plan.Policy(p.Policy)})
	}
	// What is wrong with one of them has been told of already, with its path.
	if !r.Has(arm.At(at, "coffer.conflictPolicies")) {
		r.Add(at, request.Check())
	}
}
