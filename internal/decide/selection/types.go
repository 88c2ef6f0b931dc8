package selection

import (
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
	{Group: ownGroup, Resource: "restoretests"}:                 "runs of the Backup extension belong to their cluster",
	{Group: ownGroup, Resource: "deletebackups"}:                "runs of the Backup extension belong to their cluster",
	{Group: ownGroup, Resource: "validateforbackups"}:           "runs of the Backup extension belong to their cluster",
	{Group: ownGroup, Resource: "validateforrestores"}:          "runs of the Backup extension belong to their cluster",
}

const (
	snapshotGroup = "snapshot.storage.k8s.io"
	ownGroup      = "clusterbackup.dataprotection.microsoft.com"
)

// reasonClusterScope is why a cluster-scoped type is left out as a whole.
const reasonClusterScope = "cluster-scoped objects are not included"

// Type decides on a resource type as a whole: a yes means that its objects are to be looked at one by one.
func (s *Selection) Type(t coffer.ResourceType) Decision {
	if reason, never := neverTaken[t.GroupResource]; never {
		return no(reason)
	}
	if by, excluded := s.excluded[t.GroupResource]; excluded {
		return no("the type is excluded by " + by)
	}
	if !t.Namespaced {
		return s.clusterType(t)
	}
	if s.picks != nil {
		if !s.picks.holds(t.GroupResource) {
			return unasked("no object of the type is among includedObjects")
		}
		return yes()
	}
	if !s.chosen(t.GroupResource) {
		return unasked("the type is not included")
	}
	return yes()
}

func (s *Selection) clusterType(t coffer.ResourceType) Decision {
	if t.GroupResource == namespaces {
		return yes()
	}
	if s.picks != nil && s.picks.holds(t.GroupResource) {
		return yes()
	}
	_, needable := needKeys[t.GroupResource]
	switch scope := s.rules.ClusterScope; {
	case scope == ClusterScopeNone:
		return unasked(reasonClusterScope)
	case needable:
		return yes()
	case scope == ClusterScopeNeeded:
		return unasked(reasonClusterScope)
	case s.picks != nil:
		return unasked("no object of the type is among includedObjects")
	case !s.chosen(t.GroupResource):
		return unasked("the type is not included")
	}
	return yes()
}

// Needable says of a cluster-scoped type whether others may need objects of it.
func Needable(t coffer.GroupResource) bool { return needKeys[t] != nil }

// OnlyNeeded says of a type that Type let through that its objects are taken only if something needs them.
func (s *Selection) OnlyNeeded(t coffer.ResourceType) bool {
	switch {
	case t.Namespaced || t.GroupResource == namespaces:
		return false
	case s.picks != nil:
		return !s.picks.holds(t.GroupResource)
	}
	return s.rules.ClusterScope != ClusterScopeAll || !s.chosen(t.GroupResource)
}

// chosen says whether the objects of a type are selected by their own merit.
func (s *Selection) chosen(t coffer.GroupResource) bool {
	return s.included == nil || s.included[t]
}

// Stages orders types so that what an object needs is looked for after it: namespaced types, then those cluster-scoped
// ones that need others, then the rest. Types that Type leaves out are in it as well.
func (s *Selection) Stages(types []coffer.ResourceType) [][]coffer.ResourceType {
	if !s.Closes() {
		return [][]coffer.ResourceType{types}
	}
	stages := make([][]coffer.ResourceType, 3)
	for _, t := range types {
		stage := 0
		if !t.Namespaced {
			stage = 1
			if neededLast[t.GroupResource] {
				stage = 2
			}
		}
		stages[stage] = append(stages[stage], t)
	}
	return stages
}
