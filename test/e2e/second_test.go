//go:build e2e

package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/test/shop"
)

var trustCommand = regexp.MustCompile("`coffer (storage-location trust [^`]+)`")

func TestShopMovesToASecondClusterThroughAReadOnlyLocation(t *testing.T) {
	needSecond(t)
	if err := shop.DeployHooks(t.Context(), lab.client); err != nil {
		t.Fatal(err)
	}
	original := newShop(t, "travel", 5_000)
	before := mustDigest(t, original)
	mustCoffer(t, "backup", "create", "travel-1", "--included-namespaces", "travel", "--backup-hook-references", "default/quiesce", "--wait")

	if err := second.install("storageLocation.readOnly=true"); err != nil {
		t.Fatal(err)
	}
	if err := shop.DeployHooks(t.Context(), second.client); err != nil {
		t.Fatal(err)
	}
	there := second.shopIn(t, "travel")
	restore := []string{"restore", "create", "travel-there", "--backup-name", "travel-1", "--restore-hook-references", "default/reopen", "--wait"}
	refusal := second.mustFail(t, []string{"UserErrorRecoveryPointSignerNotTrusted", "ed25519:"}, restore...)
	trust := trustCommand.FindStringSubmatch(refusal)
	if trust == nil {
		t.Fatalf("the refusal does not say how to trust the signer: %s", refusal)
	}
	if objects := second.mustRun(t, "restore", "show", "travel-there", "-o", "json"); !strings.Contains(objects, `"created": 0`) {
		t.Errorf("the refused restore made something: %s", objects)
	}
	second.mustRun(t, strings.Fields(trust[1])...)
	restore[2] = "travel-there-2"
	second.mustRun(t, restore...)
	if after := mustDigest(t, there); after != before {
		t.Errorf("the data is %s, was %s", after, before)
	}
	second.mustHaveNoSnapshotObjects(t)
	second.mustFail(t, []string{"UserErrorBackupFailedBackupStorageLocationReadOnly"}, "backup", "create", "from-there", "--included-namespaces", "travel", "--wait")

	// What the first cluster deletes is gone for both, and harms neither application.
	mustCoffer(t, "backup", "delete", "travel-1", "--yes", "--wait")
	for _, s := range []shop.Shop{original, there} {
		if after := mustDigest(t, s); after != before {
			t.Errorf("after the deletion the data is %s, was %s", after, before)
		}
	}
	second.mustFail(t, []string{"no recovery point"}, "restore", "create", "travel-again", "--backup-name", "travel-1", "--wait")
	second.mustRun(t, append([]string{"storage-location", "distrust"}, strings.Fields(trust[1])[2:]...)...)
}

func TestCancelledRuns(t *testing.T) {
	s := newToolbox(t, "stopped", "lab")
	start := len(snapshotsOnDisk(t))
	newHook(t, "endless", "stopped", "c", frozenUntilLet, "Fail", "2m")
	mustCoffer(t, "backup", "create", "stopped-1", "--included-namespaces", "stopped", "--backup-hook-references", "default/endless")
	awaitFile(t, s, "/data/pre")
	mustCoffer(t, "backup", "cancel", "stopped-1", "--wait")
	b := showBackup(t, "stopped-1")
	if b.Status.Phase != v1alpha1.RunCancelled || b.Status.Reason != "UserErrorCancelled" || len(b.Status.FrozenPods) != 0 {
		t.Errorf("backup: %+v", b.Status)
	}
	if lines, err := s.Exec(t.Context(), "box", "c", "sh", "-c", "wc -l < /data/post"); err != nil || lines != "1" {
		t.Errorf("the post-hook ran %s times, want 1: %v", lines, err)
	}
	if n := len(snapshotsOnDisk(t)); n != start {
		t.Errorf("%d snapshots are left", n-start)
	}
	mustFail(t, []string{"stopped-1 has ended already", "Cancelled"}, "backup", "cancel", "stopped-1")
	mustFail(t, []string{"no backup named nothing"}, "backup", "cancel", "nothing")
	mustHaveNoSnapshotObjects(t)

	// Its name is free again. The restore waits for a hook that takes its time.
	mustCoffer(t, "backup", "create", "stopped-2", "--included-namespaces", "stopped", "--wait")
	mustDestroy(t, s)
	apply(t, `
apiVersion: clusterbackup.dataprotection.microsoft.com/v1alpha1
kind: RestoreHook
metadata: {name: patient, namespace: default}
spec:
  restoreHook:
    - name: patient
      includedNamespaces: [stopped]
      postHooks: [{exec: {command: [sh, -c, "touch /data/warm; sleep 50"], execTimeout: 60s}}]
`)
	mustCoffer(t, "restore", "create", "stopped-back", "--backup-name", "stopped-2", "--restore-hook-references", "default/patient")
	awaitFile(t, s, "/data/warm")
	mustCoffer(t, "restore", "cancel", "stopped-back", "--wait")
	if r := showRestore(t, "stopped-back"); r.Status.Phase != v1alpha1.RunCancelled {
		t.Errorf("restore: %+v", r.Status)
	}
	if text, err := s.Exec(t.Context(), "box", "c", "cat", "/data/file"); err != nil || text != "hello" {
		t.Errorf("what was restored before is gone: %q, %v", text, err)
	}
	mustHaveNoSnapshotObjects(t)
	mustCoffer(t, "backup", "delete", "stopped-2", "--yes", "--wait")

	var kept v1alpha1.Backup
	kept.Name, kept.Namespace = "stopped-1", namespace
	if err := lab.client.Get(t.Context(), keyOf(&kept), &kept); err != nil {
		t.Fatal(err)
	}
	kept.Spec.Cancel = false
	if err := lab.client.Update(t.Context(), &kept); err == nil || !strings.Contains(err.Error(), "cannot be taken up again") {
		t.Errorf("a cancelled backup was taken up again: %v", err)
	}
	kept.Spec.Cancel, kept.Spec.IncludedNamespaces = true, nil
	if err := lab.client.Update(t.Context(), &kept); err == nil || !strings.Contains(err.Error(), "cannot be changed once created") {
		t.Errorf("a backup was changed: %v", err)
	}
}
