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
	// Notes are what the cluster's owner should know.
	Notes []string
}
