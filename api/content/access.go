package content

// The subresources by which the cluster's RBAC judges what somebody may read on the port of PortTLS: verb get, in the
// extension's namespace, of group clusterbackup.dataprotection.microsoft.com. Nothing is stored under these names.
const (
	ResourceBackups  = "backups"
	ResourceRestores = "restores"
	// SubresourceContents is all that is read of recovery points and of restores, without values of Secrets.
	SubresourceContents = "contents"
	// SubresourceInventory is what the cluster has to choose from.
	SubresourceInventory = "inventory"
)

// PortTLS is where the reader listens for the connector, on the pod network.
const PortTLS = 8083

// Service is the name of the Service of that port, and of the ServiceAccount that may ask there; Audience is of its tokens.
const (
	Service   = "coffer-extension-reader"
	Connector = "coffer-connector"
	Audience  = "coffer-extension"
)

// The ConfigMap, and its field, in the extension's namespace that holds the certificate of the authority of that port, in PEM.
const (
	AuthorityConfigMap = "coffer-reader"
	AuthorityField     = "ca.crt"
)
