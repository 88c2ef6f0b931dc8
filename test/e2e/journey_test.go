//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/test/shop"
)

func TestExtensionRunsWithLimitsProbesAndALease(t *testing.T) {
	var d appsv1.Deployment
	eventually(t, "the extension is ready", time.Minute, func(ctx context.Context) (bool, error) {
		err := lab.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "coffer-extension"}, &d)
		return d.Status.ReadyReplicas == 1, err
	})
	c := d.Spec.Template.Spec.Containers[0]
	if c.Resources.Limits.Memory().IsZero() || c.LivenessProbe == nil || c.ReadinessProbe == nil {
		t.Errorf("limits %v, probes %v %v", c.Resources.Limits, c.LivenessProbe, c.ReadinessProbe)
	}
	// One that is ready may still wait for the lease of the one before it.
	eventually(t, "the lease is held", time.Minute, func(ctx context.Context) (bool, error) {
		var lease coordinationv1.Lease
		err := lab.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "coffer-extension"}, &lease)
		return lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity != "", err
	})
	eventually(t, "the storage location is available", time.Minute, func(ctx context.Context) (bool, error) {
		var l v1alpha1.BackupStorageLocation
		err := lab.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "default"}, &l)
		return l.Status.Phase == v1alpha1.StorageLocationAvailable, err
	})
}

func TestShopIsBackedUpDestroyedAndRestored(t *testing.T) {
	if err := shop.DeployHooks(t.Context(), lab.client); err != nil {
		t.Fatal(err)
	}
	original := newShop(t, "shop", 20_000)
	before := mustDigest(t, original)

	mustCoffer(t, "backup", "create", "journey-1", "--included-namespaces", "shop", "--backup-hook-references", "default/quiesce", "--wait")
	if b := showBackup(t, "journey-1"); b.Status.Phase != v1alpha1.RunCompleted || b.Status.Progress.VolumesReady != 1 || len(b.Status.FrozenPods) != 0 {
		t.Fatalf("backup: %+v", b.Status)
	}
	mustHaveNoSnapshotObjects(t)
	if mode, err := original.SQL(t.Context(), "SHOW default_transaction_read_only"); err != nil || mode != "off" {
		t.Errorf("after the backup the database has read-only %q, %v: the post-hook did not run", mode, err)
	}

	mustDestroy(t, original)
	mustCoffer(t, "restore", "create", "journey-back", "--backup-name", "journey-1", "--restore-hook-references", "default/reopen", "--wait")
	r := showRestore(t, "journey-back")
	if r.Status.Phase != v1alpha1.RunCompleted || r.Status.Progress.HooksRun != 1 || r.Status.Progress.VolumesBound != 1 || r.Status.Progress.Failed != 0 {
		t.Errorf("restore: %+v", r.Status)
	}
	if after := mustDigest(t, original); after != before {
		t.Errorf("the data is %s, was %s", after, before)
	}
	if _, err := original.SQL(t.Context(), "INSERT INTO orders VALUES (0, 'x', 1)"); err != nil {
		t.Errorf("the restored database takes no writes: %v", err)
	}
	mustServePage(t, original)

	second := shopIn(t, "shop-copy")
	mustCoffer(t, "restore", "create", "journey-copy", "--backup-name", "journey-1", "--namespace-mappings", "shop=shop-copy",
		"--restore-hook-references", "default/reopen", "--wait")
	if after := mustDigest(t, second); after != before {
		t.Errorf("the copy's data is %s, was %s", after, before)
	}
	mustServePage(t, second)
	mustHaveNoSnapshotObjects(t)
}

// mustServePage asks the web front for its page through the Service's name.
func mustServePage(t *testing.T, s shop.Shop) {
	t.Helper()
	var pods corev1.PodList
	if err := lab.client.List(t.Context(), &pods, client.InNamespace(s.Namespace), client.MatchingLabels{"app": "web"}); err != nil || len(pods.Items) == 0 {
		t.Fatalf("web pods: %v", err)
	}
	// The name and the address of a Service lead to a pod a moment after that is ready.
	eventually(t, "the page is served", time.Minute, func(ctx context.Context) (bool, error) {
		page, err := s.Exec(ctx, pods.Items[0].Name, "httpd", "wget", "-qO-", "http://web."+s.Namespace+".svc.cluster.local/")
		if err == nil && !strings.Contains(page, "The shop is open") {
			err = fmt.Errorf("the page is %q", page)
		}
		return err == nil, err
	})
}

func TestDeletionTakesOneRecoveryPointAndNothingElse(t *testing.T) {
	s := newShop(t, "shop-del", 100)
	before := mustDigest(t, s)
	start := snapshotsOnDisk(t)
	for _, name := range []string{"delete-1", "delete-2"} {
		mustCoffer(t, "backup", "create", name, "--included-namespaces", "shop-del", "--wait")
	}
	if n := len(snapshotsOnDisk(t)) - len(start); n != 2 {
		t.Fatalf("two backups of one volume made %d snapshots", n)
	}
	mustDestroy(t, s)
	if n := len(snapshotsOnDisk(t)) - len(start); n != 2 {
		t.Fatalf("after the namespace was deleted there are %d snapshots, want 2: they must survive it", n)
	}

	_, stderr, code := coffer(t, "backup", "delete", "delete-1")
	if code != 2 || !strings.Contains(stderr, "--yes") {
		t.Errorf("a deletion that nobody confirmed: exit code %d, %s", code, stderr)
	}
	mustCoffer(t, "backup", "delete", "delete-1", "--yes", "--wait")
	if n := len(snapshotsOnDisk(t)) - len(start); n != 1 {
		t.Errorf("%d snapshots are left, want the other backup's", n)
	}
	if left, _ := filepath.Glob(filepath.Join(lab.blobs, "backups/backups/delete-1/*")); len(left) != 0 {
		t.Errorf("blobs are left: %v", left)
	}
	mustFail(t, []string{"no backup named delete-1"}, "backup", "show", "delete-1")
	mustFail(t, []string{"no recovery point", "delete-1"}, "restore", "create", "of-nothing", "--backup-name", "delete-1", "--wait")

	mustCoffer(t, "restore", "create", "of-the-other", "--backup-name", "delete-2", "--wait")
	if after := mustDigest(t, s); after != before {
		t.Errorf("the other recovery point's data is %s, was %s", after, before)
	}
	mustCoffer(t, "backup", "delete", "delete-2", "--yes", "--wait")
	if left := snapshotsOnDisk(t); !maps.Equal(left, start) {
		t.Errorf("snapshots on the storage: %v, before: %v", slices.Collect(maps.Keys(left)), slices.Collect(maps.Keys(start)))
	}
	mustHaveNoSnapshotObjects(t)
	if after := mustDigest(t, s); after != before {
		t.Errorf("deleting the recovery point harmed the restored application: %s, was %s", after, before)
	}
}

func TestWholeClusterIsBackedUpAndAPartRestored(t *testing.T) {
	awaitQuiet(t)
	s := newShop(t, "shop-whole", 500)
	before := mustDigest(t, s)
	mustCoffer(t, "backup", "create", "everything", "--wait")
	b := showBackup(t, "everything")
	if !b.Status.Phase.Succeeded() || b.Status.Progress.Objects < 100 {
		t.Fatalf("backup: %+v", b.Status)
	}
	mustDestroy(t, s)
	mustCoffer(t, "restore", "create", "part", "--backup-name", "everything", "--included-namespaces", "shop-whole", "--wait")
	if after := mustDigest(t, s); after != before {
		t.Errorf("the data is %s, was %s", after, before)
	}
	// Once more, with everything in place: nothing is touched.
	mustCoffer(t, "restore", "create", "again", "--backup-name", "everything", "--included-namespaces", "shop-whole", "--wait")
	r := showRestore(t, "again")
	if r.Status.Progress.Created != 0 || r.Status.Progress.Existing == 0 || r.Status.Phase != v1alpha1.RunCompletedWithWarnings {
		t.Errorf("a restore over what exists: %+v", r.Status)
	}
	mustCoffer(t, "backup", "delete", "everything", "--yes", "--wait")
}

const blockPod = `
apiVersion: v1
kind: Namespace
metadata: {name: raw}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: disk, namespace: raw}
spec:
  volumeMode: Block
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 64Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer, namespace: raw}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      image: __IMAGE__
      imagePullPolicy: Never
      command: [sh, -c, "sleep 100000"]
      volumeDevices: [{name: disk, devicePath: /dev/disk}]
  volumes: [{name: disk, persistentVolumeClaim: {claimName: disk}}]
`

func TestBlockVolumeComesBackByteForByte(t *testing.T) {
	s := shopIn(t, "raw")
	apply(t, strings.ReplaceAll(blockPod, "__IMAGE__", lab.images.Toolbox))
	exec := func(script string) string {
		t.Helper()
		var out string
		eventually(t, "exec in the pod", 3*time.Minute, func(ctx context.Context) (bool, error) {
			var err error
			out, err = s.Exec(ctx, "writer", "c", "sh", "-c", script)
			return err == nil, nil
		})
		return out
	}
	exec("dd if=/dev/urandom of=/dev/disk bs=1M count=48 conv=fsync 2>/dev/null")
	before := exec("sha256sum /dev/disk")
	mustCoffer(t, "backup", "create", "raw-1", "--included-namespaces", "raw", "--wait")
	mustDestroy(t, s)
	mustCoffer(t, "restore", "create", "raw-back", "--backup-name", "raw-1", "--wait")
	if after := exec("sha256sum /dev/disk"); after != before {
		t.Errorf("the device is %s, was %s", after, before)
	}
	mustCoffer(t, "backup", "delete", "raw-1", "--yes", "--wait")
}
