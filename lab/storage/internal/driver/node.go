package driver

import (
	"context"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coffer-backup/coffer/lab/storage/internal/loop"
	"github.com/coffer-backup/coffer/lab/storage/internal/mount"
	"github.com/coffer-backup/coffer/lab/storage/internal/pool"
)

// nodeServer is the CSI node service.
//
//	          NodeStage                        NodePublish
//	file  ->  loop device  ->  staging path  ->  target path     (filesystem)
//	file  ->  loop device  ------------------>  target path      (block)
type nodeServer struct {
	csi.UnimplementedNodeServer
	*services
}

// NodeGetInfo returns the node's id. Volumes can be used on every node that has the pool, so there is no topology.
func (s *nodeServer) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: s.NodeID}, nil
}

// NodeGetCapabilities lists what the node can do.
func (s *nodeServer) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	response := &csi.NodeGetCapabilitiesResponse{}
	for _, kind := range []csi.NodeServiceCapability_RPC_Type{
		csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		csi.NodeServiceCapability_RPC_GET_VOLUME_STATS,
		csi.NodeServiceCapability_RPC_EXPAND_VOLUME,
		csi.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		response.Capabilities = append(response.Capabilities, &csi.NodeServiceCapability{
			Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: kind}},
		})
	}
	return response, nil
}

// attached returns the loop device of a volume; the error has the code FailedPrecondition if there is none.
func attached(volume pool.Volume) (loop.Device, error) {
	devices, err := loop.Find(volume.Path)
	if err != nil {
		return loop.Device{}, statusOf(err)
	}
	if len(devices) == 0 {
		return loop.Device{}, status.Errorf(codes.FailedPrecondition, "volume %s is not staged on this node", volume.ID)
	}
	return devices[0], nil
}

// usesOf returns where a device is mounted, and the whole table it was found in.
func usesOf(device loop.Device) ([]mount.Entry, mount.Table, error) {
	table, err := mount.ReadTable()
	if err != nil {
		return nil, nil, statusOf(err)
	}
	uses, err := table.Uses(device.Path)
	if err != nil {
		return nil, nil, statusOf(err)
	}
	return uses, table, nil
}

// usedAt returns the entry among uses that is mounted at path.
func usedAt(uses []mount.Entry, path string) (mount.Entry, bool) {
	for _, use := range uses {
		if use.Point == path {
			return use, true
		}
	}
	return mount.Entry{}, false
}

// realPath is path without symbolic links, as the kernel's mount table has it; a path that does not exist
// is only cleaned.
func realPath(path string) string {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	// The last part may be missing while its folder is a link.
	if resolved, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(resolved, filepath.Base(path))
	}
	return filepath.Clean(path)
}

// zeroed reports whether the volume never was written, so that all of it reads as zeros.
func zeroed(volume pool.Volume) (bool, error) {
	used, err := volume.Used()
	return used == 0, err
}
