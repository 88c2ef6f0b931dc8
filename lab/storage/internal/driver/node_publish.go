package driver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coffer-backup/coffer/lab/storage/internal/loop"
	"github.com/coffer-backup/coffer/lab/storage/internal/mount"
	"github.com/coffer-backup/coffer/lab/storage/internal/pool"
)

// NodePublishVolume binds the staged filesystem, or the loop device itself, to the target path.
func (s *nodeServer) NodePublishVolume(ctx context.Context, req *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	id := req.GetVolumeId()
	switch {
	case id == "":
		return nil, missing("volume_id")
	case req.GetTargetPath() == "":
		return nil, missing("target_path")
	case req.GetVolumeCapability() == nil:
		return nil, missing("volume_capability")
	case req.GetStagingTargetPath() == "":
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s: staging_target_path is required", id)
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
	if err := publish(volume, asked, req); err != nil {
		return nil, statusOf(err)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func publish(volume pool.Volume, asked use, req *csi.NodePublishVolumeRequest) error {
	device, err := attached(volume)
	if err != nil {
		return err
	}
	staging, target := realPath(req.GetStagingTargetPath()), realPath(req.GetTargetPath())
	uses, table, err := usesOf(device)
	if err != nil {
		return err
	}
	if done, err := published(volume, uses, table, target, req.GetReadonly()); done || err != nil {
		return err
	}
	source := device.Path
	if asked.mode == pool.Filesystem {
		source = staging
		if _, staged := usedAt(uses, staging); !staged {
			return status.Errorf(codes.FailedPrecondition, "volume %s is not mounted at its staging path %s", volume.ID, staging)
		}
	}
	if err := soleWriter(volume, req, uses, staging); err != nil {
		return err
	}
	if err := makeTarget(target, asked.mode); err != nil {
		return fmt.Errorf("volume %s: %w", volume.ID, err)
	}
	return mount.Bind(source, target, req.GetReadonly())
}

// published reports whether the volume is at target already. The error says that something else is, or that
// it is there with another access.
func published(volume pool.Volume, uses []mount.Entry, table mount.Table, target string, readOnly bool) (bool, error) {
	there, mine := usedAt(uses, target)
	if !mine {
		if other, taken := table.At(target); taken {
			return false, status.Errorf(codes.FailedPrecondition, "volume %s: something else (device %d) is mounted at %s", volume.ID, other.Device, target)
		}
		return false, nil
	}
	if there.ReadOnly != readOnly {
		return false, status.Errorf(codes.AlreadyExists, "volume %s is published at %s with readonly=%t, not %t", volume.ID, target, there.ReadOnly, readOnly)
	}
	return true, nil
}

// soleWriter refuses a second target to a volume that only one workload may use.
func soleWriter(volume pool.Volume, req *csi.NodePublishVolumeRequest, uses []mount.Entry, staging string) error {
	if req.GetVolumeCapability().GetAccessMode().GetMode() != csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER {
		return nil
	}
	for _, use := range uses {
		if use.Point != staging {
			return status.Errorf(codes.FailedPrecondition, "volume %s has a single writer and is published at %s already", volume.ID, use.Point)
		}
	}
	return nil
}

// makeTarget makes the folder for a filesystem, or the file for a device, to mount on.
func makeTarget(target string, mode pool.Mode) error {
	if mode == pool.Filesystem {
		return os.MkdirAll(target, 0o750)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o660)
	if err != nil {
		return err
	}
	return f.Close()
}

// NodeUnpublishVolume takes the volume away from the target path and removes that.
func (s *nodeServer) NodeUnpublishVolume(ctx context.Context, req *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	id := req.GetVolumeId()
	if id == "" {
		return nil, missing("volume_id")
	}
	if req.GetTargetPath() == "" {
		return nil, missing("target_path")
	}
	unlock, err := s.locks.lock(ctx, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	target := realPath(req.GetTargetPath())
	if err := mount.Unmount(target); err != nil {
		return nil, statusOf(fmt.Errorf("volume %s: %w", id, err))
	}
	// Remove does not descend: should data be in the folder, it stays and the call fails.
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, statusOf(fmt.Errorf("volume %s: %w", id, err))
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// placeOf returns the volume's device and where a path has it, for calls about a staged or published
// volume. The error has the code NotFound if the volume is not there.
func placeOf(volume pool.Volume, path string) (loop.Device, mount.Entry, error) {
	devices, err := loop.Find(volume.Path)
	if err != nil {
		return loop.Device{}, mount.Entry{}, err
	}
	for _, device := range devices {
		uses, _, err := usesOf(device)
		if err != nil {
			return loop.Device{}, mount.Entry{}, err
		}
		if entry, found := usedAt(uses, realPath(path)); found {
			return device, entry, nil
		}
	}
	return loop.Device{}, mount.Entry{}, status.Errorf(codes.NotFound, "volume %s is not at %s", volume.ID, path)
}
