// Package hook decides which hooks apply to a pod, in which container, and for how long they may run.
package hook

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Defaults of Velero and AKS Backup, except for WaitTimeout: see v1alpha1.RestoreHookExec.
const (
	defaultTimeout     = 30 * time.Second
	defaultWaitTimeout = 10 * time.Minute
)

// Action is one command that is to run in one pod.
type Action struct {
	// ID is the same each time for the same command of the same hook object.
	ID string
	// Hook names the hook for messages: REFERENCE hook NAME.
	Hook string
	// Container is resolved: never empty.
	Container string
	Command   []string
	// Fail says that a failure ends the run.
	Fail    bool
	Timeout time.Duration
	// WaitTimeout is how long to wait for the container to be running; zero for backup hooks.
	WaitTimeout time.Duration
	// Problem says why the action cannot run at all. It counts as a failure of the hook.
	Problem string
}

// Backup is what to run in one pod before and after its snapshots.
type Backup struct {
	Pre, Post []Action
	// Rules are the IDs of the hooks that apply, for ThawByRules.
	Rules []string
}

// Empty says that no hook applies.
func (b Backup) Empty() bool { return len(b.Pre) == 0 && len(b.Post) == 0 }

// CheckBackup refuses hooks whose selectors cannot be evaluated.
func CheckBackup(h v1alpha1.BackupHook) error {
	for _, rule := range h.Spec.BackupHook {
		if err := checkScope("BackupHook", h.Namespace, h.Name, rule.HookScope); err != nil {
			return err
		}
	}
	return nil
}

// CheckRestore refuses hooks whose selectors cannot be evaluated.
func CheckRestore(h v1alpha1.RestoreHook) error {
	for _, rule := range h.Spec.RestoreHook {
		if err := checkScope("RestoreHook", h.Namespace, h.Name, rule.HookScope); err != nil {
			return err
		}
	}
	return nil
}

func checkScope(kind, namespace, name string, s v1alpha1.HookScope) error {
	if _, err := metav1.LabelSelectorAsSelector(s.LabelSelector); err != nil {
		return coffer.Errorf(coffer.CodeInvalid, "%s %s/%s: hook %q: labelSelector: %w", kind, namespace, name, s.Name, err)
	}
	return nil
}

// ForBackup resolves the hooks for one pod. Only a running pod has hooks: there is nothing to run them in otherwise.
func ForBackup(hooks []v1alpha1.BackupHook, pod corev1.Pod) Backup {
	var found Backup
	if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
		return found
	}
	for _, h := range hooks {
		for i, rule := range h.Spec.BackupHook {
			if applies(rule.HookScope, pod) {
				found.add(h, i, pod)
			}
		}
	}
	return found
}

// ThawByRules resolves the post-hooks of rules that ForBackup found for the pod before, whatever its labels are now.
// There are none for a pod that does not run any more.
func ThawByRules(hooks []v1alpha1.BackupHook, rules []string, pod corev1.Pod) Backup {
	var found Backup
	if pod.Status.Phase != corev1.PodRunning {
		return found
	}
	for _, h := range hooks {
		for i := range h.Spec.BackupHook {
			if slices.Contains(rules, ruleID(h.ObjectMeta, i)) {
				found.add(h, i, pod)
			}
		}
	}
	found.Pre = nil
	return found
}

// ruleID tells the rules of all hook objects apart. Their names do not: two rules of an object may have the same.
func ruleID(hook metav1.ObjectMeta, index int) string {
	return fmt.Sprintf("%s/%s/%d", hook.Namespace, hook.Name, index)
}

func (b *Backup) add(h v1alpha1.BackupHook, index int, pod corev1.Pod) {
	rule, id := h.Spec.BackupHook[index], ruleID(h.ObjectMeta, index)
	name := fmt.Sprintf("BackupHook %s/%s hook %q", h.Namespace, h.Name, rule.Name)
	b.Rules = append(b.Rules, id)
	for i, a := range rule.PreHooks {
		b.Pre = append(b.Pre, backupAction(fmt.Sprintf("%s/pre/%d", id, i), name, a.Exec, pod))
	}
	for i, a := range rule.PostHooks {
		b.Post = append(b.Post, backupAction(fmt.Sprintf("%s/post/%d", id, i), name, a.Exec, pod))
	}
}

// ForRestore resolves the hooks for one pod, running or not.
func ForRestore(hooks []v1alpha1.RestoreHook, pod corev1.Pod) []Action {
	var found []Action
	if pod.DeletionTimestamp != nil {
		return nil
	}
	for _, h := range hooks {
		for index, rule := range h.Spec.RestoreHook {
			if !applies(rule.HookScope, pod) {
				continue
			}
			name := fmt.Sprintf("RestoreHook %s/%s hook %q", h.Namespace, h.Name, rule.Name)
			id := ruleID(h.ObjectMeta, index)
			for i, a := range rule.PostHooks {
				found = append(found, restoreAction(fmt.Sprintf("%s/%d", id, i), name, a.Exec, pod))
			}
		}
	}
	return found
}

// Running says whether a container of the pod can be exec'd into.
func Running(pod corev1.Pod, container string) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.Name == container && s.State.Running != nil
	})
}

func applies(s v1alpha1.HookScope, pod corev1.Pod) bool {
	if len(s.IncludedNamespaces) > 0 && !slices.Contains(s.IncludedNamespaces, pod.Namespace) && !slices.Contains(s.IncludedNamespaces, "*") {
		return false
	}
	if slices.Contains(s.ExcludedNamespaces, pod.Namespace) {
		return false
	}
	if s.LabelSelector == nil {
		return true
	}
	// Selectors were checked before the run began.
	selector, err := metav1.LabelSelectorAsSelector(s.LabelSelector)
	return err == nil && selector.Matches(labels.Set(pod.Labels))
}

func backupAction(id, name string, e v1alpha1.BackupHookExec, pod corev1.Pod) Action {
	a := Action{ID: id, Hook: name, Command: e.Command, Fail: e.OnError != v1alpha1.HookContinue, Timeout: defaultTimeout}
	if e.Timeout != nil && e.Timeout.Duration > 0 {
		a.Timeout = e.Timeout.Duration
	}
	a.Container, a.Problem = resolveContainer(pod, e.Container)
	return a
}

func restoreAction(id, name string, e v1alpha1.RestoreHookExec, pod corev1.Pod) Action {
	a := Action{
		ID: id, Hook: name, Command: e.Command, Fail: e.OnError == v1alpha1.HookFail,
		Timeout: defaultTimeout, WaitTimeout: WaitTimeout(e),
	}
	if e.ExecTimeout != nil && e.ExecTimeout.Duration > 0 {
		a.Timeout = e.ExecTimeout.Duration
	}
	a.Container, a.Problem = resolveContainer(pod, e.Container)
	return a
}

// WaitTimeout is how long a restore hook waits for its container to be running.
func WaitTimeout(e v1alpha1.RestoreHookExec) time.Duration {
	if e.WaitTimeout != nil && e.WaitTimeout.Duration > 0 {
		return e.WaitTimeout.Duration
	}
	return defaultWaitTimeout
}

func resolveContainer(pod corev1.Pod, name string) (container, problem string) {
	names := make([]string, 0, len(pod.Spec.Containers))
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	switch {
	case name == "" && len(names) > 0:
		return names[0], ""
	case slices.Contains(names, name):
		return name, ""
	}
	return name, fmt.Sprintf("pod %s/%s has no container %q; it has %v", pod.Namespace, pod.Name, name, names)
}
