package flow

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
)

// presentSnapshots makes the snapshots of the plan's claims usable in their namespaces, and waits for that: a claim
// that is made before its snapshot is ready waits for the provisioner's back-off.
//
// A snapshot that does not become usable is a warning, and its claim is made all the same: it stays pending, visibly.
// Left out, a StatefulSet would make an empty one in its place, and a database would start without its data. A claim that exists
// is not replaced by such a one.
func (a *application) presentSnapshots(ctx context.Context) error {
	wanted, err := a.wantedSnapshots(ctx)
	if err != nil || len(wanted) == 0 {
		return err
	}
	a.snapshots = make(map[string]string, len(wanted))
	names := make([]string, len(wanted))
	calls, callCtx := errgroup.WithContext(ctx)
	calls.SetLimit(parallelCalls)
	for at, i := range wanted {
		s := a.step(i)
		calls.Go(func() (err error) {
			names[at], err = a.Snapshots.Present(callCtx, coffer.PresentRequest{
				Name: requestName(*s.Volume), Namespace: s.Target.Namespace,
				Driver: s.Volume.Driver, Handle: s.Volume.Handle, VolumeMode: s.Volume.VolumeMode, Run: a.run(),
			})
			return err
		})
	}
	if err := calls.Wait(); err != nil {
		return err
	}
	for at, i := range wanted {
		a.snapshots[snapshotKey(*a.step(i).Volume)] = names[at]
	}
	return a.awaitPresented(ctx, wanted)
}

// wantedSnapshots are the steps that restore a volume, but for claims that are left untouched.
func (a *application) wantedSnapshots(ctx context.Context) ([]int, error) {
	existing, err := a.claims(ctx)
	if err != nil {
		return nil, err
	}
	var wanted []int
	for i, s := range a.plan.Steps {
		if !s.RestoresData() {
			continue
		}
		claim, exists := existing[s.Target.Namespace+"/"+s.Target.Name]
		mine := exists && a.restoredBy(claim, *s.Volume)
		replaced := s.Action == plan.Replace && string(claim.UID) == s.UID
		if exists && !mine && !replaced && claim.DeletionTimestamp == nil {
			a.left(i, coffer.CodeVolumeRestoredEmpty,
				"changed meanwhile: the claim exists, and its volume was left untouched: delete the claim to have the data of the recovery point")
			continue
		}
		wanted = append(wanted, i)
	}
	return wanted, nil
}

// restoredBy says whether a claim is one that this run created for a volume.
func (r *restore) restoredBy(claim corev1.PersistentVolumeClaim, v coffer.Volume) bool {
	source := claim.Spec.DataSource
	return source != nil && source.Kind == "VolumeSnapshot" && source.Name == r.Snapshots.PresentedName(r.run(), requestName(v))
}

// claims are those in the namespaces of the plan, by NAMESPACE/NAME.
func (r *restore) claims(ctx context.Context) (map[string]corev1.PersistentVolumeClaim, error) {
	return r.claimsIn(ctx, r.plan.Namespaces)
}

// claimsIn are those in some namespaces, by NAMESPACE/NAME; an empty namespace is all.
func (r *restore) claimsIn(ctx context.Context, namespaces []string) (map[string]corev1.PersistentVolumeClaim, error) {
	found := map[string]corev1.PersistentVolumeClaim{}
	for _, namespace := range namespaces {
		claims, err := list[corev1.PersistentVolumeClaim](ctx, r.Cluster, claimType, namespace)
		if err != nil {
			return nil, err
		}
		for _, c := range claims {
			found[c.Namespace+"/"+c.Name] = c
		}
	}
	return found, nil
}

func (a *application) awaitPresented(ctx context.Context, wanted []int) error {
	var states map[string]coffer.SnapshotState
	_, err := poll(ctx, a.CutTimeout, func(ctx context.Context) (bool, error) {
		found, err := a.Snapshots.Observe(ctx, a.run())
		if err != nil {
			return false, err
		}
		states = map[string]coffer.SnapshotState{}
		ready := 0
		for _, s := range found {
			states[s.Namespace+"/"+s.Request] = s
			if s.Ready {
				ready++
			}
		}
		return ready >= len(wanted), nil
	})
	if err != nil {
		return err
	}
	for _, i := range wanted {
		s := a.step(i)
		state := states[s.Target.Namespace+"/"+requestName(*s.Volume)]
		problem := fmt.Sprintf("snapshot %s of CSI driver %s is not usable: %s", s.Volume.Handle, s.Volume.Driver, orSilence(state.Problem))
		switch {
		case state.Ready:
		case s.Action == plan.Replace:
			a.unusable[i] = problem
		default:
			a.warn(coffer.CodeVolumePending, s.Target.String(), problem+"; the claim stays pending rather than empty")
		}
	}
	return nil
}

func orSilence(problem string) string {
	if problem == "" {
		return "the driver said nothing"
	}
	return problem
}

// unusedGrace is how long a claim whose class waits for a pod is waited for when no pod mentions it.
const unusedGrace = 30 * time.Second

// awaitVolumes waits until the restored claims are bound to volumes with their data. One that no pod uses, of a class
// that waits for a pod, stays pending by design: its snapshot objects are kept for that day.
func (r *restore) awaitVolumes(ctx context.Context) error {
	pending, err := r.awaitBound(ctx)
	if err != nil {
		return err
	}
	for _, s := range pending {
		r.warn(coffer.CodeVolumePending, s.Target.String(), fmt.Sprintf(
			"the claim is not bound yet; its data is in VolumeSnapshot %s, which is kept until then: `kubectl describe pvc -n %s %s` says what it waits for",
			r.Snapshots.PresentedName(r.run(), requestName(*s.Volume)), s.Target.Namespace, s.Target.Name))
	}
	if err := r.warnOfForeign(ctx); err != nil {
		return err
	}
	return r.save(ctx)
}

// awaitBound waits for the claims, and answers those that are not bound.
func (r *restore) awaitBound(ctx context.Context) (pending []restoredClaim, err error) {
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	began := r.Now()
	_, err = poll(ctx, r.BindTimeout, func(ctx context.Context) (bool, error) {
		var err error
		pending, err = r.pendingVolumes(ctx)
		if err != nil || len(pending) == 0 {
			return true, err
		}
		if r.Now().Sub(began) < unusedGrace {
			return false, nil
		}
		used, err := r.inUse(ctx, pending)
		return len(used) == 0, err
	})
	return pending, err
}

// restoredClaim is a claim that this run has created for a volume.
type restoredClaim struct {
	plan.Step
	claim corev1.PersistentVolumeClaim
}

func (c restoredClaim) bound() bool { return c.claim.Status.Phase == corev1.ClaimBound }

// class is its own: that of the recovery point may have been mapped to it.
func (c restoredClaim) class() string {
	if c.claim.Spec.StorageClassName == nil {
		return ""
	}
	return *c.claim.Spec.StorageClassName
}

// restoredClaims are those that are there, in the order of the plan.
func (r *restore) restoredClaims(ctx context.Context) ([]restoredClaim, error) {
	claims, err := r.claims(ctx)
	if err != nil {
		return nil, err
	}
	var restored []restoredClaim
	for _, s := range r.plan.Steps {
		if !s.RestoresData() {
			continue
		}
		claim, exists := claims[s.Target.Namespace+"/"+s.Target.Name]
		if exists && r.restoredBy(claim, *s.Volume) {
			restored = append(restored, restoredClaim{s, claim})
		}
	}
	return restored, nil
}

// pendingVolumes are the claims created by this run that are not bound, and counts those that are.
func (r *restore) pendingVolumes(ctx context.Context) ([]restoredClaim, error) {
	all, err := r.restoredClaims(ctx)
	if err != nil {
		return nil, err
	}
	pending := slices.DeleteFunc(slices.Clone(all), restoredClaim.bound)
	r.update(func() { r.object.Status.Progress.VolumesBound = len(all) - len(pending) })
	return pending, nil
}

// inUse are the pending claims that may still be bound by themselves: their class binds at once, or a pod mentions them.
func (r *restore) inUse(ctx context.Context, pending []restoredClaim) (used []restoredClaim, err error) {
	classes, err := list[storagev1.StorageClass](ctx, r.Cluster, classType, "")
	if err != nil {
		return nil, err
	}
	waits := map[string]bool{}
	for _, c := range classes {
		waits[c.Name] = c.VolumeBindingMode != nil && *c.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
	}
	mentioned := map[string]bool{}
	for _, namespace := range r.plan.Namespaces {
		pods, err := list[corev1.Pod](ctx, r.Cluster, podType, namespace)
		if err != nil {
			return nil, err
		}
		for _, pod := range pods {
			for _, v := range pod.Spec.Volumes {
				if v.PersistentVolumeClaim != nil {
					mentioned[pod.Namespace+"/"+v.PersistentVolumeClaim.ClaimName] = true
				}
			}
		}
	}
	for _, s := range pending {
		if !waits[s.class()] || mentioned[s.Target.Namespace+"/"+s.Target.Name] {
			used = append(used, s)
		}
	}
	return used, nil
}

// releaseSnapshots removes the snapshot objects of this run, but for those that a pending claim still needs.
func (r *restore) releaseSnapshots(ctx context.Context) error {
	needed, err := r.neededSnapshots(ctx)
	if err != nil {
		return err
	}
	free := func(s coffer.SnapshotState) bool {
		return !needed[s.Namespace+"/"+r.Snapshots.PresentedName(r.run(), s.Request)]
	}
	err = pollUntil(ctx, r.CutTimeout, "remove the VolumeSnapshot objects", func(ctx context.Context) (bool, error) {
		return r.Snapshots.Release(ctx, r.run(), free)
	})
	if coffer.CodeOf(err) == coffer.CodeSnapshotAPIUnavailable {
		return nil
	}
	return err
}

// neededSnapshots are the snapshots that claims which are not bound name as their source, by NAMESPACE/NAME. It needs
// nothing of the recovery point, so that it works after any failure.
func (r *restore) neededSnapshots(ctx context.Context) (map[string]bool, error) {
	claims, err := list[corev1.PersistentVolumeClaim](ctx, r.Cluster, claimType, "")
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{}
	for _, c := range claims {
		if c.Spec.DataSource != nil && c.Status.Phase != corev1.ClaimBound {
			needed[c.Namespace+"/"+c.Spec.DataSource.Name] = true
		}
	}
	return needed, nil
}
