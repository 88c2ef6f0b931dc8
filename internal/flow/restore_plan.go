package flow

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
)

// makePlan makes the plan, stores it, and refuses it if it is not what was asked for: nothing has been restored by then.
// From here on the run goes by what is stored.
func (r *restore) makePlan(ctx context.Context) error {
	if err := r.read(ctx); err != nil {
		return err
	}
	for _, w := range r.unmatched {
		r.warn(coffer.CodeNothingMatches, w.Subject, w.Message)
	}
	have, err := r.takeInventory(ctx, r.draft)
	if err != nil {
		return err
	}
	r.plan = r.draft.Against(have)
	if r.plan.Changes, err = r.plannedChanges(ctx); err != nil {
		return err
	}
	named, err := r.storePlan(ctx)
	if err != nil {
		return err
	}
	// The draft is as large as the plan.
	r.planned, r.draft = true, plan.Plan{}
	r.update(func() { r.object.Status.Plan = &named })
	r.Log.Info("plan made", "digest", named.Digest, "location", named.StorageLocation, "key", named.Key, "steps", planText(r.plan))
	r.warnOfPlan()
	return r.checkPlan(ctx, named)
}

// storePlan stores the plan that was made. An earlier process of the run may have stored it already, or another one, which
// nobody goes by: nothing has been restored before the status names the plan.
func (r *restore) storePlan(ctx context.Context) (v1alpha1.RestorePlan, error) {
	record, digest, err := EncodePlan(r.manifest.Name, r.object.Status.ManifestDigest, r.plan, r.items)
	if err != nil {
		return v1alpha1.RestorePlan{}, err
	}
	at, err := r.openRecords(ctx)
	if coffer.Final(err) {
		r.warn(coffer.CodePlanNotStored, "", "the plan is not stored, for there is no location to write it to: "+err.Error())
		return v1alpha1.RestorePlan{Digest: digest, Counts: planCounts(r.plan)}, nil
	}
	if err != nil {
		return v1alpha1.RestorePlan{}, err
	}
	key := at.layout.Plan(digest)
	err = at.put(ctx, key, record)
	if errors.Is(err, coffer.ErrBlobExists) {
		err = r.mustBeStored(ctx, at, key, digest)
	}
	if err != nil {
		return v1alpha1.RestorePlan{}, fmt.Errorf("store the plan: %w", err)
	}
	return v1alpha1.RestorePlan{Digest: digest, StorageLocation: at.location.Name, Key: key, Counts: planCounts(r.plan)}, nil
}

func (r *restore) readPlan(ctx context.Context, at *records, key string) (p plan.Plan, digest string, err error) {
	err = readRecord(ctx, at.location.Container, key, at.keys, func(in io.Reader) (err error) {
		p, digest, err = r.decodePlan(in)
		return err
	})
	if coffer.Final(err) {
		err = coffer.Errorf(coffer.CodePlanChanged, "the stored plan %s is refused: %w", key, err).WithHint("make another restore")
	}
	return p, digest, err
}

// prepare makes sure that the recovery point was read and verified, and that the plan is at hand: in a process that takes
// over, the one that is stored.
func (r *restore) prepare(ctx context.Context) error {
	if r.planned {
		return nil
	}
	if err := r.read(ctx); err != nil {
		return err
	}
	named := r.object.Status.Plan
	if named == nil || named.Key == "" {
		// What its predecessor knew to exist is not known any more, and what exists now may be that one's work: whatever is
		// in place is met by its policy.
		r.plan, r.planned = r.draft, true
		return nil
	}
	at, err := r.openStored(ctx, *named)
	if err != nil {
		return err
	}
	stored, digest, err := r.readPlan(ctx, at, named.Key)
	if err != nil {
		return err
	}
	if digest != named.Digest {
		return altered(named.Key, digest, named.Digest)
	}
	r.plan, r.planned = stored, true
	return nil
}

// mustBeStored refuses a stored plan that is not the one with the digest.
func (r *restore) mustBeStored(ctx context.Context, at *records, key, want string) error {
	_, digest, err := r.readPlan(ctx, at, key)
	if err == nil && digest != want {
		err = altered(key, digest, want)
	}
	return err
}

func altered(key, digest, want string) error {
	return coffer.Errorf(coffer.CodePlanChanged, "the stored plan %s was altered: its digest is %s, and was %s", key, digest, want).
		WithHint("make another restore")
}

// checkPlan refuses a plan that is not to be carried out.
func (r *restore) checkPlan(ctx context.Context, named v1alpha1.RestorePlan) error {
	if want := r.object.Spec.PlanDigest; want != "" && want != named.Digest {
		changes, err := r.planChanges(ctx, want)
		if err != nil {
			return err
		}
		return coffer.Errorf(coffer.CodePlanChanged, "nothing was restored: the plan is %s, and %s was agreed to: %s", named.Digest, want, changes).
			WithHint("look at the new plan, and name it in planDigest of another restore")
	}
	conflicts := r.plan.Conflicts()
	if r.object.Spec.PlanOnly {
		if conflicts != nil {
			r.warn(coffer.CodeObjectsExist, "", conflicts.Error())
		}
		return nil
	}
	if conflicts == nil && named.Key == "" && named.Counts.Replace > 0 {
		return coffer.Errorf(coffer.CodePlanNotStored, "nothing was restored: %d objects would be replaced, and a plan that deletes is only carried out if it is stored", named.Counts.Replace).
			WithHint("make a BackupStorageLocation that this cluster may write to; or choose conflictPolicy Skip or Patch")
	}
	return conflicts
}

// warnOfPlan tells what of the plan the user has to know: of a volume each, of the rest each type and reason once.
func (r *restore) warnOfPlan() {
	type kind struct {
		code   coffer.Code
		of     coffer.GroupResource
		reason string
	}
	count := map[kind]int{}
	for _, s := range r.plan.Steps {
		count[kind{s.Warning, s.Target.GroupResource, s.Reason}]++
	}
	for _, s := range r.plan.Steps {
		k := kind{s.Warning, s.Target.GroupResource, s.Reason}
		n := count[k]
		switch {
		case s.Warning == "" || n == 0:
		case n == 1 || s.Warning == coffer.CodeVolumeRestoredEmpty:
			r.warn(s.Warning, s.Target.String(), s.Reason)
		default:
			r.warn(s.Warning, fmt.Sprintf("%s and %d more", s.Target, n-1), s.Reason)
			count[k] = 0
		}
	}
}
