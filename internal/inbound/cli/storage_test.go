package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// newStorageClient is a client of a cluster whose extension answers each request for a check with a status.
func newStorageClient(t *testing.T, answer v1alpha1.BackupStorageLocationStatus, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if err := c.Get(ctx, key, o, opts...); err != nil {
				return err
			}
			if l, ok := o.(*v1alpha1.BackupStorageLocation); ok && l.Annotations[v1alpha1.AnnotationCheck] != "" {
				l.Status = answer
				l.Status.LastHandledCheck, l.Status.ObservedGeneration = l.Annotations[v1alpha1.AnnotationCheck], l.Generation
			}
			return nil
		},
	}).Build()
}

func mustRun(t *testing.T, c client.Client, want int, args ...string) (out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code := Run(t.Context(), Config{Out: &o, Err: &e, In: strings.NewReader(""), ClientFunc: func(Target) (client.Client, error) { return c, nil }}, args)
	if code != want {
		t.Fatalf("coffer %v: exit code %d, want %d\n%s%s", args, code, want, o.String(), e.String())
	}
	return o.String(), e.String()
}

func mustSay(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}

func TestCreateMakesTheSecretOfAFile(t *testing.T) {
	c := newStorageClient(t, v1alpha1.BackupStorageLocationStatus{})
	file := filepath.Join(t.TempDir(), "keys.env")
	if err := os.WriteFile(file, []byte("# of the vault\naccessKeyId = AK\nsecretAccessKey=S=K\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs := mustRun(t, c, exitOK, "storage-location", "create", "vault", "--provider", "s3", "--container", "backups",
		"--prefix", "prod", "--endpoint", "https://minio:9000", "--force-path-style", "--credentials-file", file)
	mustSay(t, out, "backups/prod", "https://minio:9000", "Secret vault-credentials", "New")
	if strings.Contains(out+errs, "S=K") {
		t.Error("the secret is shown")
	}
	var s corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultNamespace, Name: "vault-credentials"}, &s); err != nil {
		t.Fatal(err)
	}
	if string(s.Data["accessKeyId"]) != "AK" || string(s.Data["secretAccessKey"]) != "S=K" || len(s.OwnerReferences) != 1 {
		t.Errorf("the Secret has %d keys and owners %v", len(s.Data), s.OwnerReferences)
	}
	var l v1alpha1.BackupStorageLocation
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultNamespace, Name: "vault"}, &l); err != nil {
		t.Fatal(err)
	}
	if l.Spec.S3 == nil || !l.Spec.S3.ForcePathStyle || l.Spec.CredentialsSecretRef.Name != "vault-credentials" {
		t.Errorf("the location is %+v", l.Spec)
	}
	_, errs = mustRun(t, c, exitFailed, "storage-location", "create", "vault", "--provider", "s3", "--container", "backups", "--credentials-file", file)
	mustSay(t, errs, "a Secret vault-credentials exists already")
	_, errs = mustRun(t, c, exitFailed, "storage-location", "create", "vault", "--provider", "s3", "--container", "backups")
	mustSay(t, errs, "a storage location named vault exists already")
}

func newLocation(status v1alpha1.BackupStorageLocationStatus) *v1alpha1.BackupStorageLocation {
	return &v1alpha1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: "vault"},
		Spec:       v1alpha1.BackupStorageLocationSpec{Provider: v1alpha1.ProviderGCS, Container: "backups"},
		Status:     status,
	}
}

func TestCheckShowsWhatWasFound(t *testing.T) {
	now, points := metav1.Now(), int64(7)
	answer := v1alpha1.BackupStorageLocationStatus{
		Phase: v1alpha1.StorageLocationAvailable, Reachable: true, Writable: true, RecoveryPoints: &points, LastCheckedTime: &now,
		ClockSkew: &metav1.Duration{Duration: -time.Hour}, Owner: &v1alpha1.StorageLocationOwner{Cluster: "u", Since: now, Self: true},
	}
	out, _ := mustRun(t, newStorageClient(t, answer, newLocation(answer)), exitOK, "storage-location", "check", "vault")
	mustSay(t, out, "Reachable:", "Writable:", "this cluster since", "-1h0m0s", "Recovery points:", "7")

	answer = v1alpha1.BackupStorageLocationStatus{Phase: v1alpha1.StorageLocationUnavailable, Reason: "R", Message: "no such bucket", LastCheckedTime: &now}
	out, errs := mustRun(t, newStorageClient(t, answer, newLocation(answer)), exitFailed, "storage-location", "check", "vault")
	mustSay(t, out+errs, "Unavailable", "no such bucket")
}

func TestTakeOverIsOfTheOwnerThatWasShown(t *testing.T) {
	other := v1alpha1.BackupStorageLocationStatus{Owner: &v1alpha1.StorageLocationOwner{Cluster: "u-2", Name: "old", Since: metav1.Now()}}
	now := metav1.Now()
	mine := v1alpha1.BackupStorageLocationStatus{
		Phase: v1alpha1.StorageLocationAvailable, LastCheckedTime: &now, Owner: &v1alpha1.StorageLocationOwner{Cluster: "u-1", Since: now, Self: true},
	}
	c := newStorageClient(t, mine, newLocation(other))
	out, _ := mustRun(t, c, exitOK, "storage-location", "take-over", "vault", "--yes")
	mustSay(t, out, "this cluster")
	var l v1alpha1.BackupStorageLocation
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultNamespace, Name: "vault"}, &l); err != nil {
		t.Fatal(err)
	}
	if l.Annotations[v1alpha1.AnnotationTakeOver] != "u-2" {
		t.Errorf("the order names %q, want u-2", l.Annotations[v1alpha1.AnnotationTakeOver])
	}
	_, errs := mustRun(t, newStorageClient(t, mine, newLocation(mine)), exitFailed, "storage-location", "take-over", "vault", "--yes")
	mustSay(t, errs, "this cluster's already")
	_, errs = mustRun(t, newStorageClient(t, mine, newLocation(v1alpha1.BackupStorageLocationStatus{})), exitFailed, "storage-location", "take-over", "vault", "--yes")
	mustSay(t, errs, "coffer storage-location check vault")
}

func TestListNamesPhaseAndOwner(t *testing.T) {
	status := v1alpha1.BackupStorageLocationStatus{Phase: v1alpha1.StorageLocationUnavailable, Message: "away", Owner: &v1alpha1.StorageLocationOwner{Cluster: "u-2", Name: "old"}}
	out, _ := mustRun(t, newStorageClient(t, status, newLocation(status)), exitOK, "storage-location", "list")
	mustSay(t, out, "NAME", "vault", "gcs", "backups", "Unavailable", "read and write", "old", "away")
	_, errs := mustRun(t, newStorageClient(t, status), exitOK, "storage-location", "list")
	mustSay(t, errs, "There are no storage locations")
}
