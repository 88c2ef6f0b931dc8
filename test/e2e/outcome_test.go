//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	nouns "github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

// The restores of the tests about policies and transformations, and what the tests ask of their reports.

// restored makes a restore that does not wait for workloads, unless it says for how long, and waits for its end. Whatever the end,
// the report has to say what the status does.
func restored(t *testing.T, name string, spec v1alpha1.RestoreSpec) v1alpha1.Restore {
	t.Helper()
	startRestore(t, name, spec)
	return endOfRestore(t, name)
}

func startRestore(t *testing.T, name string, spec v1alpha1.RestoreSpec) {
	t.Helper()
	if spec.ReadyTimeout == nil {
		spec.ReadyTimeout = &metav1.Duration{}
	}
	r := &v1alpha1.Restore{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: spec}
	if err := lab.client.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	// So that the test can be tried again on the same cluster.
	t.Cleanup(func() {
		if err := lab.client.Delete(context.WithoutCancel(t.Context()), r); err != nil {
			t.Error(err)
		}
	})
}

func endOfRestore(t *testing.T, name string) v1alpha1.Restore {
	t.Helper()
	var r v1alpha1.Restore
	eventually(t, "restore "+name+" ends", 5*time.Minute, func(ctx context.Context) (bool, error) {
		err := lab.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &r)
		return err == nil && r.Status.Phase.Final(), err
	})
	mustAgreeWithReport(t, r)
	return r
}

// mustSucceed fails the test unless a restore came to its end, with the number of failed objects that is expected.
func mustSucceed(t *testing.T, r v1alpha1.Restore, failed int) {
	t.Helper()
	if !r.Status.Phase.Succeeded() || r.Status.Progress.Failed != failed {
		t.Fatalf("restore %s: %s %s: %s; %+v; %s", r.Name, r.Status.Phase, r.Status.Reason, r.Status.Message, r.Status.Progress, warningsText(r))
	}
}

func warningsText(r v1alpha1.Restore) string {
	var lines []string
	for _, w := range r.Status.Warnings {
		lines = append(lines, fmt.Sprintf("%s %s: %s", w.Code, w.Resource, w.Message))
	}
	return strings.Join(lines, "\n")
}

// mustWarn fails unless there is a warning about an object that has all the words.
func mustWarn(t *testing.T, r v1alpha1.Restore, code nouns.Code, resource string, words ...string) {
	t.Helper()
	if !slices.ContainsFunc(r.Status.Warnings, func(w v1alpha1.Warning) bool {
		return w.Code == string(code) && w.Resource == resource && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(w.Message, word) })
	}) {
		t.Errorf("restore %s has no warning %s about %s with %q:\n%s", r.Name, code, resource, words, warningsText(r))
	}
}

// outcomes is what a report says of each object, by TYPE NAMESPACE/NAME. Each object has one line.
func outcomes(t *testing.T, r v1alpha1.Restore) (restorerecord.ReportHeader, map[string]restorerecord.Outcome) {
	t.Helper()
	file, err := os.Open(filepath.Join(lab.blobs, "backups", r.Status.Report.Key))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var header restorerecord.ReportHeader
	found := map[string]restorerecord.Outcome{}
	digest, err := restorerecord.ReadReport(file, 1_000_000, func(h restorerecord.ReportHeader) error {
		header = h
		return nil
	}, func(o restorerecord.Outcome) error {
		if _, twice := found[o.ObjectRef.String()]; twice {
			t.Errorf("the report of %s has two lines about %s", r.Name, o.ObjectRef)
		}
		found[o.ObjectRef.String()] = o
		return nil
	})
	if err != nil || digest != r.Status.Report.Digest {
		t.Fatalf("the report of %s: %v, digest %s, and the status says %s", r.Name, err, digest, r.Status.Report.Digest)
	}
	return header, found
}

// mustAgreeWithReport fails unless report and status count the same.
func mustAgreeWithReport(t *testing.T, r v1alpha1.Restore) {
	t.Helper()
	if r.Status.Report == nil {
		if r.Status.Phase.Succeeded() {
			t.Errorf("restore %s has no report", r.Name)
		}
		return
	}
	header, lines := outcomes(t, r)
	counted := map[restorerecord.Result]int{}
	for _, o := range lines {
		counted[o.Result]++
	}
	p := r.Status.Progress
	status := map[restorerecord.Result]int{
		restorerecord.Created: p.Created, restorerecord.Existing: p.Existing, restorerecord.Patched: p.Patched, restorerecord.Replaced: p.Replaced,
		restorerecord.Failed: p.Failed, restorerecord.Skipped: p.Skipped - r.Status.Plan.Counts.NotSelected,
	}
	for result, n := range status {
		if header.Counts[result] != n || counted[result] != n {
			t.Errorf("restore %s: %d %s in the status, %d in the report's header, %d in its lines", r.Name, n, result, header.Counts[result], counted[result])
		}
	}
	sum := p.Created + p.Existing + p.Patched + p.Replaced + p.Failed
	if r.Status.Phase.Succeeded() && (sum != p.ObjectsTotal || counted[restorerecord.Pending] != 0) {
		t.Errorf("restore %s: %d of %d objects are accounted for, and %d are pending: %+v", r.Name, sum, p.ObjectsTotal, counted[restorerecord.Pending], p)
	}
}

// mustHaveResults fails unless a report says this of these objects.
func mustHaveResults(t *testing.T, r v1alpha1.Restore, want map[string]restorerecord.Result) {
	t.Helper()
	_, lines := outcomes(t, r)
	for object, result := range want {
		if lines[object].Result != result {
			t.Errorf("restore %s: %s is %q (%s), want %s", r.Name, object, lines[object].Result, lines[object].Reason, result)
		}
	}
}

// live reads an object of the lab: of an apiVersion, a kind, and NAMESPACE/NAME, or NAME.
func live(t *testing.T, apiVersion, kind, name string) *unstructured.Unstructured {
	t.Helper()
	o, err := look(t.Context(), apiVersion, kind, name)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func look(ctx context.Context, apiVersion, kind, name string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	key := client.ObjectKey{Name: name}
	if ns, rest, found := strings.Cut(name, "/"); found {
		key = client.ObjectKey{Namespace: ns, Name: rest}
	}
	return o, lab.client.Get(ctx, key, o)
}

// field is the text of a field, for comparisons; empty if it is not there.
func field(o *unstructured.Unstructured, path ...string) string {
	value, found, err := unstructured.NestedFieldNoCopy(o.Object, path...)
	if !found || err != nil {
		return ""
	}
	return fmt.Sprint(value)
}

// mustHold fails unless fields of an object have these values: a path has dots.
func mustHold(t *testing.T, o *unstructured.Unstructured, want map[string]string) {
	t.Helper()
	for path, value := range want {
		if got := field(o, strings.Split(path, ".")...); got != value {
			t.Errorf("%s %s/%s: %s is %q, want %q", o.GetKind(), o.GetNamespace(), o.GetName(), path, got, value)
		}
	}
}

// mustBeSame fails if something is not as it was.
func mustBeSame[T any](t *testing.T, before, after T) {
	t.Helper()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("before (-) and after (+):\n%s", diff)
	}
}

// change patches an object by a JSON merge patch.
func change(t *testing.T, apiVersion, kind, name, patch string) {
	t.Helper()
	o := live(t, apiVersion, kind, name)
	if err := lab.client.Patch(t.Context(), o, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

// remove deletes an object, and waits until it is gone.
func remove(t *testing.T, apiVersion, kind, name string) {
	t.Helper()
	o := live(t, apiVersion, kind, name)
	if err := lab.client.Delete(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, o)
}

// removeLater removes an object of the cluster after the test.
func removeLater(t *testing.T, apiVersion, kind, name string) {
	t.Helper()
	t.Cleanup(func() {
		o, err := look(context.WithoutCancel(t.Context()), apiVersion, kind, name)
		if err == nil {
			err = lab.client.Delete(context.WithoutCancel(t.Context()), o)
		}
		if client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
}

// backedUp makes a recovery point, which is deleted after the test.
func backedUp(t *testing.T, name string, flags ...string) {
	t.Helper()
	mustCoffer(t, append([]string{"backup", "create", name, "--wait"}, flags...)...)
	t.Cleanup(func() {
		if _, stderr, code := lab.run(t, "backup", "delete", name, "--yes", "--wait"); code != 0 {
			t.Error(stderr)
		}
	})
}
