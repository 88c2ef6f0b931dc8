package driver

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coffer-backup/coffer/lab/storage/internal/loop"
	"github.com/coffer-backup/coffer/lab/storage/internal/pool"
)

// CreateVolume makes a volume, blank or with the content of a snapshot or of another volume.
func (s *controllerServer) CreateVolume(ctx context.Context, req *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	if req.GetName() == "" {
		return nil, missing("name")
	}
	if len(req.GetVolumeCapabilities()) == 0 {
		return nil, missing("volume_capabilities")
	}
	if keys := slices.Sorted(maps.Keys(req.GetParameters())); len(keys) > 0 {
		return nil, status.Errorf(codes.InvalidArgument, "volume %s: unknown parameter %q; the only one is csi.storage.k8s.io/fstype", req.GetName(), keys[0])
	}
	if len(req.GetMutableParameters()) > 0 {
		return nil, status.Errorf(codes.InvalidArgument, "volume %s: mutable parameters are not supported", req.GetName())
	}
	asked, err := useOf(req.GetVolumeCapabilities())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "volume %s: %v", req.GetName(), err)
	}
	source, err := s.sourceOf(req)
	if err != nil {
		return nil, err
	}
	ids := []string{pool.VolumeID(req.GetName())}
	if !source.IsZero() {
		ids = append(ids, source.Snapshot+source.Volume)
	}
	unlock, err := s.locks.lock(ctx, ids...)
	if err != nil {
		return nil, err
	}
	defer unlock()
	volume, err := s.ensureVolume(req, asked, source)
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.CreateVolumeResponse{Volume: csiVolume(volume)}, nil
}

// sourceOf is where the volume's content shall come from.
func (s *controllerServer) sourceOf(req *csi.CreateVolumeRequest) (pool.Source, error) {
	content := req.GetVolumeContentSource()
	if content == nil {
		return pool.Source{}, nil
	}
	switch {
	case content.GetSnapshot() != nil && s.NoSnapshots:
		return pool.Source{}, status.Errorf(codes.InvalidArgument, "volume %s: driver %s has no snapshots", req.GetName(), s.Name)
	case content.GetSnapshot().GetSnapshotId() != "":
		return pool.Source{Snapshot: content.GetSnapshot().GetSnapshotId()}, nil
	case content.GetVolume().GetVolumeId() != "":
		return pool.Source{Volume: content.GetVolume().GetVolumeId()}, nil
	default:
		return pool.Source{}, status.Errorf(codes.InvalidArgument, "volume %s: the content source names neither a snapshot nor a volume", req.GetName())
	}
}

// ensureVolume returns the volume of that name if it is what the request asks for, or makes it.
func (s *controllerServer) ensureVolume(req *csi.CreateVolumeRequest, asked use, source pool.Source) (pool.Volume, error) {
	existing, err := s.pool.Volume(pool.VolumeID(req.GetName()))
	if err == nil {
		if !fits(existing.Size, req.GetCapacityRange()) || existing.Mode != asked.mode || existing.Source != source {
			return pool.Volume{}, status.Errorf(codes.AlreadyExists,
				"volume %s exists as %s with %d bytes, volume mode %s and source %+v, which differs from what is asked for",
				req.GetName(), existing.ID, existing.Size, existing.Mode, existing.Source)
		}
		return existing, nil
	}
	if !errors.Is(err, pool.ErrNotFound) {
		return pool.Volume{}, err
	}
	sourceSize, err := s.sizeOf(source)
	if err != nil {
		return pool.Volume{}, err
	}
	fallback := defaultSize
	minimum := asked.minimum()
	if !source.IsZero() {
		// The source has its filesystem already, so only its own size counts.
		fallback, minimum = sourceSize, sourceSize
		if required := req.GetCapacityRange().GetRequiredBytes(); required > 0 && required < sourceSize {
			return pool.Volume{}, status.Errorf(codes.OutOfRange, "volume %s: %d bytes are less than the %d of its source %s",
				req.GetName(), required, sourceSize, source.Snapshot+source.Volume)
		}
	}
	size, err := sizeFor(req.GetCapacityRange(), minimum, fallback)
	if err != nil {
		return pool.Volume{}, status.Errorf(codes.OutOfRange, "volume %s: %v", req.GetName(), err)
	}
	return s.pool.CreateVolume(pool.Volume{
		Name: req.GetName(), Size: size, Mode: asked.mode, Source: source, Created: s.NowFunc().UTC(),
	})
}

// sizeOf is the size of a content source, 0 for none.
func (s *controllerServer) sizeOf(source pool.Source) (int64, error) {
	switch {
	case source.Snapshot != "":
		snapshot, err := s.pool.Snapshot(source.Snapshot)
		return snapshot.Size, err
	case source.Volume != "":
		volume, err := s.pool.Volume(source.Volume)
		return volume.Size, err
	default:
		return 0, nil
	}
}

// DeleteVolume removes a volume, unless it is staged somewhere. Its snapshots stay.
func (s *controllerServer) DeleteVolume(ctx context.Context, req *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	id := req.GetVolumeId()
	if id == "" {
		return nil, missing("volume_id")
	}
	if !pool.IsID(id) {
		return &csi.DeleteVolumeResponse{}, nil
	}
	unlock, err := s.locks.lock(ctx, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	devices, err := loop.Find(s.pool.Path(id))
	if err != nil {
		return nil, statusOf(err)
	}
	if len(devices) > 0 {
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s is in use as %s; it is deleted once it is unstaged", id, devices[0].Path)
	}
	if err := s.pool.DeleteVolume(id); err != nil {
		return nil, statusOf(err)
	}
	return &csi.DeleteVolumeResponse{}, nil
}

// ControllerExpandVolume lengthens the volume's file. The node does the rest, for either volume mode.
func (s *controllerServer) ControllerExpandVolume(ctx context.Context, req *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error) {
	id := req.GetVolumeId()
	if id == "" {
		return nil, missing("volume_id")
	}
	if req.GetCapacityRange() == nil {
		return nil, missing("capacity_range")
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
	size, err := sizeFor(req.GetCapacityRange(), volume.Size, volume.Size)
	if err != nil {
		return nil, status.Errorf(codes.OutOfRange, "volume %s: %v", id, err)
	}
	volume, err = s.pool.ExpandVolume(id, size)
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.ControllerExpandVolumeResponse{CapacityBytes: volume.Size, NodeExpansionRequired: true}, nil
}
