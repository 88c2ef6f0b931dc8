package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/test/interop"
)

// The buckets of the comparison, which are storage locations of the same names.
const (
	oursBucket   = "bench-coffer"
	veleroBucket = "bench-velero"
)

// velero measures whole Backups of n objects against a real Velero's of the same cluster into the same S3 service: the time,
// the peak of the memory, and the size of the archive.
func (b *bench) velero(ctx context.Context, n int) ([]row, error) {
	program := os.Getenv("COFFER_BENCH_VELERO")
	if program == "" {
		return nil, errors.New("COFFER_BENCH_VELERO names no Velero: run hack/bench")
	}
	store := newStore()
	if _, err := store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(veleroBucket)}); err != nil {
		return nil, err
	}
	if err := errors.Join(b.fill(ctx, "velero-backup", n), b.locate(ctx)); err != nil {
		return nil, err
	}
	// Its peak is to be of this alone.
	if err := b.restart(ctx); err != nil {
		return nil, err
	}
	var ours []float64
	for i := range repetitions {
		o := &v1alpha1.Backup{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("velero-ours-%d", i)},
			Spec:       v1alpha1.BackupSpec{StorageLocation: oursBucket},
		}
		took, err := b.time(ctx, o, func() v1alpha1.RunStatus { return o.Status.RunStatus })
		if err != nil {
			return nil, err
		}
		ours = append(ours, took.Seconds())
		say("velero-backup: Coffer backed %d objects up in %.2fs", o.Status.Progress.Objects, ours[i])
	}
	oursPeak, err := interop.Peak(b.extension.Process.Pid)
	if err != nil {
		return nil, err
	}
	theirs, veleroPeak, err := b.backUpByVelero(ctx, program)
	if err != nil {
		return nil, err
	}
	oursSize, err := archiveSize(ctx, store, oursBucket, "velero-ours-0")
	if err != nil {
		return nil, err
	}
	veleroSize, err := archiveSize(ctx, store, veleroBucket, "bench-0")
	if err != nil {
		return nil, err
	}
	return []row{
		newRow("velero-backup", ours, theirs, "s", "<= 0.1", fmt.Sprintf("whole Backup of %d objects against Velero's, both into S3", n)),
		newRow("velero-memory", []float64{float64(oursPeak) / mebi}, []float64{float64(veleroPeak) / mebi}, "MiB", "<= 0.33", "peak resident memory of the same; Velero's with its plugins"),
		newRow("velero-archive", []float64{float64(oursSize) / mebi}, []float64{float64(veleroSize) / mebi}, "MiB", "reported", "size of the archive of the same"),
	}, nil
}

// backUpByVelero answers how many seconds each of Velero's backups took, and what memory at most.
func (b *bench) backUpByVelero(ctx context.Context, program string) (took []float64, peak int64, err error) {
	folder := filepath.Join(b.folder, "velero")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, 0, err
	}
	access := environment()
	v, err := interop.Start(ctx, interop.Config{
		Program: program, Kubeconfig: b.kubeconfig, Client: b.client, Buckets: []string{veleroBucket}, Folder: folder,
		Endpoint: access.endpoint, Region: access.region, AccessKey: access.key, SecretKey: access.secret,
	})
	if err != nil {
		return nil, 0, err
	}
	defer v.Stop()
	for i := range repetitions {
		began := time.Now()
		o, err := v.Backup(ctx, fmt.Sprintf("bench-%d", i), veleroBucket, nil)
		if err != nil {
			return nil, 0, err
		}
		took = append(took, time.Since(began).Seconds())
		say("velero-backup: Velero took %.2fs: %v", took[i], o.Object["status"])
	}
	peak, err = v.PeakMemory()
	return took, peak, err
}

type access struct{ endpoint, region, key, secret string }

// environment is what hack/bench says of the S3 service.
func environment() access {
	return access{
		endpoint: os.Getenv("COFFER_SERVICE_S3"), region: os.Getenv("COFFER_SERVICE_S3_REGION"),
		key: os.Getenv("COFFER_SERVICE_S3_ACCESS_KEY"), secret: os.Getenv("COFFER_SERVICE_S3_SECRET_KEY"),
	}
}

func newStore() *s3.Client {
	a := environment()
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(a.endpoint), Region: a.region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(a.key, a.secret, ""),
	})
}

// locate makes a bucket for Coffer in the same service, and the location for it, if they are not there.
func (b *bench) locate(ctx context.Context) error {
	var taken *types.BucketAlreadyOwnedByYou
	_, err := newStore().CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(oursBucket)})
	if err != nil && !errors.As(err, &taken) {
		return err
	}
	a := environment()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: oursBucket},
		StringData: map[string]string{v1alpha1.SecretKeyAccessKeyID: a.key, v1alpha1.SecretKeySecretAccessKey: a.secret},
	}
	location := &v1alpha1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: oursBucket},
		Spec: v1alpha1.BackupStorageLocationSpec{
			Provider: v1alpha1.ProviderS3, Container: oursBucket, CredentialsSecretRef: &v1alpha1.SecretReference{Name: oursBucket},
			S3: &v1alpha1.S3Storage{Region: a.region, Endpoint: a.endpoint, ForcePathStyle: true},
		},
	}
	for _, o := range []client.Object{secret, location} {
		if err := b.client.Create(ctx, o); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

// restart replaces the extension's process by a new one.
func (b *bench) restart(ctx context.Context) error {
	_ = b.extension.Process.Kill()
	_ = b.extension.Wait()
	return b.start(ctx, b.kubeconfig, b.program)
}

func archiveSize(ctx context.Context, store *s3.Client, bucket, backup string) (int64, error) {
	key := "backups/" + backup + "/" + backup + ".tar.gz"
	head, err := store.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return 0, err
	}
	return aws.ToInt64(head.ContentLength), nil
}
