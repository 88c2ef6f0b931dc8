//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/flow"
	"github.com/coffer-backup/coffer/internal/inbound/controller"
	"github.com/coffer-backup/coffer/test/shop"
)

// points are all failpoints of the steps.
func points(steps []string) string {
	var all []string
	for _, s := range steps {
		if s != flow.StepRollingBack {
			all = append(all, "before "+s, "after "+s)
		}
	}
	return strings.Join(all, ",")
}

// crashThrough makes a run whose extension dies at every point, and helps each dead one's successor along, until the
// run is final and every point was met.
func crashThrough(t *testing.T, run client.Object, points string, status func() v1alpha1.RunStatus) {
	t.Helper()
	run.SetNamespace(namespace)
	run.SetAnnotations(map[string]string{controller.FailpointsAnnotation: points})
	if err := lab.client.Create(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	began, left := time.Now(), points
	eventually(t, fmt.Sprintf("%T %s ends in spite of its crashes", run, run.GetName()), 5*time.Minute, func(ctx context.Context) (bool, error) {
		replaceDeadExtension(t)
		if err := lab.client.Get(ctx, keyOf(run), run); err != nil {
			return false, err
		}
		if now := run.GetAnnotations()[controller.FailpointsAnnotation]; now != left {
			left = now
			releaseLease(t)
		}
		return status().Phase.Final(), nil
	})
	if left != "" {
		t.Errorf("the extension was not killed at: %s", left)
	}
	awaitExtension(t)
	t.Logf("%s survived %d crashes in %s", run.GetName(), strings.Count(points, ",")+1, time.Since(began).Round(time.Second))
}

// releaseLease takes the lease from an extension that has just died, so that the next one need not wait until it is over: that one does, and
// takes over all the same, is for the tests that kill it otherwise.
func releaseLease(t *testing.T) {
	t.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "coffer-extension"}}
	if err := lab.client.Patch(t.Context(), lease, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"holderIdentity":null}}`))); err != nil {
		t.Log(err)
	}
}

// awaitExtension waits until all pods of the extension are ready, and the processes that run now are those of which that is said. One that has
// taken the place of a dead one may end what that had under way before its pod is ready, and until the kubelet has seen the death the pod is
// said to be ready as it was before: nobody can read through it until then.
func awaitExtension(t *testing.T) {
	t.Helper()
	eventually(t, "the extension is ready", 2*time.Minute, func(ctx context.Context) (bool, error) {
		replaceDeadExtension(t)
		pods, err := findExtension(ctx)
		if err != nil {
			return false, err
		}
		running := extensionProcesses(t)
		for _, pod := range pods {
			ready := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			})
			if !ready || len(pod.Status.ContainerStatuses) != 1 {
				return false, fmt.Errorf("pod %s is %s and not ready: %+v", pod.Name, pod.Status.Phase, pod.Status.ContainerStatuses)
			}
			_, container, _ := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "://")
			if !slices.ContainsFunc(running, func(p extensionProcess) bool { return container != "" && strings.Contains(p.groups, container) }) {
				return false, fmt.Errorf("pod %s is said to be ready, and nothing runs in its container %s", pod.Name, container)
			}
		}
		return len(pods) > 0, nil
	})
}

// replaceDeadExtension deletes the extension's pod if its process has died for the second time: the kubelet restarts a container at once,
// and then ever later, when a new pod is sooner there.
func replaceDeadExtension(t *testing.T) {
	t.Helper()
	pods, err := findExtension(t.Context())
	for _, pod := range pods {
		for _, s := range pod.Status.ContainerStatuses {
			if s.RestartCount > 0 && s.State.Running == nil {
				err = errors.Join(err, client.IgnoreNotFound(lab.client.Delete(t.Context(), &pod, client.GracePeriodSeconds(0))))
			}
		}
	}
	if err != nil {
		t.Log(err) // The API server may be away for a moment, and the caller comes again.
	}
}

func TestExtensionKilledAtEveryStep(t *testing.T) {
	if err := lab.install("extraArgs={--failpoints,--lease-duration=3s}"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.install(); err != nil {
			t.Error(err)
		}
	})
	s := newToolbox(t, "deadly", "lab")
	start := len(snapshotsOnDisk(t))
	newHook(t, "deadly", "deadly", "c", "date >> /data/pre", "Fail", "30s")
	hooks := []v1alpha1.NamespacedReference{{Namespace: "default", Name: "deadly"}}
	newMortal(t)

	b := &v1alpha1.Backup{ObjectMeta: metav1.ObjectMeta{Name: "deadly-1"}, Spec: v1alpha1.BackupSpec{
		IncludedNamespaces: []string{"deadly", "mortal", "mortal-too"}, BackupHookReferences: hooks,
	}}
	crashThrough(t, b, points(flow.BackupSteps()), func() v1alpha1.RunStatus { return b.Status.RunStatus })
	if b.Status.Phase != v1alpha1.RunCompleted || b.Status.Progress.VolumesReady != 1 || len(b.Status.FrozenPods) != 0 {
		t.Errorf("backup: %+v", b.Status)
	}
	mustBeThawed(t, s)
	mustHaveNoSnapshotObjects(t)
	if n := len(snapshotsOnDisk(t)) - start; n != 1 {
		t.Errorf("the backup made %d snapshots, want the one that it holds", n)
	}

	// One that fails, and dies while it fails.
	newHook(t, "deadly-fail", "deadly", "c", "date >> /data/pre; exit 3", "Fail", "30s")
	failing := &v1alpha1.Backup{ObjectMeta: metav1.ObjectMeta{Name: "deadly-2"}, Spec: v1alpha1.BackupSpec{
		IncludedNamespaces: []string{"deadly"}, BackupHookReferences: []v1alpha1.NamespacedReference{{Namespace: "default", Name: "deadly-fail"}},
	}}
	rolling := "before " + flow.StepRollingBack + ",after " + flow.StepRollingBack
	crashThrough(t, failing, rolling, func() v1alpha1.RunStatus { return failing.Status.RunStatus })
	if failing.Status.Phase != v1alpha1.RunFailed || failing.Status.Reason != "UserErrorHookExecutionFailed" {
		t.Errorf("failing backup: %+v", failing.Status)
	}
	mustBeThawed(t, s)
	mustHaveNoSnapshotObjects(t)
	if n := len(snapshotsOnDisk(t)) - start; n != 1 {
		t.Errorf("after the failed backup there are %d snapshots, want 1", n)
	}

	killMortal(t, s)
	made := watchBirths(t, "mortal", "mortal-too")
	r := mortalRestore("deadly-back")
	crashThrough(t, r, points(flow.RestoreSteps()), func() v1alpha1.RunStatus { return r.Status.RunStatus })
	if r.Status.Phase != v1alpha1.RunCompleted || r.Status.Progress.VolumesBound != 1 || r.Status.Progress.WorkloadsReady != 2 || r.Status.ReadyTime == nil {
		t.Errorf("restore: %+v", r.Status)
	}
	// The namespace, the claim and the pod.
	mustBeImmortal(t, *r, 3, made)
	awaitFile(t, s, "/data/file")
	mustHaveNoSnapshotObjects(t)
	mustOutliveAKillInTheMiddle(t)

	d := &v1alpha1.DeleteBackup{ObjectMeta: metav1.ObjectMeta{Name: "deadly-del"}, Spec: v1alpha1.DeleteBackupSpec{BackupName: "deadly-1"}}
	crashThrough(t, d, points(flow.DeleteBackupSteps()), func() v1alpha1.RunStatus { return d.Status.RunStatus })
	if d.Status.Phase != v1alpha1.RunCompleted {
		t.Errorf("deletion: %+v", d.Status)
	}
	if n := len(snapshotsOnDisk(t)) - start; n != 0 {
		t.Errorf("after the deletion there are %d snapshots", n)
	}
	mustHaveNoSnapshotObjects(t)
}

// mustBeThawed fails unless a post-hook ran after the last pre-hook, which may have run more than once.
func mustBeThawed(t *testing.T, s shop.Shop) {
	t.Helper()
	times, err := s.Exec(t.Context(), "box", "c", "stat", "-c", "%Y", "/data/pre", "/data/post")
	var pre, post int64
	if _, scanErr := fmt.Sscan(times, &pre, &post); err != nil || scanErr != nil || post < pre {
		t.Errorf("the last pre-hook and the last post-hook ran at %q (%v, %v)", times, err, scanErr)
	}
}
