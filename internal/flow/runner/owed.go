package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// maxOwed is how many deletions a cluster is told of at a time.
const maxOwed = 20

// owing are the clusters that have something to delete, of those that are linked here and are not looked at for their jobs.
func (r *Runner) owing(ctx context.Context, linked map[string]bool, open []catalogue.ID) (some []catalogue.ID, err error) {
	all, err := r.Jobs.Owing(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range all {
		if linked[id.Key()] && !slices.ContainsFunc(open, id.Is) {
			some = append(some, id)
		}
	}
	return some, nil
}

// deletions has a cluster delete what expired: each by a run of its own, tried again for as long as it takes.
func (r *Runner) deletions(ctx context.Context, id catalogue.ID, session catalogue.ClusterSession) error {
	owed, err := r.Jobs.Deletions(ctx, id, maxOwed)
	if err != nil {
		return err
	}
	var failed error
	for _, d := range owed {
		// One that cannot be read does not keep the others.
		if err := r.pay(ctx, session, d); err != nil {
			failed = errors.Join(failed, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// pay sees to it that there is a run for a deletion, reads it, and writes what became of it.
func (r *Runner) pay(ctx context.Context, session catalogue.ClusterSession, d catalogue.Deletion) error {
	work, err := vault.ReadOwed(d)
	if err != nil {
		return r.Jobs.Postpone(ctx, d, err)
	}
	if work.ClusterUID != "" && !strings.EqualFold(work.ClusterUID, session.Info().UID) {
		return r.Jobs.Postpone(ctx, d, errors.New("the cluster that it is in has left, and another one has joined under its id"))
	}
	if err := r.Jobs.Trusted(ctx, d.Vault, d.Cluster); err != nil {
		return r.postpone(ctx, d, err)
	}
	runs, name := r.Jobs.Runs(session, work.Identity), expiryName(d)
	run, err := runs.Create(ctx, job.DeleteBackup, name, work.Spec(d.Point))
	if err != nil {
		return r.postpone(ctx, d, err)
	}
	gone := run.Phase.Succeeded() || run.Phase.Final() && run.Reason == string(coffer.CodeBackupNotFound)
	switch {
	case !run.Phase.Final() && r.now().Sub(run.Created) < job.PickUpTime:
		return nil
	case !run.Phase.Final():
		// It goes on, and is looked at less often, so that others have their turn.
		return r.Jobs.Postpone(ctx, d, fmt.Errorf("the run %s has not ended since %s", name, run.Created.UTC().Format(time.RFC3339)))
	case gone:
		err = r.Jobs.Deleted(ctx, d)
	default:
		err = r.Jobs.Postpone(ctx, d, errors.New(run.Message))
	}
	if err != nil {
		return err
	}
	// The next try is a run of its own. One that is left is swept later.
	if err := runs.Delete(ctx, job.DeleteBackup, name); err != nil {
		r.Log.Info("a run object is left", "run", name, "error", err)
	}
	return nil
}

// postpone writes down what a cluster, or the catalogue, says against a deletion. What has no code is of the link: the cluster is as good as away.
func (r *Runner) postpone(ctx context.Context, d catalogue.Deletion, err error) error {
	if _, ok := errors.AsType[*coffer.Error](err); !ok {
		return err
	}
	return r.Jobs.Postpone(ctx, d, err)
}

// expiryName is the name of the run that deletes a recovery point that has expired.
func expiryName(d catalogue.Deletion) string {
	sum := sha256.Sum256([]byte(d.Instance.Key() + " " + d.Point))
	return "expire-" + hex.EncodeToString(sum[:12])
}
