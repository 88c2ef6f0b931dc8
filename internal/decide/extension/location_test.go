package extension

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func azure(container, account, endpoint string) catalogue.StorageLocation {
	return catalogue.StorageLocation{Provider: "azure", Container: container, StorageAccount: account, Endpoint: endpoint}
}

func TestOnlyWhatSettingsNameIsALocation(t *testing.T) {
	s3 := func(endpoint string) catalogue.StorageLocation {
		return catalogue.StorageLocation{Provider: "s3", Container: "backups", Endpoint: endpoint}
	}
	for _, good := range []catalogue.StorageLocation{
		azure("backups", "shopbackups", ""), azure("abc", "abc", "https://x.blob.core.example/abc"), s3(""), s3("http://minio:9000"), s3("https://[::1]:9000/a-b/"),
		{Provider: "filesystem", Container: "backups"}, {Provider: "gcs", Container: "my.bucket_1"},
	} {
		if err := CheckLocation(good); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for name, bad := range map[string]catalogue.StorageLocation{
		"nothing":                         {},
		"another provider":                {Provider: "ftp", Container: "backups"},
		"no container":                    {Provider: "s3"},
		"a container that is a path":      {Provider: "s3", Container: "../backups"},
		"a container with a line":         {Provider: "s3", Container: "backups\nmore"},
		"a container that is too long":    {Provider: "s3", Container: strings.Repeat("a", 64)},
		"a container of azure with dots":  azure("a.b", "shopbackups", ""),
		"no account":                      azure("backups", "", ""),
		"an account that is a host":       azure("backups", "shop.example", ""),
		"an account of another provider":  {Provider: "s3", Container: "backups", StorageAccount: "shopbackups"},
		"an endpoint of a filesystem":     {Provider: "filesystem", Container: "backups", Endpoint: "https://x"},
		"an endpoint that is a command":   s3("https://x;reboot"),
		"an endpoint that runs a command": s3("https://$(reboot)"),
		"an endpoint in quotes":           s3(`https://x'"`),
		"an endpoint with credentials":    s3("https://me:secret@x"),
		"an endpoint with a signature":    s3("https://x/?sig=secret"),
		"an endpoint with a fragment":     s3("https://x/#a"),
		"an endpoint of another scheme":   s3("file:///etc/passwd"),
		"an endpoint without a host":      s3("https:///x"),
		"an endpoint that is too long":    s3("https://" + strings.Repeat("a", 512)),
	} {
		if err := CheckLocation(bad); coffer.CodeOf(err) != coffer.CodeInvalidInput || len(err.Error()) > 600 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALocationIsKnownByWhatSettingsNameOfIt(t *testing.T) {
	for name, tt := range map[string]struct {
		spec v1alpha1.BackupStorageLocationSpec
		want catalogue.StorageLocation
	}{
		"the usual url is none": {
			v1alpha1.BackupStorageLocationSpec{Provider: "azure", Container: "backups", Azure: &v1alpha1.AzureStorage{StorageAccount: "shop", Endpoint: "https://shop.blob.core.windows.net/"}},
			azure("backups", "shop", ""),
		},
		"another one is": {
			v1alpha1.BackupStorageLocationSpec{Provider: "azure", Container: "backups", Azure: &v1alpha1.AzureStorage{StorageAccount: "shop", Endpoint: "https://other.blob.core.windows.net/"}},
			azure("backups", "shop", "https://other.blob.core.windows.net"),
		},
		"a store of one's own": {
			v1alpha1.BackupStorageLocationSpec{Provider: "s3", Container: "backups", Prefix: "a", S3: &v1alpha1.S3Storage{Region: "r", Endpoint: "https://minio:9000/", ForcePathStyle: true}},
			catalogue.StorageLocation{Provider: "s3", Container: "backups", Endpoint: "https://minio:9000"},
		},
		"Amazon's":    {v1alpha1.BackupStorageLocationSpec{Provider: "s3", Container: "backups"}, catalogue.StorageLocation{Provider: "s3", Container: "backups"}},
		"Google's":    {v1alpha1.BackupStorageLocationSpec{Provider: "gcs", Container: "backups", GCS: &v1alpha1.GCSStorage{Endpoint: "https://g"}}, catalogue.StorageLocation{Provider: "gcs", Container: "backups", Endpoint: "https://g"}},
		"a folder":    {v1alpha1.BackupStorageLocationSpec{Provider: "filesystem", Container: "backups"}, catalogue.StorageLocation{Provider: "filesystem", Container: "backups"}},
		"half of one": {v1alpha1.BackupStorageLocationSpec{Provider: "azure", Container: "backups"}, azure("backups", "", "")},
	} {
		if got := LocationOf(tt.spec); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

func TestALocationMovesOnlyWithinWhatItsCredentialsAreFor(t *testing.T) {
	secret := &v1alpha1.SecretReference{Name: "keys"}
	keys := &v1alpha1.StorageEncryption{SecretRef: v1alpha1.SecretReference{Name: "age"}}
	folder := v1alpha1.BackupStorageLocationSpec{Provider: "filesystem", Container: "backups", Encryption: keys, TrustedSigners: []string{"s"}}
	minio := v1alpha1.BackupStorageLocationSpec{
		Provider: "s3", Container: "backups", Prefix: "prod", CredentialsSecretRef: secret, S3: &v1alpha1.S3Storage{Region: "r", Endpoint: "https://minio:9000", ForcePathStyle: true, CACert: "pem"},
	}
	shop := v1alpha1.BackupStorageLocationSpec{Provider: "azure", Container: "backups", Azure: &v1alpha1.AzureStorage{StorageAccount: "shop", CACert: "pem"}}
	with := func(spec v1alpha1.BackupStorageLocationSpec, change func(*v1alpha1.BackupStorageLocationSpec)) v1alpha1.BackupStorageLocationSpec {
		spec = *spec.DeepCopy()
		change(&spec)
		return spec
	}
	type spec = v1alpha1.BackupStorageLocationSpec
	for name, tt := range map[string]struct {
		have spec
		want catalogue.StorageLocation
		// moved is what it is then, and refused why not.
		moved   spec
		refused string
	}{
		"to where it is": {minio, catalogue.StorageLocation{Provider: "s3", Container: "backups", Endpoint: "https://minio:9000"}, minio, ""},
		"to another container, by the same Secret": {
			minio, catalogue.StorageLocation{Provider: "s3", Container: "others", Endpoint: "https://minio:9000"},
			with(minio, func(s *spec) { s.Container = "others" }), "",
		},
		"to another endpoint, by the same Secret": {minio, catalogue.StorageLocation{Provider: "s3", Container: "backups", Endpoint: "https://evil:9000"}, spec{}, "Secret keys"},
		"to Amazon, by the same Secret":           {minio, catalogue.StorageLocation{Provider: "s3", Container: "backups"}, spec{}, "Secret keys"},
		"to another provider, by the same Secret": {minio, azure("backups", "shop", ""), spec{}, "Secret keys"},
		"to another account, by the same Secret":  {with(shop, func(s *spec) { s.CredentialsSecretRef = secret }), azure("backups", "other", ""), spec{}, "Secret keys"},
		"to another account, by the pod's identity": {
			shop, azure("others", "other", ""), with(shop, func(s *spec) { s.Container, s.Azure.StorageAccount = "others", "other" }), "",
		},
		"to an endpoint, by the pod's identity": {shop, azure("backups", "shop", "https://evil.example"), spec{}, "whose endpoint is for"},
		"to another account of an endpoint that is there": {
			with(shop, func(s *spec) { s.Azure.Endpoint = "https://emulator/shop" }), azure("backups", "other", "https://emulator/shop"),
			with(shop, func(s *spec) { s.Azure.StorageAccount, s.Azure.Endpoint = "other", "https://emulator/shop" }), "",
		},
		"from a folder to an account": {
			folder, azure("backups", "shop", ""),
			spec{Provider: "azure", Container: "backups", Encryption: keys, TrustedSigners: []string{"s"}, Azure: &v1alpha1.AzureStorage{StorageAccount: "shop"}}, "",
		},
		"from a folder to a bucket":              {folder, catalogue.StorageLocation{Provider: "s3", Container: "b-1"}, spec{Provider: "s3", Container: "b-1", Encryption: keys, TrustedSigners: []string{"s"}}, ""},
		"from a folder to a store of one's own":  {folder, catalogue.StorageLocation{Provider: "s3", Container: "b-1", Endpoint: "https://minio:9000"}, spec{}, "whose endpoint is for"},
		"to another folder":                      {folder, catalogue.StorageLocation{Provider: "filesystem", Container: "others"}, with(folder, func(s *spec) { s.Container = "others" }), ""},
		"from an account to a folder":            {shop, catalogue.StorageLocation{Provider: "filesystem", Container: "backups"}, spec{}, "volume"},
		"what is only read from":                 {with(shop, func(s *spec) { s.ReadOnly = true }), azure("others", "shop", ""), spec{}, "read-only"},
		"Velero's":                               {with(shop, func(s *spec) { s.ReadOnly, s.Velero = true, &v1alpha1.VeleroSource{} }), azure("others", "shop", ""), spec{}, "read-only"},
		"to what is no location":                 {shop, azure("others", "shop", "https://x/?sig=1"), spec{}, "endpoint"},
		"what is only read from, to where it is": {with(shop, func(s *spec) { s.ReadOnly = true }), azure("backups", "shop", ""), with(shop, func(s *spec) { s.ReadOnly = true }), ""},
	} {
		before := tt.have.DeepCopy()
		got, err := Move(tt.have, tt.want)
		if tt.refused != "" {
			if err == nil || !strings.Contains(err.Error(), tt.refused) || !coffer.Final(err) {
				t.Errorf("%s: %v", name, err)
			}
		} else if diff := cmp.Diff(tt.moved, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
		if diff := cmp.Diff(*before, tt.have); diff != "" {
			t.Errorf("%s: what there was is changed:\n%s", name, diff)
		}
	}
}

func TestWhatIsToBeSaidOfSettings(t *testing.T) {
	const id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c"
	wanted, other := azure("backups", "shop", ""), azure("others", "shop", "")
	found := func(l catalogue.StorageLocation, phase, message string) *catalogue.FoundLocation {
		return &catalogue.FoundLocation{StorageLocation: l, Phase: phase, Message: message}
	}
	const command = "coffer cluster join " + id + " --provider azure --container backups --storage-account shop"
	for name, tt := range map[string]struct {
		c       Case
		state   State
		awaited bool
		words   string
		command string
	}{
		"nobody has asked the cluster":     {Case{Askable: true}, Pending, true, "has not been asked", ""},
		"the cluster cannot be asked":      {Case{}, Differs, false, "cannot be asked", command},
		"it is so, and was not looked at":  {Case{Askable: true, Found: found(wanted, "", "")}, Applied, true, "has not been looked at", ""},
		"it is so":                         {Case{Askable: true, Found: found(wanted, "Available", "")}, Applied, false, "are written to container backups of the storage account shop", ""},
		"it is so, and of no use":          {Case{Askable: true, Found: found(wanted, "Unavailable", "no such host")}, Applied, false, "cannot be used: no such host", ""},
		"the owner has not let the server": {Case{Askable: true, Consented: true, Found: found(other, "Available", "")}, Differs, false, "has not let the server", command},
		"no owner has asked for it":        {Case{Askable: true, Allowed: true, Found: found(other, "Available", "")}, Differs, false, "Owner", command},
		"the server may, and has not yet":  {Case{Askable: true, Allowed: true, Consented: true, Found: found(other, "Available", "")}, Pending, true, "is about to be", ""},
		"the cluster refuses":              {Case{Askable: true, Allowed: true, Consented: true, Found: found(other, "Available", ""), Refusal: "not with that Secret"}, Refused, false, "not with that Secret", command},
		"settings that name no location":   {Case{Askable: true, Invalid: coffer.Errorf(coffer.CodeInvalidInput, "one without the other")}, Refused, false, "one without the other", ""},
	} {
		tt.c.Cluster, tt.c.Wanted = id, wanted
		got := Judge(tt.c)
		if got.State != tt.state || got.Awaited != tt.awaited || !strings.Contains(got.Message, tt.words) || got.Command != tt.command {
			t.Errorf("%s: %+v", name, got)
		}
		if got.State == Differs && tt.c.Found != nil && !strings.Contains(got.Message, "container others") {
			t.Errorf("%s: it does not say what differs: %s", name, got.Message)
		}
	}
	if got := Command(id, catalogue.StorageLocation{Provider: "s3", Container: "b-1", Endpoint: "https://minio:9000"}); got != "coffer cluster join "+id+" --provider s3 --container b-1 --endpoint https://minio:9000 --force-path-style" {
		t.Error(got)
	}
}
