//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/test/shop"
)

const policyVault = "e2e-policies"

// The instances, by what becomes of each. late has no volume, and is made while the others are there.
const (
	kept, suspended, stopped, shopOne, held, purged, late = "kept", "suspended", "stopped", "shop-one", "held", "purged", "late"
)

// minutely are those that are backed up each minute.
var minutely = []string{kept, suspended, stopped, shopOne, held, purged}

// followed is a Backup vault with soft delete, whose instances follow policies of minutes.
type followed struct {
	*vaulted
	// shop is the application of shopOne, whose rows had the digest before, and beside where it is restored.
	shop, beside shop.Shop
	before       string
	// start are the snapshots that there were before.
	start map[string]bool
	// cut is when the link was cut, and was the recovery points of then, the newest first. resumed is when all was resumed.
	cut, resumed time.Time
	was          map[string][]string
	heldPoint    arm.RecoveryPoint
	// restore is the job that restores what is had again.
	restore string
}

func newFollowed(t *testing.T) *followed {
	t.Helper()
	world := joinedVault(t)
	f := &followed{vaulted: &vaulted{config: t.TempDir(), group: world.group}, was: map[string][]string{}, beside: shop.Shop{
		Client: lab.client, Cluster: lab.cluster, Namespace: namespaceOf("back"),
	}}
	t.Cleanup(func() { f.remove(t) })
	f.shop = f.beside
	f.shop.Namespace = namespaceOf(shopOne)
	for _, name := range append(minutely, late) {
		if name != shopOne {
			apply(t, strings.ReplaceAll(quietNamespace, "__NS__", namespaceOf(name)))
		}
	}
	if err := f.shop.Deploy(t.Context(), lab.images); err != nil {
		t.Fatal(err)
	}
	if err := f.shop.Fill(t.Context(), 2_000); err != nil {
		t.Fatal(err)
	}
	f.before = mustDigest(t, f.shop)
	f.start = snapshotsOnDisk(t)

	f.must(t, "login", "--credentials", os.Getenv("COFFER_SERVICE_VAULT_CREDENTIALS"))
	f.must(t, "profile", "set", "--resource-group", vaultGroup, "--vault-name", policyVault)
	// In a server for tests a day of soft delete is a second.
	f.must(t, "backup-vault", "create", "--storage-setting", "[{type:LocallyRedundant,datastore-type:VaultStore}]", "--soft-delete-state", "On", "--retention-duration-in-days", "180")
	f.mustBind(t, "policies", firstCluster, policyVault)
	f.must(t, "trusted-access", "rolebinding", "approve", "--name", "policies", "--cluster-name", firstCluster, "--yes", "--kubeconfig", lab.kubeconfig)
	for _, name := range minutely {
		spread := "PT30S"
		if name == kept {
			spread = "PT0S" // It is known to the second when it is due.
		}
		f.protectMinutely(t, name, "R/2026-01-01T00:00:00+00:00/PT1M", spread)
	}
	return f
}

// quietNamespace has a volume that nothing writes to.
const quietNamespace = `
apiVersion: v1
kind: Namespace
metadata: {name: __NS__}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: __NS__}
data: {color: blue}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: __NS__}
spec: {storageClassName: lab, accessModes: [ReadWriteOnce], resources: {requests: {storage: 32Mi}}}
`

func namespaceOf(instance string) string { return "policy-" + instance }

// remove undoes all of it, however far a test has come.
func (f *followed) remove(t *testing.T) {
	t.Helper()
	mustLab(t, "heal")
	mustLab(t, "service", "up", "vault")
	if t.Failed() {
		for _, name := range append(minutely, late) {
			_, _, _ = f.exec(t, "", "backup-instance", "delete", "-n", name, "--retain-data", "--yes")
			_, _, _ = f.exec(t, "", "backup-instance", "deleted-backup-instance", "purge", "-n", name, "--retain-data", "--yes")
		}
	}
	for _, name := range append(minutely, late, "back") {
		s := f.shop
		s.Namespace = namespaceOf(name)
		doomed.add(t, s)
	}
}

// protectMinutely makes an instance, with a policy of its own.
func (f *followed) protectMinutely(t *testing.T, name, interval, spread string) {
	t.Helper()
	f.follow(t, name, f.minutePolicy(t, interval, spread))
}

// minutePolicy is a policy that keeps for a bit less than two minutes.
func (f *followed) minutePolicy(t *testing.T, interval, spread string) string {
	t.Helper()
	return strings.Replace(f.policyText(t, interval, "PT100S"), "{", `{"coffer": {"spread": "`+spread+`"},`, 1)
}

// follow makes a policy, and an instance that follows it.
func (f *followed) follow(t *testing.T, name, policy string) {
	t.Helper()
	f.mustRead(t, policy, "backup-policy", "create", "--backup-policy-name", name, "--policy", "-")
	f.must(t, "backup-instance", "create", "-n", name, "--cluster", f.clusterID(firstCluster), "--policy-name", name, "--included-namespaces", namespaceOf(name))
}

// each is a command for each of the names, which are its last argument.
func each(names []string, command ...string) (all [][]string) {
	for _, name := range names {
		all = append(all, append(slices.Clone(command), name))
	}
	return all
}

// together runs several command lines at once, all of which have to go well.
func (v *vaulted) together(t *testing.T, commands ...[]string) {
	t.Helper()
	var all errgroup.Group
	for _, args := range commands {
		all.Go(func() error {
			if stdout, stderr, code := v.exec(t, "", args...); code != 0 {
				return fmt.Errorf("coffer %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
}

// calm waits for the part of a minute in which no backup is due for a while, and for the end of those that were.
func (f *followed) calm(t *testing.T) {
	t.Helper()
	eventually(t, "no backup is due, and none under way", 5*time.Minute, func(context.Context) (bool, error) {
		within := func() bool { second := time.Now().Second(); return second >= 32 && second < 42 }
		// To ask takes time, too.
		return within() && f.isCalm(t) && within(), nil
	})
}

// isCalm says whether no backup is under way.
func (f *followed) isCalm(t *testing.T) bool {
	t.Helper()
	return !slices.ContainsFunc(f.jobsOf(t, ""), func(j arm.Job) bool { return strings.HasSuffix(string(j.Operation), "Backup") && !hasEnded(j) })
}

// jobsOf are the jobs of an instance, or of all of them.
func (f *followed) jobsOf(t *testing.T, instance string) (found []arm.Job) {
	t.Helper()
	var shown []struct{ Properties arm.Job }
	f.decode(t, &shown, "job", "list")
	for _, s := range shown {
		if instance == "" || strings.HasSuffix(strings.ToLower(s.Properties.BackupInstanceID), "/"+instance) {
			found = append(found, s.Properties)
		}
	}
	return found
}

// state is how an instance is protected.
func (f *followed) state(t *testing.T, instance string) string {
	t.Helper()
	var shown struct {
		Properties struct{ CurrentProtectionState string }
	}
	f.decode(t, &shown, "backup-instance", "show", "-n", instance)
	return shown.Properties.CurrentProtectionState
}

// isDeleted says whether an instance is deleted, and not purged.
func (f *followed) isDeleted(t *testing.T, instance string) bool {
	t.Helper()
	stdout, stderr, code := f.exec(t, "", "backup-instance", "deleted-backup-instance", "show", "-n", instance)
	if code != 0 && !strings.Contains(stderr, "ResourceNotFound") {
		t.Fatalf("the deleted instance %s: exit code %d\n%s%s", instance, code, stdout, stderr)
	}
	return code == 0
}

// awaitAlert waits for an alert that a backup of an instance was missed, or left out, since.
func (f *followed) awaitAlert(t *testing.T, instance string, since time.Time) {
	t.Helper()
	eventually(t, "an alert about "+instance, 3*time.Minute, func(context.Context) (bool, error) {
		var alerts []struct{ Properties arm.Alert }
		f.decode(t, &alerts, "alert", "list", "-n", instance, "--all")
		at := slices.IndexFunc(alerts, func(a struct{ Properties arm.Alert }) bool {
			return a.Properties.Kind == "BackupMissed" && a.Properties.LastOccurred != nil && a.Properties.LastOccurred.After(since)
		})
		if at >= 0 {
			t.Logf("%s: %s; %s", instance, alerts[at].Properties.Message, alerts[at].Properties.RecommendedAction)
		}
		return at >= 0, nil
	})
}

// slotsOf are the slots of an instance, the newest first.
func (f *followed) slotsOf(t *testing.T, instance string) []arm.Slot {
	t.Helper()
	var page struct{ Value []arm.Slot }
	text := f.must(t, "rest", "GET", f.vaultID(policyVault)+"/backupInstances/"+instance+"/providers/Coffer.Backup/slots")
	if err := json.Unmarshal([]byte(text), &page); err != nil || len(page.Value) == 0 {
		t.Fatalf("the slots of %s: %v: %s", instance, err, text)
	}
	return page.Value
}

// ofSchedule says whether a recovery point is one that nobody has asked for.
func ofSchedule(p arm.RecoveryPoint) bool { return p.Coffer != nil && p.Coffer.Slot != nil }

func names(points []arm.RecoveryPoint) (all []string) {
	for _, p := range points {
		all = append(all, p.RecoveryPointID)
	}
	return all
}

// lasting are the names of recovery points that do not expire while a test looks at them.
func lasting(points []arm.RecoveryPoint) []string {
	return names(slices.DeleteFunc(points, func(p arm.RecoveryPoint) bool { return time.Until(*p.ExpiryTime) < 15*time.Second }))
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
}

func lastWord(id string) string { return id[strings.LastIndex(id, "/")+1:] }

// leftOf is what there is of a recovery point in the cluster and in the blob container.
func leftOf(t *testing.T, point string) (left []string) {
	t.Helper()
	err := lab.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: point}, &v1alpha1.Backup{})
	switch {
	case err == nil:
		left = append(left, "its Backup")
	case !apierrors.IsNotFound(err):
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(fmt.Sprintf("%s/backups/backups/%s", lab.blobs, point)); err == nil && len(entries) > 0 {
		left = append(left, fmt.Sprintf("%d blobs", len(entries)))
	}
	return left
}

// mustBeGone fails if anything is left of recovery points.
func mustBeGone(t *testing.T, points []string) {
	t.Helper()
	for _, p := range points {
		if left := leftOf(t, p); len(left) > 0 {
			t.Errorf("of the recovery point %s there is left: %v", p, left)
		}
	}
}

// waitUntil waits for a time.
func waitUntil(t *testing.T, at time.Time) {
	t.Helper()
	select {
	case <-time.After(time.Until(at)):
	case <-t.Context().Done():
	}
}
