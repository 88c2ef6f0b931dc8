package flow

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/hook"
)

// freeze runs the pre-hooks of all pods of a group at once. That their post-hooks are owed is saved first.
func (b *backup) freeze(ctx context.Context, pods []hookedPod) error {
	if len(pods) == 0 {
		return nil
	}
	b.update(func() {
		for _, p := range pods {
			b.object.Status.FrozenPods = append(b.object.Status.FrozenPods, v1alpha1.FrozenPod{
				Namespace: p.pod.Namespace, Name: p.pod.Name, UID: string(p.pod.UID), Hooks: p.hooks.Rules,
			})
		}
	})
	if err := b.save(ctx); err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(parallelCalls)
	for _, p := range pods {
		all.Go(func() error { return b.runHooks(ctx, p.pod, "pre", p.hooks.Pre) })
	}
	return all.Wait()
}

// thaw runs the post-hooks of all pods of a group, each whatever becomes of the others, and only then reports the
// first failure. Nothing ends it early: not a cancelled run, not a failing neighbour.
func (b *backup) thaw(ctx context.Context, pods []hookedPod) error {
	ctx = context.WithoutCancel(ctx)
	var all errgroup.Group
	all.SetLimit(parallelCalls)
	for _, p := range pods {
		all.Go(func() error {
			err := b.runHooks(ctx, p.pod, "post", p.hooks.Post)
			if err != nil && !coffer.Final(err) {
				return err
			}
			b.update(func() {
				b.object.Status.FrozenPods = slices.DeleteFunc(b.object.Status.FrozenPods, func(f v1alpha1.FrozenPod) bool {
					return f.UID == string(p.pod.UID)
				})
			})
			return err
		})
	}
	err := all.Wait()
	if saveErr := b.save(ctx); err == nil {
		err = saveErr
	}
	return err
}

// thawAll runs the post-hooks that are still owed, by what the cluster knows of the pods now. A pod that is gone, or
// was replaced, is frozen no more. Failures of the hooks are warnings here, for the run has failed or starts again.
func (b *backup) thawAll(ctx context.Context) error {
	owed := slices.Clone(b.object.Status.FrozenPods)
	if len(owed) == 0 {
		return nil
	}
	hooks := b.hooks()
	var pods []hookedPod
	// Who has frozen them has their turns. Who finds them frozen waits for one after the other, as all do in the same order.
	slices.SortFunc(owed, func(a, b v1alpha1.FrozenPod) int { return cmp.Compare(a.Namespace, b.Namespace) })
	for _, f := range owed {
		if err := b.turns.take(ctx, f.Namespace); err != nil {
			return err
		}
		body, err := b.Cluster.Get(ctx, podType, f.Namespace, f.Name)
		if coffer.CodeOf(err) == coffer.CodeNotFound {
			continue
		}
		if err != nil {
			return err
		}
		pod, err := decodePod(body)
		if err != nil {
			return err
		}
		if string(pod.UID) == f.UID {
			pods = append(pods, hookedPod{pod: pod, hooks: hook.ThawByRules(hooks, f.Hooks, pod)})
		}
	}
	if err := b.thaw(ctx, pods); coffer.Final(err) {
		b.warn(coffer.CodeOf(err), "", err.Error())
	} else if err != nil {
		return err
	}
	b.update(func() { b.object.Status.FrozenPods = nil })
	b.turns.giveAll()
	return b.save(ctx)
}

// runHooks runs the hooks of one pod in order. A failure is a warning where the hook says Continue; else it is
// returned, and the hooks after it are not run, but for post-hooks, which are all run.
func (b *backup) runHooks(ctx context.Context, pod corev1.Pod, when string, actions []hook.Action) error {
	var first error
	for _, a := range actions {
		problem, err := b.execHook(ctx, pod, a)
		if err != nil {
			return err
		}
		if problem == "" {
			continue
		}
		message := fmt.Sprintf("%s: %s-hook in pod %s/%s container %q: %s", a.Hook, when, pod.Namespace, pod.Name, a.Container, problem)
		if !a.Fail {
			b.warn(coffer.CodeHookFailed, "Pod "+pod.Namespace+"/"+pod.Name, message)
			continue
		}
		if first == nil {
			first = coffer.Errorf(coffer.CodeHookFailed, "%s", message).
				WithHint("correct the hook, or set its onError to Continue to have this as a warning")
		}
		if when == "pre" {
			return first
		}
	}
	return first
}

// execRetries is how often a hook is tried that could not be started.
const execRetries = 5

// execHook runs one hook and says what was wrong with it, if anything. An error is one of this process or the API
// server, not of the hook.
func (c Config) execHook(ctx context.Context, pod corev1.Pod, a hook.Action) (problem string, err error) {
	if a.Problem != "" {
		return a.Problem, nil
	}
	var result coffer.ExecResult
	began, pause := c.Now(), c.RetryPause
	for attempt := 1; ; attempt++ {
		result, err = c.Cluster.Exec(ctx, coffer.Exec{
			Namespace: pod.Namespace, Pod: pod.Name, Container: a.Container, Command: a.Command, Timeout: a.Timeout,
		})
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if coffer.Final(err) || attempt == execRetries {
			return fmt.Sprintf("%s could not be started: %v", commandLine(a.Command), err), nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
	output := ""
	if trimmed := strings.TrimSpace(result.Output); trimmed != "" {
		output = fmt.Sprintf("; it printed: %s", trimmed)
	}
	c.Log.Info("hook ran", "hook", a.Hook, "pod", pod.Namespace+"/"+pod.Name, "container", a.Container,
		"exitCode", result.ExitCode, "timedOut", result.TimedOut, "took", c.Now().Sub(began))
	switch {
	case result.TimedOut:
		return fmt.Sprintf("%s was still running after its timeout of %s%s", commandLine(a.Command), a.Timeout, output), nil
	case result.ExitCode != 0:
		return fmt.Sprintf("%s exited with code %d%s", commandLine(a.Command), result.ExitCode, output), nil
	}
	return "", nil
}

// commandLine names a command by its program only: arguments may hold secrets.
func commandLine(command []string) string { return fmt.Sprintf("%q", command[0]) }
