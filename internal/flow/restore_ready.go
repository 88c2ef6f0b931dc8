package flow

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/readiness"
)

// awaitReady waits until the restored workloads do what they are there for, and says of each that does not in time why.
// Objects that were created are no application that works.
func (r *restore) awaitReady(ctx context.Context) error {
	limit := r.WorkloadTimeout
	if asked := r.object.Spec.ReadyTimeout; asked != nil {
		limit = asked.Duration
	}
	if limit == 0 || r.object.Status.ReadyTime != nil {
		return nil
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	w := readyWait{restore: r, lists: r.workloadLists()}
	all, err := w.wait(ctx, limit)
	if err != nil {
		return err
	}
	if all {
		now := metav1.NewTime(r.Now())
		r.update(func() { r.object.Status.ReadyTime = &now })
		return r.save(ctx)
	}
	return w.report(ctx, limit)
}

// readyWait is one pass of waiting.
type readyWait struct {
	*restore
	lists []workloadList
	// waiting are those that were not ready when they were last looked at.
	waiting []foundWorkload
}

// workloadList is what one LIST is done for: the restored workloads of one type in one namespace.
type workloadList struct {
	kind      coffer.ResourceType
	namespace string
	names     map[string]bool
}

// foundWorkload is a restored workload as it is in the cluster.
type foundWorkload struct {
	readiness.Workload
	target coffer.ObjectRef
}

// eachWorkload calls visit for each restored workload of the lists that is there.
func (r *restore) eachWorkload(ctx context.Context, lists []workloadList, visit func(foundWorkload)) error {
	for _, l := range lists {
		err := r.Cluster.List(ctx, l.kind, l.namespace, func(page coffer.Page) error {
			for _, raw := range page.Items {
				w, err := readiness.Read(l.kind, raw)
				if err != nil {
					return err
				}
				if l.names[w.Name] {
					visit(foundWorkload{w, coffer.ObjectRef{GroupResource: l.kind.GroupResource, Namespace: w.Namespace, Name: w.Name}})
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// podsBeside are the pods of the namespaces of some workloads, by namespace: they tell why one is not ready.
func (r *restore) podsBeside(ctx context.Context, workloads []foundWorkload) (map[string][]corev1.Pod, error) {
	pods := map[string][]corev1.Pod{}
	for _, w := range workloads {
		if _, known := pods[w.Namespace]; known {
			continue
		}
		found, err := list[corev1.Pod](ctx, r.Cluster, podType, w.Namespace)
		if err != nil {
			return nil, err
		}
		pods[w.Namespace] = found
	}
	return pods, nil
}

func (r *restore) workloadLists() []workloadList {
	at := map[string]int{}
	var lists []workloadList
	for _, s := range r.plan.Steps {
		if !s.Writes() || s.Type.Resource == "" || !readiness.IsWorkload(s.Target.GroupResource) {
			continue
		}
		key := s.Target.GroupResource.String() + "/" + s.Target.Namespace
		i, known := at[key]
		if !known {
			i = len(lists)
			at[key] = i
			lists = append(lists, workloadList{kind: s.Type, namespace: s.Target.Namespace, names: map[string]bool{}})
		}
		lists[i].names[s.Target.Name] = true
	}
	return lists
}

// wait answers whether all were ready within the limit. Looking at them takes at most a tenth of the time.
func (w *readyWait) wait(ctx context.Context, limit time.Duration) (bool, error) {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		began := w.Now()
		if err := w.look(ctx); err != nil {
			return false, err
		}
		if err := w.save(ctx); err != nil {
			return false, err
		}
		if len(w.waiting) == 0 {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-deadline.C:
			return false, nil
		case <-time.After(max(time.Second, 9*w.Now().Sub(began))):
		}
	}
}

// look finds those that are not ready. Lists in which all were ready before are looked at again: readiness comes and goes.
func (w *readyWait) look(ctx context.Context) error {
	w.waiting = nil
	total, ready := 0, 0
	err := w.eachWorkload(ctx, w.lists, func(found foundWorkload) {
		if total++; found.Ready {
			ready++
		} else {
			w.waiting = append(w.waiting, found)
		}
	})
	if err != nil {
		return err
	}
	w.update(func() {
		w.object.Status.Progress.WorkloadsTotal, w.object.Status.Progress.WorkloadsReady = total, ready
	})
	return nil
}

// report says of each workload that is not ready why, by the pods of its namespace.
func (w *readyWait) report(ctx context.Context, limit time.Duration) error {
	pods, err := w.podsBeside(ctx, w.waiting)
	if err != nil {
		return err
	}
	slices.SortFunc(w.waiting, func(a, b foundWorkload) int {
		return slices.Compare([]string{a.target.Namespace, a.target.String()}, []string{b.target.Namespace, b.target.String()})
	})
	for _, workload := range w.waiting {
		w.warn(coffer.CodeWorkloadNotReady, workload.target.String(),
			fmt.Sprintf("it was not ready after %s: %s", limit, workload.Why(pods[workload.Namespace])))
	}
	return w.save(ctx)
}
