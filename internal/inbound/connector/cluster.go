package connector

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/kubernetes"

	wire "github.com/coffer-backup/coffer/api/link"
)

// oldest is the oldest Kubernetes that the extension is for.
const oldest = "1.30.0"

// Cluster is the cluster that the connector runs in.
type Cluster struct {
	Client kubernetes.Interface
	// Namespace is the extension's.
	Namespace, VaultsNamespace string
	// Version is the connector's.
	Version                          string
	BindingsByOwner, SettingsByOwner bool
}

// Hello says which cluster it is. That the API server does not answer is an error; what cannot be found out for people is left out.
func (c Cluster) Hello(ctx context.Context) (wire.Hello, error) {
	h := wire.Hello{
		Protocol: wire.Protocol, Namespace: c.Namespace, VaultsNamespace: c.VaultsNamespace, Version: c.Version, BindingsByOwner: c.BindingsByOwner,
		Settings: true, SettingsByOwner: c.SettingsByOwner,
	}
	system, err := c.Client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return h, fmt.Errorf("get namespace %s: %w", metav1.NamespaceSystem, err)
	}
	h.ClusterUID = string(system.UID)
	served, err := c.Client.Discovery().ServerVersion()
	if err != nil {
		return h, fmt.Errorf("ask for the version of the API server: %w", err)
	}
	h.KubernetesVersion = served.GitVersion
	h.Notes = slices.Concat(noteVersion(served.GitVersion), c.noteGroups(), c.noteClasses(ctx))
	return h, nil
}

func noteVersion(served string) []string {
	v, err := version.ParseGeneric(served)
	if err != nil || v.AtLeast(version.MustParseGeneric(oldest)) {
		return nil
	}
	return []string{fmt.Sprintf("Kubernetes %s is older than 1.30, the oldest that the Backup extension is for: upgrade the cluster before relying on backups.", served)}
}

func (c Cluster) noteGroups() []string {
	groups, err := c.Client.Discovery().ServerGroups()
	if err != nil {
		return nil
	}
	served := map[string]bool{}
	for _, g := range groups.Groups {
		served[g.Name] = true
	}
	var notes []string
	if served["velero.io"] {
		notes = append(notes, "Velero is installed too. Both can back up the same namespaces; do not have both freeze the same pods at the same time, "+
			"and give each a container of its own. Coffer can restore Velero's backups.")
	}
	if !served["snapshot.storage.k8s.io"] {
		notes = append(notes, "The API of volume snapshots is not installed: volumes cannot be backed up until the snapshot controller, its "+
			"resource definitions and a VolumeSnapshotClass are.")
	}
	return notes
}

// noteClasses names the StorageClasses whose volumes cannot be snapshotted, for their driver is part of Kubernetes.
func (c Cluster) noteClasses(ctx context.Context) []string {
	const most = 100
	classes, err := c.Client.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{Limit: most})
	if err != nil {
		return nil
	}
	var names []string
	for _, s := range classes.Items {
		if strings.HasPrefix(s.Provisioner, "kubernetes.io/") && s.Provisioner != "kubernetes.io/no-provisioner" {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	const shown = 5
	more := ""
	if len(names) > shown {
		names, more = names[:shown], ", ..."
	}
	return []string{"Volumes of these storage classes have no CSI driver that could snapshot them: " + strings.Join(names, ", ") + more + "."}
}
