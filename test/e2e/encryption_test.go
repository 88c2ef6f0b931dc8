//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// stockTool runs a program of age's own.
func stockTool(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("COFFER_E2E_BIN"), name), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, errs.String())
	}
	return out.Bytes()
}

// newKeys makes a file of keys with age-keygen, and answers it with its private and its public key.
func newKeys(t *testing.T) (file, private, public string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "keys.txt")
	stockTool(t, "age-keygen", "-o", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "AGE-SECRET-KEY-") {
			private = strings.TrimSpace(line)
		}
	}
	return file, private, strings.TrimSpace(string(stockTool(t, "age-keygen", "-y", file)))
}

// download is a blob of a bucket.
func download(t *testing.T, bucket, key string) []byte {
	t.Helper()
	answer, err := newS3().GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String(key)})
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// unseal downloads the encrypted blobs of a recovery point into a folder, and decrypts them with the stock tool.
func unseal(t *testing.T, bucket, point, keys string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for key := range bucketListing(t, bucket) {
		if !strings.HasPrefix(key, "backups/"+point+"/") || !strings.HasSuffix(key, ".age") {
			continue
		}
		packed := filepath.Join(folder, filepath.Base(key))
		if err := os.WriteFile(packed, download(t, bucket, key), 0o600); err != nil {
			t.Fatal(err)
		}
		stockTool(t, "age", "-d", "-i", keys, "-o", strings.TrimSuffix(packed, ".age"), packed)
		if err := os.Remove(packed); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// removeKeys removes the Secret that was made for the location "objects", which stays when that goes.
func removeKeys(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		keys := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "objects-encryption"}}
		if err := lab.client.Delete(context.Background(), keys); err != nil {
			t.Error(err)
		}
	})
}

// setKeys replaces what the Secret of the location "objects" holds.
func setKeys(t *testing.T, data map[string]string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "objects-encryption"}}
	if err := lab.client.Get(t.Context(), keyOf(secret), secret); err != nil {
		t.Fatal(err)
	}
	secret.Data, secret.StringData = nil, data
	if err := lab.client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
}

func TestEncryptedBackupIsRestoredAndReadByTheStockTool(t *testing.T) {
	const bucket, password = "sealed", "correct horse battery staple"
	file, private, public := newKeys(t)
	_, otherPrivate, otherPublic := newKeys(t)
	newBucket(t, bucket, "--encryption-identities-file", file)
	removeKeys(t)
	start := snapshotsOnDisk(t)
	s := newShop(t, "vaulted", 5_000)
	before := mustDigest(t, s)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "vaulted", Name: "password"}, StringData: map[string]string{"password": password}}
	if err := lab.client.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	mustCoffer(t, "backup", "create", "vaulted-1", "--storage-location", "objects", "--included-namespaces", "vaulted", "--wait")
	if out := mustCoffer(t, "backup", "show", "vaulted-1"); !strings.Contains(out, "Encrypted to:") || !strings.Contains(out, public) {
		t.Errorf("backup show does not say that it is encrypted:\n%s", out)
	}

	// Nothing in the bucket shows anything, but that the manifest names the volumes.
	encoded := base64.StdEncoding.EncodeToString([]byte(password))
	listing := bucketListing(t, bucket)
	sealed := 0
	for key := range listing {
		data := download(t, bucket, key)
		hidden := []string{password, encoded, private}
		if filepath.Base(key) != "manifest.json" {
			// Its own name is that of the recovery point.
			hidden = append(hidden, "vaulted/", `"vaulted"`)
		}
		for _, text := range hidden {
			if bytes.Contains(data, []byte(text)) {
				t.Errorf("%s shows %q", key, text)
			}
		}
		if strings.HasSuffix(key, ".age") {
			sealed++
		}
	}
	if sealed != 8 {
		t.Errorf("%d blobs are encrypted: %v", sealed, listing)
	}

	// The stock tool, gzip and tar are all that it takes to read it, and together the blobs are what Velero reads.
	folder := unseal(t, bucket, "vaulted-1", file)
	names, err := exec.CommandContext(t.Context(), "tar", "tzf", filepath.Join(folder, "vaulted-1.tar.gz")).CombinedOutput()
	if err != nil || !strings.Contains(string(names), "resources/secrets/namespaces/vaulted/password.json") {
		t.Errorf("tar: %v\n%s", err, names)
	}
	if text, err := os.ReadFile(filepath.Join(folder, "velero-backup.json")); err != nil || !bytes.Contains(text, []byte(`"vaulted"`)) {
		t.Errorf("velero-backup.json: %v\n%s", err, text)
	}

	// The wrong key, and none.
	mustDestroy(t, s)
	setKeys(t, map[string]string{"recipients": otherPublic, "identities": otherPrivate})
	mustFail(t, []string{"UserErrorDecryptionKeyMissing", "encrypted to " + public, "identities of " + otherPublic, "encryption.secretRef"},
		"restore", "create", "vaulted-wrong", "--storage-location", "objects", "--backup-name", "vaulted-1", "--wait")
	setKeys(t, map[string]string{"identities": private})
	mustFail(t, []string{"UserErrorEncryptionKeysUnusable", "has no recipients"}, "storage-location", "check", "objects")
	mustFail(t, []string{"UserErrorEncryptionKeysUnusable", "has no recipients"},
		"backup", "create", "vaulted-plain", "--storage-location", "objects", "--included-namespaces", "default", "--wait")
	if now := bucketListing(t, bucket); !maps.Equal(now, listing) {
		t.Errorf("the refused runs changed the bucket: %v, was %v", now, listing)
	}

	// A rotated key: new backups are for it alone, old ones are still read.
	setKeys(t, map[string]string{"recipients": otherPublic, "identities": otherPrivate + "\n" + private})
	out := mustCoffer(t, "storage-location", "check", "objects")
	for _, want := range []string{"Encrypts to:", otherPublic, "Decrypts for:", public} {
		if !strings.Contains(out, want) {
			t.Errorf("storage-location check does not say %q:\n%s", want, out)
		}
	}
	mustCoffer(t, "restore", "create", "vaulted-back", "--storage-location", "objects", "--backup-name", "vaulted-1", "--wait")
	if after := mustDigest(t, s); after != before {
		t.Errorf("the data is %s, was %s", after, before)
	}
	if err := lab.client.Get(t.Context(), keyOf(secret), secret); err != nil || string(secret.Data["password"]) != password {
		t.Errorf("the Secret is %v: %v", secret.Data, err)
	}
	mustCoffer(t, "backup", "create", "vaulted-2", "--storage-location", "objects", "--included-namespaces", "vaulted", "--wait")
	if b := showBackup(t, "vaulted-2"); len(b.Status.EncryptedTo) != 1 || b.Status.EncryptedTo[0] != otherPublic {
		t.Errorf("the second backup is encrypted to %v", b.Status.EncryptedTo)
	}

	// Keys are shown nowhere, and not needed to delete.
	setKeys(t, map[string]string{"recipients": otherPublic})
	for _, name := range []string{"vaulted-1", "vaulted-2"} {
		if logs := mustCoffer(t, "backup", "logs", name); strings.Contains(logs, private) || strings.Contains(logs, otherPrivate) {
			t.Error("the log of a run shows a key")
		}
		mustCoffer(t, "backup", "delete", name, "--storage-location", "objects", "--yes", "--wait")
	}
	var events corev1.EventList
	if err := lab.client.List(t.Context(), &events); err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Items {
		if strings.Contains(e.Message, "AGE-SECRET-KEY") {
			t.Errorf("an event shows a key: %s", e.Name)
		}
	}
	var locations v1alpha1.BackupStorageLocationList
	if err := lab.client.List(t.Context(), &locations); err != nil || strings.Contains(mustJSON(t, locations), "AGE-SECRET-KEY") {
		t.Errorf("a location shows a key, or cannot be read: %v", err)
	}
	mustHaveNoSnapshotObjects(t)
	if left := snapshotsOnDisk(t); !maps.Equal(left, start) {
		t.Errorf("snapshots on the storage: %v, before: %v", left, start)
	}
}

func TestVeleroRestoresADecryptedRecoveryPointAndSeesNoEncryptedOne(t *testing.T) {
	const bucket, opened = "locked-away", "opened"
	file, _, _ := newKeys(t)
	newBucket(t, bucket, "--encryption-identities-file", file)
	removeKeys(t)
	start := snapshotsOnDisk(t)
	s := newShop(t, "shop-locked", 5_000)
	before := mustDigest(t, s)
	mustCoffer(t, "backup", "create", "locked-1", "--storage-location", "objects", "--included-namespaces", "shop-locked", "--wait")
	mustCoffer(t, "backup", "create", "locked-2", "--storage-location", "objects", "--included-namespaces", "default", "--wait")
	mustDestroy(t, s)

	folder := unseal(t, bucket, "locked-1", file)
	c, name := newS3(), opened
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		put := &s3.PutObjectInput{Bucket: &name, Key: aws.String("backups/locked-1/" + f.Name()), Body: bytes.NewReader(data)}
		if _, err := c.PutObject(t.Context(), put); err != nil {
			t.Fatal(err)
		}
	}
	v := newVelero(t, opened, bucket)
	if err := v.AwaitBackup(t.Context(), "locked-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Restore(t.Context(), "locked-back", "locked-1"); err != nil {
		t.Fatal(err)
	}
	if after := mustDigest(t, s); after != before {
		t.Errorf("what Velero restored is %s, was %s", after, before)
	}
	// It looks into both buckets every two seconds.
	if out, err := v.Run(t.Context(), "backup", "get"); err != nil || !strings.Contains(out, "locked-1") || strings.Contains(out, "locked-2") {
		t.Errorf("velero backup get: %v\n%s", err, out)
	}
	mustDestroy(t, s)
	removeVeleroSnapshots(t)
	for _, name := range []string{"locked-1", "locked-2"} {
		mustCoffer(t, "backup", "delete", name, "--storage-location", "objects", "--yes", "--wait")
	}
	if left := snapshotsOnDisk(t); !maps.Equal(left, start) {
		t.Errorf("snapshots on the storage: %v, before: %v", left, start)
	}
}

func mustJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
