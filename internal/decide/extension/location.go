package extension

import (
	"cmp"
	"net/url"
	"regexp"
	"strings"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// What a location is named by becomes part of a custom resource, and of a command that people copy: nothing in it means anything to a shell.
var (
	containerForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$`)
	plainForm     = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])+$`)
	accountForm   = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	endpointForm  = regexp.MustCompile(`^https?://[A-Za-z0-9.:[\]_-]+(/[A-Za-z0-9._~/-]*)?$`)
)

const maxEndpoint = 512

// CheckLocation refuses what no settings name, and what no storage location is.
func CheckLocation(l catalogue.StorageLocation) error {
	refuse := func(field, value, hint string) error {
		return coffer.Errorf(coffer.CodeInvalidInput, "the %s of the storage location is %.100q", field, value).WithHint("%s", hint)
	}
	provider := v1alpha1.StorageProvider(l.Provider)
	folder, account := provider == v1alpha1.ProviderFilesystem, provider == v1alpha1.ProviderAzure
	switch {
	case !folder && !account && provider != v1alpha1.ProviderS3 && provider != v1alpha1.ProviderGCS:
		return refuse("provider", l.Provider, "use azure, s3, gcs or filesystem")
	case !containerForm.MatchString(l.Container):
		return refuse("container", l.Container, "write 3 to 63 small letters, digits and hyphens")
	case (folder || account) && !plainForm.MatchString(l.Container):
		return refuse("container", l.Container, "the container of this provider has small letters, digits and single hyphens in its name")
	case account && !accountForm.MatchString(l.StorageAccount):
		return refuse("storage account", l.StorageAccount, "write 3 to 24 small letters and digits")
	case !account && l.StorageAccount != "":
		return refuse("storage account", l.StorageAccount, "only locations of provider azure have one")
	}
	if l.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(l.Endpoint)
	if folder || err != nil || u.Hostname() == "" || len(l.Endpoint) > maxEndpoint || !endpointForm.MatchString(l.Endpoint) {
		return refuse("endpoint", l.Endpoint, "write https://HOST:PORT, without credentials and without a query, or leave it out")
	}
	return nil
}

// Named is what a location is named by, as it is written there.
func Named(spec v1alpha1.BackupStorageLocationSpec) catalogue.StorageLocation {
	l := catalogue.StorageLocation{Provider: string(spec.Provider), Container: spec.Container}
	switch {
	case spec.Azure != nil:
		l.StorageAccount, l.Endpoint = spec.Azure.StorageAccount, spec.Azure.Endpoint
	case spec.S3 != nil:
		l.Endpoint = spec.S3.Endpoint
	case spec.GCS != nil:
		l.Endpoint = spec.GCS.Endpoint
	}
	return l
}

// LocationOf is what a location is known by: it is equal for all spellings of one.
func LocationOf(spec v1alpha1.BackupStorageLocationSpec) catalogue.StorageLocation {
	l := Named(spec)
	l.Endpoint = strings.TrimRight(l.Endpoint, "/")
	if l.StorageAccount != "" && l.Endpoint == "https://"+l.StorageAccount+".blob.core.windows.net" {
		l.Endpoint = ""
	}
	return l
}

// Move is a location's spec once it is the one that somebody at a vault's server wants, or why it cannot be. Whoever that is may be hostile, and has no
// credentials of the store. So those of the cluster are sent nowhere else: a Secret is of one account or endpoint, of which the container alone may be another one;
// and what the extension's pod proves itself by goes to its cloud's own endpoints, and to one that the cluster's owner has named.
func Move(have v1alpha1.BackupStorageLocationSpec, want catalogue.StorageLocation) (v1alpha1.BackupStorageLocationSpec, error) {
	moved := *have.DeepCopy()
	if err := CheckLocation(want); err != nil {
		return moved, err
	}
	is := LocationOf(have)
	if is == want {
		return moved, nil
	}
	refuse := func(format string, args ...any) (v1alpha1.BackupStorageLocationSpec, error) {
		return moved, coffer.Errorf(coffer.CodeForbidden, format, args...)
	}
	elsewhere := is
	elsewhere.Container = want.Container
	switch {
	case have.ReadOnly || have.Velero != nil:
		return refuse("the cluster's storage location is read-only: what is restored from is for the cluster's owner to say")
	case have.CredentialsSecretRef != nil && elsewhere != want:
		return refuse("the cluster writes to %s with the credentials of Secret %s, which are for nothing else: whoever has those of %s has to give them to the cluster",
			Describe(is), have.CredentialsSecretRef.Name, Describe(want))
	case want.Provider != is.Provider && want.Provider == string(v1alpha1.ProviderFilesystem):
		return refuse("the cluster's extension has no volume to write to: that is mounted when it is installed")
	case want.Endpoint != "" && (want.Provider != is.Provider || want.Endpoint != is.Endpoint):
		return refuse("the cluster writes to %s, whose endpoint is for its owner to change: requests would go there with what the extension's pod proves itself by", Describe(is))
	}
	return move(moved, want), nil
}

// move changes what settings name, and nothing beside that.
func move(spec v1alpha1.BackupStorageLocationSpec, to catalogue.StorageLocation) v1alpha1.BackupStorageLocationSpec {
	spec.Container = to.Container
	if string(spec.Provider) != to.Provider {
		spec.Provider, spec.Azure, spec.S3, spec.GCS = v1alpha1.StorageProvider(to.Provider), nil, nil, nil
	}
	was := Named(spec)
	if was.StorageAccount == to.StorageAccount && strings.TrimRight(was.Endpoint, "/") == to.Endpoint {
		return spec
	}
	switch spec.Provider {
	case v1alpha1.ProviderAzure:
		if spec.Azure == nil {
			spec.Azure = &v1alpha1.AzureStorage{}
		}
		spec.Azure.StorageAccount, spec.Azure.Endpoint = to.StorageAccount, to.Endpoint
	case v1alpha1.ProviderS3:
		spec.S3.Endpoint, spec.S3.ForcePathStyle = to.Endpoint, to.Endpoint != ""
	case v1alpha1.ProviderGCS:
		spec.GCS.Endpoint = to.Endpoint
	}
	return spec
}

// Describe is a location in words.
func Describe(l catalogue.StorageLocation) string {
	text := "container " + l.Container
	switch {
	case l.StorageAccount != "":
		text += " of the storage account " + l.StorageAccount
	case l.Provider == string(v1alpha1.ProviderFilesystem):
		return text + " of its volume"
	default:
		text += " of provider " + l.Provider
	}
	if l.Endpoint != "" {
		text += " at " + l.Endpoint
	}
	return text
}

// Command is what a cluster's owner runs to write there.
func Command(cluster catalogue.ID, l catalogue.StorageLocation) string {
	text := "coffer cluster join " + string(cluster) + " --provider " + l.Provider + " --container " + l.Container
	if l.StorageAccount != "" {
		text += " --storage-account " + l.StorageAccount
	}
	if l.Endpoint != "" {
		text += " --endpoint " + l.Endpoint
		if l.Provider == string(v1alpha1.ProviderS3) {
			text += " --force-path-style"
		}
	}
	return text
}

// State is how far it is with a location that settings name.
type State string

// The states. Of Pending ones the cluster is asked; those that differ, and that it refuses, are for its owner.
const (
	Pending State = "Pending"
	Applied State = "Applied"
	Differs State = "Differs"
	Refused State = "Refused"
)

// Case is what is known of settings and of their cluster.
type Case struct {
	Cluster catalogue.ID
	Wanted  catalogue.StorageLocation
	// Invalid is why the settings name nothing that a location could be; nil if they do.
	Invalid error
	// Askable says that the cluster can be asked, Allowed that its owner lets the server change where it writes to, and Consented that an Owner at the server has
	// asked for Wanted.
	Askable, Allowed, Consented bool
	// Found is what it has answered; nil if it has not been asked. Refusal is why it does not change that.
	Found   *catalogue.FoundLocation
	Refusal string
}

// Outcome is what is to be said of it.
type Outcome struct {
	State            State
	Message, Command string
	// Awaited says that the cluster is to be asked again soon.
	Awaited bool
}

// Judge says how far it is.
func Judge(c Case) Outcome {
	if c.Invalid != nil {
		return Outcome{State: Refused, Message: c.Invalid.Error()}
	}
	wanted, command := Describe(c.Wanted), Command(c.Cluster, c.Wanted)
	switch {
	case !c.Askable:
		return Outcome{State: Differs, Message: "the settings name " + wanted + ", and the cluster cannot be asked whether it writes there: its connector is older, or the server dials it", Command: command}
	case c.Found == nil:
		return Outcome{State: Pending, Message: "the settings name " + wanted + "; the cluster has not been asked yet, and is once it is connected", Awaited: true}
	case c.Found.StorageLocation == c.Wanted:
		return applied(*c.Found, wanted)
	}
	differs := "the settings name " + wanted + ", and the cluster writes to " + Describe(c.Found.StorageLocation)
	switch {
	case c.Refusal != "":
		return Outcome{State: Refused, Message: differs + ", which it does not change: " + c.Refusal, Command: command}
	case !c.Allowed:
		return Outcome{
			State: Differs, Message: differs + ": its owner has not let the server change that (coffer cluster join --allow-settings-by-owner), and runs the command to do so once", Command: command,
		}
	case !c.Consented:
		return Outcome{State: Differs, Message: differs + ": nobody with the role Owner on the cluster has asked for it; one puts the same settings, or the cluster's owner runs the command", Command: command}
	}
	return Outcome{State: Pending, Message: differs + ", which is about to be changed", Awaited: true}
}

// applied is a location that the cluster writes to.
func applied(found catalogue.FoundLocation, where string) Outcome {
	o := Outcome{State: Applied, Message: "recovery points are written to " + where}
	switch v1alpha1.StorageLocationPhase(found.Phase) {
	case v1alpha1.StorageLocationAvailable:
	case v1alpha1.StorageLocationUnavailable:
		o.Message += ", which cannot be used: " + cmp.Or(found.Message, "the cluster does not say why")
	default:
		o.Message, o.Awaited = o.Message+", which has not been looked at since", true
	}
	return o
}
