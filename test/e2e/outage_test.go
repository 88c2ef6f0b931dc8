//go:build e2e

package e2e

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/test/shop"
)

// mustLab runs the lab's program, also while a test cleans up.
func mustLab(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), os.Getenv("COFFER_E2E_LAB"), args...).CombinedOutput(); err != nil {
		t.Fatalf("lab %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// awaitEnd waits for the final phase of a backup, whatever is away in the meantime, and for the extension if it was.
func awaitEnd(t *testing.T, name string) v1alpha1.BackupStatus {
	t.Helper()
	var b v1alpha1.Backup
	eventually(t, name+" ends", 5*time.Minute, func(ctx context.Context) (bool, error) {
		err := lab.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &b)
		return err == nil && b.Status.Phase.Final(), nil
	})
	awaitExtension(t)
	return b.Status
}

// mustBeClean fails if a backup that succeeded left anything but its snapshot, or one that failed anything at all.
func mustBeClean(t *testing.T, s shop.Shop, b v1alpha1.BackupStatus, before int) {
	t.Helper()
	want := before
	if b.Phase.Succeeded() {
		want += b.Progress.VolumesReady
	} else if b.Reason == "" {
		t.Errorf("the backup failed without a reason: %+v", b)
	}
	if len(b.FrozenPods) != 0 {
		t.Errorf("frozen pods: %+v", b.FrozenPods)
	}
	mustBeThawed(t, s)
	mustHaveNoSnapshotObjects(t)
	if n := len(snapshotsOnDisk(t)); n != want {
		t.Errorf("there are %d snapshots, want %d; backup: %s %s: %s", n, want, b.Phase, b.Reason, b.Message)
	}
}

func TestBackupOutlivesWhatItDependsOn(t *testing.T) {
	for _, tt := range []struct {
		name string
		// down and up end a component and bring it back; the backup has a pod frozen at that time.
		down, up func(t *testing.T)
		away     time.Duration
	}{
		{"kube-apiserver", component("kill", "kube-apiserver"), component("start", "kube-apiserver"), 3 * time.Second},
		{"etcd", component("kill", "etcd"), component("start", "etcd"), 3 * time.Second},
		{"csi-snapshotter", component("kill", "csi-snapshotter"), component("start", "csi-snapshotter"), 15 * time.Second},
		{"node", component("kill", "node-1"), component("start", "node-1"), 2 * time.Second},
		{"evicted", evictExtension, func(*testing.T) {}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ns := "lost-" + tt.name
			s := newToolbox(t, ns, "lab")
			before := len(snapshotsOnDisk(t))
			newHook(t, ns, ns, "c", "date >> /data/pre; sleep 4", "Fail", "30s")
			mustCoffer(t, "backup", "create", ns, "--included-namespaces", ns, "--backup-hook-references", "default/"+ns)
			awaitFile(t, s, "/data/pre")
			tt.down(t)
			select {
			case <-time.After(tt.away):
			case <-t.Context().Done():
			}
			tt.up(t)
			b := awaitEnd(t, ns)
			t.Logf("the backup is %s: %s", b.Phase, b.Message)
			awaitFile(t, s, "/data/file")
			mustBeClean(t, s, b, before)
			if b.Phase.Succeeded() {
				mustCoffer(t, "backup", "delete", ns, "--yes", "--wait")
			}
		})
	}
}

func component(verb, name string) func(t *testing.T) {
	return func(t *testing.T) {
		t.Helper()
		mustLab(t, verb, name, "--name", machineName())
	}
}

// evictExtension asks for the end of the extension's pod as a drain does.
func evictExtension(t *testing.T) {
	t.Helper()
	pods := extensionPods(t)
	if len(pods) != 1 {
		t.Fatalf("there are %d pods of the extension", len(pods))
	}
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pods[0].Name}}
	if err := lab.client.SubResource("eviction").Create(t.Context(), &pods[0], eviction); err != nil {
		t.Fatal(err)
	}
}

func TestTwoReplicasDoEveryRunOnce(t *testing.T) {
	// With the lease that everybody has: one that is too short for a busy machine would have the second replica take over from one that is well.
	if err := lab.install("replicas=2"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.install(); err != nil {
			t.Error(err)
		}
	})
	s := newToolbox(t, "doubled", "lab")
	before := len(snapshotsOnDisk(t))
	newHook(t, "doubled", "doubled", "c", "date >> /data/pre; sleep 4", "Fail", "30s")
	mustCoffer(t, "backup", "create", "doubled-1", "--included-namespaces", "doubled", "--backup-hook-references", "default/doubled", "--wait")
	if lines, err := s.Exec(t.Context(), "box", "c", "sh", "-c", "cat /data/pre /data/post | wc -l"); err != nil || lines != "2" {
		t.Errorf("with two replicas the hooks ran %s times, want 2: %v", lines, err)
	}
	mustBeClean(t, s, showBackup(t, "doubled-1").Status, before)
	mustCoffer(t, "backup", "create", "doubled-2", "--included-namespaces", "doubled", "--backup-hook-references", "default/doubled")
	eventually(t, "the second backup has frozen the pod", time.Minute, func(ctx context.Context) (bool, error) {
		lines, err := s.Exec(ctx, "box", "c", "sh", "-c", "wc -l < /data/pre")
		return err == nil && lines == "2", nil
	})
	killExtension(t)
	b := awaitEnd(t, "doubled-2")
	if b.Phase != v1alpha1.RunCompleted {
		t.Errorf("backup: %+v", b)
	}
	mustBeClean(t, s, b, before+1)
	for _, name := range []string{"doubled-1", "doubled-2"} {
		mustCoffer(t, "backup", "delete", name, "--yes", "--wait")
	}
}

func TestRunsAtOnce(t *testing.T) {
	one, two := newToolbox(t, "crowd-1", "lab"), newToolbox(t, "crowd-2", "lab")
	before := len(snapshotsOnDisk(t))
	mustCoffer(t, "backup", "create", "crowd-0", "--included-namespaces", "crowd-1", "--wait")
	mustDestroy(t, one)
	names := []string{"crowd-a", "crowd-b", "crowd-c"}
	mustCoffer(t, "restore", "create", "crowd-back", "--backup-name", "crowd-0")
	// The first one is still there when it is to be deleted.
	newHook(t, "crowd", "crowd-2", "c", frozenUntilLet, "Fail", "2m")
	mustCoffer(t, "backup", "create", "crowd-a", "--included-namespaces", "crowd-2,default", "--backup-hook-references", "default/crowd")
	for _, name := range names[1:] {
		mustCoffer(t, "backup", "create", name, "--included-namespaces", "crowd-2,default")
	}
	mustFail(t, []string{"UserErrorRecoveryPointInUse"}, "backup", "delete", "crowd-a", "--yes", "--wait")
	let(t, two)
	for _, name := range names {
		if b := awaitEnd(t, name); b.Phase != v1alpha1.RunCompleted || b.Progress.VolumesReady != 1 {
			t.Errorf("%s: %+v", name, b)
		}
	}
	eventually(t, "the restore ends", 2*time.Minute, func(context.Context) (bool, error) {
		return showRestore(t, "crowd-back").Status.Phase.Final(), nil
	})
	if r := showRestore(t, "crowd-back"); r.Status.Phase != v1alpha1.RunCompleted {
		t.Errorf("restore: %+v", r.Status)
	}
	for _, s := range []shop.Shop{one, two} {
		awaitFile(t, s, "/data/file")
	}
	if n := len(snapshotsOnDisk(t)) - before; n != 4 {
		t.Errorf("four backups made %d snapshots", n)
	}
	for _, name := range append(names, "crowd-0") {
		mustCoffer(t, "backup", "delete", name, "--yes", "--wait")
	}
	mustHaveNoSnapshotObjects(t)
	if n := len(snapshotsOnDisk(t)); n != before {
		t.Errorf("%d snapshots are left", n-before)
	}
}

// newBucket makes a location "objects" in a new bucket of the lab's S3 service, with more flags for its creation.
func newBucket(t *testing.T, bucket string, flags ...string) {
	t.Helper()
	access, secret := os.Getenv("COFFER_SERVICE_S3_ACCESS_KEY"), os.Getenv("COFFER_SERVICE_S3_SECRET_KEY")
	c := s3.New(s3.Options{
		BaseEndpoint: aws.String(os.Getenv("COFFER_SERVICE_S3")), Region: os.Getenv("COFFER_SERVICE_S3_REGION"), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(access, secret, ""),
	})
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	mustCoffer(t, append([]string{
		"storage-location", "create", "objects", "--provider", "s3", "--container", bucket, "--force-path-style",
		"--region", os.Getenv("COFFER_SERVICE_S3_REGION"), "--endpoint", os.Getenv("COFFER_SERVICE_S3_INSIDE"), "--credentials-env", "--wait",
	}, flags...)...)
	t.Cleanup(func() {
		location := &v1alpha1.BackupStorageLocation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "objects"}}
		if err := lab.client.Delete(context.Background(), location); err != nil {
			t.Error(err)
		}
	})
}

func TestObjectStoreThatIsCutOff(t *testing.T) {
	newBucket(t, "cut-off")
	s := newToolbox(t, "remote", "lab")
	before := len(snapshotsOnDisk(t))
	newHook(t, "remote", "remote", "c", "date >> /data/pre; sleep 4", "Fail", "30s")
	mustCoffer(t, "backup", "create", "remote-1", "--storage-location", "objects", "--included-namespaces", "remote", "--backup-hook-references", "default/remote")
	awaitFile(t, s, "/data/pre")
	mustLab(t, "partition", machineName(), "s3")
	healed := false
	t.Cleanup(func() {
		if !healed {
			mustLab(t, "heal")
		}
	})
	// The application does not wait for the store.
	eventually(t, "the pod is thawed", time.Minute, func(ctx context.Context) (bool, error) {
		lines, err := s.Exec(ctx, "box", "c", "sh", "-c", "wc -l < /data/post")
		return err == nil && lines == "1", nil
	})
	select {
	case <-time.After(20 * time.Second):
	case <-t.Context().Done():
	}
	mustLab(t, "heal")
	healed = true
	b := awaitEnd(t, "remote-1")
	t.Logf("the backup is %s: %s", b.Phase, b.Message)
	mustBeClean(t, s, b, before)
	if !b.Phase.Succeeded() {
		return
	}
	mustDestroy(t, s)
	mustCoffer(t, "restore", "create", "remote-back", "--storage-location", "objects", "--backup-name", "remote-1", "--wait")
	awaitFile(t, s, "/data/file")
	mustCoffer(t, "backup", "delete", "remote-1", "--storage-location", "objects", "--yes", "--wait")
}
