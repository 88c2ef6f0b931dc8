package capability

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
)

// Restored judges whether the volumes of a plan can be made in a cluster with these drivers. unavailable is why there are no
// snapshots at all, or nil.
func Restored(p plan.Plan, drivers []string, unavailable error) []v1alpha1.Check {
	needed := map[string][]string{}
	for _, s := range p.Steps {
		if s.RestoresData() {
			needed[s.Volume.Driver] = append(needed[s.Volume.Driver], s.Target.Namespace+"/"+s.Target.Name)
		}
	}
	if len(needed) == 0 {
		return []v1alpha1.Check{Skipped(SnapshotAPI, "", "no volume is restored from a snapshot")}
	}
	checks := []v1alpha1.Check{Passed(SnapshotAPI, "", "the VolumeSnapshot API is served")}
	if unavailable != nil {
		checks[0] = Refused(SnapshotAPI, "", unavailable, coffer.CodeSnapshotAPIUnavailable)
	}
	for _, driver := range slices.Sorted(maps.Keys(needed)) {
		claims := needed[driver]
		if slices.Contains(drivers, driver) {
			checks = append(checks, Passed(Driver, "CSIDriver "+driver, fmt.Sprintf("%d volumes are made of its snapshots", len(claims))))
			continue
		}
		checks = append(checks, v1alpha1.Check{
			Name: Driver, Status: v1alpha1.CheckFailed, Code: string(coffer.CodeDriverMissing), Resource: "CSIDriver " + driver,
			Message: fmt.Sprintf("the snapshots of %d volumes (%s) are of CSI driver %s, which this cluster does not have", len(claims), some(claims), driver),
			Remedy: "install the driver with access to the storage that holds the snapshots, restore into a cluster that has it, or restore without data: " +
				"persistentVolumeRestoreMode RestoreWithoutVolumeData",
		})
	}
	return checks
}

// Classes judges whether the storage classes that claims of a plan ask for, once mapped, are in the cluster.
func Classes(p plan.Plan, mapped map[string]string, present []string) []v1alpha1.Check {
	used := map[string]bool{}
	for _, s := range p.Steps {
		if s.RestoresData() && s.Volume.StorageClass != "" {
			used[s.Volume.StorageClass] = true
		}
	}
	to := map[string]string{}
	for class := range used {
		to[class] = class
	}
	for from, class := range mapped {
		to[from] = class
	}
	var checks []v1alpha1.Check
	for _, from := range slices.Sorted(maps.Keys(to)) {
		class := to[from]
		_, chosen := mapped[from]
		switch {
		case slices.Contains(present, class):
			checks = append(checks, Passed(StorageClass, "StorageClass "+class, ""))
		case chosen:
			checks = append(checks, v1alpha1.Check{
				Name: StorageClass, Status: v1alpha1.CheckFailed, Code: string(coffer.CodeVolumePending), Resource: "StorageClass " + class,
				Message: fmt.Sprintf("storageClassMappings maps %s to %s, which this cluster does not have", from, class),
				Remedy:  "correct the name, see `kubectl get storageclass`",
			})
		default:
			checks = append(checks, v1alpha1.Check{
				Name: StorageClass, Status: v1alpha1.CheckFailed, Code: string(coffer.CodeVolumePending), Resource: "StorageClass " + class,
				Message: "restored claims ask for storage class " + class + ", which this cluster does not have: they would stay pending",
				Remedy:  "map it to one of this cluster with storageClassMappings, or create it",
			})
		}
	}
	return checks
}

// Served judges whether the objects of a plan can be written at the versions at which they were archived.
func Served(p plan.Plan) []v1alpha1.Check {
	reasons := map[coffer.GroupResource]string{}
	codes := map[coffer.GroupResource]coffer.Code{}
	counts := map[coffer.GroupResource]int{}
	for _, s := range p.Steps {
		if s.Warning != coffer.CodeVersionNotServed && s.Warning != coffer.CodeTypeNotCaptured {
			continue
		}
		reasons[s.Target.GroupResource], codes[s.Target.GroupResource] = s.Reason, s.Warning
		counts[s.Target.GroupResource]++
	}
	if len(reasons) == 0 {
		return []v1alpha1.Check{Passed(Versions, "", "the cluster serves every type of the restore at its version")}
	}
	var checks []v1alpha1.Check
	for t, reason := range reasons {
		c := v1alpha1.Check{
			Name: Versions, Status: v1alpha1.CheckWarning, Code: string(codes[t]), Resource: t.String(),
			Message: fmt.Sprintf("%d objects: %s", counts[t], reason),
			Remedy:  "see what the restore would write with `coffer restore plan`",
		}
		if codes[t] == coffer.CodeTypeNotCaptured {
			c.Remedy = "install what defines the type before the restore, or leave it out by excludedResourceTypes"
		}
		checks = append(checks, c)
	}
	slices.SortFunc(checks, func(a, b v1alpha1.Check) int { return cmp.Compare(a.Resource, b.Resource) })
	return checks
}

// Terminating judges the namespaces that a restore writes to, of which some are being deleted.
func Terminating(targets, terminating []string) []v1alpha1.Check {
	if len(terminating) == 0 {
		return []v1alpha1.Check{Passed(Namespaces, "", fmt.Sprintf("%d namespaces are written to", len(targets)))}
	}
	var checks []v1alpha1.Check
	for _, name := range terminating {
		checks = append(checks, v1alpha1.Check{
			Name: Namespaces, Status: v1alpha1.CheckWarning, Code: string(coffer.CodeNamespaceTerminating), Resource: "Namespace " + name,
			Message: "the namespace is being deleted: a restore waits a few minutes for its end, and fails if it does not come",
			Remedy:  "see what keeps it with `kubectl get namespace " + name + " -o jsonpath='{.status.conditions}'`, or map it to another with namespaceMappings",
		})
	}
	return checks
}
