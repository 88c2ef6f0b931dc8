// Package link is how a Backup extension joins a vault's server and is called through the connection that it keeps: the join token, the
// requests of the connector, and how a stream of the server begins.
//
// The connector speaks HTTP/1.1 in TLS 1.3 to the server's link address. PathConnect is upgraded to yamux, in which the server opens the
// streams: each begins with one line, a Header in JSON, and is a connection of HTTP/1.1 from the server to the connector after it.
package link

import (
	"fmt"
	"regexp"
)

// Protocol is the version of this package. Either side takes the other's if it is the same; the server says so before it upgrades.
const Protocol = 1

// The paths of the server's link address.
const (
	// PathJoin is POST JoinRequest, answered by Certificate. Whoever has the token's secret may.
	PathJoin = "/v1/join"
	// PathRenew is POST RenewRequest, answered by Certificate. Whoever has a certificate that was not revoked may.
	PathRenew = "/v1/renew"
	// PathConnect is POST Hello with the header "Upgrade: " + Upgrade, answered by 101 and yamux: the server is yamux's client, and opens
	// streams; a stream that the connector opens ends the link.
	PathConnect = "/v1/connect"
)

// Upgrade is the protocol that PathConnect is upgraded to.
const Upgrade = "coffer-link"

// MaxMessage bounds the bodies of these requests and answers, in bytes.
const MaxMessage = 64 << 10

// Hello says which cluster and which connector this is.
type Hello struct {
	Protocol int `json:"protocol"`
	// ClusterUID is the UID of the namespace kube-system.
	ClusterUID string `json:"clusterUid"`
	// Namespace is the extension's, and VaultsNamespace where the identities of vaults are.
	Namespace       string `json:"namespace"`
	VaultsNamespace string `json:"vaultsNamespace"`
	// Version is the connector's, and KubernetesVersion the API server's: v1.34.1.
	Version           string `json:"version"`
	KubernetesVersion string `json:"kubernetesVersion"`
	// BindingsByOwner says that the cluster's owner lets the vault's server give trusted access.
	BindingsByOwner bool `json:"bindingsByOwner"`
	// Settings says that the connector answers streams of that kind, and SettingsByOwner that the cluster's owner lets the server change by them where recovery
	// points are written to.
	Settings        bool `json:"settings,omitempty"`
	SettingsByOwner bool `json:"settingsByOwner,omitempty"`
	// Notes are what the owner should know, such as that Velero runs in the cluster too: at most 20 of 500 characters.
	Notes []string `json:"notes,omitempty"`
}

// JoinRequest asks for a certificate by a token.
type JoinRequest struct {
	Hello Hello `json:"hello"`
	// Secret is the token's.
	Secret string `json:"secret"`
	// Request is a PKCS #10 certificate request in PEM. Only its public key counts.
	Request string `json:"request"`
}

// RenewRequest asks for a certificate in place of the one that the connection is proved by.
type RenewRequest struct {
	Request string `json:"request"`
}

// Certificate is an answer to either.
type Certificate struct {
	// Certificate is in PEM, and Authority the certificate of the one authority that the server's certificates are of.
	Certificate string `json:"certificate"`
	Authority   string `json:"authority"`
	// Cluster is the id under which the cluster is known.
	Cluster string `json:"cluster"`
}

// Problem is the body of every answer that refuses.
type Problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Final says that trying again will not help: somebody has to do something first.
	Final bool `json:"final,omitempty"`
}

// Error implements error.
func (p *Problem) Error() string {
	text := p.Message
	if p.Hint != "" {
		text += "; " + p.Hint
	}
	return text
}

// Kind is what a stream is for.
type Kind string

// The kinds of streams.
const (
	// Kubernetes is the cluster's API, as the identity of the header.
	Kubernetes Kind = "kubernetes"
	// Content is the extension's reader, asked by the identity of the header: the paths of package content.
	Content Kind = "content"
	// Consent is POST ConsentPath: the connector gives trusted access to the identity of the header, if it may.
	Consent Kind = "consent"
	// Settings is the storage location of the cluster's extension: LocationPath. The server asks for itself: there is no identity.
	Settings Kind = "settings"
)

// ConsentPath is the path of consent streams. It is answered by 204, or by a Problem.
const ConsentPath = "/v1/consent"

// Header is the first line of a stream, of at most MaxHeader bytes.
type Header struct {
	Kind Kind `json:"kind"`
	// Identity is who the vault is in the cluster: see IdentityPattern. Streams of kind Settings have none.
	Identity string `json:"identity"`
}

var identityForm = regexp.MustCompile(IdentityPattern)

// Check refuses a header that no stream begins with.
func (h Header) Check() error {
	switch h.Kind {
	case Kubernetes, Content, Consent:
		if !identityForm.MatchString(h.Identity) {
			return fmt.Errorf("%.80q is not the identity of a vault", h.Identity)
		}
	case Settings:
		if h.Identity != "" {
			return fmt.Errorf("streams of kind %s have no identity, and this one has %.80q", h.Kind, h.Identity)
		}
	default:
		return fmt.Errorf("there are no streams of kind %.40q", h.Kind)
	}
	return nil
}

// MaxHeader bounds a Header in JSON, with its line end.
const MaxHeader = 1 << 10

// IdentityPattern is what identities of vaults are like. In a cluster one is system:serviceaccount:VAULTSNAMESPACE:IDENTITY.
const IdentityPattern = `^vault-[0-9a-f]{40}$`

// IdentityHeader is the header by which the connector tells the extension's reader who asks, an identity of IdentityPattern, and who itself is by
// the bearer token beside it.
const IdentityHeader = "Coffer-Vault-Identity"
