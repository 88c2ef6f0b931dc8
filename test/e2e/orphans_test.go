//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/decide/job"
)

// TestOrphansAreFoundAndRemovedOnRequest has the catalogue, the container and the cluster come apart: an archive is deleted behind the vault's back,
// a recovery point is made of which its catalogue does not know, and a backup leaves a snapshot that nobody would ever remove. All are found, and what is
// named is removed, with its real snapshots; what is the vault's own and known, and what a person has made, stays.
func TestOrphansAreFoundAndRemovedOnRequest(t *testing.T) {
	v := joinedVault(t)
	const app, other = "orphans", "orphans-gone"
	start := snapshotsOnDisk(t)
	apply(t, strings.ReplaceAll(quietNamespace, "__NS__", app))
	apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+other+"}\n")
	t.Cleanup(func() {
		for _, name := range []string{app, other} {
			_ = lab.client.Delete(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
	})
	v.protect(t, app, "--included-namespaces", app+","+other)
	backUp := func() string {
		id := v.begun(t, "backup-instance", "adhoc-backup", "-n", app)
		v.mustComplete(t, id)
		return lastWord(id)
	}
	good, lost := backUp(), backUp()
	if found := v.orphansOf(t, good, lost); len(found) > 0 {
		t.Fatalf("orphans before anything has happened: %+v", found)
	}
	var made v1alpha1.Backup
	mustGet(t, good, &made)

	// Somebody deletes an archive in the cluster, and its snapshots with it.
	lab.mustRun(t, "backup", "delete", lost, "--yes", "--wait")
	// A recovery point of the vault that its catalogue does not know, and one that a person has made.
	for name, labels := range map[string]map[string]string{"orphans-unknown": {job.VaultLabel: made.Labels[job.VaultLabel]}, "orphans-mine": nil} {
		b := &v1alpha1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}, Spec: v1alpha1.BackupSpec{IncludedNamespaces: []string{app}}}
		if err := lab.client.Create(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _, _ = lab.run(t, "backup", "delete", name, "--yes", "--wait") })
	}
	// A backup fails, its object is deleted, and a snapshot of it is left.
	failed := v.failWithout(t, app, other)
	mustLeaveSnapshot(t, app, failed.UID)
	for _, name := range []string{"orphans-unknown", "orphans-mine"} {
		if b := awaitEnd(t, name); b.Phase != v1alpha1.RunCompleted {
			t.Fatalf("the backup %s is %s: %s", name, b.Phase, b.Message)
		}
	}

	var found []arm.Orphan
	eventually(t, "all orphans are found", time.Minute, func(context.Context) (bool, error) {
		found = v.orphansOf(t, good, lost, failed.Name, "orphans-unknown", "orphans-mine")
		return len(found) == 3, nil
	})
	var ids, kinds []string
	for _, o := range found {
		ids, kinds = append(ids, o.ID), append(kinds, string(o.Kind)+" "+o.Name)
	}
	if want := []string{"Archive orphans-unknown", "RecoveryPoint " + lost, "Snapshots " + failed.Name}; !slices.Equal(kinds, want) {
		t.Fatalf("orphans: %v, want %v", kinds, want)
	}
	if before := len(snapshotsOnDisk(t)) - len(start); before != 4 {
		t.Errorf("there are %d snapshots: of the good one, the unknown one, the person's, and the one that was left", before)
	}

	remove := func(ids ...string) []string {
		return append([]string{"backup-vault", "orphans", "remove", "--yes", "--cluster-id", v.clusterID(firstCluster)}, ids...)
	}
	v.mustFail(t, []string{"refused", "1 of 1 orphans were not removed"}, remove("Archive/"+good+"/00000000")...)
	v.must(t, remove(ids...)...)
	eventually(t, "what was removed is deleted", time.Minute, func(context.Context) (bool, error) {
		var owed []arm.PendingDeletion
		v.decode(t, &owed, "backup-vault", "pending-deletions")
		return len(owed) == 0, nil
	})
	mustBeGone(t, []string{lost, "orphans-unknown", failed.Name})
	if found := v.orphansOf(t, good, lost, failed.Name, "orphans-unknown", "orphans-mine"); len(found) > 0 {
		t.Errorf("orphans in the end: %+v", found)
	}
	points := v.points(t, app)
	if len(points) != 1 || points[0].RecoveryPointID != good || len(leftOf(t, good)) != 2 || len(leftOf(t, "orphans-mine")) != 2 {
		t.Errorf("recovery points: %+v", points)
	}
	lab.mustRun(t, "backup", "delete", "orphans-mine", "--yes", "--wait")
	v.must(t, "backup-instance", "delete", "-n", app, "--yes")
	mustBeWithout(t, points, start)
}

// orphansOf are the orphans of the vault that have one of some names.
func (v *vaulted) orphansOf(t *testing.T, names ...string) (found []arm.Orphan) {
	t.Helper()
	var all []arm.Orphan
	v.decode(t, &all, "backup-vault", "orphans")
	for _, o := range all {
		if o.Kind == arm.OrphanNotAsked {
			t.Errorf("the cluster %s was not asked: %s", o.ClusterID, o.Reason)
		}
		if slices.Contains(names, o.Name) {
			found = append(found, o)
		}
	}
	return found
}

func mustGet(t *testing.T, name string, into client.Object) {
	t.Helper()
	if err := lab.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, into); err != nil {
		t.Fatal(err)
	}
}

// failWithout has a backup of an instance fail for want of a namespace, and deletes its object.
func (v *vaulted) failWithout(t *testing.T, instance, missing string) v1alpha1.Backup {
	t.Helper()
	gone := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: missing}}
	if err := lab.client.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace is gone", time.Minute, func(ctx context.Context) (bool, error) {
		err := lab.client.Get(ctx, client.ObjectKeyFromObject(gone), &corev1.Namespace{})
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	id := v.begun(t, "backup-instance", "adhoc-backup", "-n", instance)
	if j := v.awaitJob(t, id, "ends", time.Minute, hasEnded); !j.Status.Is("Failed") {
		t.Fatalf("the job is %s", mustJSON(t, j))
	}
	var failed v1alpha1.Backup
	mustGet(t, lastWord(id), &failed)
	if err := lab.client.Delete(t.Context(), &failed); err != nil {
		t.Fatal(err)
	}
	return failed
}

// mustLeaveSnapshot cuts a snapshot as a run of a UID does, which has died since.
func mustLeaveSnapshot[T ~string](t *testing.T, app string, run T) {
	t.Helper()
	var classes snapshotv1.VolumeSnapshotClassList
	if err := lab.client.List(t.Context(), &classes, client.MatchingLabels{"app.kubernetes.io/managed-by": "coffer"}); err != nil || len(classes.Items) == 0 {
		t.Fatalf("there is no class of Coffer's: %v", err)
	}
	claim := "data"
	left := &snapshotv1.VolumeSnapshot{
		ObjectMeta: metav1.ObjectMeta{Namespace: app, Name: fmt.Sprintf("coffer-%s-0123456789abcdef", run), Labels: map[string]string{"app.kubernetes.io/managed-by": "coffer"}},
		Spec:       snapshotv1.VolumeSnapshotSpec{Source: snapshotv1.VolumeSnapshotSource{PersistentVolumeClaimName: &claim}, VolumeSnapshotClassName: &classes.Items[0].Name},
	}
	if err := lab.client.Create(t.Context(), left); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the snapshot is there", time.Minute, func(ctx context.Context) (bool, error) {
		err := lab.client.Get(ctx, client.ObjectKeyFromObject(left), left)
		return left.Status != nil && left.Status.ReadyToUse != nil && *left.Status.ReadyToUse, err
	})
}
