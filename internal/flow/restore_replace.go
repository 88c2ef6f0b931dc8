package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
)

// A claim is replaced in an order that keeps data until there is other data in its place:
//
//	verify the recovery point, present the snapshot, wait until it is usable   (before: prepare, presentSnapshots)
//	refuse to delete what would take a claim with it that stays               (protect)
//	refuse to delete a claim that something uses that stays                   (users)
//	refuse to delete what the API server would not take again                 (tryAll)
//	delete the workloads that use the claims, and wait for the end of their pods: the claim would wait for them anyway
//	delete the claims, by their UID, and wait
//	create the claims in their order, and the workloads in theirs              (after: applySteps)
//
// A process that dies on the way leaves fewer objects; the next one finds those that the plan names by UID, and deletes no other.

// room is what is known of the cluster while claims are replaced.
type room struct {
	*application
	*lineage
	// replaced are the steps that delete an object, by its UID.
	replaced map[string]int
	// targets are the steps that replace a claim which is still there, by NAMESPACE/NAME.
	targets map[string]int
	claims  map[string]corev1.PersistentVolumeClaim
	// holders are the VolumeSnapshots that somebody owns.
	holders []holder
	pods    []corev1.Pod
	// tried are the steps of which it was asked whether they can be made again.
	tried map[int]bool
}

// holder is an object that data goes with, and its owners.
type holder struct {
	what, namespace string
	owners          []coffer.OwnerReference
}

// cleared says that what stood in the way of a step was removed by makeRoom.
func (a *application) cleared(i int) bool {
	s := a.step(i)
	return s.Action == plan.Replace && s.Target.GroupResource == claimType.GroupResource
}

// makeRoom deletes the claims that are replaced, and the workloads that use them and are replaced as well. A claim that must not be
// deleted is settled; what else must not be is protected, so that nothing deletes it later either.
func (a *application) makeRoom(ctx context.Context) error {
	r := &room{application: a, replaced: map[string]int{}, targets: map[string]int{}, tried: map[int]bool{}}
	for i, s := range a.plan.Steps {
		if s.Action == plan.Replace && !a.results.settled(i) {
			r.replaced[s.UID] = i
		}
	}
	if len(r.replaced) == 0 {
		return nil
	}
	if err := r.look(ctx); err != nil {
		return err
	}
	var users []int
	for all := false; !all; {
		var err error
		if users, err = r.refuse(ctx); err != nil || len(r.targets) == 0 {
			return err
		}
		if all, err = r.tryAll(ctx, users); err != nil {
			return err
		}
	}
	if err := r.removeAll(ctx, users); err != nil {
		return err
	}
	if err := r.awaitUnused(ctx); err != nil {
		return err
	}
	return r.removeClaims(ctx)
}

// look reads the claims that may be lost and the pods that may use those, and settles the claims for which there is nothing to put
// in their place.
func (r *room) look(ctx context.Context) (err error) {
	namespaces := r.plan.Namespaces
	for _, i := range r.replaced {
		if r.step(i).Target.Namespace == "" {
			// It may own claims anywhere.
			namespaces = []string{""}
		}
	}
	if r.claims, err = r.claimsIn(ctx, namespaces); err != nil {
		return err
	}
	if r.lineage, err = newLineage(ctx, r.Cluster); err != nil {
		return err
	}
	if err := r.readSnapshots(ctx, namespaces); err != nil {
		return err
	}
	for uid, i := range r.replaced {
		s := r.step(i)
		if s.Target.GroupResource != claimType.GroupResource {
			continue
		}
		claim, exists := r.claims[s.Target.Namespace+"/"+s.Target.Name]
		there := exists && string(claim.UID) == uid
		switch problem := r.unusable[i]; {
		case there && s.Volume == nil:
			r.left(i, coffer.CodeVolumeRestoredEmpty, "the claim was left as it is: the restore has no data to put in the place of its volume's")
		case there && problem != "":
			r.failed(i, errors.New(problem+"; the claim and its data were left as they are"))
		case there:
			r.targets[s.Target.Namespace+"/"+s.Target.Name] = i
		case problem != "":
			r.warn(coffer.CodeVolumePending, s.Target.String(), problem+"; the claim stays pending rather than empty")
		}
	}
	return r.readPods(ctx)
}

// readSnapshots reads the VolumeSnapshots that somebody owns: with them goes the data behind them.
func (r *room) readSnapshots(ctx context.Context, namespaces []string) error {
	for _, t := range r.types {
		if t.GroupResource != snapshotsOfVolumes {
			continue
		}
		for _, namespace := range namespaces {
			err := r.Cluster.ListMetadata(ctx, t, namespace, func(page coffer.Page) error {
				for _, raw := range page.Items {
					h, err := coffer.DecodeHeader(raw)
					if err != nil {
						return fmt.Errorf("read %s: %w", t.GroupResource, err)
					}
					if m := h.Metadata; len(m.OwnerReferences) > 0 {
						r.holders = append(r.holders, holder{"VolumeSnapshot " + m.Namespace + "/" + m.Name + " and its data", m.Namespace, m.OwnerReferences})
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// readPods reads the pods that may use a claim which is replaced.
func (r *room) readPods(ctx context.Context) error {
	var namespaces []string
	for _, i := range r.targets {
		namespaces = append(namespaces, r.step(i).Target.Namespace)
	}
	slices.Sort(namespaces)
	r.pods = nil
	for _, namespace := range slices.Compact(namespaces) {
		pods, err := list[corev1.Pod](ctx, r.Cluster, podType, namespace)
		if err != nil {
			return err
		}
		for _, pod := range pods {
			// A pod that has ended does not keep its claims.
			if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed && len(r.used(&pod)) > 0 {
				r.pods = append(r.pods, pod)
			}
		}
	}
	return nil
}

// used are the claims that are replaced and that a pod uses.
func (r *room) used(pod *corev1.Pod) (claims []string) {
	for _, v := range pod.Spec.Volumes {
		name := ""
		switch {
		case v.PersistentVolumeClaim != nil:
			name = v.PersistentVolumeClaim.ClaimName
		case v.Ephemeral != nil:
			name = pod.Name + "-" + v.Name
		}
		if _, replaced := r.targets[pod.Namespace+"/"+name]; replaced {
			claims = append(claims, pod.Namespace+"/"+name)
		}
	}
	return claims
}

// refuse settles what must not be deleted, until nothing more has to be: each refusal may be the reason for another. It answers
// the steps to be deleted before the claims, owners first.
func (r *room) refuse(ctx context.Context) (users []int, err error) {
	for {
		before := len(r.replaced)
		if err := r.protect(ctx); err != nil {
			return nil, err
		}
		if users, err = r.users(ctx); err != nil {
			return nil, err
		}
		for uid, i := range r.replaced {
			if r.results.settled(i) || r.protected[i] != "" {
				delete(r.replaced, uid)
			}
		}
		for name, i := range r.targets {
			if r.results.settled(i) {
				delete(r.targets, name)
			}
		}
		if len(r.replaced) == before {
			return users, nil
		}
	}
}

// tryAll asks the API server whether it would take the claims again and what uses them, and settles what it would not. It answers
// whether it would take all.
func (r *room) tryAll(ctx context.Context, users []int) (all bool, err error) {
	var steps []int
	for _, i := range slices.AppendSeq(slices.Clone(users), maps.Values(r.targets)) {
		if !r.tried[i] {
			r.tried[i] = true
			steps = append(steps, i)
		}
	}
	err = r.eachBody(ctx, steps, func(ctx context.Context, i int, body []byte) error {
		refused, err := r.refusal(ctx, i, body)
		if refused != nil {
			r.failed(i, refused)
		}
		return err
	})
	return !slices.ContainsFunc(steps, r.results.settled), err
}

// keep refuses to delete what a step replaces.
func (r *room) keep(i int, what string) {
	if r.protected[i] == "" {
		r.protected[i] = fmt.Sprintf("it was left as it is: to delete it would delete %s as well; choose policy Replace for both, or for none", what)
	}
}

// protect refuses to delete what owns an object that stays: Kubernetes would collect that.
func (r *room) protect(ctx context.Context) error {
	for _, s := range r.plan.Steps {
		if s.Action != plan.Patch && !s.Existing() {
			continue
		}
		for _, o := range r.items[s.Item].Owners {
			if at, planned := r.byUID[o.UID]; planned && r.step(at).Action == plan.Replace {
				r.keep(at, fmt.Sprintf("%s, which stays", s.Target))
			}
		}
	}
	holders := slices.Clone(r.holders)
	for name, claim := range r.claims {
		if _, replaced := r.targets[name]; !replaced {
			holders = append(holders, holder{"claim " + name + " and its data", claim.Namespace, ownersOf(claim.OwnerReferences)})
		}
	}
	for _, h := range holders {
		owners, _, err := r.ancestors(ctx, h.namespace, h.owners)
		if err != nil {
			return err
		}
		for _, i := range owners {
			r.keep(i, h.what)
		}
	}
	return nil
}

// users are the steps that delete what uses the claims, owners first. A claim that something else uses is refused.
func (r *room) users(ctx context.Context) ([]int, error) {
	var users []int
	for _, pod := range r.pods {
		owners, leaving, err := r.ancestors(ctx, pod.Namespace, []coffer.OwnerReference{r.pod(&pod)})
		if err != nil {
			return nil, err
		}
		slices.Reverse(owners)
		for _, i := range owners {
			if !slices.Contains(users, i) {
				users = append(users, i)
			}
		}
		if len(owners) > 0 || leaving || pod.DeletionTimestamp != nil {
			continue
		}
		for _, name := range r.used(&pod) {
			r.failed(r.targets[name], fmt.Errorf(
				"the claim and its data were left as they are: pod %s uses it, and is not replaced by this restore; delete the pod or what makes it, or choose policy Replace for that as well", pod.Name))
		}
	}
	return users, nil
}

// ancestors are the steps that replace one of these owners or one of theirs, the nearest first. leaving says that one of them is
// gone, so that what it owned will be.
func (r *room) ancestors(ctx context.Context, namespace string, owners []coffer.OwnerReference) (steps []int, leaving bool, err error) {
	leaving, err = r.each(ctx, namespace, owners, func(o coffer.OwnerReference) bool {
		if i, replaced := r.replaced[o.UID]; replaced && !r.results.settled(i) && r.protected[i] == "" {
			steps = append(steps, i)
		}
		return true
	})
	return steps, leaving, err
}

// removeAll deletes what uses the claims. What cannot be deleted keeps its claims.
func (r *room) removeAll(ctx context.Context, users []int) error {
	for _, i := range users {
		if _, err := r.remove(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// awaitUnused waits until no pod uses the claims any more. A claim that one still uses is left.
func (r *room) awaitUnused(ctx context.Context) error {
	limit := r.TerminationTimeout
	for _, pod := range r.pods {
		if grace := pod.Spec.TerminationGracePeriodSeconds; grace != nil {
			limit = max(limit, time.Duration(min(*grace, int64(maxGrace/time.Second)))*time.Second+r.TerminationTimeout)
		}
	}
	_, err := poll(ctx, limit, func(ctx context.Context) (bool, error) {
		err := r.readPods(ctx)
		return err == nil && len(r.pods) == 0, err
	})
	if err != nil {
		return err
	}
	for _, pod := range r.pods {
		for _, name := range r.used(&pod) {
			r.failed(r.targets[name], fmt.Errorf(
				"the claim and its data were left as they are: pod %s still used it after %s, although what made the pod was deleted; restore again once it is gone", pod.Name, limit))
		}
	}
	return nil
}

// removeClaims deletes the claims, and waits until they are gone.
func (r *room) removeClaims(ctx context.Context) error {
	m := &meeting{application: r.application, t: claimType}
	for _, i := range r.targets {
		if r.results.settled(i) {
			continue
		}
		gone, err := r.remove(ctx, i)
		if err != nil {
			return err
		}
		if !gone && !r.results.settled(i) {
			m.leaves(i)
		}
	}
	return m.awaitGone(ctx)
}
