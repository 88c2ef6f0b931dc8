//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/test/interop"
)

// newS3 is a client of the lab's S3 service.
func newS3() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(os.Getenv("COFFER_SERVICE_S3")), Region: os.Getenv("COFFER_SERVICE_S3_REGION"), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(os.Getenv("COFFER_SERVICE_S3_ACCESS_KEY"), os.Getenv("COFFER_SERVICE_S3_SECRET_KEY"), ""),
	})
}

// newVelero starts a real Velero that knows the buckets, and whose backups take snapshots by the lab's class.
func newVelero(t *testing.T, buckets ...string) *interop.Velero {
	t.Helper()
	var classes snapshotv1.VolumeSnapshotClassList
	if err := lab.client.List(t.Context(), &classes); err != nil {
		t.Fatal(err)
	}
	for _, class := range classes.Items {
		if class.Labels["app.kubernetes.io/managed-by"] == "coffer" {
			continue
		}
		before := class.DeepCopy()
		class.Labels = map[string]string{"velero.io/csi-volumesnapshot-class": "true"}
		if err := lab.client.Patch(t.Context(), &class, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	v, err := interop.Start(t.Context(), interop.Config{
		Program: os.Getenv("COFFER_E2E_VELERO"), Kubeconfig: lab.kubeconfig, Client: lab.client, Buckets: buckets, CSI: true,
		Endpoint: os.Getenv("COFFER_SERVICE_S3"), Region: os.Getenv("COFFER_SERVICE_S3_REGION"),
		AccessKey: os.Getenv("COFFER_SERVICE_S3_ACCESS_KEY"), SecretKey: os.Getenv("COFFER_SERVICE_S3_SECRET_KEY"),
		Folder: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		v.Stop()
		if text, err := os.ReadFile(v.Log()); err == nil && t.Failed() {
			t.Logf("the end of Velero's log:\n%s", text[max(0, len(text)-20_000):])
		}
	})
	return v
}

// removeVeleroSnapshots removes the objects that Velero's restores leave behind; the snapshots themselves stay.
func removeVeleroSnapshots(t *testing.T) {
	t.Helper()
	ours := client.HasLabels{"velero.io/restore-name"}
	var snapshots snapshotv1.VolumeSnapshotList
	if err := lab.client.List(t.Context(), &snapshots, ours); err != nil {
		t.Fatal(err)
	}
	for i := range snapshots.Items {
		if err := lab.client.Delete(t.Context(), &snapshots.Items[i]); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "Velero's snapshot objects are gone", time.Minute, func(ctx context.Context) (bool, error) {
		var contents snapshotv1.VolumeSnapshotContentList
		if err := lab.client.List(ctx, &contents, ours); err != nil {
			return false, err
		}
		for i := range contents.Items {
			if policy := contents.Items[i].Spec.DeletionPolicy; policy != snapshotv1.VolumeSnapshotContentRetain {
				t.Fatalf("the content of Velero's restore has policy %s: its deletion would delete the recovery point's snapshot", policy)
			}
			if err := lab.client.Delete(ctx, &contents.Items[i]); client.IgnoreNotFound(err) != nil {
				return false, err
			}
		}
		return len(contents.Items) == 0, nil
	})
}

// bucketListing is all that a bucket holds: of each key the size, the hash and the time.
func bucketListing(t *testing.T, bucket string) map[string]string {
	t.Helper()
	found := map[string]string{}
	pages := s3.NewListObjectsV2Paginator(newS3(), &s3.ListObjectsV2Input{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			found[aws.ToString(o.Key)] = fmt.Sprint(aws.ToInt64(o.Size), aws.ToString(o.ETag), aws.ToTime(o.LastModified).UTC())
		}
	}
	return found
}

func TestVeleroListsAndRestoresARecoveryPoint(t *testing.T) {
	newBucket(t, "to-velero")
	start := snapshotsOnDisk(t)
	s := newShop(t, "shop-away", 5_000)
	before := mustDigest(t, s)
	mustCoffer(t, "backup", "create", "away-1", "--storage-location", "objects", "--included-namespaces", "shop-away", "--wait")
	mustDestroy(t, s)

	v := newVelero(t, "to-velero")
	if err := v.AwaitBackup(t.Context(), "away-1"); err != nil {
		t.Fatal(err)
	}
	if out, err := v.Run(t.Context(), "backup", "get", "away-1"); err != nil || !strings.Contains(out, "Completed") {
		t.Errorf("velero backup get: %v\n%s", err, out)
	}
	r, err := v.Restore(t.Context(), "away-back", "away-1")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Velero's restore: %v", r.Object["status"])
	if after := mustDigest(t, s); after != before {
		t.Errorf("what Velero restored is %s, was %s", after, before)
	}
	mustDestroy(t, s)
	removeVeleroSnapshots(t)

	// Velero has taken nothing away.
	mustCoffer(t, "restore", "create", "away-again", "--storage-location", "objects", "--backup-name", "away-1", "--wait")
	if after := mustDigest(t, s); after != before {
		t.Errorf("what Coffer restored after Velero is %s, was %s", after, before)
	}
	mustCoffer(t, "backup", "delete", "away-1", "--storage-location", "objects", "--yes", "--wait")
	mustHaveNoSnapshotObjects(t)
	if left := snapshotsOnDisk(t); !maps.Equal(left, start) {
		t.Errorf("snapshots on the storage: %v, before: %v", left, start)
	}
}

func TestABackupOfVeleroIsImportedAndRestored(t *testing.T) {
	const bucket = "from-velero"
	if _, err := newS3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	start := snapshotsOnDisk(t)
	s := newShop(t, "shop-home", 5_000)
	before := mustDigest(t, s)
	v := newVelero(t, bucket)
	b, err := v.Backup(t.Context(), "home-1", bucket, []string{"shop-home"})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Velero's backup: %v", b.Object["status"])
	mustDestroy(t, s)
	listing := bucketListing(t, bucket)

	t.Setenv("AWS_ACCESS_KEY_ID", os.Getenv("COFFER_SERVICE_S3_ACCESS_KEY"))
	t.Setenv("AWS_SECRET_ACCESS_KEY", os.Getenv("COFFER_SERVICE_S3_SECRET_KEY"))
	mustCoffer(t, "velero", "import", "theirs", "--provider", "s3", "--container", bucket, "--force-path-style",
		"--region", os.Getenv("COFFER_SERVICE_S3_REGION"), "--endpoint", os.Getenv("COFFER_SERVICE_S3_INSIDE"), "--credentials-env", "--wait")
	t.Cleanup(func() { _, _, _ = lab.run(t, "storage-location", "delete", "theirs", "--yes") })
	if out := mustCoffer(t, "velero", "list", "--storage-location", "theirs"); !strings.Contains(out, "home-1") || !strings.Contains(out, "Completed") || !strings.Contains(out, "1/1") {
		t.Errorf("coffer velero list:\n%s", out)
	}
	if out := mustCoffer(t, "velero", "describe", "home-1", "--storage-location", "theirs"); !strings.Contains(out, "shop-home") {
		t.Errorf("coffer velero describe:\n%s", out)
	}
	restore := []string{"restore", "create", "home-0", "--storage-location", "theirs", "--backup-name", "home-1", "--wait"}
	mustFail(t, []string{"which signs nothing", "coffer velero import theirs --trust-unsigned"}, restore...)
	mustCoffer(t, "velero", "import", "theirs", "--trust-unsigned")
	restore[2] = "home-back"
	mustCoffer(t, restore...)
	if after := mustDigest(t, s); after != before {
		t.Errorf("what Coffer restored is %s, was %s", after, before)
	}
	if r := showRestore(t, "home-back"); r.Status.Progress.Failed != 0 || r.Status.Progress.VolumesBound != 1 {
		t.Errorf("restore: %+v", r.Status)
	}
	mustHaveNoSnapshotObjects(t)
	mustFail(t, []string{"read-only"}, "backup", "create", "home-2", "--storage-location", "theirs", "--included-namespaces", "shop-home", "--wait")
	mustFail(t, []string{"read-only"}, "backup", "delete", "home-1", "--storage-location", "theirs", "--yes", "--wait")
	mustFail(t, []string{"home-3"}, "restore", "create", "home-3", "--storage-location", "theirs", "--backup-name", "home-3", "--wait")
	if after := bucketListing(t, bucket); !maps.Equal(after, listing) {
		t.Errorf("the bucket was written to:\n%v\nbefore:\n%v", after, listing)
	}
	if err := v.Delete(t.Context(), "home-1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the snapshots of Velero are gone", time.Minute, func(context.Context) (bool, error) {
		return maps.Equal(snapshotsOnDisk(t), start), nil
	})
	// The application does not live on Velero's snapshot.
	if after := mustDigest(t, s); after != before {
		t.Errorf("after Velero's deletion the data is %s, was %s", after, before)
	}
}
