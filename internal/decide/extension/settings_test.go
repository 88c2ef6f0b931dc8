package extension

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestSettingsMeanWhatTheyMeanInAzure(t *testing.T) {
	azure := &v1alpha1.BackupStorageLocationSpec{
		Provider: v1alpha1.ProviderAzure, Container: "backups", Azure: &v1alpha1.AzureStorage{StorageAccount: "shopbackups"},
	}
	for name, tt := range map[string]struct {
		settings map[string]string
		known    Account
		want     Settings
	}{
		"nothing": {nil, Account{}, Settings{}},
		"as az writes them": {
			map[string]string{"blobContainer": "backups", "storageAccount": "shopbackups", "storageAccountResourceGroup": "rg", "storageAccountSubscriptionId": "s", "useAAD": "true", "cpuLimit": "1"},
			Account{}, Settings{Location: azure, Limits: map[string]string{"cpu": "1"}},
		},
		"as Terraform writes them": {
			map[string]string{
				"configuration.backupStorageLocation.bucket": "backups", "configuration.backupStorageLocation.config.storageAccount": "shopbackups",
				"configuration.backupStorageLocation.config.resourceGroup": "rg", "credentials.tenantId": "t", "resources.requests.memory": "256Mi", "resources.limits.memory": "4400Mi",
				"configuration.colour": "red",
			},
			Account{}, Settings{Location: azure, Limits: map[string]string{"memory": "4400Mi"}, Requests: map[string]string{"memory": "256Mi"}, Unused: []string{"configuration.colour"}},
		},
		"an account that stands for another store": {
			map[string]string{"blobContainer": "backups", "storageAccount": "shopbackups"}, Account{"s3", "https://minio.example"},
			Settings{Location: &v1alpha1.BackupStorageLocationSpec{
				Provider: v1alpha1.ProviderS3, Container: "backups", S3: &v1alpha1.S3Storage{Endpoint: "https://minio.example", ForcePathStyle: true},
			}},
		},
		"a url of its own": {
			map[string]string{"blobContainer": "backups", "storageAccount": "shopbackups", "storageAccountURI": "https://x.example/"}, Account{Endpoint: "https://y.example/"},
			Settings{Location: &v1alpha1.BackupStorageLocationSpec{
				Provider: v1alpha1.ProviderAzure, Container: "backups", Azure: &v1alpha1.AzureStorage{StorageAccount: "shopbackups", Endpoint: "https://x.example/"},
			}},
		},
	} {
		got, err := Read(tt.settings, tt.known)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	const cluster = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c"
	for want, settings := range map[string]map[string]string{
		"": {"blobContainer": "backups"},
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a":  {"storageAccount": "a"},
		"/subscriptions/t/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/a": {"storageAccount": "a", "storageAccountResourceGroup": "rg", "storageAccountSubscriptionId": "t"},
	} {
		if got := AccountOf(settings, cluster); string(got) != want {
			t.Errorf("%v: %s, want %s", settings, got, want)
		}
	}
	if got := AccountOf(map[string]string{"storageAccount": "../../x"}, cluster); got != "" {
		t.Errorf("what is no name is %s", got)
	}
	for _, settings := range []map[string]string{{"blobContainer": "backups"}, {"STORAGEACCOUNT": "shopbackups", "blobContainer": ""}} {
		if _, err := Read(settings, Account{}); coffer.CodeOf(err) != coffer.CodeInvalidInput {
			t.Errorf("%v: %v", settings, err)
		}
	}
}
