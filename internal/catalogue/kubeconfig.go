package catalogue

// Kubeconfig is a way to a cluster that the server dials itself. It is a secret.
type Kubeconfig struct {
	KubeconfigRef
	// Text is the kubeconfig.
	Text []byte
	// Namespace is the extension's, and VaultsNamespace where the identities of vaults are.
	Namespace, VaultsNamespace string
}

// KubeconfigRef names a kubeconfig: what has another Version has another text.
type KubeconfigRef struct {
	Cluster ID
	Version string
}
