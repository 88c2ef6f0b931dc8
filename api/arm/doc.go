// Package arm has the bodies of Azure Resource Manager's REST API as they are on the wire: of Microsoft.DataProtection for
// Kubernetes clusters, as far as decisions read them.
//
// A union is one struct with the fields of all its members; its objectType says which. Optional fields are pointers where
// absence means something of its own. What a body has beside them is none of this package's business: it is kept as it was sent.
package arm
