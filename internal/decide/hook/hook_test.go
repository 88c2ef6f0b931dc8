package hook

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// The shape of Azure's own examples: null lists and selectors, comments, no timeout.
const azureShape = `
metadata: {name: bkphookname0, namespace: default}
spec:
  backupHook:
  - name: hook1
    includedNamespaces:
    - hrweb
    excludedNamespaces:
    labelSelector:
    preHooks:
    - exec:
        container: webcontainer
        command: [/bin/uname, -a]
        onError: Continue
        timeout: 10s
    - exec:
        command: [/bin/true]
    postHooks:
    - exec:
        container: sidecar
        command: [/bin/date]
`

func newHook(t *testing.T) v1alpha1.BackupHook {
	t.Helper()
	var h v1alpha1.BackupHook
	if err := yaml.UnmarshalStrict([]byte(azureShape), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

func newPod(change ...func(*corev1.Pod)) corev1.Pod {
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "hrweb", Name: "web-0", UID: "u", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "webcontainer"}, {Name: "sidecar"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, c := range change {
		c(&pod)
	}
	return pod
}

func TestAzureShapeIsUnderstood(t *testing.T) {
	got := ForBackup([]v1alpha1.BackupHook{newHook(t)}, newPod())
	if len(got.Pre) != 2 || len(got.Post) != 1 {
		t.Fatalf("ForBackup = %+v, want 2 pre- and 1 post-hook", got)
	}
	first, second := got.Pre[0], got.Pre[1]
	if first.Container != "webcontainer" || first.Fail || first.Timeout != 10*time.Second {
		t.Errorf("first = %+v", first)
	}
	if second.Container != "webcontainer" || !second.Fail || second.Timeout != 30*time.Second {
		t.Errorf("second = %+v; want the first container, Fail and 30s by default", second)
	}
	if first.ID == second.ID || first.ID == got.Post[0].ID {
		t.Error("two actions have one id")
	}
}

func TestScope(t *testing.T) {
	selector := func(s metav1.LabelSelector) func(*v1alpha1.HookScope) {
		return func(h *v1alpha1.HookScope) { h.LabelSelector = &s }
	}
	for _, tt := range []struct {
		name  string
		scope func(*v1alpha1.HookScope)
		pod   func(*corev1.Pod)
		want  bool
	}{
		{"the namespace fits", func(*v1alpha1.HookScope) {}, nil, true},
		{"another namespace", func(*v1alpha1.HookScope) {}, func(p *corev1.Pod) { p.Namespace = "other" }, false},
		{"no namespace named means all", func(s *v1alpha1.HookScope) { s.IncludedNamespaces = nil }, func(p *corev1.Pod) { p.Namespace = "other" }, true},
		{"a star means all", func(s *v1alpha1.HookScope) { s.IncludedNamespaces = []string{"*"} }, func(p *corev1.Pod) { p.Namespace = "other" }, true},
		{"excluded wins", func(s *v1alpha1.HookScope) { s.ExcludedNamespaces = []string{"hrweb"} }, nil, false},
		{"labels fit", selector(metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}), nil, true},
		{"labels do not", selector(metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}), nil, false},
		{"a pending pod has nothing to run in", func(*v1alpha1.HookScope) {}, func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }, false},
		{"a pod being deleted neither", func(*v1alpha1.HookScope) {}, func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHook(t)
			tt.scope(&h.Spec.BackupHook[0].HookScope)
			pod := newPod()
			if tt.pod != nil {
				tt.pod(&pod)
			}
			if got := !ForBackup([]v1alpha1.BackupHook{h}, pod).Empty(); got != tt.want {
				t.Errorf("applies = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMissingContainerIsSaidWithTheOnesThereAre(t *testing.T) {
	h := newHook(t)
	h.Spec.BackupHook[0].PreHooks[0].Exec.Container = "nope"
	problem := ForBackup([]v1alpha1.BackupHook{h}, newPod()).Pre[0].Problem
	for _, word := range []string{"nope", "web-0", "webcontainer", "sidecar"} {
		if !strings.Contains(problem, word) {
			t.Errorf("problem %q does not name %s", problem, word)
		}
	}
}

func TestBadSelectorIsRefused(t *testing.T) {
	bad := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
	h := newHook(t)
	h.Spec.BackupHook[0].LabelSelector = &bad
	if err := CheckBackup(h); coffer.CodeOf(err) != coffer.CodeInvalid || !strings.Contains(err.Error(), `hook "hook1"`) {
		t.Errorf("CheckBackup = %v", err)
	}
	r := v1alpha1.RestoreHook{Spec: v1alpha1.RestoreHookSpec{RestoreHook: []v1alpha1.RestoreHookRule{{HookScope: h.Spec.BackupHook[0].HookScope}}}}
	if err := CheckRestore(r); coffer.CodeOf(err) != coffer.CodeInvalid {
		t.Errorf("CheckRestore = %v", err)
	}
}

func TestRestoreDefaults(t *testing.T) {
	h := v1alpha1.RestoreHook{Spec: v1alpha1.RestoreHookSpec{RestoreHook: []v1alpha1.RestoreHookRule{{
		HookScope: v1alpha1.HookScope{Name: "h"},
		PostHooks: []v1alpha1.RestoreHookAction{{Exec: v1alpha1.RestoreHookExec{Command: []string{"x"}}}},
	}}}}
	got := ForRestore([]v1alpha1.RestoreHook{h}, newPod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }))
	if len(got) != 1 || got[0].Fail || got[0].Timeout != 30*time.Second || got[0].WaitTimeout != 10*time.Minute {
		t.Errorf("ForRestore = %+v; want Continue, 30s and 10m by default, for a pod that is still pending too", got)
	}
}

func TestThawByRulesIgnoresWhatChangedSince(t *testing.T) {
	h := newHook(t)
	h.Spec.BackupHook = append(h.Spec.BackupHook, *h.Spec.BackupHook[0].DeepCopy())
	h.Spec.BackupHook[1].LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	hooks := []v1alpha1.BackupHook{h}
	frozen := ForBackup(hooks, newPod())
	if len(frozen.Rules) != 2 || len(frozen.Post) != 2 || frozen.Post[0].ID == frozen.Post[1].ID {
		t.Fatalf("two rules of one name give %+v", frozen)
	}
	relabelled := newPod(func(p *corev1.Pod) { p.Labels = nil })
	if thaw := ThawByRules(hooks, frozen.Rules, relabelled); len(thaw.Post) != 2 || len(thaw.Pre) != 0 {
		t.Errorf("a relabelled pod is thawed by %+v, want both post-hooks", thaw)
	}
	if thaw := ThawByRules(hooks, frozen.Rules[1:], relabelled); len(thaw.Post) != 1 || thaw.Post[0].ID != frozen.Post[1].ID {
		t.Errorf("one rule thaws by %+v", thaw)
	}
	gone := newPod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
	if thaw := ThawByRules(hooks, frozen.Rules, gone); !thaw.Empty() {
		t.Errorf("a pod that does not run is thawed by %+v", thaw)
	}
}
