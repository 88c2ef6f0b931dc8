package driver

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coffer-backup/coffer/lab/storage/internal/pool"
)

// CreateSnapshot takes a snapshot of a volume, ready to use at once.
func (s *controllerServer) CreateSnapshot(ctx context.Context, req *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	if err := s.snapshotsSupported(); err != nil {
		return nil, err
	}
	if req.GetName() == "" {
		return nil, missing("name")
	}
	if req.GetSourceVolumeId() == "" {
		return nil, missing("source_volume_id")
	}
	if keys := slices.Sorted(maps.Keys(req.GetParameters())); len(keys) > 0 {
		return nil, status.Errorf(codes.InvalidArgument, "snapshot %s: unknown parameter %q; there are none", req.GetName(), keys[0])
	}
	id := pool.SnapshotID(req.GetName())
	unlock, err := s.locks.lock(ctx, id, req.GetSourceVolumeId())
	if err != nil {
		return nil, err
	}
	defer unlock()
	snapshot, err := s.pool.Snapshot(id)
	if errors.Is(err, pool.ErrNotFound) {
		snapshot, err = s.pool.CreateSnapshot(req.GetName(), req.GetSourceVolumeId(), s.NowFunc().UTC())
	}
	if err != nil {
		return nil, statusOf(err)
	}
	if snapshot.Volume != req.GetSourceVolumeId() {
		return nil, status.Errorf(codes.AlreadyExists, "snapshot %s exists as %s of volume %s, not of %s",
			req.GetName(), id, snapshot.Volume, req.GetSourceVolumeId())
	}
	return &csi.CreateSnapshotResponse{Snapshot: csiSnapshot(snapshot)}, nil
}

// DeleteSnapshot removes a snapshot. Volumes made from it stay.
func (s *controllerServer) DeleteSnapshot(ctx context.Context, req *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	if err := s.snapshotsSupported(); err != nil {
		return nil, err
	}
	id := req.GetSnapshotId()
	if id == "" {
		return nil, missing("snapshot_id")
	}
	unlock, err := s.locks.lock(ctx, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := s.pool.DeleteSnapshot(id); err != nil {
		return nil, statusOf(err)
	}
	return &csi.DeleteSnapshotResponse{}, nil
}

// GetSnapshot returns one snapshot.
func (s *controllerServer) GetSnapshot(_ context.Context, req *csi.GetSnapshotRequest) (*csi.GetSnapshotResponse, error) {
	if err := s.snapshotsSupported(); err != nil {
		return nil, err
	}
	if req.GetSnapshotId() == "" {
		return nil, missing("snapshot_id")
	}
	snapshot, err := s.pool.Snapshot(req.GetSnapshotId())
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.GetSnapshotResponse{Snapshot: csiSnapshot(snapshot)}, nil
}

// ListSnapshots lists snapshots, all of them or those with an id or of a volume.
func (s *controllerServer) ListSnapshots(_ context.Context, req *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	if err := s.snapshotsSupported(); err != nil {
		return nil, err
	}
	snapshots, err := s.pool.Snapshots()
	if err != nil {
		return nil, statusOf(err)
	}
	snapshots = slices.DeleteFunc(snapshots, func(snapshot pool.Snapshot) bool {
		return req.GetSnapshotId() != "" && snapshot.ID != req.GetSnapshotId() ||
			req.GetSourceVolumeId() != "" && snapshot.Volume != req.GetSourceVolumeId()
	})
	page, next, err := pageOf(snapshots, func(s pool.Snapshot) string { return s.ID }, req.GetStartingToken(), req.GetMaxEntries())
	if err != nil {
		return nil, err
	}
	response := &csi.ListSnapshotsResponse{NextToken: next}
	for _, snapshot := range page {
		response.Entries = append(response.Entries, &csi.ListSnapshotsResponse_Entry{Snapshot: csiSnapshot(snapshot)})
	}
	return response, nil
}

func (s *controllerServer) snapshotsSupported() error {
	if s.NoSnapshots {
		return status.Errorf(codes.Unimplemented, "driver %s has no snapshots", s.Name)
	}
	return nil
}

func csiSnapshot(s pool.Snapshot) *csi.Snapshot {
	return &csi.Snapshot{
		SnapshotId:     s.ID,
		SourceVolumeId: s.Volume,
		SizeBytes:      s.Size,
		CreationTime:   timestamppb.New(s.Created),
		ReadyToUse:     true,
	}
}
