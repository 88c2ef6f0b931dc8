//go:build stores

package location

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/blob/blobtest"
)

// The account that every Azurite has, and its key, which is no secret.
const (
	account    = "devstoreaccount1"
	accountKey = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// made is a new bucket in a real store: the location that names it, and the Secret for it.
type made struct {
	spec   v1alpha1.BackupStorageLocationSpec
	secret map[string][]byte
}

func newAzure(t *testing.T) made {
	t.Helper()
	m := made{spec: v1alpha1.BackupStorageLocationSpec{
		Provider: v1alpha1.ProviderAzure, Container: blobtest.NewName(),
		Azure: &v1alpha1.AzureStorage{StorageAccount: account, Endpoint: blobtest.Service(t, "COFFER_SERVICE_AZURITE") + "/" + account},
	}, secret: map[string][]byte{"accountKey": []byte(accountKey + "\n")}}
	key, err := container.NewSharedKeyCredential(account, accountKey)
	if err != nil {
		t.Fatal(err)
	}
	client, err := container.NewClientWithSharedKeyCredential(m.spec.Azure.Endpoint+"/"+m.spec.Container, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return m
}

func newS3(t *testing.T) made {
	t.Helper()
	id, key := blobtest.Service(t, "COFFER_SERVICE_S3_ACCESS_KEY"), blobtest.Service(t, "COFFER_SERVICE_S3_SECRET_KEY")
	m := made{spec: v1alpha1.BackupStorageLocationSpec{
		Provider: v1alpha1.ProviderS3, Container: blobtest.NewName(),
		S3: &v1alpha1.S3Storage{Endpoint: blobtest.Service(t, "COFFER_SERVICE_S3"), ForcePathStyle: true},
	}, secret: map[string][]byte{"accessKeyId": []byte(id), "secretAccessKey": []byte(key)}}
	client := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &m.spec.S3.Endpoint, UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider(id, key, ""),
	})
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &m.spec.Container}); err != nil {
		t.Fatal(err)
	}
	return m
}

func newGCS(t *testing.T) made {
	t.Helper()
	m := made{spec: v1alpha1.BackupStorageLocationSpec{
		Provider: v1alpha1.ProviderGCS, Container: blobtest.NewName(),
		GCS: &v1alpha1.GCSStorage{Endpoint: blobtest.Service(t, "COFFER_SERVICE_GCS"), Anonymous: true},
	}}
	body := strings.NewReader(`{"name": "` + m.spec.Container + `"}`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, m.spec.GCS.Endpoint+"/storage/v1/b?project=test", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("make a bucket: %s, %v", answer.Status, err)
	}
	return m
}

func mustOpen(t *testing.T, m made) coffer.Container {
	t.Helper()
	if m.secret != nil {
		m.spec.CredentialsSecretRef = &v1alpha1.SecretReference{Name: "keys"}
	}
	o := Opener{SecretFunc: func(context.Context, string) (map[string][]byte, error) { return m.secret, nil }}
	c, done, err := o.Open(t.Context(), m.spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	return c
}

func TestALocationIsOpenedBySpecAndSecretAndKeepsToItsPrefix(t *testing.T) {
	for name, create := range map[string]func(*testing.T) made{"azure": newAzure, "s3": newS3, "gcs": newGCS} {
		t.Run(name, func(t *testing.T) {
			m := create(t)
			whole := mustOpen(t, m)
			m.spec.Prefix = "clusters/prod"
			part := mustOpen(t, m)
			if _, err := part.Put(t.Context(), "backups/a/claim.json", strings.NewReader("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := whole.Stat(t.Context(), "clusters/prod/backups/a/claim.json"); err != nil {
				t.Errorf("Stat below the prefix = %v", err)
			}
			if _, err := whole.Put(t.Context(), "outside", strings.NewReader("x")); err != nil {
				t.Fatal(err)
			}
			top, err := part.(coffer.TopLister).Top(t.Context())
			if err != nil || len(top) != 1 || top[0] != "backups/" {
				t.Errorf("Top of the prefix = %q, %v; want backups/", top, err)
			}
		})
	}
}

// maker is the ability of containers in object stores.
type maker interface {
	Make(ctx context.Context) (bool, error)
}

func TestAContainerThatIsMissingIsMadeOnce(t *testing.T) {
	for name, m := range map[string]made{"azure": newAzure(t), "s3": newS3(t), "gcs": newGCS(t)} {
		t.Run(name, func(t *testing.T) {
			m.spec.Container, m.spec.CredentialsSecretRef = blobtest.NewName(), nil
			if m.secret != nil {
				m.spec.CredentialsSecretRef = &v1alpha1.SecretReference{Name: "keys"}
			}
			o := Opener{SecretFunc: func(context.Context, string) (map[string][]byte, error) { return m.secret, nil }}
			for _, missing := range []bool{true, false} {
				c, stop, err := o.Open(t.Context(), m.spec)
				if err != nil {
					t.Fatal(err)
				}
				made, err := c.(maker).Make(t.Context())
				if err != nil || made != missing {
					t.Errorf("made is %t, want %t: %v", made, missing, err)
				}
				if _, err := c.Put(t.Context(), fmt.Sprintf("a/%t", missing), strings.NewReader("x")); err != nil {
					t.Error(err)
				}
				stop()
			}
		})
	}
}
