package capability

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// OldestKubernetes is the oldest version of Kubernetes that Coffer supports.
const OldestKubernetes = "1.30.0"

// Supported judges the version that an API server gives, such as v1.34.1-gke.7.
func Supported(serves string) v1alpha1.Check {
	got, err := version.ParseGeneric(serves)
	if err != nil {
		return v1alpha1.Check{
			Name: Kubernetes, Status: v1alpha1.CheckWarning, Code: string(coffer.CodeInvalid), Message: fmt.Sprintf("the API server gives a version that is none: %q", serves),
			Remedy: "see whether it is " + OldestKubernetes + " or later: `kubectl version`",
		}
	}
	if got.LessThan(version.MustParseGeneric(OldestKubernetes)) {
		return v1alpha1.Check{
			Name: Kubernetes, Status: v1alpha1.CheckFailed, Code: string(coffer.CodeKubernetesTooOld),
			Message: fmt.Sprintf("Kubernetes %s is older than %s, the oldest that is supported", serves, OldestKubernetes), Remedy: "upgrade the cluster",
		}
	}
	return Passed(Kubernetes, "", "Kubernetes "+serves)
}

// veleroGroup is the API group of Velero's custom resources.
const veleroGroup = "velero.io"

// Velero says what it means that Velero's custom resources are in the cluster too.
func Velero(types []coffer.ResourceType) v1alpha1.Check {
	if !slices.ContainsFunc(types, func(t coffer.ResourceType) bool { return t.Group == veleroGroup && t.Resource == "backups" }) {
		return Passed(OtherTools, "", "no other backup tool is known in the cluster")
	}
	return v1alpha1.Check{
		Name: OtherTools, Status: v1alpha1.CheckWarning, Code: string(coffer.CodeVeleroPresent), Resource: "CustomResourceDefinition backups.velero.io",
		Message: "Velero is installed in the cluster too: both would run hooks and take snapshots of the same volumes, each of its own, and neither deletes the other's",
		Remedy:  "give each a container of its own; pause Velero's schedules once Coffer's backups are trusted; its old backups can be restored after `coffer velero import`",
	}
}

// Access says which of some types may not be dealt with by a verb in a namespace, or anywhere if that is empty; none is a check
// that passed. essential says that a run cannot do without.
func Access(verb, namespace string, forbidden []coffer.GroupResource, essential bool) v1alpha1.Check {
	where := "in the cluster"
	resource := ""
	if namespace != "" {
		where, resource = "in namespace "+namespace, "Namespace "+namespace
	}
	if len(forbidden) == 0 {
		return Passed(Permissions, resource, fmt.Sprintf("the Backup extension may %s what it needs to %s", verb, where))
	}
	names := make([]string, len(forbidden))
	for i, t := range forbidden {
		names[i] = t.String()
	}
	slices.Sort(names)
	c := v1alpha1.Check{
		Name: Permissions, Status: v1alpha1.CheckWarning, Code: string(coffer.CodeForbidden), Resource: resource,
		Message: fmt.Sprintf("the Backup extension may not %s %s %s", verb, some(names), where),
		Remedy:  "install it with a stronger profile, see `permissions` in the chart's values.yaml",
	}
	if essential {
		c.Status = v1alpha1.CheckFailed
	}
	return c
}
