//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/test/shop"
)

// newToolbox makes a namespace with one running pod that mounts a claim, and removes it after the test.
func newToolbox(t *testing.T, ns, storageClass string) shop.Shop {
	t.Helper()
	s := shopIn(t, ns)
	apply(t, strings.NewReplacer("__NS__", ns, "__IMAGE__", lab.images.Toolbox, "__CLASS__", storageClass).Replace(`
apiVersion: v1
kind: Namespace
metadata: {name: __NS__}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: __NS__}
spec: {storageClassName: __CLASS__, accessModes: [ReadWriteOnce], resources: {requests: {storage: 32Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: box, namespace: __NS__, labels: {app: box}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      image: __IMAGE__
      imagePullPolicy: Never
      command: [sh, -c, "sleep 100000"]
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
`))
	eventually(t, "the pod runs", 3*time.Minute, func(ctx context.Context) (bool, error) {
		_, err := s.Exec(ctx, "box", "c", "sh", "-c", "echo hello | dd of=/data/file conv=fsync 2>/dev/null")
		return err == nil, nil
	})
	return s
}

// awaitFile waits until the pod "box" has a file.
func awaitFile(t *testing.T, s shop.Shop, path string) {
	t.Helper()
	eventually(t, path+" is there", 2*time.Minute, func(ctx context.Context) (bool, error) {
		_, err := s.Exec(ctx, "box", "c", "test", "-e", path)
		return err == nil, nil
	})
}

func keyOf(o client.Object) client.ObjectKey { return client.ObjectKeyFromObject(o) }

func awaitGone(t *testing.T, o client.Object) {
	t.Helper()
	eventually(t, o.GetName()+" is gone", 2*time.Minute, func(ctx context.Context) (bool, error) {
		err := lab.client.Get(ctx, keyOf(o), o)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

// newHook makes a BackupHook with one pre- and one post-hook for the pods of a namespace.
func newHook(t *testing.T, name, ns, container, script, onError, timeout string) {
	t.Helper()
	apply(t, fmt.Sprintf(`
apiVersion: clusterbackup.dataprotection.microsoft.com/v1alpha1
kind: BackupHook
metadata: {name: %s, namespace: default}
spec:
  backupHook:
    - name: hook
      includedNamespaces: [%s]
      excludedNamespaces:
      labelSelector:
      preHooks:
        - exec: {container: %s, command: [sh, -c, %q], onError: %s, timeout: %s}
      postHooks:
        - exec: {container: c, command: [sh, -c, "date >> /data/post"]}
`, name, ns, container, script, onError, timeout))
	t.Cleanup(func() {
		h := &v1alpha1.BackupHook{}
		h.Name, h.Namespace = name, "default"
		_ = lab.client.Delete(context.Background(), h)
	})
}

// frozenUntilLet is the script of a pre-hook that leaves a line in the file "pre", and ends when somebody lets it.
const frozenUntilLet = "date >> /data/pre; until test -e /data/let; do sleep 0.1; done"

// let ends the pre-hooks of frozenUntilLet, and all later ones at once.
func let(t *testing.T, box shop.Shop) {
	t.Helper()
	eventually(t, "the pod is let go on", time.Minute, func(ctx context.Context) (bool, error) {
		_, err := box.Exec(ctx, "box", "c", "touch", "/data/let")
		return err == nil, err
	})
}

func TestUnknownNamesAreRefused(t *testing.T) {
	mustFail(t, []string{"UserErrorNamespaceNotFound", `"nowhere"`, "kubectl get namespaces"},
		"backup", "create", "bad-namespace", "--included-namespaces", "nowhere", "--wait")
	mustFail(t, []string{"BackupStorageLocation", `"elsewhere"`},
		"backup", "create", "bad-location", "--storage-location", "elsewhere", "--included-namespaces", "default", "--wait")
	mustFail(t, []string{"BackupHook default/none"},
		"backup", "create", "bad-hook", "--included-namespaces", "default", "--backup-hook-references", "default/none", "--wait")
	mustFail(t, []string{"no recovery point", `"never-made"`}, "restore", "create", "bad-restore", "--backup-name", "never-made", "--wait")
	mustFail(t, []string{"no recovery point", `"never-made"`}, "backup", "delete", "never-made", "--yes", "--wait")
	mustFail(t, []string{"both in includedNamespaces and in excludedNamespaces"},
		"backup", "create", "contradiction", "--included-namespaces", "default", "--excluded-namespaces", "default", "--wait")
	for _, name := range []string{"bad-namespace", "bad-location", "bad-hook", "contradiction"} {
		if left, _ := filepath.Glob(filepath.Join(lab.blobs, "backups/backups", name, "*")); len(left) != 0 {
			t.Errorf("a refused backup left %v", left)
		}
	}
}

func TestTwoBackupsOfOneName(t *testing.T) {
	mustCoffer(t, "backup", "create", "twice", "--included-namespaces", "default", "--wait")
	manifest := filepath.Join(lab.blobs, "backups/backups/twice/manifest.json")
	first, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	mustFail(t, []string{"a backup named twice exists already"}, "backup", "create", "twice", "--included-namespaces", "default")
	// Without its object the recovery point is still there, and its name still taken.
	b := &v1alpha1.Backup{}
	b.Name, b.Namespace = "twice", namespace
	if err := lab.client.Delete(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the object is gone", time.Minute, func(ctx context.Context) (bool, error) {
		err := lab.client.Get(ctx, client.ObjectKeyFromObject(b), b)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	mustFail(t, []string{"UserErrorRecoveryPointExists", "twice"}, "backup", "create", "twice", "--included-namespaces", "default", "--wait")
	if again, err := os.ReadFile(manifest); err != nil || !bytes.Equal(first, again) {
		t.Errorf("the first recovery point was touched: %v", err)
	}
	mustCoffer(t, "backup", "delete", "twice", "--yes", "--wait")
}

func TestStorageLocationsThatCannotBeUsed(t *testing.T) {
	folder := filepath.Join(lab.blobs, "locked")
	if err := os.Mkdir(folder, 0o555); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	apply(t, `
apiVersion: clusterbackup.dataprotection.microsoft.com/v1alpha1
kind: BackupStorageLocation
metadata: {name: absent, namespace: dataprotection-microsoft}
spec: {provider: filesystem, container: no-such-container}
---
apiVersion: clusterbackup.dataprotection.microsoft.com/v1alpha1
kind: BackupStorageLocation
metadata: {name: locked, namespace: dataprotection-microsoft}
spec: {provider: filesystem, container: locked}
---
apiVersion: clusterbackup.dataprotection.microsoft.com/v1alpha1
kind: BackupStorageLocation
metadata: {name: read-only, namespace: dataprotection-microsoft}
spec: {provider: filesystem, container: backups, readOnly: true}
`)
	for location, words := range map[string][]string{
		"absent":    {"UserErrorBackupStorageLocationNotReady", "no-such-container", "create the folder"},
		"locked":    {"UserErrorBackupStorageLocationNotReady", "locked", "must be allowed to write"},
		"read-only": {"UserErrorBackupFailedBackupStorageLocationReadOnly", "read-only"},
	} {
		mustFail(t, words, "backup", "create", "into-"+location, "--storage-location", location, "--included-namespaces", "default", "--wait")
	}
	for location, want := range map[string]v1alpha1.StorageLocationPhase{
		"absent": v1alpha1.StorageLocationUnavailable, "locked": v1alpha1.StorageLocationUnavailable, "read-only": v1alpha1.StorageLocationAvailable,
	} {
		eventually(t, location+" is "+string(want), time.Minute, func(ctx context.Context) (bool, error) {
			var l v1alpha1.BackupStorageLocation
			err := lab.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: location}, &l)
			return l.Status.Phase == want && (want == v1alpha1.StorageLocationAvailable) == (l.Status.Message == ""), err
		})
	}
	mustCoffer(t, "backup", "create", "to-read", "--included-namespaces", "default", "--wait")
	mustCoffer(t, "restore", "create", "from-read-only", "--storage-location", "read-only", "--backup-name", "to-read", "--wait")
	mustFail(t, []string{"UserErrorDeleteBackupFailedBackupStorageLocationReadOnly"}, "backup", "delete", "to-read", "--storage-location", "read-only", "--yes", "--wait")
	mustCoffer(t, "backup", "delete", "to-read", "--yes", "--wait")
}

func TestHooksThatFail(t *testing.T) {
	s := newToolbox(t, "hooked", "lab")
	start := len(snapshotsOnDisk(t))
	for _, tt := range []struct {
		name, container, script, timeout string
		words                            []string
	}{
		{"exits", "c", "echo the database is busy; exit 7", "1m", []string{"code 7", "the database is busy", "hooked/box"}},
		{"hangs", "c", "sleep 60", "2s", []string{"still running after its timeout of 2s"}},
		{"misses", "nope", "true", "1m", []string{`no container "nope"`, "[c]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			newHook(t, tt.name+"-fail", "hooked", tt.container, tt.script, "Fail", tt.timeout)
			newHook(t, tt.name+"-continue", "hooked", tt.container, tt.script, "Continue", tt.timeout)
			mustFail(t, append(tt.words, "UserErrorHookExecutionFailed"),
				"backup", "create", tt.name+"-fail", "--included-namespaces", "hooked", "--backup-hook-references", "default/"+tt.name+"-fail", "--wait")
			if n := len(snapshotsOnDisk(t)); n != start {
				t.Errorf("the failed backup left %d snapshots", n-start)
			}
			mustCoffer(t, "backup", "create", tt.name+"-continue", "--included-namespaces", "hooked", "--backup-hook-references", "default/"+tt.name+"-continue", "--wait")
			b := showBackup(t, tt.name+"-continue")
			if b.Status.Phase != v1alpha1.RunCompletedWithWarnings || len(b.Status.Warnings) == 0 {
				t.Fatalf("backup: %+v", b.Status)
			}
			for _, w := range tt.words {
				if !strings.Contains(b.Status.Warnings[0].Message, w) {
					t.Errorf("the warning does not name %q: %s", w, b.Status.Warnings[0].Message)
				}
			}
			mustCoffer(t, "backup", "delete", tt.name+"-continue", "--yes", "--wait")
		})
	}
	// Each of the six backups owed the pod its post-hook.
	if lines, err := s.Exec(t.Context(), "box", "c", "sh", "-c", "wc -l < /data/post"); err != nil || lines != "6" {
		t.Errorf("the post-hook ran %s times, want 6: %v", lines, err)
	}
	mustHaveNoSnapshotObjects(t)
}

func TestVolumeWithoutSnapshotsIsRecordedNeverSilent(t *testing.T) {
	s := newToolbox(t, "nosnap", "lab-nosnap")
	mustCoffer(t, "backup", "create", "nosnap-1", "--included-namespaces", "nosnap", "--wait")
	b := showBackup(t, "nosnap-1")
	if b.Status.Phase != v1alpha1.RunCompletedWithWarnings || b.Status.Progress.VolumesSkipped != 1 || len(b.Status.Warnings) != 1 {
		t.Fatalf("backup: %+v", b.Status)
	}
	w := b.Status.Warnings[0]
	if w.Resource != "PersistentVolumeClaim nosnap/data" || !strings.Contains(w.Message, "nosnap.lab.csi.coffer.dev") {
		t.Errorf("warning: %+v", w)
	}
	mustDestroy(t, s)
	mustCoffer(t, "restore", "create", "nosnap-back", "--backup-name", "nosnap-1", "--wait")
	r := showRestore(t, "nosnap-back")
	if r.Status.Phase != v1alpha1.RunCompletedWithWarnings || len(r.Status.Warnings) != 1 || !strings.Contains(r.Status.Warnings[0].Message, "empty volume") {
		t.Errorf("restore: %+v", r.Status)
	}
	mustCoffer(t, "backup", "delete", "nosnap-1", "--yes", "--wait")
}

func TestDamagedArchiveIsRefusedBeforeAnythingIsApplied(t *testing.T) {
	apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: fragile}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: fragile}\ndata: {a: b}\n")
	s := shopIn(t, "fragile")
	mustCoffer(t, "backup", "create", "fragile-1", "--included-namespaces", "fragile", "--wait")
	mustDestroy(t, s)
	folder := filepath.Join(lab.blobs, "backups/backups/fragile-1")
	archive := filepath.Join(folder, "fragile-1.tar.gz")
	intact, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"truncated": intact[:len(intact)/2],
		"altered":   append(append([]byte{}, intact[:len(intact)/2]...), append([]byte{intact[len(intact)/2] ^ 1}, intact[len(intact)/2+1:]...)...),
		"longer":    append(append([]byte{}, intact...), 0),
	} {
		if err := os.WriteFile(archive, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		mustFail(t, []string{"RecoveryPointIntegrityCheckFailed", "nothing was restored", "fragile-1.tar.gz"},
			"restore", "create", "of-"+name, "--backup-name", "fragile-1", "--wait")
	}
	if err := os.Remove(archive); err != nil {
		t.Fatal(err)
	}
	mustFail(t, []string{"RecoveryPointIntegrityCheckFailed", "missing"}, "restore", "create", "of-missing", "--backup-name", "fragile-1", "--wait")
	var ns corev1.Namespace
	if err := lab.client.Get(t.Context(), client.ObjectKey{Name: "fragile"}, &ns); !apierrors.IsNotFound(err) {
		t.Errorf("something was applied: namespace fragile: %v", err)
	}
	if err := os.WriteFile(archive, intact, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(archive, 65532, 65532); err != nil {
		t.Fatal(err)
	}
	mustCoffer(t, "restore", "create", "of-intact", "--backup-name", "fragile-1", "--wait")
	mustCoffer(t, "backup", "delete", "fragile-1", "--yes", "--wait")
}

func TestExistingClaimIsLeftUntouchedAndSaid(t *testing.T) {
	s := newToolbox(t, "existing", "lab")
	mustCoffer(t, "backup", "create", "existing-1", "--included-namespaces", "existing", "--wait")
	if _, err := s.Exec(t.Context(), "box", "c", "sh", "-c", "echo newer | dd of=/data/file conv=fsync 2>/dev/null"); err != nil {
		t.Fatal(err)
	}
	mustCoffer(t, "restore", "create", "over-existing", "--backup-name", "existing-1", "--wait")
	r := showRestore(t, "over-existing")
	if r.Status.Phase != v1alpha1.RunCompletedWithWarnings || !strings.Contains(r.Status.Warnings[0].Message, "left untouched") {
		t.Errorf("restore: %+v", r.Status)
	}
	if text, err := s.Exec(t.Context(), "box", "c", "cat", "/data/file"); err != nil || text != "newer" {
		t.Errorf("the data is %q, %v; it must be untouched", text, err)
	}
	mustCoffer(t, "backup", "delete", "existing-1", "--yes", "--wait")
	mustHaveNoSnapshotObjects(t)
}

// killExtension ends the extension's process at once, as a failing machine would; the kubelet starts another. One that is about to be
// started anew is waited for.
func killExtension(t *testing.T) {
	t.Helper()
	eventually(t, "an extension runs, to be killed", time.Minute, func(context.Context) (bool, error) {
		killed := false
		for _, p := range extensionProcesses(t) {
			err := syscall.Kill(p.pid, syscall.SIGKILL)
			if err != nil && !errors.Is(err, syscall.ESRCH) {
				t.Fatal(err)
			}
			killed = killed || err == nil
		}
		return killed, nil
	})
}

// extensionProcess is a process of the extension, and the control groups that it is in, which name its pod and its container.
type extensionProcess struct {
	pid    int
	groups string
}

// extensionProcesses are those of the extension in the tests' own cluster: this machine has others, whose tests run at the same time.
func extensionProcesses(t *testing.T) (all []extensionProcess) {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		// What has ended meanwhile has neither.
		line, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(line), "/coffer-extension\x00run\x00") {
			continue
		}
		groups, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cgroup"))
		if err != nil || !strings.Contains(string(groups), "/coffer-lab-"+machineName()+"/") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, extensionProcess{pid, string(groups)})
	}
	return all
}

func TestExtensionKilledWhileAPodIsFrozen(t *testing.T) {
	s := newToolbox(t, "frozen", "lab")
	newHook(t, "slow", "frozen", "c", frozenUntilLet, "Fail", "2m")
	mustCoffer(t, "backup", "create", "frozen-1", "--included-namespaces", "frozen", "--backup-hook-references", "default/slow")
	awaitFile(t, s, "/data/pre")
	killExtension(t)
	let(t, s)
	if b := awaitEnd(t, "frozen-1"); b.Phase != v1alpha1.RunCompleted || len(b.FrozenPods) != 0 {
		t.Errorf("backup: %+v", b)
	}
	// The first pre-hook was thawed by the new process, which then froze and thawed the pod properly.
	if lines, err := s.Exec(t.Context(), "box", "c", "sh", "-c", "cat /data/pre /data/post | wc -l"); err != nil || lines != "4" {
		t.Errorf("pre- and post-hooks ran %s times together, want 4: %v", lines, err)
	}
	mustHaveNoSnapshotObjects(t)
	mustCoffer(t, "backup", "delete", "frozen-1", "--yes", "--wait")
}

func TestBackupObjectDeletedWhileAPodIsFrozen(t *testing.T) {
	s := newToolbox(t, "cancelled", "lab")
	start := len(snapshotsOnDisk(t))
	newHook(t, "long", "cancelled", "c", frozenUntilLet, "Fail", "2m")
	mustCoffer(t, "backup", "create", "cancelled-1", "--included-namespaces", "cancelled", "--backup-hook-references", "default/long")
	awaitFile(t, s, "/data/pre")
	b := &v1alpha1.Backup{}
	b.Name, b.Namespace = "cancelled-1", namespace
	if err := lab.client.Delete(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the object is gone", 2*time.Minute, func(ctx context.Context) (bool, error) {
		err := lab.client.Get(ctx, client.ObjectKeyFromObject(b), b)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	if lines, err := s.Exec(t.Context(), "box", "c", "sh", "-c", "wc -l < /data/post"); err != nil || lines != "1" {
		t.Errorf("the post-hook ran %s times, want 1: %v", lines, err)
	}
	if n := len(snapshotsOnDisk(t)); n != start {
		t.Errorf("%d snapshots are left", n-start)
	}
	if left, _ := filepath.Glob(filepath.Join(lab.blobs, "backups/backups/cancelled-1/*")); len(left) != 0 {
		t.Errorf("blobs are left: %v", left)
	}
	mustHaveNoSnapshotObjects(t)
}
