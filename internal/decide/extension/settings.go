// Package extension decides what the settings of a Backup extension, as clients of Azure write them, mean for an installation of it.
package extension

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Account is what is known of a storage account, beside its name.
type Account struct {
	// Provider is the kind of store, or empty for Azure's.
	Provider string
	// Endpoint is its URL, or empty for the usual one.
	Endpoint string
}

// Settings are what an installation is told.
type Settings struct {
	// Location is where recovery points are written to; nil if the settings do not say.
	Location *v1alpha1.BackupStorageLocationSpec
	// Limits and Requests are resources by their names: cpu, memory.
	Limits, Requests map[string]string
	// Unused are the names of settings that mean nothing here, in order.
	Unused []string
}

// The settings, by what they are called in the keys of the chart of AKS Backup, and by az: see section 2.1 of its reference.
const (
	container = "configuration.backupstoragelocation.bucket"
	account   = "configuration.backupstoragelocation.config.storageaccount"
	uri       = "configuration.backupstoragelocation.config.storageaccounturi"
)

var short = map[string]string{
	"blobcontainer": container, "storageaccount": account, "storageaccounturi": uri,
	"cpulimit": "resources.limits.cpu", "memorylimit": "resources.limits.memory",
}

// said are settings of the account that its name stands for here.
var said = []string{
	"storageaccountresourcegroup", "storageaccountsubscriptionid", "useaad", "credentials.tenantid",
	"configuration.backupstoragelocation.config.resourcegroup", "configuration.backupstoragelocation.config.subscriptionid",
	"configuration.backupstoragelocation.config.useaad",
}

// AccountOf is the id of the storage account that the settings of a cluster's extension name, or empty. What they do not say of it, is as of the
// cluster.
func AccountOf(settings map[string]string, cluster catalogue.ID) catalogue.ID {
	all := spelled(settings)
	if all[account] == "" {
		return ""
	}
	first := func(names ...string) string {
		for _, name := range names {
			if all[name] != "" {
				return all[name]
			}
		}
		return ""
	}
	subscription := cmp.Or(first("storageaccountsubscriptionid", "configuration.backupstoragelocation.config.subscriptionid"), cluster.Subscription())
	group := cmp.Or(first("storageaccountresourcegroup", "configuration.backupstoragelocation.config.resourcegroup"), cluster.ResourceGroup())
	id, err := catalogue.ParseID("/subscriptions/" + subscription + "/resourceGroups/" + group + "/providers/Microsoft.Storage/storageAccounts/" + all[account])
	if err != nil {
		return ""
	}
	return id
}

// Read reads settings. What is known of their storage account is given with them. One without the other of container and account is an
// error with coffer.CodeInvalidInput.
func Read(settings map[string]string, known Account) (Settings, error) {
	var read Settings
	all := spelled(settings)
	switch bucket, name := all[container], all[account]; {
	case bucket == "" && name == "":
	case bucket == "" || name == "":
		return read, coffer.Errorf(coffer.CodeInvalidInput, "the extension's settings name the container %q and the storage account %q: one is nothing without the other", bucket, name).
			WithHint("set blobContainer and storageAccount, or neither")
	default:
		read.Location = location(bucket, name, Account{known.Provider, cmp.Or(all[uri], known.Endpoint)})
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		resource, limit := strings.CutPrefix(name, "resources.limits.")
		wanted, request := strings.CutPrefix(name, "resources.requests.")
		switch {
		case limit && of(resource):
			read.Limits = with(read.Limits, resource, all[name])
		case request && of(wanted):
			read.Requests = with(read.Requests, wanted, all[name])
		case name != container && name != account && name != uri && !slices.Contains(said, name):
			read.Unused = append(read.Unused, name)
		}
	}
	return read, nil
}

func of(resource string) bool { return resource == "cpu" || resource == "memory" }

func with(to map[string]string, name, value string) map[string]string {
	if to == nil {
		to = map[string]string{}
	}
	to[name] = value
	return to
}

// location is a container of an account: of S3 and Google's stores the account is an endpoint, and of a filesystem nothing.
func location(bucket, name string, a Account) *v1alpha1.BackupStorageLocationSpec {
	l := &v1alpha1.BackupStorageLocationSpec{Provider: v1alpha1.StorageProvider(cmp.Or(a.Provider, string(v1alpha1.ProviderAzure))), Container: bucket}
	switch l.Provider {
	case v1alpha1.ProviderS3:
		l.S3 = &v1alpha1.S3Storage{Endpoint: a.Endpoint, ForcePathStyle: a.Endpoint != ""}
	case v1alpha1.ProviderGCS:
		l.GCS = &v1alpha1.GCSStorage{Endpoint: a.Endpoint}
	case v1alpha1.ProviderFilesystem:
	default:
		l.Azure = &v1alpha1.AzureStorage{StorageAccount: name, Endpoint: a.Endpoint}
	}
	return l
}

// spelled are settings by one name each, in small letters, those without a value left out.
func spelled(settings map[string]string) map[string]string {
	found := map[string]string{}
	for name, value := range settings {
		lower := strings.ToLower(name)
		if long, ok := short[lower]; ok {
			lower = long
		}
		if value != "" {
			found[lower] = value
		}
	}
	return found
}
