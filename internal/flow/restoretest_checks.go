package flow

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/check"
)

const (
	// askLimit is how long one request may take at least, where the check may be tried for longer: one that hangs is given up
	// for another. A command has all the time, for it may be at work.
	askLimit = 30 * time.Second
	// maxExcerpt bounds what is kept of an answer.
	maxExcerpt = 600
)

var secretType = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "secrets"}, Version: "v1", Kind: "Secret", Namespaced: true}

// runChecks makes the checks that were not made yet, each to its end: that one does not hold says nothing of the others.
func (t *restoreTest) runChecks(ctx context.Context) error {
	if err := t.prepare(ctx); err != nil {
		return err
	}
	checks := t.test.Spec.Checks
	for _, c := range checks[min(len(t.test.Status.Checks), len(checks)):] {
		result, err := t.runCheck(ctx, c)
		if err != nil {
			return err
		}
		if !result.Passed {
			t.warn(coffer.CodeRestoreCheckFailed, "check "+c.Name, result.Message)
		}
		t.update(func() { t.test.Status.Checks = append(t.test.Status.Checks, result) })
		if err := t.save(ctx); err != nil {
			return err
		}
	}
	if len(checks) > 0 && len(t.test.Status.Failures) == 0 {
		now := metav1.NewTime(t.Now())
		t.update(func() { t.test.Status.ChecksPassedTime = &now })
	}
	return nil
}

// runCheck tries a check until it holds or its time is over.
func (t *restoreTest) runCheck(ctx context.Context, c v1alpha1.RestoreCheck) (v1alpha1.RestoreCheckStatus, error) {
	result := v1alpha1.RestoreCheckStatus{Name: c.Name}
	namespace := t.request.Mappings[c.Namespace]
	began, limit := t.Now(), check.Timeout(c)
	problem := ""
	passed, err := poll(ctx, limit, func(ctx context.Context) (bool, error) {
		result.Attempts++
		left := max(time.Second, limit-t.Now().Sub(began))
		var err error
		problem, err = t.attempt(ctx, c, namespace, left)
		return err == nil && problem == "", err
	})
	if err != nil {
		return result, err
	}
	result.Passed, result.Seconds = passed, int(t.Now().Sub(began).Seconds())
	if passed {
		return result, nil
	}
	secrets, err := t.secretValues(ctx, namespace)
	if err != nil {
		return result, err
	}
	result.Message = check.Masker(secrets)(problem, maxExcerpt)
	return result, nil
}

// attempt makes a check once, and answers why it does not hold. What goes wrong on the way to the answer is such a reason too: only
// the end of this process is an error.
func (t *restoreTest) attempt(ctx context.Context, c v1alpha1.RestoreCheck, namespace string, limit time.Duration) (problem string, err error) {
	if in := check.Pod(c); in != nil {
		problem, err = t.attemptIn(ctx, *in, c, namespace, limit)
	} else {
		var answer coffer.Answer
		answer, err = t.Cluster.Ask(ctx, coffer.Ask{
			Namespace: namespace, Service: c.HTTP.Service, Pod: c.HTTP.Pod, Port: c.HTTP.Port, TLS: c.HTTP.Scheme == "https",
			Path: pathOf(*c.HTTP), Timeout: min(limit, max(askLimit, limit/2)),
		})
		if err == nil {
			problem = check.Answered(*c.HTTP, answer.Status, answer.Body)
		}
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return err.Error(), nil //nolint:nilerr // It is why the check does not hold.
	}
	return problem, nil
}

func pathOf(h v1alpha1.HTTPCheck) string {
	if h.Path == "" {
		return "/"
	}
	return h.Path
}

func (t *restoreTest) attemptIn(ctx context.Context, in v1alpha1.CheckedPod, c v1alpha1.RestoreCheck, namespace string, limit time.Duration) (problem string, err error) {
	pods, err := list[corev1.Pod](ctx, t.Cluster, podType, namespace)
	if err != nil {
		return "", err
	}
	pod, container, problem := check.Choose(in, pods)
	if problem != "" {
		return problem, nil
	}
	result, err := t.Cluster.Exec(ctx, coffer.Exec{Namespace: namespace, Pod: pod.Name, Container: container, Command: check.Command(c), Timeout: limit})
	if err != nil {
		return "", err
	}
	return check.Ran(c, result, limit), nil
}

// secretValues are the values of the Secrets of a namespace, as they are and as they are written down.
func (t *restoreTest) secretValues(ctx context.Context, namespace string) (values []string, err error) {
	err = t.Cluster.List(ctx, secretType, namespace, func(page coffer.Page) error {
		for _, raw := range page.Items {
			var secret struct {
				Data map[string]string `json:"data"`
			}
			if err := json.Unmarshal(raw, &secret); err != nil {
				return fmt.Errorf("read secrets of namespace %s: %w", namespace, err)
			}
			for _, written := range secret.Data {
				values = append(values, written)
				if value, err := base64.StdEncoding.DecodeString(written); err == nil {
					values = append(values, string(value))
				}
			}
		}
		return nil
	})
	return values, err
}
