package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	stock "filippo.io/age"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

func newKeyFile(t *testing.T) (file, private, public string) {
	t.Helper()
	i, err := stock.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "keys.txt")
	if err := os.WriteFile(file, []byte("# public key: "+i.Recipient().String()+"\n"+i.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, i.String(), i.Recipient().String()
}

func mustGetSecret(t *testing.T, c client.Client, name string) corev1.Secret {
	t.Helper()
	var s corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultNamespace, Name: name}, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCreateMakesTheSecretOfKeysAndKeepsItApart(t *testing.T) {
	file, private, public := newKeyFile(t)
	_, _, other := newKeyFile(t)
	for _, tt := range []struct {
		name                   string
		flags                  []string
		secret                 string
		recipients, identities string
	}{
		{"recipients", []string{"--encryption-recipients", public + "," + other}, "vault-encryption", public + "\n" + other, ""},
		{"a file of keys", []string{"--encryption-identities-file", file}, "vault-encryption", public, private},
		{"both", []string{"--encryption-identities-file", file, "--encryption-recipients", other}, "vault-encryption", other, private},
		{"for restores", []string{"--encryption-identities-file", file, "--read-only"}, "vault-encryption", "", private},
		{"under a name", []string{"--encryption-identities-file", file, "--encryption-secret", "my-keys"}, "my-keys", public, private},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newStorageClient(t, v1alpha1.BackupStorageLocationStatus{})
			create := append([]string{"storage-location", "create", "vault", "--provider", "s3", "--container", "backups"}, tt.flags...)
			out, errs := mustRun(t, c, exitOK, create...)
			mustSay(t, out, "age, with the keys of Secret "+tt.secret)
			if strings.Contains(out+errs, private) {
				t.Error("a private key is shown")
			}
			s := mustGetSecret(t, c, tt.secret)
			if got := strings.TrimSpace(string(s.Data["recipients"])); got != tt.recipients {
				t.Errorf("recipients are %q, want %q", got, tt.recipients)
			}
			if got := string(s.Data["identities"]); !strings.Contains(got, tt.identities) || (got == "") != (tt.identities == "") {
				t.Errorf("identities are of %d bytes", len(got))
			}
			if len(s.OwnerReferences) != 0 {
				t.Errorf("the keys go with the location: %v", s.OwnerReferences)
			}
			_, errs = mustRun(t, c, exitFailed, create...)
			mustSay(t, errs, "a Secret "+tt.secret+" exists already")
			mustRun(t, c, exitOK, "storage-location", "delete", "vault", "--yes")
			mustGetSecret(t, c, tt.secret)
		})
	}
}

func TestALocationThatIsNotMadeLeavesNoKeys(t *testing.T) {
	file, _, public := newKeyFile(t)
	c := newStorageClient(t, v1alpha1.BackupStorageLocationStatus{}, newLocation(v1alpha1.BackupStorageLocationStatus{}))
	_, errs := mustRun(t, c, exitFailed, "storage-location", "create", "vault", "--provider", "s3", "--container", "backups", "--encryption-identities-file", file)
	mustSay(t, errs, "a storage location named vault exists already")
	var s corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultNamespace, Name: "vault-encryption"}, &s); !apierrors.IsNotFound(err) {
		t.Errorf("the Secret of keys is left: %v", err)
	}
	_, errs = mustRun(t, c, exitUsage, "storage-location", "create", "new", "--provider", "s3", "--container", "backups", "--encryption-recipients", public+"x")
	mustSay(t, errs, "Secret new-encryption", "recipients, line 1")
}

func TestWhatIsEncryptedIsShown(t *testing.T) {
	_, _, public := newKeyFile(t)
	status := v1alpha1.BackupStorageLocationStatus{
		Phase:      v1alpha1.StorageLocationAvailable,
		Encryption: &v1alpha1.StorageEncryptionStatus{Recipients: []string{public, "age1pq1" + strings.Repeat("x", 2000)}, Readers: []string{public}},
	}
	l := newLocation(status)
	l.Spec.Encryption = &v1alpha1.StorageEncryption{SecretRef: v1alpha1.SecretReference{Name: "my-keys"}}
	b := &v1alpha1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: "shop"}, Status: v1alpha1.BackupStatus{EncryptedTo: []string{public}}}
	c := newStorageClient(t, status, l, b)
	out, _ := mustRun(t, c, exitOK, "storage-location", "show", "vault")
	mustSay(t, out, "Secret my-keys", "Encrypts to:", "Decrypts for:", public, "age1pq1xxx", "…")
	out, _ = mustRun(t, c, exitOK, "storage-location", "list")
	mustSay(t, out, "ENCRYPTED", "yes")
	out, _ = mustRun(t, c, exitOK, "backup", "show", "shop")
	mustSay(t, out, "Encrypted to:", public)
	out, _ = mustRun(t, newStorageClient(t, status, newLocation(status)), exitOK, "storage-location", "show", "vault")
	mustSay(t, out, "Encryption:", "none")
}
