package selection

import (
	"encoding/json"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// neverTaken are types that say nothing about a cluster's intent: Kubernetes makes them anew, or they describe one
// machine or one moment. Velero leaves out the same ones.
var neverTaken = map[coffer.GroupResource]string{
	{Resource: "events"}:                                        "events describe the past",
	{Group: "events.k8s.io", Resource: "events"}:                "events describe the past",
	{Resource: "nodes"}:                                         "nodes belong to their cluster",
	{Resource: "componentstatuses"}:                             "component statuses are made on request",
	{Group: "storage.k8s.io", Resource: "csinodes"}:             "CSI nodes belong to their cluster",
	{Group: "storage.k8s.io", Resource: "volumeattachments"}:    "attachments belong to their cluster",
	{Group: "storage.k8s.io", Resource: "csistoragecapacities"}: "drivers publish capacities themselves",
	{Group: snapshotGroup, Resource: "volumesnapshots"}:         "snapshots are recorded as volumes of the recovery point",
	{Group: snapshotGroup, Resource: "volumesnapshotcontents"}:  "snapshots are recorded as volumes of the recovery point",
	{Group: ownGroup, Resource: "backups"}:                      "runs of the Backup extension belong to their cluster",
	{Group: ownGroup, Resource: "restores"}:                     "runs of the Backup extension belong to their cluster",
	{Group: ownGroup, Resource: "deletebackups"}:                "runs of the Backup extension belong to their cluster",
}

const (
	snapshotGroup = "snapshot.storage.k8s.io"
	ownGroup      = "clusterbackup.dataprotection.microsoft.com"
)

// Type decides on a resource type as a whole.
func (r Rules) Type(t coffer.ResourceType) Decision {
	if reason, never := neverTaken[t.GroupResource]; never {
		return no(reason)
	}
	if t.Namespaced || r.ClusterScope == ClusterScopeAll {
		return yes()
	}
	if t.GroupResource == namespaces {
		return yes()
	}
	if r.ClusterScope == ClusterScopeNeeded {
		if _, needed := homes[t.GroupResource]; needed {
			return yes()
		}
	}
	return no("cluster-scoped objects are not included")
}

var (
	namespaces        = coffer.GroupResource{Resource: "namespaces"}
	persistentVolumes = coffer.GroupResource{Resource: "persistentvolumes"}
)

// homes are the cluster-scoped types whose objects belong to a namespace all the same, and how to tell to which.
var homes = map[coffer.GroupResource]func(name string, body []byte) string{
	namespaces:        func(name string, _ []byte) string { return name },
	persistentVolumes: func(_ string, body []byte) string { return claimNamespace(body) },
}

func homeNamespace(ref coffer.ObjectRef, body []byte) (home string, known bool) {
	find, known := homes[ref.GroupResource]
	if !known {
		return "", false
	}
	return find(ref.Name, body), true
}

func claimNamespace(body []byte) string {
	var volume struct {
		Spec struct {
			ClaimRef struct {
				Namespace string `json:"namespace"`
			} `json:"claimRef"`
		} `json:"spec"`
	}
	// A volume that cannot be read is one that no claim is known for.
	_ = json.Unmarshal(body, &volume)
	return volume.Spec.ClaimRef.Namespace
}
