package flow

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/hook"
)

// runHooks runs the restore hooks in the pods that this restore brought about: those of the namespaces restored into
// that were created since it started, by it or by what it restored or changed.
//
// A hook is noted as done before it is started: a crash in the middle of it does not run it twice.
func (r *restore) runHooks(ctx context.Context) error {
	hooks, err := r.hooks(ctx)
	if err != nil || len(hooks) == 0 {
		return err
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if err := r.warnOfOtherHooks(ctx); err != nil {
		return err
	}
	h, err := r.newHookRun(ctx, hooks)
	if err != nil {
		return err
	}
	running, runCtx := errgroup.WithContext(ctx)
	settled, err := poll(ctx, r.hookLimit(hooks), func(context.Context) (bool, error) {
		if runCtx.Err() != nil { // A hook has failed for good: Wait below says which.
			return true, nil //nolint:nilerr // It is the error of the hooks, not of the waiting.
		}
		all, err := h.settled(ctx)
		if err != nil {
			return false, err
		}
		pods, err := h.pods(ctx)
		if err != nil {
			return false, err
		}
		for _, pod := range pods {
			if err := h.start(ctx, runCtx, running, pod); err != nil {
				return false, err
			}
		}
		return all, nil
	})
	if runErr := running.Wait(); runErr != nil {
		return runErr
	}
	if err == nil && !settled {
		r.warn(coffer.CodeHookFailed, "", fmt.Sprintf(
			"restored workloads did not have all their pods within %s: hooks ran in those that came, and not in the others", r.hookLimit(hooks)))
	}
	return err
}

// hookRun is one pass of running the hooks.
type hookRun struct {
	*restore
	*lineage
	hooks []v1alpha1.RestoreHook
	began time.Time
	// written are the objects that the plan creates or changes, as writtenKey names them.
	written map[string]bool
	// seen are the pods that were decided on, by UID.
	seen map[string]bool
}

func (r *restore) newHookRun(ctx context.Context, hooks []v1alpha1.RestoreHook) (*hookRun, error) {
	owners, err := newLineage(ctx, r.Cluster)
	if err != nil {
		return nil, err
	}
	h := &hookRun{restore: r, lineage: owners, hooks: hooks, began: r.Now(), written: map[string]bool{}, seen: map[string]bool{}}
	for _, s := range r.plan.Steps {
		if s.Writes() {
			h.written[writtenKey(s.Target.Group, cmp.Or(s.Type.Kind, r.items[s.Item].Kind), s.Target.Namespace, s.Target.Name)] = true
		}
	}
	return h, nil
}

func writtenKey(group, kind, namespace, name string) string {
	return strings.Join([]string{group, kind, namespace, name}, "/")
}

// broughtAbout says whether a pod is there because of this restore: it or one of its owners is what the plan writes. Others come
// and go meanwhile, and nobody wants them to be meddled with.
func (h *hookRun) broughtAbout(ctx context.Context, pod *corev1.Pod) (yes bool, err error) {
	_, err = h.each(ctx, pod.Namespace, []coffer.OwnerReference{h.pod(pod)}, func(o coffer.OwnerReference) bool {
		group, _, grouped := strings.Cut(o.APIVersion, "/")
		if !grouped {
			group = ""
		}
		yes = h.written[writtenKey(group, o.Kind, pod.Namespace, o.Name)] || h.written[writtenKey(group, o.Kind, "", o.Name)]
		return !yes
	})
	if coffer.Final(err) {
		h.warn(coffer.CodeHookFailed, "Pod "+pod.Namespace+"/"+pod.Name, "no hook was run in it, for it is not known whether this restore has brought it about: "+err.Error())
		return false, nil
	}
	return yes, err
}

// hookLimit is how long pods are waited for: the longest that any hook waits for its container.
func (r *restore) hookLimit(hooks []v1alpha1.RestoreHook) time.Duration {
	longest := time.Duration(0)
	for _, h := range hooks {
		for _, rule := range h.Spec.RestoreHook {
			for _, a := range rule.PostHooks {
				longest = max(longest, hook.WaitTimeout(a.Exec))
			}
		}
	}
	return longest
}

// pods are those in the namespaces restored into that were created since the restore started.
func (h *hookRun) pods(ctx context.Context) ([]corev1.Pod, error) {
	var found []corev1.Pod
	for _, namespace := range h.plan.Namespaces {
		pods, err := list[corev1.Pod](ctx, h.Cluster, podType, namespace)
		if err != nil {
			return nil, err
		}
		for _, pod := range pods {
			if !pod.CreationTimestamp.Time.Before(h.object.Status.StartTime.Time) {
				found = append(found, pod)
			}
		}
	}
	return found, nil
}

// start runs the hooks of a pod in order, once, beside those of other pods. No more of them are begun once runCtx ends.
func (h *hookRun) start(ctx, runCtx context.Context, running *errgroup.Group, pod corev1.Pod) error {
	actions := hook.ForRestore(h.hooks, pod)
	if len(actions) == 0 || h.seen[string(pod.UID)] {
		return nil
	}
	ours, err := h.broughtAbout(ctx, &pod)
	if err != nil {
		return err
	}
	h.seen[string(pod.UID)] = true
	if !ours {
		return nil
	}
	h.update(func() { h.object.Status.Progress.HooksTotal += h.notDone(pod, actions) })
	running.Go(func() error {
		for _, a := range actions {
			if err := h.runHook(ctx, runCtx, pod, a); err != nil {
				return err
			}
		}
		return nil
	})
	return nil
}

func doneKey(pod corev1.Pod, a hook.Action) string { return string(pod.UID) + "/" + a.ID }

// notDone counts the actions that no earlier process has counted. The record's lock is held.
func (h *hookRun) notDone(pod corev1.Pod, actions []hook.Action) int {
	n := 0
	for _, a := range actions {
		if !slices.Contains(h.object.Status.HooksDone, doneKey(pod, a)) {
			n++
		}
	}
	return n
}

// runHook waits for the container as long as runCtx lasts. What has been begun then is brought to its end: the failure of a hook
// in one pod is no reason to interrupt a command in another.
func (h *hookRun) runHook(ctx, runCtx context.Context, pod corev1.Pod, a hook.Action) error {
	problem, err := h.awaitContainer(runCtx, pod, a)
	if err != nil {
		return err
	}
	if problem == "" {
		before := false
		h.update(func() {
			before = slices.Contains(h.object.Status.HooksDone, doneKey(pod, a))
			if !before {
				h.object.Status.HooksDone = append(h.object.Status.HooksDone, doneKey(pod, a))
			}
		})
		if before {
			return nil
		}
		if err := h.save(ctx); err != nil {
			return err
		}
		if problem, err = h.execHook(ctx, pod, a); err != nil {
			return err
		}
	}
	if problem == "" {
		h.update(func() { h.object.Status.Progress.HooksRun++ })
		return h.save(ctx)
	}
	message := fmt.Sprintf("%s: in pod %s/%s container %q: %s", a.Hook, pod.Namespace, pod.Name, a.Container, problem)
	if a.Fail {
		return coffer.Errorf(coffer.CodeHookFailed, "%s", message).
			WithHint("the objects are restored; run the command by hand, or set the hook's onError to Continue to have this as a warning")
	}
	h.warn(coffer.CodeHookFailed, "Pod "+pod.Namespace+"/"+pod.Name, message)
	return nil
}

// awaitContainer waits until the container of a hook is running, and says what is wrong if it is not in time.
func (h *hookRun) awaitContainer(ctx context.Context, pod corev1.Pod, a hook.Action) (problem string, err error) {
	if a.Problem != "" {
		return a.Problem, nil
	}
	limit := a.WaitTimeout - h.Now().Sub(h.began)
	gone := false
	running, err := poll(ctx, max(limit, time.Second), func(ctx context.Context) (bool, error) {
		body, err := h.Cluster.Get(ctx, podType, pod.Namespace, pod.Name)
		if coffer.CodeOf(err) == coffer.CodeNotFound {
			gone = true
			return true, nil
		}
		if err != nil {
			return false, err
		}
		now, err := decodePod(body)
		if err != nil {
			return false, err
		}
		gone = now.UID != pod.UID
		return gone || hook.Running(now, a.Container), nil
	})
	switch {
	case err != nil:
		return "", err
	case gone:
		return "the pod was deleted before the hook could run", nil
	case !running:
		return fmt.Sprintf("the container was not running within %s", a.WaitTimeout), nil
	}
	return "", nil
}

// settled says whether the controllers in the namespaces restored into have made all their pods, so that no pod that
// a hook is for is still to come.
func (h *hookRun) settled(ctx context.Context) (bool, error) {
	for _, namespace := range h.plan.Namespaces {
		for _, check := range []func(context.Context, string) (bool, error){h.deploymentsSettled, h.setsSettled, h.daemonsSettled} {
			if ok, err := check(ctx, namespace); !ok || err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

func (h *hookRun) deploymentsSettled(ctx context.Context, namespace string) (bool, error) {
	all, err := list[appsv1.Deployment](ctx, h.Cluster, deploymentType, namespace)
	return err == nil && !slices.ContainsFunc(all, func(d appsv1.Deployment) bool {
		return d.Status.ObservedGeneration < d.Generation || d.Spec.Replicas != nil && d.Status.UpdatedReplicas < *d.Spec.Replicas
	}), err
}

func (h *hookRun) setsSettled(ctx context.Context, namespace string) (bool, error) {
	all, err := list[appsv1.StatefulSet](ctx, h.Cluster, statefulSetType, namespace)
	return err == nil && !slices.ContainsFunc(all, func(s appsv1.StatefulSet) bool {
		return s.Status.ObservedGeneration < s.Generation || s.Spec.Replicas != nil && s.Status.Replicas < *s.Spec.Replicas
	}), err
}

func (h *hookRun) daemonsSettled(ctx context.Context, namespace string) (bool, error) {
	all, err := list[appsv1.DaemonSet](ctx, h.Cluster, daemonSetType, namespace)
	return err == nil && !slices.ContainsFunc(all, func(d appsv1.DaemonSet) bool {
		return d.Status.ObservedGeneration < d.Generation || d.Status.CurrentNumberScheduled < d.Status.DesiredNumberScheduled
	}), err
}
