//go:build lab

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// volume is a volume made by a test, with the paths it is staged and published at.
type volume struct {
	p          *process
	id         string
	size       int64
	capability *csi.VolumeCapability
	staging    string
	target     string
}

func filesystem(fsType string) *csi.VolumeCapability {
	return &csi.VolumeCapability{
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER},
		AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{FsType: fsType}},
	}
}

func block() *csi.VolumeCapability {
	return &csi.VolumeCapability{
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER},
		AccessType: &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}},
	}
}

// create makes a volume of the size (0 for no wish), from a source unless that is nil.
func (p *process) create(name string, size int64, capability *csi.VolumeCapability, source *csi.VolumeContentSource) *volume {
	p.t.Helper()
	response, err := p.CreateVolume(p.t.Context(), &csi.CreateVolumeRequest{
		Name:                name,
		CapacityRange:       &csi.CapacityRange{RequiredBytes: size},
		VolumeCapabilities:  []*csi.VolumeCapability{capability},
		VolumeContentSource: source,
	})
	if err != nil {
		p.t.Fatalf("create volume %s: %v", name, err)
	}
	staging := filepath.Join(p.dir, "staging", name)
	if err := os.MkdirAll(staging, 0o755); err != nil {
		p.t.Fatal(err)
	}
	return &volume{p: p, id: response.GetVolume().GetVolumeId(), size: response.GetVolume().GetCapacityBytes(),
		capability: capability, staging: staging, target: filepath.Join(p.dir, "pods", name, "volume")}
}

func (v *volume) tryStage() error {
	_, err := v.p.NodeStageVolume(v.p.t.Context(), &csi.NodeStageVolumeRequest{
		VolumeId: v.id, StagingTargetPath: v.staging, VolumeCapability: v.capability})
	return err
}

func (v *volume) stage() {
	v.p.t.Helper()
	if err := v.tryStage(); err != nil {
		v.p.t.Fatalf("stage: %v", err)
	}
}

func (v *volume) publish() {
	v.p.t.Helper()
	if _, err := v.p.NodePublishVolume(v.p.t.Context(), &csi.NodePublishVolumeRequest{
		VolumeId: v.id, StagingTargetPath: v.staging, TargetPath: v.target, VolumeCapability: v.capability}); err != nil {
		v.p.t.Fatalf("publish: %v", err)
	}
}

// use stages and publishes the volume and returns where.
func (v *volume) use() string {
	v.p.t.Helper()
	v.stage()
	v.publish()
	return v.target
}

func (v *volume) unuse() {
	v.p.t.Helper()
	if _, err := v.p.NodeUnpublishVolume(v.p.t.Context(), &csi.NodeUnpublishVolumeRequest{VolumeId: v.id, TargetPath: v.target}); err != nil {
		v.p.t.Fatalf("unpublish: %v", err)
	}
	v.unstage()
}

func (v *volume) unstage() {
	v.p.t.Helper()
	if _, err := v.p.NodeUnstageVolume(v.p.t.Context(), &csi.NodeUnstageVolumeRequest{VolumeId: v.id, StagingTargetPath: v.staging}); err != nil {
		v.p.t.Fatalf("unstage: %v", err)
	}
}

func (v *volume) tryDelete() error {
	_, err := v.p.DeleteVolume(v.p.t.Context(), &csi.DeleteVolumeRequest{VolumeId: v.id})
	return err
}

func (v *volume) snapshot(name string) *csi.Snapshot {
	v.p.t.Helper()
	response, err := v.p.CreateSnapshot(v.p.t.Context(), &csi.CreateSnapshotRequest{Name: name, SourceVolumeId: v.id})
	if err != nil {
		v.p.t.Fatalf("snapshot %s: %v", name, err)
	}
	if !response.GetSnapshot().GetReadyToUse() {
		v.p.t.Fatalf("snapshot %s is not ready at once", name)
	}
	return response.GetSnapshot()
}

func (v *volume) expandController(size int64) {
	v.p.t.Helper()
	response, err := v.p.ControllerExpandVolume(v.p.t.Context(), &csi.ControllerExpandVolumeRequest{
		VolumeId: v.id, CapacityRange: &csi.CapacityRange{RequiredBytes: size}, VolumeCapability: v.capability})
	if err != nil {
		v.p.t.Fatalf("expand: %v", err)
	}
	if response.GetCapacityBytes() != size || !response.GetNodeExpansionRequired() {
		v.p.t.Fatalf("expand answered %v, want %d bytes and a node expansion", response, size)
	}
}

func (v *volume) expandNode(size int64) error {
	_, err := v.p.NodeExpandVolume(v.p.t.Context(), &csi.NodeExpandVolumeRequest{
		VolumeId: v.id, VolumePath: v.target, StagingTargetPath: v.staging, VolumeCapability: v.capability,
		CapacityRange: &csi.CapacityRange{RequiredBytes: size}})
	return err
}

// bytesOf is the total size that the volume's statistics report.
func (v *volume) bytesOf() int64 {
	v.p.t.Helper()
	response, err := v.p.NodeGetVolumeStats(v.p.t.Context(), &csi.NodeGetVolumeStatsRequest{VolumeId: v.id, VolumePath: v.target})
	if err != nil {
		v.p.t.Fatalf("stats: %v", err)
	}
	return response.GetUsage()[0].GetTotal()
}

func (v *volume) image() string {
	return filepath.Join(v.p.dir, "pool", testName, "volumes", v.id+".img")
}

func fromSnapshot(s *csi.Snapshot) *csi.VolumeContentSource {
	return &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
		Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: s.GetSnapshotId()}}}
}

func fromVolume(v *volume) *csi.VolumeContentSource {
	return &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Volume{
		Volume: &csi.VolumeContentSource_VolumeSource{VolumeId: v.id}}}
}

func mustHaveCode(t testing.TB, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("got error %v, want code %s", err, want)
	}
}

// mustWrite writes a file durably, as a database would.
func mustWrite(t testing.TB, path, content string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "sync", "-f", path)
}

func mustHold(t testing.TB, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s holds %d bytes %.40q, want %d bytes %.40q", path, len(got), got, len(want), want)
	}
}
