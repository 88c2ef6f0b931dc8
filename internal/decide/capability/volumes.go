package capability

import (
	"fmt"
	"maps"
	"slices"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/volume"
)

// parameter is one that a driver's snapshot class should have.
type parameter struct {
	name, without, remedy string
	// bad is the value that is as wrong as none; needed says that none is wrong.
	bad    string
	needed bool
}

// parameters are by driver.
var parameters = map[string][]parameter{
	"disk.csi.azure.com": {
		{
			name: "resourceGroup", needed: true,
			without: "the snapshots are made in the cluster's own resource group, which is deleted with the cluster",
			remedy:  "name the snapshot resource group in parameters.resourceGroup of the class, and give the cluster's identity Contributor on it",
		},
		{
			name: "incremental", bad: "false",
			without: "each snapshot is a full copy of the disk, and is paid for as such",
			remedy:  `set parameters.incremental of the class to "true"`,
		},
	},
}

// Snapshots judges whether the claims of a backup can be captured. unavailable is why there are no snapshots at all, or nil.
func Snapshots(decisions []volume.Decision, classes []coffer.SnapshotClass, unavailable error) []v1alpha1.Check {
	drivers, skipped := sorted(decisions)
	if len(drivers) == 0 && len(skipped) == 0 {
		return []v1alpha1.Check{Skipped(SnapshotAPI, "", "no volume is in scope")}
	}
	var checks []v1alpha1.Check
	switch {
	case len(drivers) == 0:
		checks = append(checks, Skipped(SnapshotAPI, "", "no volume in scope is of a CSI driver"))
	case unavailable != nil:
		checks = append(checks, Refused(SnapshotAPI, "", unavailable, coffer.CodeSnapshotAPIUnavailable))
	default:
		checks = append(checks, Passed(SnapshotAPI, "", "the VolumeSnapshot API is served"))
	}
	for _, driver := range slices.Sorted(maps.Keys(drivers)) {
		if unavailable != nil {
			checks = append(checks, Skipped(SnapshotClass, "CSIDriver "+driver, "there is no VolumeSnapshot API"))
			continue
		}
		checks = append(checks, ofDriver(driver, drivers[driver], classes)...)
	}
	for _, code := range slices.Sorted(maps.Keys(skipped)) {
		checks = append(checks, uncaptured(code, skipped[code]))
	}
	return checks
}

// sorted are the decisions by driver, and those that no driver can help, by code. What somebody chose to leave out is neither.
func sorted(decisions []volume.Decision) (drivers map[string][]volume.Decision, skipped map[coffer.Code][]volume.Decision) {
	drivers, skipped = map[string][]volume.Decision{}, map[coffer.Code][]volume.Decision{}
	for _, d := range decisions {
		switch v := d.Volume; {
		case d.LeftOut || v.Result == coffer.VolumeSkipped && v.Code == "":
		case v.Driver != "":
			drivers[v.Driver] = append(drivers[v.Driver], d)
		default:
			skipped[v.Code] = append(skipped[v.Code], d)
		}
	}
	return drivers, skipped
}

// ofDriver judges the classes by which the volumes of one driver are captured.
func ofDriver(driver string, decisions []volume.Decision, classes []coffer.SnapshotClass) []v1alpha1.Check {
	used := map[string]int{}
	var without []string
	reason := ""
	for _, d := range decisions {
		if d.Class != "" {
			used[d.Class]++
			continue
		}
		without, reason = append(without, claimOf(d)), d.Volume.Reason
	}
	var checks []v1alpha1.Check
	if len(without) > 0 {
		checks = append(checks, v1alpha1.Check{
			Name: SnapshotClass, Status: v1alpha1.CheckFailed, Code: string(coffer.CodeSnapshotUnsupported), Resource: "CSIDriver " + driver,
			Message: fmt.Sprintf("the data of %d volumes would not be in the recovery point (%s): %s", len(without), some(without), reason),
			Remedy: fmt.Sprintf("create a VolumeSnapshotClass with driver %s, if it takes snapshots, and annotate the one to use with "+
				"snapshot.storage.kubernetes.io/is-default-class=true; or leave these volumes out by volumePolicies", driver),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		checks = append(checks, Passed(SnapshotClass, "VolumeSnapshotClass "+name, fmt.Sprintf("%d volumes of CSI driver %s are captured by it", used[name], driver)))
		at := slices.IndexFunc(classes, func(c coffer.SnapshotClass) bool { return c.Name == name })
		if at >= 0 {
			checks = append(checks, ofClass(classes[at])...)
		}
	}
	return checks
}

// ofClass judges the parameters of a class, of a driver that is known to take some.
func ofClass(class coffer.SnapshotClass) []v1alpha1.Check {
	var checks []v1alpha1.Check
	for _, p := range parameters[class.Driver] {
		value := class.Parameters[p.name]
		resource := "VolumeSnapshotClass " + class.Name
		if value == "" && p.needed || value != "" && value == p.bad {
			checks = append(checks, v1alpha1.Check{
				Name: SnapshotSettings, Status: v1alpha1.CheckWarning, Code: string(coffer.CodeSnapshotParameters), Resource: resource,
				Message: fmt.Sprintf("parameter %s is %q: %s", p.name, value, p.without), Remedy: p.remedy,
			})
			continue
		}
		if value != "" {
			checks = append(checks, Passed(SnapshotSettings, resource, fmt.Sprintf("parameter %s is %q", p.name, value)))
		}
	}
	return checks
}

// uncaptured warns of volumes that no snapshot can be taken of.
func uncaptured(code coffer.Code, decisions []volume.Decision) v1alpha1.Check {
	claims := make([]string, len(decisions))
	for i, d := range decisions {
		claims[i] = claimOf(d)
	}
	c := v1alpha1.Check{
		Name: Volumes, Status: v1alpha1.CheckWarning, Code: string(code), Resource: "PersistentVolumeClaim " + claims[0],
		Message: fmt.Sprintf("the data of %d volumes would not be in the recovery point (%s): %s", len(claims), some(claims), decisions[0].Volume.Reason),
	}
	switch code {
	case coffer.CodeSnapshotUnsupported:
		c.Remedy = "move the data to volumes of a CSI driver; or back it up by other means, and leave these volumes out by volumePolicies"
	case coffer.CodeClaimNotBound:
		c.Remedy = "see what they wait for with `kubectl describe pvc`, or delete them if nobody needs them"
	case coffer.CodeVolumeNotFound:
		c.Remedy = "the volume was deleted under its claim: restore it, or delete the claim"
	}
	return c
}

func claimOf(d volume.Decision) string { return d.Volume.Namespace + "/" + d.Volume.Claim }
