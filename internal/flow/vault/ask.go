package vault

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/instance"
	"github.com/coffer-backup/coffer/internal/decide/job"
)

const (
	// defaultPatience is how long a validation is waited for.
	defaultPatience = 45 * time.Second
	// askInterval is how often the cluster is asked whether a validation has ended.
	askInterval = 500 * time.Millisecond
	// tidyTime is how long it may take to remove a validation.
	tidyTime = 5 * time.Second
)

// ValidateBackup answers what would keep an instance from being backed up: first what the catalogue knows, and then what its cluster finds.
// The answer are the cluster's checks. It writes nothing that stays.
func (j *Jobs) ValidateBackup(ctx context.Context, by Caller, id catalogue.ID, body []byte) ([]job.Check, error) {
	c, err := j.Keeper.ValidateBackup(ctx, by, id, body)
	if err != nil {
		return nil, err
	}
	return j.validate(ctx, id.Parent(), c.Cluster, job.ValidateForBackup, v1alpha1.ValidateForBackupSpec{Backup: c.Backup})
}

// ValidateModify is ValidateBackup of an instance that there is. It answers an operation that has ended: clients take nothing else.
func (j *Jobs) ValidateModify(ctx context.Context, by Caller, id catalogue.ID, body []byte) (catalogue.Operation, error) {
	if err := j.Keeper.MustExist(ctx, id); err != nil {
		return catalogue.Operation{}, err
	}
	checks, err := j.ValidateBackup(ctx, by, id, body)
	if err != nil {
		return catalogue.Operation{}, err
	}
	o := j.Keeper.done(by, id, "ValidateForModifyBackup", j.Keeper.now())
	o.Result = facts(Valid(checks))
	return o, j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error { return tx.PutOperation(ctx, o) })
}

// Validation is the answer to a validation that has found nothing to refuse.
type Validation struct {
	arm.OperationJob
	Properties struct {
		Coffer struct {
			Checks []job.Check `json:"checks"`
		} `json:"coffer"`
	} `json:"properties"`
}

// Valid is the answer with checks.
func Valid(checks []job.Check) Validation {
	v := Validation{OperationJob: arm.OperationJob{ObjectType: arm.TypeOperationJob}}
	v.Properties.Coffer.Checks = checks
	return v
}

// ValidateRestore answers what would keep a restore from succeeding, as ValidateBackup does: its target is asked.
func (j *Jobs) ValidateRestore(ctx context.Context, by Caller, id catalogue.ID, body []byte) ([]job.Check, error) {
	restore, err := j.Keeper.ValidateRestore(ctx, by, id, body)
	if err != nil {
		return nil, err
	}
	if restore.Tier != arm.OperationalStore {
		return nil, nil
	}
	return j.validate(ctx, id.Parent(), restore.Target, job.ValidateForRestore,
		v1alpha1.ValidateForRestoreSpec{Restore: restore.Spec(strings.ToLower(restore.Point), cmp.Or(restore.Location, instance.DefaultLocation))})
}

// as is a way to a cluster, and who a vault is there.
type as struct {
	session  catalogue.ClusterSession
	identity string
}

// enter is the way of a vault to a cluster.
func (j *Jobs) enter(ctx context.Context, vault, cluster catalogue.ID) (as, error) {
	r, err := view(ctx, j.Keeper.DB, func(ctx context.Context, v catalogue.View) (catalogue.Resource, error) { return v.Resource(ctx, vault) })
	if err != nil {
		return as{}, err
	}
	session, err := j.session(ctx, cluster)
	return as{session, catalogue.VaultIdentity(r.ID, r.Created.At)}, err
}

// UnlinkedError says that there is no way to a cluster from here. Another replica may have one.
type UnlinkedError struct {
	Cluster catalogue.ID
	// Err has a code.
	Err error
}

// Error implements error.
func (e *UnlinkedError) Error() string { return e.Err.Error() }

// Unwrap is the error with a code.
func (e *UnlinkedError) Unwrap() error { return e.Err }

func (j *Jobs) session(ctx context.Context, cluster catalogue.ID) (catalogue.ClusterSession, error) {
	session, err := j.Clusters.Session(ctx, cluster)
	if coffer.CodeOf(err) == coffer.CodeClusterNotReachable {
		err = &UnlinkedError{Cluster: cluster, Err: err}
	}
	return session, err
}

// validate has a cluster look at a request, waits for what it finds, and removes the question.
func (j *Jobs) validate(ctx context.Context, vault, cluster catalogue.ID, kind job.Kind, spec any) ([]job.Check, error) {
	in, err := j.enter(ctx, vault, cluster)
	if err != nil {
		return nil, err
	}
	runs, name := j.Runs(in.session, in.identity), j.newName()
	waiting, cancel := context.WithTimeout(ctx, cmp.Or(j.Patience, defaultPatience))
	defer cancel()
	run, err := runs.Create(waiting, kind, name, spec)
	if err != nil {
		return nil, err
	}
	defer func() {
		// It goes also when nobody waits for the answer any more. What stays is swept.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
		defer cancel()
		_ = runs.Delete(ctx, kind, name)
	}()
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	for !run.Phase.Final() {
		select {
		case <-waiting.Done():
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, coffer.Errorf(coffer.CodeNotPickedUp, "the Backup extension of %s has not answered for %s", cluster.Name(), cmp.Or(j.Patience, defaultPatience)).
				WithHint("see whether its pods are running, and in the version of this server: coffer cluster show")
		case <-tick.C:
		}
		if run, err = runs.Read(waiting, kind, name); err != nil && waiting.Err() == nil {
			return nil, err
		}
	}
	return run.Checks, failedChecks(run, cluster)
}

// failedChecks is one error for all checks that have failed, or nil.
func failedChecks(run job.Run, cluster catalogue.ID) error {
	if run.Phase.Succeeded() {
		return nil
	}
	failed := coffer.Errorf(coffer.CodeCheckFailed, "the cluster %s refuses: %s", cluster.Name(), cmp.Or(run.Message, "its validation has failed"))
	var said []string
	for _, c := range run.Checks {
		if c.Status != string(v1alpha1.CheckFailed) {
			continue
		}
		text := cmp.Or(c.Message, c.Name+" has failed")
		said = append(said, text)
		if c.Remedy != "" {
			text += "; " + c.Remedy
			failed.Hint = cmp.Or(failed.Hint, c.Remedy)
		}
		failed.Fields = append(failed.Fields, coffer.RefusedField{Path: strings.TrimSuffix(c.Name+" "+c.Resource, " "), Reason: text, Code: coffer.Code(c.Code)})
		if failed.Code == coffer.CodeCheckFailed && foreignCode(c.Code) {
			failed.Code = coffer.Code(c.Code)
		}
	}
	const most = 5
	if len(said) > most {
		said = append(said[:most], "and more")
	}
	if len(said) > 0 {
		failed.Message = "the cluster " + cluster.Name() + " refuses: " + strings.Join(said, "; ")
	}
	return failed
}

// foreignCode says whether a code of a cluster may be that of an answer: none that means something of this server.
func foreignCode(code string) bool {
	switch coffer.Code(code) {
	case coffer.CodeClusterNotReachable, coffer.CodeJobUnderway, coffer.CodeNotCancellable, coffer.CodeBusy, coffer.CodeRestoreNotFound:
		return false
	}
	return strings.HasPrefix(code, "UserError")
}
