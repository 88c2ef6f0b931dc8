package cli

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

func TestVeleroImportMakesAReadOnlyLocationThatIsTrustedOnlyIfSaid(t *testing.T) {
	c := newStorageClient(t, v1alpha1.BackupStorageLocationStatus{})
	read := func() v1alpha1.BackupStorageLocation {
		t.Helper()
		var l v1alpha1.BackupStorageLocation
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultNamespace, Name: "old"}, &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	mustRun(t, c, exitOK, "velero", "import", "old", "--provider", "s3", "--container", "velero", "--prefix", "prod")
	if l := read(); !l.Spec.ReadOnly || l.Spec.Velero == nil || l.Spec.Velero.TrustUnsigned || l.Spec.Prefix != "prod" {
		t.Errorf("imported: %+v", l.Spec)
	}
	out, _ := mustRun(t, c, exitOK, "velero", "import", "old", "--trust-unsigned")
	mustSay(t, out, "nothing vouches for them", "read-only")
	if l := read(); !l.Spec.Velero.TrustUnsigned || l.Spec.Container != "velero" {
		t.Errorf("trusted: %+v", l.Spec)
	}
	_, errs := mustRun(t, c, exitFailed, "velero", "import", "other", "--trust-unsigned")
	mustSay(t, errs, "no storage location named other")
}

func TestVeleroBackupsAreListedAndDescribed(t *testing.T) {
	points := int64(203)
	completed := metav1.Now()
	status := v1alpha1.BackupStorageLocationStatus{
		Phase: v1alpha1.StorageLocationAvailable, RecoveryPoints: &points,
		VeleroBackups: []v1alpha1.VeleroBackup{
			{
				Name: "daily-2", Phase: "PartiallyFailed", Objects: 7, Errors: 1, IncludedNamespaces: []string{"shop"}, CompletionTime: &completed,
				VolumesCaptured: 2, VolumesSkipped: 12, Skipped: []v1alpha1.VeleroSkippedVolume{{Volume: "shop/data", Reason: "Velero copied it"}},
			},
			{Name: "daily-1", Problem: "velero-backup.json of daily-1 is not readable"},
		},
	}
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: name}
	}
	c := newStorageClient(t, status,
		&v1alpha1.BackupStorageLocation{ObjectMeta: meta("old"), Spec: v1alpha1.BackupStorageLocationSpec{Velero: &v1alpha1.VeleroSource{}}},
		&v1alpha1.BackupStorageLocation{ObjectMeta: meta("default")})
	out, errs := mustRun(t, c, exitOK, "velero", "list", "--storage-location", "old")
	mustSay(t, out, "daily-2", "PartiallyFailed", "2/14", "daily-1", "is not readable")
	mustSay(t, errs, "201 more recovery points")
	out, _ = mustRun(t, c, exitOK, "velero", "describe", "daily-2", "--storage-location", "old")
	mustSay(t, out, "2/14 can be restored", "shop/data: Velero copied it", "and 11 more")
	_, errs = mustRun(t, c, exitFailed, "velero", "describe", "daily-9", "--storage-location", "old")
	mustSay(t, errs, "no backup daily-9")
	_, errs = mustRun(t, c, exitFailed, "velero", "list", "--storage-location", "default")
	mustSay(t, errs, "coffer velero import")
}
