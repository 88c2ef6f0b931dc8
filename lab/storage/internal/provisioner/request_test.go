package provisioner

import (
	"errors"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func newClass(parameters map[string]string) *storagev1.StorageClass {
	return &storagev1.StorageClass{
		ObjectMeta:    metav1.ObjectMeta{Name: "lab"},
		Parameters:    parameters,
		ReclaimPolicy: ptr(corev1.PersistentVolumeReclaimRetain),
		MountOptions:  []string{"noatime"},
	}
}

func TestRequestForRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		claim      *corev1.PersistentVolumeClaim
		parameters map[string]string
		want       string
	}{
		"nothing of a plain claim": {claim: newClaim()},
		"a selector": {
			claim: newClaim(func(c *corev1.PersistentVolumeClaim) { c.Spec.Selector = &metav1.LabelSelector{} }), want: "selector"},
		"no size": {
			claim: newClaim(func(c *corev1.PersistentVolumeClaim) { c.Spec.Resources.Requests = nil }), want: "requests no storage"},
		"no access mode": {
			claim: newClaim(func(c *corev1.PersistentVolumeClaim) { c.Spec.AccessModes = nil }), want: "AccessMode"},
		"access modes that exclude each other": {
			claim: newClaim(func(c *corev1.PersistentVolumeClaim) {
				c.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod, corev1.ReadWriteOnce}
			}), want: "ReadWriteOncePod"},
		"a reserved parameter without a meaning": {
			claim: newClaim(), parameters: map[string]string{"csi.storage.k8s.io/provisioner-secret-name": "s"},
			want: "storage class lab: parameter csi.storage.k8s.io/provisioner-secret-name is not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := requestFor(ask{Name: "pvc-1", Claim: test.claim, Class: newClass(test.parameters)})
			mustFailWith(t, err, test.want)
		})
	}
}

func TestRequestFor(t *testing.T) {
	claim := newClaim(func(c *corev1.PersistentVolumeClaim) {
		c.Spec.Resources.Limits = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("2Gi")}
		c.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}
	})
	request, err := requestFor(ask{Name: "pvc-1", Claim: claim,
		Class: newClass(map[string]string{"csi.storage.k8s.io/fstype": "ext4", "speed": "high"})})
	if err != nil {
		t.Fatal(err)
	}
	if got := request.GetCapacityRange(); request.GetName() != "pvc-1" || got.GetRequiredBytes() != 1<<30 || got.GetLimitBytes() != 2<<30 {
		t.Errorf("request is for %s, %v", request.GetName(), got)
	}
	if diff := cmp.Diff(map[string]string{"speed": "high"}, request.GetParameters()); diff != "" {
		t.Errorf("parameters: %s", diff)
	}
	capability := request.GetVolumeCapabilities()[0]
	if got := capability.GetAccessMode().GetMode(); got != csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER {
		t.Errorf("access mode %s", got)
	}
	if got := capability.GetMount(); got.GetFsType() != "ext4" || cmp.Diff([]string{"noatime"}, got.GetMountFlags()) != "" {
		t.Errorf("mount %v", got)
	}
}

func TestPersistentVolume(t *testing.T) {
	made := &csi.Volume{VolumeId: "vol-1", CapacityBytes: 3 << 30, VolumeContext: map[string]string{"k": "v"}}
	filesystem, block := corev1.PersistentVolumeFilesystem, corev1.PersistentVolumeBlock
	for name, test := range map[string]struct {
		claim        *corev1.PersistentVolumeClaim
		mode         corev1.PersistentVolumeMode
		fsType       string
		mountOptions []string
	}{
		"a filesystem volume has a filesystem type and mount options": {
			claim: newClaim(), mode: filesystem, fsType: "xfs", mountOptions: []string{"noatime"}},
		"a block volume has neither": {claim: newClaim(withMode(block)), mode: block},
	} {
		t.Run(name, func(t *testing.T) {
			got := persistentVolume(ask{Name: "pvc-1", Claim: test.claim, Class: newClass(nil)}, testDriver, "me", made)
			want := &corev1.PersistentVolume{
				ObjectMeta: metav1.ObjectMeta{Name: "pvc-1"},
				Spec: corev1.PersistentVolumeSpec{
					AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("3Gi")},
					VolumeMode:                    &test.mode,
					MountOptions:                  test.mountOptions,
					PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
					PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
						Driver: testDriver, VolumeHandle: "vol-1", FSType: test.fsType,
						VolumeAttributes: map[string]string{"k": "v", "storage.kubernetes.io/csiProvisionerIdentity": "me"},
					}},
				},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("volume differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStateAfter(t *testing.T) {
	for code, want := range map[codes.Code]controller.ProvisioningState{
		codes.InvalidArgument:   controller.ProvisioningFinished,
		codes.AlreadyExists:     controller.ProvisioningFinished,
		codes.NotFound:          controller.ProvisioningFinished,
		codes.Internal:          controller.ProvisioningFinished,
		codes.DeadlineExceeded:  controller.ProvisioningInBackground,
		codes.Unavailable:       controller.ProvisioningInBackground,
		codes.Aborted:           controller.ProvisioningInBackground,
		codes.Canceled:          controller.ProvisioningInBackground,
		codes.ResourceExhausted: controller.ProvisioningInBackground,
	} {
		if got := stateAfter(status.Error(code, "x")); got != want {
			t.Errorf("after %s: %s, want %s", code, got, want)
		}
	}
}

func TestDeleteLeavesVolumesOfOtherDrivers(t *testing.T) {
	p := &provisioner{driver: Driver{Name: testDriver}}
	err := p.Delete(t.Context(), &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "ebs", VolumeHandle: "vol-1"}},
	}})
	if ignored := new(controller.IgnoredError); !errors.As(err, &ignored) {
		t.Errorf("got %v, want the deletion ignored", err)
	}
}
