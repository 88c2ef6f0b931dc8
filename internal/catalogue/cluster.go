package catalogue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"
)

// VaultIdentity is who a vault is in the clusters that admit it: the name of a ServiceAccount. It is of the vault's id and of when it was
// created, to the microsecond: another one that is made under the same name later is somebody else.
func VaultIdentity(vault ID, created time.Time) string {
	sum := sha256.Sum256([]byte(vault.Key() + " " + strconv.FormatInt(created.UnixMicro(), 10)))
	return "vault-" + hex.EncodeToString(sum[:20])
}

// Clusters are the clusters that can be called from this process. They may be used concurrently.
type Clusters interface {
	// Session is how a cluster is called now. An error with coffer.CodeClusterNotReachable, which is Transient, says that there is no way at
	// the moment.
	Session(ctx context.Context, cluster ID) (ClusterSession, error)
	// Linked are the clusters that there is a way to.
	Linked() []ID
}

// ClusterSession is a way to a cluster. It may be used concurrently. It ends whenever the cluster is gone: its calls fail then, and
// another Session has to be asked for.
type ClusterSession interface {
	// Info is what the cluster says of itself.
	Info() ClusterInfo
	// Kubernetes carries requests to the cluster's API, as an identity of VaultIdentity and nobody else. Their urls have any scheme and host.
	Kubernetes(identity string) http.RoundTripper
	// Content carries requests to the extension's reader in the name of an identity: the paths of package content.
	Content(identity string) http.RoundTripper
	// Consent gives trusted access to an identity, if the cluster's owner has allowed it beforehand. Otherwise it is an error with
	// coffer.CodeTrustedAccessMissing.
	Consent(ctx context.Context, identity string) error
	// Ended is closed once the way is gone.
	Ended() <-chan struct{}
}

// Configurable is a ClusterSession by which the cluster says where it writes recovery points to. It may be used concurrently.
type Configurable interface {
	// Location is that, as it is now.
	Location(ctx context.Context) (FoundLocation, error)
	// SetLocation makes a location the cluster's, if its owner has allowed it beforehand, and says how it is then. What it is already is not changed. A cluster that
	// refuses it is an error with coffer.CodeForbidden.
	SetLocation(ctx context.Context, wanted StorageLocation) (FoundLocation, error)
}

// StorageLocation is where recovery points are written to, as far as the settings of an extension's resource name it.
type StorageLocation struct {
	// Provider is azure, s3, gcs or filesystem.
	Provider  string `json:"provider"`
	Container string `json:"container"`
	// StorageAccount is Azure's, and empty otherwise.
	StorageAccount string `json:"storageAccount,omitempty"`
	// Endpoint is empty for the provider's own.
	Endpoint string `json:"endpoint,omitempty"`
}

// FoundLocation is that of a cluster, in its own words: they are bounded, and otherwise whatever the cluster wants them to be.
type FoundLocation struct {
	StorageLocation

	// Phase is Available, Unavailable, or empty where that is not known yet. Message is for people.
	Phase   string `json:"phase,omitempty"`
	Message string `json:"message,omitempty"`
	// Changed says that SetLocation has changed it.
	Changed bool `json:"-"`
}

// ClusterInfo is what a cluster says of itself. Its texts are bounded, and otherwise whatever the cluster wants them to be.
type ClusterInfo struct {
	// UID is that of the namespace kube-system.
	UID string
	// Namespace is the extension's, and VaultsNamespace where the identities of vaults are.
	Namespace, VaultsNamespace string
	// Version is the connector's, and KubernetesVersion the API server's.
	Version, KubernetesVersion string
	// BindingsByOwner says that Consent may succeed.
	BindingsByOwner bool
	// Settings says that a session is Configurable, and SettingsByOwner that its SetLocation may succeed.
	Settings, SettingsByOwner bool
	// Notes are what the cluster's owner should know.
	Notes []string
}
