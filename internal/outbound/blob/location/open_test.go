package location

import (
	"context"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestASecretThatLacksAKeyIsToldByBothNames(t *testing.T) {
	azure := v1alpha1.BackupStorageLocationSpec{Provider: v1alpha1.ProviderAzure, Container: "backups", Azure: &v1alpha1.AzureStorage{StorageAccount: "acc"}}
	s3 := v1alpha1.BackupStorageLocationSpec{Provider: v1alpha1.ProviderS3, Container: "backups"}
	gcs := v1alpha1.BackupStorageLocationSpec{Provider: v1alpha1.ProviderGCS, Container: "backups"}
	for _, tt := range []struct {
		name string
		spec v1alpha1.BackupStorageLocationSpec
		data map[string]string
		// want is part of the error; empty for none.
		want string
	}{
		{"no key of Azure's", azure, nil, "has no accountKey, or sasToken, or tenantId with clientId and clientSecret"},
		{"an empty account key", azure, map[string]string{"accountKey": "\n"}, "has no accountKey"},
		{"an account key", azure, map[string]string{"accountKey": "a2V5\n"}, ""},
		{"an account key that is none", azure, map[string]string{"accountKey": "k3y!"}, "is not base64"},
		{"a SAS token", azure, map[string]string{"sasToken": "?sv=1&sig=x"}, ""},
		{"half of a service principal", azure, map[string]string{"clientId": "x", "tenantId": "t"}, "has no clientSecret"},
		{"no key of S3's", s3, nil, "has no accessKeyId and secretAccessKey"},
		{"half of an access key", s3, map[string]string{"accessKeyId": "x"}, "has no secretAccessKey"},
		{"an access key", s3, map[string]string{"accessKeyId": "x", "secretAccessKey": "y"}, ""},
		{"no key of Google's", gcs, map[string]string{"accountKey": "x"}, "has no credentials.json"},
		{"no key file", gcs, map[string]string{"credentials.json": "k3y!"}, "not JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := tt.spec
			spec.CredentialsSecretRef = &v1alpha1.SecretReference{Name: "store-keys"}
			o := Opener{SecretFunc: func(context.Context, string) (map[string][]byte, error) {
				data := map[string][]byte{}
				for k, v := range tt.data {
					data[k] = []byte(v)
				}
				return data, nil
			}}
			_, done, err := o.Open(t.Context(), spec)
			if err == nil {
				done()
			}
			if tt.want == "" {
				if err != nil {
					t.Errorf("Open = %v", err)
				}
				return
			}
			if coffer.CodeOf(err) != coffer.CodeLocationNotReady || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Open = %v, want %s with %q", err, coffer.CodeLocationNotReady, tt.want)
			}
			if strings.HasPrefix(tt.want, "has no") && !strings.Contains(err.Error(), "store-keys") {
				t.Errorf("%q does not name the Secret", err)
			}
			if strings.Contains(err.Error(), "k3y!") {
				t.Errorf("%q shows a secret", err)
			}
		})
	}
}
