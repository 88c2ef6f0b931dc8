package driver

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coffer-backup/coffer/lab/storage/internal/loop"
	"github.com/coffer-backup/coffer/lab/storage/internal/mount"
	"github.com/coffer-backup/coffer/lab/storage/internal/pool"
)

// NodeStageVolume attaches the volume to a loop device and, for a filesystem, mounts it at the staging
// path, formatting it first if it is blank and growing it to the volume's size.
func (s *nodeServer) NodeStageVolume(ctx context.Context, req *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	id := req.GetVolumeId()
	switch {
	case id == "":
		return nil, missing("volume_id")
	case req.GetStagingTargetPath() == "":
		return nil, missing("staging_target_path")
	case req.GetVolumeCapability() == nil:
		return nil, missing("volume_capability")
	}
	asked, err := useOfOne(req.GetVolumeCapability())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "volume %s: %v", id, err)
	}
	unlock, err := s.locks.lock(ctx, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	volume, err := s.pool.Volume(id)
	if err != nil {
		return nil, statusOf(err)
	}
	device, err := loop.Attach(volume.Path)
	if err != nil {
		return nil, statusOf(err)
	}
	// The file may have grown since an earlier attempt attached it.
	if err := device.Refresh(); err != nil {
		return nil, statusOf(err)
	}
	if asked.mode == pool.Block {
		return &csi.NodeStageVolumeResponse{}, nil
	}
	if err := stageFilesystem(ctx, volume, device, asked, req); err != nil {
		return nil, statusOf(err)
	}
	return &csi.NodeStageVolumeResponse{}, nil
}

func stageFilesystem(ctx context.Context, volume pool.Volume, device loop.Device, asked use, req *csi.NodeStageVolumeRequest) error {
	staging := realPath(req.GetStagingTargetPath())
	uses, table, err := usesOf(device)
	if err != nil {
		return err
	}
	if _, done := usedAt(uses, staging); done {
		return nil
	}
	if other, taken := table.At(staging); taken {
		return status.Errorf(codes.FailedPrecondition, "volume %s: something else (device %d) is mounted at %s", volume.ID, other.Device, staging)
	}
	fsType, err := ensureFilesystem(ctx, volume, device, asked)
	if err != nil {
		return err
	}
	// A device that is mounted elsewhere, by another node of the same machine, must be left alone.
	if len(uses) == 0 {
		if err := mount.GrowOffline(ctx, device.Path, fsType); err != nil {
			return err
		}
	}
	if err := mount.Mount(ctx, device.Path, staging, fsType, req.GetVolumeCapability().GetMount().GetMountFlags()); err != nil {
		return err
	}
	return mount.GrowOnline(ctx, device.Path, staging, fsType)
}

// ensureFilesystem returns the filesystem on the device, which it makes if the volume is blank.
func ensureFilesystem(ctx context.Context, volume pool.Volume, device loop.Device, asked use) (string, error) {
	found, err := mount.Detect(ctx, device.Path)
	if err != nil {
		return "", err
	}
	if found == "" {
		return asked.format(), format(ctx, volume, device, asked.format())
	}
	if !mount.Supported(found) {
		return "", status.Errorf(codes.FailedPrecondition, "volume %s holds %q, which is neither %s nor %s", volume.ID, found, mount.XFS, mount.Ext4)
	}
	if asked.fsType != "" && asked.fsType != found {
		return "", status.Errorf(codes.FailedPrecondition, "volume %s holds a filesystem %s, not %s as the request says", volume.ID, found, asked.fsType)
	}
	return found, nil
}

// format makes a filesystem on a volume without a recognisable one, unless there is somebody's data on it. A volume
// created blank for a filesystem can have none: what is on it is from an earlier format that was killed.
func format(ctx context.Context, volume pool.Volume, device loop.Device, fsType string) error {
	empty, err := zeroed(volume)
	if err != nil {
		return err
	}
	if !empty && (volume.Mode != pool.Filesystem || !volume.Source.IsZero()) {
		return status.Errorf(codes.FailedPrecondition, "volume %s holds data but no filesystem; it is not formatted over that", volume.ID)
	}
	return mount.Format(ctx, device.Path, fsType, empty)
}

// NodeUnstageVolume unmounts the volume and detaches its loop device, also if the volume was removed from the
// pool meanwhile.
func (s *nodeServer) NodeUnstageVolume(ctx context.Context, req *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	id := req.GetVolumeId()
	if id == "" {
		return nil, missing("volume_id")
	}
	if req.GetStagingTargetPath() == "" {
		return nil, missing("staging_target_path")
	}
	unlock, err := s.locks.lock(ctx, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := mount.Unmount(realPath(req.GetStagingTargetPath())); err != nil {
		return nil, statusOf(err)
	}
	if !pool.IsID(id) {
		return &csi.NodeUnstageVolumeResponse{}, nil
	}
	devices, err := loop.Find(s.pool.Path(id))
	if err != nil {
		return nil, statusOf(err)
	}
	for _, device := range devices {
		uses, _, err := usesOf(device)
		if err != nil {
			return nil, err
		}
		// Another node of the same machine may have it staged too: the last one detaches it.
		if len(uses) > 0 {
			s.Logger.Info("volume is in use elsewhere and stays attached", "volume", id, "device", device.Path, "at", uses[0].Point)
			continue
		}
		if err := device.Detach(); err != nil {
			return nil, statusOf(err)
		}
	}
	return &csi.NodeUnstageVolumeResponse{}, nil
}
