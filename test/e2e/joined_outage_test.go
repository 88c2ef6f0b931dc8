//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/flow"
	"github.com/coffer-backup/coffer/internal/inbound/controller"
	"github.com/coffer-backup/coffer/test/shop"
)

// outage takes away something that a job through a vault depends on, and gives it back after a while.
type outage struct {
	name     string
	down, up func(t *testing.T)
	away     time.Duration
}

// outages are all that stands between a client's request and what is done in the cluster, but for the extension.
func outages() []outage {
	return []outage{
		{"server", service("kill"), service("up"), time.Second},
		{"connector", killConnector, func(*testing.T) {}, 0},
		{"link", cutLink, func(t *testing.T) { t.Helper(); mustLab(t, "heal", machineName(), "vault") }, 3 * time.Second},
		{"kube-apiserver", component("kill", "kube-apiserver"), component("start", "kube-apiserver"), time.Second},
	}
}

func service(verb string) func(t *testing.T) {
	return func(t *testing.T) {
		t.Helper()
		mustLab(t, "service", verb, "vault")
	}
}

func cutLink(t *testing.T) {
	t.Helper()
	mustLab(t, "partition", machineName(), "vault")
}

// killConnector ends the connector's pod at once; its Deployment makes another.
func killConnector(t *testing.T) {
	t.Helper()
	var pods corev1.PodList
	if err := lab.client.List(t.Context(), &pods, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/name": "coffer-connector"}); err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		if err := lab.client.Delete(t.Context(), &pod, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
}

// strike is one outage from its beginning to its end.
func (o outage) strike(t *testing.T) {
	t.Helper()
	o.down(t)
	select {
	case <-time.After(o.away):
	case <-t.Context().Done():
	}
	o.up(t)
}

func TestJobsOutliveAllThatCarriesThem(t *testing.T) {
	v := joinedVault(t)
	box := newToolbox(t, "outlived", "lab")
	start := snapshotsOnDisk(t)
	newHook(t, "outlived", "outlived", "c", "date >> /data/pre; sleep 4", "Fail", "30s")
	t.Cleanup(func() {
		mustLab(t, "heal")
		mustLab(t, "service", "up", "vault")
	})
	v.protect(t, "outlived", "--included-namespaces", "outlived", "--backup-hook-references", "default/outlived")

	if err := lab.install("extraArgs={--failpoints,--lease-duration=3s}"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.install(); err != nil {
			t.Error(err)
		}
	})
	// One at a time, while a pod is frozen.
	for i, o := range append(outages(), outage{"extension", killExtension, func(*testing.T) {}, 0}) {
		t.Run(o.name, func(t *testing.T) {
			before := timesFrozen(t, box)
			id := v.begun(t, "backup-instance", "adhoc-backup", "-n", "outlived")
			eventually(t, "the pod is frozen", time.Minute, func(context.Context) (bool, error) { return timesFrozen(t, box) > before, nil })
			o.strike(t)
			v.mustComplete(t, id)
			awaitExtension(t)
			if points := v.points(t, "outlived"); len(points) != i+1 {
				t.Errorf("there are %d recovery points, want %d", len(points), i+1)
			}
			mustBeThawed(t, box)
		})
	}
	mustHaveNoSnapshotObjects(t)

	// The extension dies before each step of the run, and each time something else is away, too.
	made := len(v.points(t, "outlived"))
	v.crashThrough(t, &v1alpha1.BackupList{}, beforeEach(flow.BackupSteps()), func() string { return v.begun(t, "backup-instance", "adhoc-backup", "-n", "outlived") })
	if n := len(v.points(t, "outlived")); n != made+1 {
		t.Errorf("a job that died at each step made %d recovery points", n-made)
	}
	beside := shopIn(t, "outlived-back")
	v.crashThrough(t, &v1alpha1.RestoreList{}, beforeEach(flow.RestoreSteps()), func() string {
		return v.begun(t, "backup-instance", "restore", "trigger", "-n", "outlived", "--recovery-point-id", "latest", "--namespace-mappings", "outlived=outlived-back")
	})
	awaitFile(t, beside, "/data/file")

	// All recovery points go, though the extension dies while it deletes the first.
	all := v.points(t, "outlived")
	v.crashThrough(t, &v1alpha1.DeleteBackupList{}, beforeEach(flow.DeleteBackupSteps()), func() string {
		v.must(t, "backup-instance", "delete", "-n", "outlived", "--yes", "--no-wait")
		return ""
	})
	eventually(t, "the instance is gone", 2*time.Minute, func(context.Context) (bool, error) {
		_, stderr, code := v.exec(t, "", "backup-instance", "show", "-n", "outlived")
		return code == 1 && strings.Contains(stderr, "ResourceNotFound"), nil
	})
	mustBeWithout(t, all, start)
	mustHaveNoSnapshotObjects(t)
}

// timesFrozen is how often the hook of a pod has frozen it.
func timesFrozen(t *testing.T, box shop.Shop) (times int) {
	t.Helper()
	eventually(t, "the hook's lines can be counted", time.Minute, func(ctx context.Context) (bool, error) {
		lines, err := box.Exec(ctx, "box", "c", "sh", "-c", "cat /data/pre 2>/dev/null | wc -l")
		if err == nil {
			times, err = strconv.Atoi(lines)
		}
		return err == nil, err
	})
	return times
}

// beforeEach are the failpoints before the steps: those after them are for runs without a vault.
func beforeEach(steps []string) string {
	all := strings.Split(points(steps), ",")
	return strings.Join(slices.DeleteFunc(all, func(p string) bool { return !strings.HasPrefix(p, "before ") }), ",")
}

// crashThrough begins a job, whose extension dies at every point, and something else each time, and waits until its run is final and every
// point was met. A job without an id is not followed.
func (v *vaulted) crashThrough(t *testing.T, kind client.ObjectList, points string, begin func() string) {
	t.Helper()
	known := map[string]bool{}
	for _, run := range listRuns(t, kind) {
		known[run.GetName()] = true
	}
	// While there is no extension the run waits to be given its failpoints.
	scaleExtension(t, 0)
	id := begin()
	var run client.Object
	eventually(t, "the job has a run", time.Minute, func(context.Context) (bool, error) {
		runs := slices.DeleteFunc(listRuns(t, kind), func(o client.Object) bool { return known[o.GetName()] })
		if len(runs) > 0 {
			run = runs[0]
		}
		return len(runs) > 0, nil
	})
	before := run.DeepCopyObject().(client.Object)
	run.SetAnnotations(map[string]string{controller.FailpointsAnnotation: points})
	if err := lab.client.Patch(t.Context(), run, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	scaleExtension(t, 1)
	began, left, struck, removed := time.Now(), points, 0, false
	eventually(t, fmt.Sprintf("%T %s ends in spite of its crashes", run, run.GetName()), 5*time.Minute, func(ctx context.Context) (bool, error) {
		replaceDeadExtension(t)
		err := lab.client.Get(ctx, keyOf(run), run)
		if _, deletion := kind.(*v1alpha1.DeleteBackupList); deletion && apierrors.IsNotFound(err) {
			// The vault removes it as soon as it has seen its end, which may be while something else is away here.
			removed = true
			return true, nil
		}
		if err != nil {
			return false, client.IgnoreNotFound(err)
		}
		if now := run.GetAnnotations()[controller.FailpointsAnnotation]; now != left {
			left = now
			releaseLease(t)
			outages()[struck%len(outages())].strike(t)
			struck++
			return false, nil
		}
		return statusOf(run).Phase.Final(), nil
	})
	if left != "" && (!removed || left == points) {
		t.Errorf("the extension was not killed at: %s", left)
	}
	awaitExtension(t)
	t.Logf("%s survived %d crashes and %d outages in %s", run.GetName(), strings.Count(points, ",")+1, struck, time.Since(began).Round(time.Second))
	if id != "" {
		v.awaitJob(t, id, "ends", 2*time.Minute, hasEnded)
		v.mustComplete(t, id)
	}
}

// listRuns are the runs of a kind.
func listRuns(t *testing.T, kind client.ObjectList) (runs []client.Object) {
	t.Helper()
	eventually(t, "runs can be listed", time.Minute, func(ctx context.Context) (bool, error) {
		return lab.client.List(ctx, kind, client.InNamespace(namespace)) == nil, nil
	})
	switch l := kind.(type) {
	case *v1alpha1.BackupList:
		for i := range l.Items {
			runs = append(runs, l.Items[i].DeepCopy())
		}
	case *v1alpha1.RestoreList:
		for i := range l.Items {
			runs = append(runs, l.Items[i].DeepCopy())
		}
	case *v1alpha1.DeleteBackupList:
		for i := range l.Items {
			runs = append(runs, l.Items[i].DeepCopy())
		}
	}
	return runs
}

func statusOf(run client.Object) v1alpha1.RunStatus {
	switch r := run.(type) {
	case *v1alpha1.Backup:
		return r.Status.RunStatus
	case *v1alpha1.Restore:
		return r.Status.RunStatus
	case *v1alpha1.DeleteBackup:
		return r.Status.RunStatus
	}
	return v1alpha1.RunStatus{}
}

// logged tells of an error that is no reason to give up: others write at the same time, or the API server is away.
func logged(t *testing.T, err error) error {
	t.Helper()
	if err != nil {
		t.Log(err)
	}
	return nil
}

// mine are the fields that these tests have set.
func mine(f metav1.ManagedFieldsEntry) bool {
	return f.Manager == "e2e.test" && f.Subresource == ""
}

// scaleExtension has as many replicas of the extension, and waits until there are.
func scaleExtension(t *testing.T, n int32) {
	t.Helper()
	eventually(t, fmt.Sprintf("the extension has %d replicas", n), 2*time.Minute, func(ctx context.Context) (bool, error) {
		var d appsv1.Deployment
		if err := lab.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "coffer-extension"}, &d); err != nil {
			return false, nil //nolint:nilerr // The API server may be away.
		}
		if *d.Spec.Replicas != n {
			d.Spec.Replicas = &n
			return false, logged(t, lab.client.Update(ctx, &d))
		}
		// An installation is refused, and rightly, while somebody else holds what it sets.
		if others := slices.DeleteFunc(slices.Clone(d.ManagedFields), mine); len(others) < len(d.ManagedFields) {
			d.ManagedFields = others
			return false, logged(t, lab.client.Update(ctx, &d))
		}
		var pods corev1.PodList
		err := lab.client.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/name": "coffer-extension"})
		return err == nil && d.Status.Replicas == n && len(pods.Items) == int(n), nil
	})
}
