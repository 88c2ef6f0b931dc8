//go:build lab

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

func TestAKilledDriverContinuesWhereItWas(t *testing.T) {
	p := startDriver(t, newDir(t))
	volumes := []*volume{p.create("files", 0, filesystem(""), nil), p.create("raw", 0, block(), nil)}
	crash := func() {
		t.Helper()
		p.kill()
		p.start()
	}
	for _, v := range volumes {
		v.stage()
	}
	crash()
	for _, v := range volumes {
		// The kubelet repeats what it is not sure of.
		v.stage()
		v.publish()
	}
	if loops := loopsUnder(p.dir); len(loops) != len(volumes) {
		t.Errorf("loop devices %v, want one for each of %d volumes", loops, len(volumes))
	}
	mustWrite(t, filepath.Join(volumes[0].target, "data"), "written")
	writeAt(t, volumes[1].target, 0, "written")
	crash()
	snapshot := volumes[0].snapshot("moment")
	for _, v := range volumes {
		v.publish()
		mustHaveCode(t, v.tryDelete(), codes.FailedPrecondition)
		v.unuse()
	}
	crash()
	for _, v := range volumes {
		v.unuse()
	}
	again := p.create("files", 0, filesystem(""), nil)
	if again.id != volumes[0].id {
		t.Errorf("the same name gave volume %s, then %s", volumes[0].id, again.id)
	}
	mustHold(t, filepath.Join(again.use(), "data"), "written")
	again.unuse()
	if repeated := again.snapshot("moment"); repeated.GetCreationTime().AsTime() != snapshot.GetCreationTime().AsTime() {
		t.Errorf("the snapshot was taken at %s, then at %s", snapshot.GetCreationTime().AsTime(), repeated.GetCreationTime().AsTime())
	}
}

func TestAVolumeRemovedWhileStagedIsDetachedAllTheSame(t *testing.T) {
	p := startDriver(t, newDir(t))
	v := p.create("gone", 0, filesystem(""), nil)
	v.use()
	if err := os.Remove(v.image()); err != nil {
		t.Fatal(err)
	}
	v.unuse()
}

func TestTheKubeletLearnsOfTheDriver(t *testing.T) {
	p := startDriver(t, newDir(t))
	conn, err := grpc.NewClient("unix://"+p.registration(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := registration.NewRegistrationClient(conn)
	info, err := client.GetInfo(t.Context(), &registration.InfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if info.GetType() != registration.CSIPlugin || info.GetName() != testName || info.GetEndpoint() != p.socket() {
		t.Errorf("the kubelet is told %v", info)
	}
	if _, err := client.NotifyRegistrationStatus(t.Context(), &registration.RegistrationStatus{PluginRegistered: true}); err != nil {
		t.Error(err)
	}
	p.stop()
	for _, socket := range []string{p.socket(), p.registration()} {
		if _, err := os.Lstat(socket); !os.IsNotExist(err) {
			t.Errorf("%s is left after a stop: %v", socket, err)
		}
	}
}

func TestTwoDriversShareAPool(t *testing.T) {
	dir := newDir(t)
	p := startDriver(t, dir)
	// The flag that comes last counts.
	other := startDriver(t, linkedDir(t, dir), "--driver-name", "nosnap."+testName, "--no-snapshots")
	mine, theirs := p.create("same-name", 0, block(), nil), other.create("same-name", 0, block(), nil)
	writeAt(t, mine.use(), 0, "mine")
	writeAt(t, theirs.use(), 0, "other")
	if got := readAt(t, mine.target, 0, 4); got != "mine" {
		t.Errorf("the volume of the first driver holds %q", got)
	}
	mine.unuse()
	theirs.unuse()
	if err := theirs.tryDelete(); err != nil {
		t.Error(err)
	}
	if _, err := p.ControllerGetVolume(t.Context(), &csi.ControllerGetVolumeRequest{VolumeId: mine.id}); err != nil {
		t.Errorf("deleting the other driver's volume took this one's: %v", err)
	}
	_, err := other.CreateSnapshot(t.Context(), &csi.CreateSnapshotRequest{Name: "s", SourceVolumeId: theirs.id})
	mustHaveCode(t, err, codes.Unimplemented)
}

// linkedDir makes a folder that has the pool of dir under it, for a second driver.
func linkedDir(t testing.TB, dir string) string {
	t.Helper()
	second := filepath.Join(dir, "second")
	if err := os.Mkdir(second, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "pool"), filepath.Join(second, "pool")); err != nil {
		t.Fatal(err)
	}
	return second
}
