//go:build e2e

package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// TestAPolicyIsFollowed lets a policy of minutes run: backups begin by themselves, also once the server was killed, and what has expired goes
// from the catalogue, the cluster and the storage, but for the newest.
func TestAPolicyIsFollowed(t *testing.T) {
	v := joinedVault(t)
	newShop(t, "minutely", 200)
	before := snapshotsOnDisk(t)
	v.mustSchedule(t, vaultName, "minutely", "R/2026-01-01T00:00:00+00:00/PT1M", "PT2M")
	v.must(t, "backup-instance", "create", "-n", "minutely", "--cluster", v.clusterID(firstCluster), "--policy-name", "minutely", "--included-namespaces", "minutely")
	t.Cleanup(func() { _, _, _ = v.exec(t, "", "backup-instance", "delete", "-n", "minutely", "--yes") })

	var first arm.RecoveryPoint
	eventually(t, "the first recovery point", 3*time.Minute, func(context.Context) (bool, error) {
		points := v.points(t, "minutely")
		if len(points) > 0 {
			first = points[len(points)-1]
		}
		return len(points) > 0, nil
	})
	if first.Coffer == nil || first.Coffer.Slot == nil || first.Coffer.Slot.Second() != 0 || first.Coffer.Reason == "" {
		t.Errorf("the recovery point does not say which slot it is of, and why it is kept: %s", mustJSON(t, first))
	}
	j := v.job(t, v.group+"/providers/Microsoft.DataProtection/backupVaults/"+vaultName+"/backupJobs/"+first.RecoveryPointID)
	if j.Operation != "ScheduledBackup" || j.IsUserTriggered || details(j)["ScheduledFor"] == "" {
		t.Errorf("its job: %s", mustJSON(t, j))
	}
	if late := j.StartTime.Sub(*first.Coffer.Slot); late < 0 || late > time.Minute {
		t.Errorf("it began %s after its slot", late)
	}
	mustLab(t, "service", "kill", "vault")
	mustLab(t, "service", "up", "vault")

	eventually(t, "the first recovery point expires", 4*time.Minute, func(context.Context) (bool, error) {
		points := v.points(t, "minutely")
		return len(points) > 0 && !slices.ContainsFunc(points, func(p arm.RecoveryPoint) bool { return p.RecoveryPointID == first.RecoveryPointID }), nil
	})
	v.must(t, "backup-instance", "suspend-backup", "-n", "minutely")
	eventually(t, "its Backup goes", time.Minute, func(ctx context.Context) (bool, error) {
		var list v1alpha1.BackupList
		err := lab.client.List(ctx, &list)
		return !slices.ContainsFunc(list.Items, func(b v1alpha1.Backup) bool { return b.Name == first.RecoveryPointID }), err
	})
	// All others expire, and the newest stays, with its archive and its snapshot.
	eventually(t, "only the newest is left", 4*time.Minute, func(context.Context) (bool, error) { return len(v.points(t, "minutely")) == 1, nil })
	eventually(t, "only its snapshot is left", time.Minute, func(context.Context) (bool, error) {
		left := 0
		for name := range snapshotsOnDisk(t) {
			if !before[name] {
				left++
			}
		}
		return left == 1, nil
	})
}
