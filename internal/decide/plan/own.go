package plan

import (
	"strings"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// ownName is what the names of the extension's own objects begin with: its program, account and rights.
const ownName = "coffer-extension"

// wholeCluster is the role that the extension has if it may restore whole clusters.
const wholeCluster = "cluster-admin"

// runsBy says of an object of the cluster that the restore itself runs by it: without its rights it could not go on, and with
// definitions of another version it could not even say what it has done.
func (r Request) runsBy(target coffer.ObjectRef) bool {
	switch {
	case target.GroupResource == definitions:
		return strings.HasSuffix(target.Name, "."+v1alpha1.Group)
	case target.GroupResource == namespaces:
		return r.isExtension(target.Name)
	case target.Namespace == "":
		return target.Group == rbacGroup && (strings.HasPrefix(target.Name, ownName) || target.Name == wholeCluster)
	}
	return r.isExtension(target.Namespace) && strings.HasPrefix(target.Name, ownName)
}

func (r Request) isExtension(namespace string) bool {
	return namespace != "" && namespace == r.Extension
}
