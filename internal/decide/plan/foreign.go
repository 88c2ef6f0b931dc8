package plan

import "github.com/coffer-backup/coffer/internal/coffer"

const (
	snapshotGroup = "snapshot.storage.k8s.io"
	veleroGroup   = "velero.io"

	whyOfSnapshot = "the claim's volume is made of the snapshot directly"
	whyOfVelero   = "runs of Velero belong to their cluster"
	whyOfMachine  = "it describes one machine or one moment of its cluster"
)

// neverRestored are types that Coffer does not capture, but that stand in archives all the same: those that it adds for
// Velero, and those that Velero takes. Velero restores none of them either, but for the snapshots.
var neverRestored = map[coffer.GroupResource]string{
	{Group: snapshotGroup, Resource: "volumesnapshots"}:        whyOfSnapshot,
	{Group: snapshotGroup, Resource: "volumesnapshotcontents"}: whyOfSnapshot,

	{Resource: "events"}:                                     whyOfMachine,
	{Group: "events.k8s.io", Resource: "events"}:             whyOfMachine,
	{Resource: "nodes"}:                                      whyOfMachine,
	{Group: "storage.k8s.io", Resource: "csinodes"}:          whyOfMachine,
	{Group: "storage.k8s.io", Resource: "volumeattachments"}: whyOfMachine,

	{Group: veleroGroup, Resource: "backups"}:              whyOfVelero,
	{Group: veleroGroup, Resource: "restores"}:             whyOfVelero,
	{Group: veleroGroup, Resource: "podvolumebackups"}:     whyOfVelero,
	{Group: veleroGroup, Resource: "podvolumerestores"}:    whyOfVelero,
	{Group: veleroGroup, Resource: "datauploads"}:          whyOfVelero,
	{Group: veleroGroup, Resource: "datadownloads"}:        whyOfVelero,
	{Group: veleroGroup, Resource: "deletebackuprequests"}: whyOfVelero,
	{Group: veleroGroup, Resource: "downloadrequests"}:     whyOfVelero,
	{Group: veleroGroup, Resource: "serverstatusrequests"}: whyOfVelero,
	{Group: veleroGroup, Resource: "backuprepositories"}:   whyOfVelero,
}
