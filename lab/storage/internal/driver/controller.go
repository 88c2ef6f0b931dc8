package driver

import (
	"context"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coffer-backup/coffer/lab/storage/internal/pool"
)

// controllerServer is the CSI controller service.
type controllerServer struct {
	csi.UnimplementedControllerServer
	*services
}

// ControllerGetCapabilities lists what the controller can do.
func (s *controllerServer) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	kinds := []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_LIST_VOLUMES,
		csi.ControllerServiceCapability_RPC_GET_VOLUME,
		csi.ControllerServiceCapability_RPC_GET_CAPACITY,
		csi.ControllerServiceCapability_RPC_CLONE_VOLUME,
		csi.ControllerServiceCapability_RPC_EXPAND_VOLUME,
		csi.ControllerServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	}
	if !s.NoSnapshots {
		kinds = append(kinds,
			csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
			csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
			csi.ControllerServiceCapability_RPC_GET_SNAPSHOT,
		)
	}
	response := &csi.ControllerGetCapabilitiesResponse{}
	for _, kind := range kinds {
		response.Capabilities = append(response.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: kind}},
		})
	}
	return response, nil
}

// ValidateVolumeCapabilities confirms what the volume can be used for, or says why not.
func (s *controllerServer) ValidateVolumeCapabilities(_ context.Context, req *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if req.GetVolumeId() == "" {
		return nil, missing("volume_id")
	}
	if len(req.GetVolumeCapabilities()) == 0 {
		return nil, missing("volume_capabilities")
	}
	if _, err := s.pool.Volume(req.GetVolumeId()); err != nil {
		return nil, statusOf(err)
	}
	if _, err := useOf(req.GetVolumeCapabilities()); err != nil {
		//nolint:nilerr // An unsupported use is an answer of this call, not a failure.
		return &csi.ValidateVolumeCapabilitiesResponse{Message: err.Error()}, nil
	}
	return &csi.ValidateVolumeCapabilitiesResponse{Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
		VolumeContext:      req.GetVolumeContext(),
		VolumeCapabilities: req.GetVolumeCapabilities(),
		Parameters:         req.GetParameters(),
	}}, nil
}

// GetCapacity returns what is free in the pool, for any kind of volume.
func (s *controllerServer) GetCapacity(_ context.Context, req *csi.GetCapacityRequest) (*csi.GetCapacityResponse, error) {
	if _, err := useOf(req.GetVolumeCapabilities()); err != nil {
		//nolint:nilerr // There is no room for what is not supported.
		return &csi.GetCapacityResponse{}, nil
	}
	free, err := s.pool.Free()
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.GetCapacityResponse{AvailableCapacity: free}, nil
}

// ListVolumes lists all volumes of the driver in the pool, those of other clusters included.
func (s *controllerServer) ListVolumes(_ context.Context, req *csi.ListVolumesRequest) (*csi.ListVolumesResponse, error) {
	volumes, err := s.pool.Volumes()
	if err != nil {
		return nil, statusOf(err)
	}
	page, next, err := pageOf(volumes, func(v pool.Volume) string { return v.ID }, req.GetStartingToken(), req.GetMaxEntries())
	if err != nil {
		return nil, err
	}
	response := &csi.ListVolumesResponse{NextToken: next}
	for _, volume := range page {
		response.Entries = append(response.Entries, &csi.ListVolumesResponse_Entry{
			Volume: csiVolume(volume),
			Status: &csi.ListVolumesResponse_VolumeStatus{},
		})
	}
	return response, nil
}

// ControllerGetVolume returns one volume.
func (s *controllerServer) ControllerGetVolume(_ context.Context, req *csi.ControllerGetVolumeRequest) (*csi.ControllerGetVolumeResponse, error) {
	if req.GetVolumeId() == "" {
		return nil, missing("volume_id")
	}
	volume, err := s.pool.Volume(req.GetVolumeId())
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.ControllerGetVolumeResponse{
		Volume: csiVolume(volume),
		Status: &csi.ControllerGetVolumeResponse_VolumeStatus{},
	}, nil
}

// pageOf returns at most maximum items (0 for all) after the one whose id is token, and the token for the rest. Items
// are ordered by id, so a token stays good when its item is deleted meanwhile.
func pageOf[T any](items []T, idFunc func(T) string, token string, maximum int32) ([]T, string, error) {
	if maximum < 0 {
		return nil, "", status.Errorf(codes.InvalidArgument, "max_entries is %d, it must not be negative", maximum)
	}
	if token != "" {
		if !pool.IsID(token) {
			return nil, "", status.Errorf(codes.Aborted, "starting_token %q was not given out by this driver", token)
		}
		first := slices.IndexFunc(items, func(item T) bool { return idFunc(item) > token })
		if first < 0 {
			return nil, "", nil
		}
		items = items[first:]
	}
	if maximum == 0 || int(maximum) >= len(items) {
		return items, "", nil
	}
	items = items[:maximum]
	return items, idFunc(items[len(items)-1]), nil
}

func csiVolume(v pool.Volume) *csi.Volume {
	volume := &csi.Volume{VolumeId: v.ID, CapacityBytes: v.Size}
	switch {
	case v.Source.Snapshot != "":
		volume.ContentSource = &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
			Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: v.Source.Snapshot},
		}}
	case v.Source.Volume != "":
		volume.ContentSource = &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Volume{
			Volume: &csi.VolumeContentSource_VolumeSource{VolumeId: v.Source.Volume},
		}}
	}
	return volume
}
