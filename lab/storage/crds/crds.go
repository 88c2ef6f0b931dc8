// Package crds carries the definitions of the snapshot resources.
package crds

import "embed"

// Files are the definitions of VolumeSnapshot, VolumeSnapshotContent and VolumeSnapshotClass, one YAML file each, as
// they are in the client module of the snapshot controller.
//
//go:embed *.yaml
var Files embed.FS
