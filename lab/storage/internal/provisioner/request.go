package provisioner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/kubernetes-csi/csi-lib-utils/accessmodes"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// reservedPrefix marks the class parameters that are for the provisioner rather than the driver.
	reservedPrefix = "csi.storage.k8s.io/"
	fsTypeKey      = reservedPrefix + "fstype"
	// defaultFSType is written into the persistent volume where the class names none.
	defaultFSType = "xfs"
	// identityKey is the volume attribute that tells which provisioner made a volume.
	identityKey = "storage.kubernetes.io/csiProvisionerIdentity"
)

// ask is a claim that is to be provisioned: what the library hands over.
type ask struct {
	// Name is the name the persistent volume will have, and the volume at the driver.
	Name  string
	Claim *corev1.PersistentVolumeClaim
	Class *storagev1.StorageClass
}

// requestFor is the request to the driver for a claim without its content source. The error says, for a person, why the claim
// cannot be provisioned.
func requestFor(a ask) (*csi.CreateVolumeRequest, error) {
	if a.Claim.Spec.Selector != nil {
		return nil, fmt.Errorf("a claim with a selector cannot be provisioned: it asks for an existing volume")
	}
	size, known := a.Claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if !known || size.Value() <= 0 {
		return nil, fmt.Errorf("the claim requests no storage")
	}
	limits := a.Claim.Spec.Resources.Limits[corev1.ResourceStorage]
	capability, err := capabilityFor(a)
	if err != nil {
		return nil, err
	}
	parameters, err := driverParameters(a.Class.Parameters)
	if err != nil {
		return nil, fmt.Errorf("storage class %s: %w", a.Class.Name, err)
	}
	return &csi.CreateVolumeRequest{
		Name:               a.Name,
		CapacityRange:      &csi.CapacityRange{RequiredBytes: size.Value(), LimitBytes: limits.Value()},
		VolumeCapabilities: []*csi.VolumeCapability{capability},
		Parameters:         parameters,
	}, nil
}

func capabilityFor(a ask) (*csi.VolumeCapability, error) {
	mode, err := accessmodes.ToCSIAccessMode(a.Claim.Spec.AccessModes, true)
	if err != nil {
		return nil, err
	}
	capability := &csi.VolumeCapability{AccessMode: &csi.VolumeCapability_AccessMode{Mode: mode}}
	if volumeMode(a.Claim.Spec.VolumeMode) == corev1.PersistentVolumeBlock {
		capability.AccessType = &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}
		return capability, nil
	}
	capability.AccessType = &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{
		FsType:     fsType(a.Class.Parameters),
		MountFlags: a.Class.MountOptions,
	}}
	return capability, nil
}

// driverParameters are the class parameters the driver gets: all but the reserved ones, of which only the
// filesystem type has a meaning here.
func driverParameters(parameters map[string]string) (map[string]string, error) {
	kept := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(parameters)) {
		switch {
		case key == fsTypeKey:
		case strings.HasPrefix(key, reservedPrefix):
			return nil, fmt.Errorf("parameter %s is not supported", key)
		default:
			kept[key] = parameters[key]
		}
	}
	return kept, nil
}

func fsType(parameters map[string]string) string {
	if fsType := parameters[fsTypeKey]; fsType != "" {
		return fsType
	}
	return defaultFSType
}

// volumeMode is the mode with the default that an unset one means.
func volumeMode(mode *corev1.PersistentVolumeMode) corev1.PersistentVolumeMode {
	if mode == nil {
		return corev1.PersistentVolumeFilesystem
	}
	return *mode
}

// persistentVolume is the object for a volume that was made. It has no node affinity: every node has the pool.
func persistentVolume(a ask, driver, identity string, volume *csi.Volume) *corev1.PersistentVolume {
	attributes := map[string]string{identityKey: identity}
	maps.Copy(attributes, volume.GetVolumeContext())
	mode := volumeMode(a.Claim.Spec.VolumeMode)
	source := &corev1.CSIPersistentVolumeSource{
		Driver:           driver,
		VolumeHandle:     volume.GetVolumeId(),
		VolumeAttributes: attributes,
	}
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: a.Name},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: a.Claim.Spec.AccessModes,
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: quantity(volume.GetCapacityBytes())},
			VolumeMode:  &mode,
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				CSI: source,
			},
		},
	}
	if a.Class.ReclaimPolicy != nil {
		pv.Spec.PersistentVolumeReclaimPolicy = *a.Class.ReclaimPolicy
	}
	if mode == corev1.PersistentVolumeFilesystem {
		source.FSType = fsType(a.Class.Parameters)
		pv.Spec.MountOptions = a.Class.MountOptions
	}
	return pv
}
