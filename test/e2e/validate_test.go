//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/test/shop"
)

// validate runs a validation by the command line, and answers what it found and the exit code.
func (c *labCluster) validate(t *testing.T, args ...string) (v1alpha1.ValidationStatus, int) {
	t.Helper()
	stdout, stderr, code := c.run(t, append(args, "-o", "json")...)
	// Both kinds have it in the same place.
	var read struct {
		Status v1alpha1.ValidationStatus `json:"status"`
	}
	if err := json.Unmarshal([]byte(stdout), &read); err != nil {
		t.Fatalf("coffer %v: exit code %d: %v\n%s%s", args, code, err, stdout, stderr)
	}
	return read.Status, code
}

// mustFind fails unless there is a check with this name, status and code that holds the words, and, if it has failed, a remedy.
func mustFind(t *testing.T, s v1alpha1.ValidationStatus, name string, status v1alpha1.CheckResult, code string, words ...string) {
	t.Helper()
	for _, c := range s.Checks {
		all := c.Resource + " " + c.Message + " " + c.Remedy
		found := c.Name == name && c.Status == status && c.Code == code
		for _, w := range words {
			found = found && strings.Contains(all, w)
		}
		if found && (status != v1alpha1.CheckFailed || c.Remedy != "") {
			return
		}
	}
	t.Errorf("no check %s that is %s for %q with %q and a remedy: %s\n%+v", name, status, code, words, s.Message, s.Checks)
}

// mustHaveNoValidations fails if the command line has left an object.
func (c *labCluster) mustHaveNoValidations(t *testing.T) {
	t.Helper()
	eventually(t, "the validations are removed", time.Minute, func(ctx context.Context) (bool, error) {
		var backups v1alpha1.ValidateForBackupList
		var restores v1alpha1.ValidateForRestoreList
		for _, list := range []client.ObjectList{&backups, &restores} {
			if err := c.client.List(ctx, list); err != nil {
				return false, err
			}
		}
		return len(backups.Items)+len(restores.Items) == 0, nil
	})
}

func TestValidationOfABackupFindsWhatIsWrongAndTheBackupAgrees(t *testing.T) {
	if err := shop.DeployHooks(t.Context(), lab.client); err != nil {
		t.Fatal(err)
	}
	newShop(t, "sound", 100)
	flags := []string{"--included-namespaces", "sound", "--backup-hook-references", "default/quiesce"}
	good, code := lab.validate(t, append([]string{"backup", "validate"}, flags...)...)
	if code != 0 || good.Phase == v1alpha1.RunFailed || !strings.Contains(good.Message, " 0 failed,") {
		t.Errorf("exit code %d, %s: %+v", code, good.Message, good.Checks)
	}
	mustFind(t, good, "SnapshotClass", v1alpha1.CheckPassed, "")
	mustFind(t, good, "StorageLocationWritable", v1alpha1.CheckPassed, "", "was not overwritten")
	mustCoffer(t, append([]string{"backup", "create", "sound-1", "--wait"}, flags...)...)
	t.Cleanup(func() { mustCoffer(t, "backup", "delete", "sound-1", "--yes", "--wait") })
	coverage := mustCoffer(t, "backup", "coverage", "sound-1")
	if !strings.Contains(coverage, "recovery point sound-1") || !strings.Contains(coverage, "volume sound/") {
		t.Errorf("the coverage is\n%s", coverage)
	}

	// A hook that is missing, and a namespace that vanished.
	bad, code := lab.validate(t, "backup", "validate", "--included-namespaces", "sound,vanished", "--backup-hook-references", "default/missing,default/quiesce")
	if code != 3 || bad.Phase != v1alpha1.RunFailed {
		t.Errorf("exit code %d, %s", code, bad.Message)
	}
	mustFind(t, bad, "Hook", v1alpha1.CheckFailed, "UserErrorHookNotFound", "default/missing")
	mustFind(t, bad, "Hook", v1alpha1.CheckPassed, "", "default/quiesce")
	mustFind(t, bad, "Namespaces", v1alpha1.CheckFailed, "UserErrorNamespaceNotFound", "vanished")
	stdout, _, _ := lab.run(t, "backup", "validate", "--included-namespaces", "vanished")
	if !strings.Contains(stdout, "kubectl get namespaces") || !strings.Contains(stdout, " 1 failed, ") {
		t.Errorf("shown is\n%s", stdout)
	}
	lab.mustHaveNoValidations(t)
}

func TestValidationOfADriverWithoutASnapshotClass(t *testing.T) {
	ctx := t.Context()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "classless"}}
	size, none := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}, ""
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "classless-data"},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: size, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			ClaimRef:               &corev1.ObjectReference{Namespace: ns.Name, Name: "data"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "nfs.csi.example.com", VolumeHandle: "x"}},
		},
	}
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &none, VolumeName: pv.Name, AccessModes: pv.Spec.AccessModes, Resources: corev1.VolumeResourceRequirements{Requests: size},
		},
	}
	for _, o := range []client.Object{ns, pv, claim} {
		if err := lab.client.Create(ctx, o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := lab.client.Delete(context.Background(), o); client.IgnoreNotFound(err) != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "the claim is bound", time.Minute, func(ctx context.Context) (bool, error) {
		err := lab.client.Get(ctx, client.ObjectKeyFromObject(claim), claim)
		return claim.Status.Phase == corev1.ClaimBound, err
	})
	found, code := lab.validate(t, "backup", "validate", "--included-namespaces", ns.Name)
	if code != 3 {
		t.Errorf("exit code %d: %s", code, found.Message)
	}
	mustFind(t, found, "SnapshotClass", v1alpha1.CheckFailed, "UserErrorPVSnapshotNotSupported", "nfs.csi.example.com", "classless/data")
	found, code = lab.validate(t, "backup", "validate", "--included-namespaces", ns.Name, "--snapshot-volumes=false")
	if code != 0 {
		t.Errorf("without volumes: exit code %d: %+v", code, found.Checks)
	}
}

func TestValidationInASecondCluster(t *testing.T) {
	needSecond(t)
	newShop(t, "leaving", 100)
	mustCoffer(t, "backup", "create", "leaving-1", "--included-namespaces", "leaving", "--wait")
	t.Cleanup(func() { mustCoffer(t, "backup", "delete", "leaving-1", "--yes", "--wait") })

	// The container is the first cluster's: the second one may read it, and not write to it.
	if err := second.install("storageLocation.readOnly=true"); err != nil {
		t.Fatal(err)
	}
	location := &v1alpha1.BackupStorageLocation{}
	if err := second.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "default"}, location); err != nil {
		t.Fatal(err)
	}
	readOnly := func(is bool) {
		t.Helper()
		before := location.DeepCopy()
		location.Spec.ReadOnly = is
		if err := second.client.Patch(context.WithoutCancel(t.Context()), location, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	found, code := second.validate(t, "backup", "validate")
	if code != 3 {
		t.Errorf("a read-only location: exit code %d", code)
	}
	mustFind(t, found, "StorageLocationWritable", v1alpha1.CheckFailed, "UserErrorBackupFailedBackupStorageLocationReadOnly")
	readOnly(false)
	found, code = second.validate(t, "backup", "validate")
	if code != 3 {
		t.Errorf("a location of another cluster: exit code %d", code)
	}
	mustFind(t, found, "StorageLocationOwner", v1alpha1.CheckFailed, "UserErrorBackupStorageLocationNotReady", "take-over")
	readOnly(true)

	// A restore there: of a stranger, then without the driver, then as it should be.
	restore := []string{"restore", "validate", "--backup-name", "leaving-1"}
	found, _ = second.validate(t, restore...)
	mustFind(t, found, "RecoveryPoint", v1alpha1.CheckFailed, "UserErrorRecoveryPointSignerNotTrusted", "storage-location trust")
	var trust []string
	for _, c := range found.Checks {
		if m := trustCommand.FindStringSubmatch(c.Remedy); m != nil {
			trust = strings.Fields(m[1])
		}
	}
	if trust == nil {
		t.Fatalf("the remedy does not say how to trust the signer: %+v", found.Checks)
	}
	second.mustRun(t, trust...)
	t.Cleanup(func() { second.mustRun(t, append([]string{"storage-location", "distrust"}, trust[2:]...)...) })
	found, code = second.validate(t, restore...)
	if code != 0 {
		t.Errorf("exit code %d: %+v", code, found.Checks)
	}
	mustFind(t, found, "CSIDriver", v1alpha1.CheckPassed, "")

	var drivers storagev1.CSIDriverList
	if err := second.client.List(t.Context(), &drivers); err != nil {
		t.Fatal(err)
	}
	for i := range drivers.Items {
		driver := &drivers.Items[i]
		if err := second.client.Delete(t.Context(), driver); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			again := &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: driver.Name, Labels: driver.Labels, Annotations: driver.Annotations}, Spec: driver.Spec}
			if err := second.client.Create(context.Background(), again); err != nil {
				t.Error(err)
			}
		})
	}
	found, code = second.validate(t, restore...)
	if code != 3 {
		t.Errorf("without the driver: exit code %d: %+v", code, found.Checks)
	}
	mustFind(t, found, "CSIDriver", v1alpha1.CheckFailed, "UserErrorCSIDriverNotFound", "RestoreWithoutVolumeData")
	found, code = second.validate(t, append(restore, "--persistent-volume-restore-mode", "RestoreWithoutVolumeData")...)
	if code != 0 {
		t.Errorf("without data: exit code %d: %+v", code, found.Checks)
	}
	second.mustHaveNoValidations(t)
}
