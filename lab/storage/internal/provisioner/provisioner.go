package provisioner

import (
	"context"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"
	snapshottyped "github.com/kubernetes-csi/external-snapshotter/client/v8/clientset/versioned/typed/volumesnapshot/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coretyped "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// volumeClient is the part of the driver's controller service that is used here.
type volumeClient interface {
	CreateVolume(context.Context, *csi.CreateVolumeRequest, ...grpc.CallOption) (*csi.CreateVolumeResponse, error)
	DeleteVolume(context.Context, *csi.DeleteVolumeRequest, ...grpc.CallOption) (*csi.DeleteVolumeResponse, error)
}

// claimClient reads the claims and volumes that others are cloned from.
type claimClient interface {
	coretyped.PersistentVolumeClaimsGetter
	coretyped.PersistentVolumesGetter
}

// provisioner does the library's bidding; the library watches claims, retries, and tells the claim of errors in events.
type provisioner struct {
	driver    Driver
	volumes   volumeClient
	claims    claimClient
	snapshots snapshottyped.SnapshotV1Interface
	identity  string
}

// Provision makes the volume for a claim and returns the object to be created for it.
func (p *provisioner) Provision(ctx context.Context, options controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	a := ask{Name: options.PVName, Claim: options.PVC, Class: options.StorageClass}
	request, err := requestFor(a)
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	request.VolumeContentSource, err = p.contentFor(ctx, a.Claim)
	if err != nil {
		// An earlier attempt may have got further than this one.
		return nil, controller.ProvisioningNoChange, err
	}
	response, err := p.volumes.CreateVolume(ctx, request)
	if err != nil {
		return nil, stateAfter(err), err
	}
	return persistentVolume(a, p.driver.Name, p.identity, response.GetVolume()), controller.ProvisioningFinished, nil
}

// stateAfter says whether a failed call may still have made, or be making, the volume.
func stateAfter(err error) controller.ProvisioningState {
	switch status.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable, codes.ResourceExhausted, codes.Aborted:
		return controller.ProvisioningInBackground
	default:
		return controller.ProvisioningFinished
	}
}

// contentFor finds what the claim is to be filled from; nil for a blank volume.
func (p *provisioner) contentFor(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*csi.VolumeContentSource, error) {
	kind, name, err := sourceOf(claim)
	if err != nil {
		return nil, err
	}
	switch kind {
	case blank:
		return nil, nil
	case fromSnapshot:
		handle, err := p.snapshotHandle(ctx, claim, name)
		if err != nil {
			return nil, err
		}
		return &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
			Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: handle},
		}}, nil
	case fromClaim:
		handle, err := p.volumeHandle(ctx, claim, name)
		if err != nil {
			return nil, err
		}
		return &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Volume{
			Volume: &csi.VolumeContentSource_VolumeSource{VolumeId: handle},
		}}, nil
	default:
		return nil, &controller.IgnoredError{Reason: fmt.Sprintf("data source %s is for a volume populator", name)}
	}
}

func (p *provisioner) snapshotHandle(ctx context.Context, claim *corev1.PersistentVolumeClaim, name string) (string, error) {
	if !p.driver.Snapshots {
		return "", fmt.Errorf("driver %s has no snapshots, so the claim cannot be filled from snapshot %s", p.driver.Name, name)
	}
	snapshot, err := p.snapshots.VolumeSnapshots(claim.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("get snapshot %s: %w", name, err)
	}
	bound, err := contentName(snapshot)
	if err != nil {
		return "", err
	}
	content, err := p.snapshots.VolumeSnapshotContents().Get(ctx, bound, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("get content of snapshot %s: %w", name, err)
	}
	return checkSnapshot(claim, p.driver.Name, snapshot, content)
}

func (p *provisioner) volumeHandle(ctx context.Context, claim *corev1.PersistentVolumeClaim, name string) (string, error) {
	if !p.driver.Clones {
		return "", fmt.Errorf("driver %s cannot copy volumes, so the claim cannot be filled from claim %s", p.driver.Name, name)
	}
	source, err := p.claims.PersistentVolumeClaims(claim.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("get source claim %s: %w", name, err)
	}
	if source.Spec.VolumeName == "" {
		return "", fmt.Errorf("source claim %s is not bound yet", name)
	}
	volume, err := p.claims.PersistentVolumes().Get(ctx, source.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("get volume of source claim %s: %w", name, err)
	}
	return checkClone(claim, p.driver.Name, source, volume)
}

// Delete removes the volume behind a persistent volume; one that is gone already is not an error.
func (p *provisioner) Delete(ctx context.Context, volume *corev1.PersistentVolume) error {
	if volume.Spec.CSI == nil || volume.Spec.CSI.Driver != p.driver.Name {
		return &controller.IgnoredError{Reason: fmt.Sprintf("volume %s is not of driver %s", volume.Name, p.driver.Name)}
	}
	_, err := p.volumes.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: volume.Spec.CSI.VolumeHandle})
	return err
}

// SupportsBlock says that claims with volume mode Block can be provisioned.
func (p *provisioner) SupportsBlock(context.Context) bool { return true }
