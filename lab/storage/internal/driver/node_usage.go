package driver

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"

	"github.com/coffer-backup/coffer/lab/storage/internal/loop"
	"github.com/coffer-backup/coffer/lab/storage/internal/mount"
	"github.com/coffer-backup/coffer/lab/storage/internal/pool"
)

// NodeExpandVolume makes the loop device, and the filesystem on it, as large as the volume's file while it is in use.
func (s *nodeServer) NodeExpandVolume(ctx context.Context, req *csi.NodeExpandVolumeRequest) (*csi.NodeExpandVolumeResponse, error) {
	id := req.GetVolumeId()
	if id == "" {
		return nil, missing("volume_id")
	}
	if req.GetVolumePath() == "" {
		return nil, missing("volume_path")
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
	if err := expand(ctx, volume, req); err != nil {
		return nil, statusOf(fmt.Errorf("volume %s: %w", id, err))
	}
	return &csi.NodeExpandVolumeResponse{CapacityBytes: volume.Size}, nil
}

func expand(ctx context.Context, volume pool.Volume, req *csi.NodeExpandVolumeRequest) error {
	device, point, err := expandedPlace(volume, req)
	if err != nil {
		return err
	}
	if err := device.Refresh(); err != nil {
		return err
	}
	if point == "" {
		return nil
	}
	fsType, err := mount.Detect(ctx, device.Path)
	if err != nil {
		return err
	}
	return mount.GrowOnline(ctx, device.Path, point, fsType)
}

// expandedPlace returns the device to expand and where its filesystem is mounted, "" for a block volume. A staged
// block volume is mounted nowhere, so for that its loop device is proof enough.
func expandedPlace(volume pool.Volume, req *csi.NodeExpandVolumeRequest) (loop.Device, string, error) {
	if req.GetVolumeCapability().GetBlock() != nil {
		device, err := attached(volume)
		return device, "", err
	}
	device, entry, err := placeOf(volume, req.GetVolumePath())
	if err != nil {
		return loop.Device{}, "", err
	}
	if bindsDevice(entry, device) {
		return device, "", nil
	}
	return device, entry.Point, nil
}

// bindsDevice reports whether an entry of a device's uses is the device node rather than its filesystem.
func bindsDevice(entry mount.Entry, device loop.Device) bool {
	number, err := device.Number()
	return err == nil && entry.Device != number && filepath.Base(entry.Root) == filepath.Base(device.Path)
}

// NodeGetVolumeStats returns how full a volume is; of a block volume only the size is known.
func (s *nodeServer) NodeGetVolumeStats(_ context.Context, req *csi.NodeGetVolumeStatsRequest) (*csi.NodeGetVolumeStatsResponse, error) {
	id := req.GetVolumeId()
	if id == "" {
		return nil, missing("volume_id")
	}
	if req.GetVolumePath() == "" {
		return nil, missing("volume_path")
	}
	volume, err := s.pool.Volume(id)
	if err != nil {
		return nil, statusOf(err)
	}
	device, entry, err := placeOf(volume, req.GetVolumePath())
	if err != nil {
		return nil, statusOf(err)
	}
	if bindsDevice(entry, device) {
		return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{
			{Unit: csi.VolumeUsage_BYTES, Total: volume.Size},
		}}, nil
	}
	return filesystemStats(volume, entry.Point)
}

func filesystemStats(volume pool.Volume, point string) (*csi.NodeGetVolumeStatsResponse, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(point, &stat); err != nil {
		return nil, statusOf(fmt.Errorf("volume %s: usage of %s: %w", volume.ID, point, err))
	}
	return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{
		{
			Unit:      csi.VolumeUsage_BYTES,
			Total:     int64(stat.Blocks) * stat.Bsize,
			Available: int64(stat.Bavail) * stat.Bsize,
			Used:      int64(stat.Blocks-stat.Bfree) * stat.Bsize,
		},
		{
			Unit:      csi.VolumeUsage_INODES,
			Total:     int64(stat.Files),
			Available: int64(stat.Ffree),
			Used:      int64(stat.Files - stat.Ffree),
		},
	}}, nil
}
