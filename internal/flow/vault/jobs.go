package vault

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/instance"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/protection"
	"github.com/coffer-backup/coffer/internal/decide/retention"
	decide "github.com/coffer-backup/coffer/internal/decide/vault"
)

// Jobs begins what is carried out in clusters, keeps what becomes of it, and asks clusters what only they know. It may be used
// concurrently. Every error is one for the client, or has no code.
type Jobs struct {
	Keeper   *Keeper
	Clusters catalogue.Clusters
	// Runs are the run objects of a vault, by its identity, in a cluster.
	Runs func(session catalogue.ClusterSession, identity string) Runs
	// Wake says that there is a new job, or something new to do for one. It does not wait. Nil is nobody who is told.
	Wake func()
	// Patience is how long an answer to a question is waited for that a cluster is asked. Zero is 45 seconds.
	Patience time.Duration
}

// Runs are the run objects of one vault in one cluster. An error with coffer.CodeTrustedAccessMissing says that the vault may not, one
// with coffer.CodeNotFound that there is none of that name, and one that is Transient that the cluster did not answer.
type Runs interface {
	// Create makes a run object, or answers the one of that name that the vault has made before. spec is encoded as JSON.
	Create(ctx context.Context, kind job.Kind, name string, spec any) (job.Run, error)
	Read(ctx context.Context, kind job.Kind, name string) (job.Run, error)
	// Cancel tells a run to end.
	Cancel(ctx context.Context, kind job.Kind, name string) (job.Run, error)
	// Delete removes a run object; one that is not there is removed already.
	Delete(ctx context.Context, kind job.Kind, name string) error
	// List are up to limit run objects of a kind that the vault has made.
	List(ctx context.Context, kind job.Kind, limit int) ([]job.Run, error)
}

const typeJob = typeVault + "/backupJobs"

func (j *Jobs) wake() {
	if j.Wake != nil {
		j.Wake()
	}
}

// Begun is a job that has begun, and the operation by which a client follows the request for it.
type Begun struct {
	Job       catalogue.ID
	Operation catalogue.Operation
}

// protected is an instance that a job may begin for.
type protected struct {
	resource catalogue.Resource
	config   instance.Configuration
	vault    catalogue.Resource
	settings decide.Settings
	policy   retention.Policy
	// keptPolicy is the policy as it is kept.
	keptPolicy catalogue.Resource
}

// readAllowed reads an instance with the record of its protection, and refuses one whose protection does not allow an operation.
func readAllowed(ctx context.Context, v catalogue.View, id catalogue.ID, o protection.Operation) (catalogue.Resource, protection.Record, error) {
	r, err := v.Resource(ctx, id)
	if err != nil {
		return r, protection.Record{}, err
	}
	record, err := ProtectionOf(r)
	if err == nil {
		err = record.Check(id.Name(), o)
	}
	return r, record, err
}

// readProtected is readAllowed with what belongs to the instance.
func readProtected(ctx context.Context, v catalogue.View, id catalogue.ID, o protection.Operation) (p protected, err error) {
	r, _, err := readAllowed(ctx, v, id, o)
	if err != nil {
		return p, err
	}
	return protectedOf(ctx, v, r)
}

// protectedOf is what belongs to an instance.
func protectedOf(ctx context.Context, v catalogue.View, r catalogue.Resource) (protected, error) {
	return newCommons(v).protectedOf(ctx, r)
}

// readPolicy reads a policy, and answers it as it is kept as well.
func readPolicy(ctx context.Context, v catalogue.View, id catalogue.ID) (policy retention.Policy, kept catalogue.Resource, err error) {
	if kept, err = v.Resource(ctx, id); err != nil {
		return policy, kept, err
	}
	body, err := arm.Decode[arm.PolicyResource](kept.Body)
	if err == nil {
		// What is kept was judged when it was sent.
		policy, err = retention.Parse(body.Properties, "properties", retention.Lasting())
	}
	if err != nil {
		return policy, kept, unreadable(id, err)
	}
	return policy, kept, nil
}

// versionOf is the version of a policy as recovery points tell it.
func versionOf(policy catalogue.Resource) string { return strconv.FormatInt(policy.Version, 10) }

// identity is who the vault is in clusters.
func (p protected) identity() string { return catalogue.VaultIdentity(p.vault.ID, p.vault.Created.At) }

// request is what all jobs of an instance have in common.
func (p protected) request(by Caller, operation arm.Word, name string, now time.Time) job.Request {
	return job.Request{
		Name: name, Vault: p.vault.ID, Instance: p.resource.ID, FriendlyName: p.config.FriendlyName, Location: p.settings.Location,
		Source: p.config.Cluster, Target: p.config.Cluster, Policy: p.config.Policy, Operation: operation, Now: now,
		Work: job.Work{
			Identity: p.identity(), By: by.Principal.ObjectID, Name: by.Principal.Name, Request: by.Request, Remote: by.Remote,
		},
	}
}

// start keeps a new job.
func (j *Jobs) start(ctx context.Context, tx catalogue.Tx, r job.Request) error {
	cluster, err := tx.Resource(ctx, r.Target)
	if err != nil {
		return err
	}
	kept, err := j.newJob(ctx, r, cluster)
	if err != nil {
		return err
	}
	return tx.PutJob(ctx, kept)
}

// newJob is a new job in its cluster. Where that cannot be reached, it says at once that it waits, and the runner has nothing to write: whole
// regions are away at times, when thousands of backups begin.
func (j *Jobs) newJob(ctx context.Context, r job.Request, cluster catalogue.Resource) (catalogue.Job, error) {
	kept := catalogue.Job{Vault: r.Vault, Name: r.Name, Instance: r.Instance, Operation: string(r.Operation), Started: r.Now, Cluster: r.Target}
	known, err := ClusterFactsOf(cluster)
	if err != nil {
		return kept, err
	}
	r.Work.ClusterUID = known.ClusterUID
	state := job.Begin(r)
	if known.State != ClusterConnected {
		_, err := j.Clusters.Session(ctx, r.Target)
		if away, ok := errors.AsType[*coffer.Error](err); ok {
			state = state.Wait(away, r.Now)
		}
	}
	return stated(kept, state), nil
}

// begin keeps a new job that somebody has asked for, with its operation and its audit entry.
func (j *Jobs) begin(ctx context.Context, tx catalogue.Tx, by Caller, action string, r job.Request) (Begun, error) {
	if err := j.start(ctx, tx, r); err != nil {
		return Begun{}, err
	}
	id := r.Vault.Child("backupJobs", r.Name)
	operation := j.Keeper.done(by, r.Instance, string(r.Operation), r.Now)
	operation.Result = facts(arm.OperationJob{ObjectType: arm.TypeOperationJob, JobID: string(id)})
	if r.Work.Operation != "" {
		// It ends with the job.
		operation.ID, operation.Status, operation.Ended, operation.Result = r.Work.Operation, catalogue.OperationInProgress, time.Time{}, nil
	}
	operation.Request = by.asked
	if err := tx.PutOperation(ctx, operation); err != nil {
		return Begun{}, err
	}
	entry := by.entry(r.Now, action, r.Instance, http.StatusAccepted)
	entry.After = facts(object{"job": id, "cluster": r.Target, "run": r.Name})
	return Begun{Job: id, Operation: operation}, tx.AppendAudit(ctx, entry)
}

// stated is a job in a state.
func stated(j catalogue.Job, s job.State) catalogue.Job {
	j.Status, j.Body, j.Work = string(s.Body.Status), facts(s.Body), facts(s.Work)
	if s.Ended() {
		j.Ended = *s.Body.EndTime
	}
	return j
}

// Advance changes a job that has not ended, and answers what it is then. What its end brings with it, a recovery point, the end of an
// operation, the deletion of an instance and the audit entry, is written with it or not at all. A job that has ended stays as it is.
func (j *Jobs) Advance(ctx context.Context, vault catalogue.ID, name string, change func(s job.State) job.State) (job.State, error) {
	return j.advance(ctx, vault, name, func(_ context.Context, _ catalogue.Tx, _ catalogue.Job, s job.State) (job.State, error) {
		return change(s), nil
	})
}

// advance is Advance where the change goes by what else the catalogue says, or has something else written.
func (j *Jobs) advance(
	ctx context.Context, vault catalogue.ID, name string, change func(ctx context.Context, tx catalogue.Tx, kept catalogue.Job, s job.State) (job.State, error),
) (state job.State, err error) {
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		kept, err := tx.Job(ctx, vault, name)
		if err != nil {
			return err
		}
		if state, err = job.Read(kept); err != nil || state.Ended() {
			return err
		}
		if state, err = change(ctx, tx, kept, state); err != nil {
			return err
		}
		return j.keep(ctx, tx, kept, state)
	})
	return state, err
}

// AdvanceOpen changes all jobs that are under way in a cluster at once, up to 1,000, and answers those of them that end by that.
func (j *Jobs) AdvanceOpen(ctx context.Context, cluster catalogue.ID, change func(s job.State) job.State) (ended []catalogue.Job, err error) {
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		ended = nil
		open, err := tx.OpenJobs(ctx, catalogue.OpenJobQuery{Cluster: cluster, Limit: pageSize})
		if err != nil {
			return err
		}
		var changed []catalogue.Job
		for _, kept := range open {
			was, err := job.Read(kept)
			if err != nil {
				continue // It keeps no other waiting; who carries it out alone says so.
			}
			state := change(was)
			switch {
			case Unchanged(kept, state):
			case state.Ended():
				if err := j.keep(ctx, tx, kept, state); err != nil {
					return err
				}
				ended = append(ended, stated(kept, state))
			default:
				changed = append(changed, stated(kept, state))
			}
		}
		return tx.PutJob(ctx, changed...)
	})
	return ended, err
}

// Unchanged says whether a job lies in the catalogue as it is.
func Unchanged(kept catalogue.Job, s job.State) bool {
	return bytes.Equal(kept.Body, facts(s.Body)) && bytes.Equal(kept.Work, facts(s.Work))
}

// keep writes a job that was changed, with all that its end brings.
func (j *Jobs) keep(ctx context.Context, tx catalogue.Tx, kept catalogue.Job, s job.State) error {
	if Unchanged(kept, s) {
		return nil
	}
	if err := tx.PutJob(ctx, stated(kept, s)); err != nil || !s.Ended() {
		return err
	}
	now := *s.Body.EndTime
	entry := catalogue.AuditEntry{
		Time: now, Principal: s.Work.By, Name: s.Work.Name, Action: typeJob + "/end", Target: kept.Vault.Child("backupJobs", kept.Name),
		Request: s.Work.Request, Remote: s.Work.Remote, Status: http.StatusOK, After: facts(s.Body),
	}
	if len(s.Body.ErrorDetails) > 0 {
		entry.Status, entry.Code = http.StatusConflict, s.Body.ErrorDetails[0].Code
	}
	var deadline time.Time
	if !s.Work.Taken.IsZero() {
		var err error
		if deadline, err = j.putPoint(ctx, tx, kept.Instance, s); err != nil {
			return err
		}
	}
	if err := j.reportEnd(ctx, tx, kept, s, deadline); err != nil {
		return err
	}
	if s.Work.Kind() == job.DeleteBackup {
		if err := j.endDeletion(ctx, tx, kept, s); err != nil {
			return err
		}
	}
	return tx.AppendAudit(ctx, entry)
}

// putPoint keeps the recovery point that a backup has made, and answers until when that meets the policy's objective; zero is none. If the
// instance is gone, nobody asks for it any more.
func (j *Jobs) putPoint(ctx context.Context, tx catalogue.Tx, id catalogue.ID, s job.State) (deadline time.Time, err error) {
	r, err := find(ctx, tx, id)
	if err != nil || r == nil {
		return deadline, err
	}
	p, err := protectedOf(ctx, tx, *r)
	if err != nil {
		return deadline, err
	}
	previous, lost, err := previousSlot(ctx, tx, id, p.policy, s)
	if err != nil {
		return deadline, err
	}
	if p.policy.Objective != nil {
		deadline = p.policy.Objective.After(s.Work.Taken)
	}
	copied, uncopied, err := previousCopy(ctx, tx, id, p.policy, s)
	if err == nil {
		err = j.tellLost(ctx, tx, id, append(lost, uncopied...), *s.Body.EndTime)
	}
	if err != nil {
		return deadline, err
	}
	body, made := s.Point(p.policy, versionOf(p.keptPolicy), previous, copied)
	point := catalogue.Point{
		Instance: id, Name: s.Body.ActivityID, Time: s.Work.Taken, Copy: made.CopyDue(), Good: !s.Work.Partial,
		Bytes: s.Bytes(), SnapshotBytes: s.SnapshotBytes(), Namespaces: s.Namespaces(), Body: facts(body),
	}
	setColumns(&point, made)
	return deadline, tx.PutPoint(ctx, point)
}

// mustBeIdle refuses to begin where a job of an instance is under way that does the same or hinders it; no operation is any.
func mustBeIdle(ctx context.Context, v catalogue.View, id catalogue.ID, operations ...arm.Word) error {
	found, err := openJobs(ctx, v, 1, []catalogue.ID{id}, operations...)
	if err != nil || len(found) == 0 {
		return err
	}
	return coffer.Errorf(coffer.CodeJobUnderway, "the job %s (%s) of the backup instance %s is under way", found[0].Name, found[0].Operation, id.Name()).
		WithHint("wait for its end, or cancel it: coffer job cancel %s", id.Parent().Child("backupJobs", found[0].Name))
}

// openJobs are jobs of instances that are under way; no operation is any.
func openJobs(ctx context.Context, v catalogue.View, limit int, instances []catalogue.ID, operations ...arm.Word) ([]catalogue.Job, error) {
	q := catalogue.OpenJobQuery{Instances: instances, Limit: limit}
	for _, o := range operations {
		q.Operations = append(q.Operations, string(o))
	}
	return v.OpenJobs(ctx, q)
}

// changeOpen changes the jobs of an instance that are under way; no operation is any. Of more than 1,000, the others are changed once some of these
// have ended by that.
func (j *Jobs) changeOpen(
	ctx context.Context, tx catalogue.Tx, id catalogue.ID, change func(kept catalogue.Job, s job.State) (job.State, error), operations ...arm.Word,
) error {
	for more := true; more; {
		open, err := openJobs(ctx, tx, pageSize, []catalogue.ID{id}, operations...)
		if err != nil {
			return err
		}
		more = false
		for _, kept := range open {
			state, err := job.Read(kept)
			if err == nil {
				state, err = change(kept, state)
			}
			if err == nil {
				err = j.keep(ctx, tx, kept, state)
			}
			if err != nil {
				return err
			}
			more = more || state.Ended() && len(open) == pageSize
		}
	}
	return nil
}

// CancelJob asks for the end of a job. What is cancelled already stays so.
func (j *Jobs) CancelJob(ctx context.Context, by Caller, vault catalogue.ID, name string) (begun Begun, err error) {
	now := j.Keeper.now()
	name = strings.ToLower(name)
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		kept, err := tx.Job(ctx, vault, name)
		if err != nil {
			return err
		}
		state, err := job.Read(kept)
		if err != nil {
			return err
		}
		id := vault.Child("backupJobs", name)
		switch {
		case state.Ended():
			return coffer.Errorf(coffer.CodeNotCancellable, "the job %s has ended: it is %s", name, state.Body.Status)
		case state.Work.Kind() == job.DeleteBackup:
			return coffer.Errorf(coffer.CodeNotCancellable, "the job %s deletes recovery points, and cannot be cancelled", name)
		case state.Work.Kind() == job.Tiering:
			return coffer.Errorf(coffer.CodeNotCancellable, "the job %s copies a recovery point to the vault tier as its policy says, and cannot be cancelled", name).
				WithHint("have the policy not copy, and its recovery points adopt that")
		case state.Cancellable():
			if err := j.keep(ctx, tx, kept, state.AskCancel(now)); err != nil {
				return err
			}
		}
		begun = Begun{Job: id, Operation: j.Keeper.done(by, kept.Instance, "CancelJob", now)}
		begun.Operation.Result = facts(arm.OperationJob{ObjectType: arm.TypeOperationJob, JobID: string(id)})
		if err := tx.PutOperation(ctx, begun.Operation); err != nil {
			return err
		}
		return tx.AppendAudit(ctx, by.entry(now, typeJob+"/cancel/action", id, http.StatusAccepted))
	})
	if err == nil {
		j.wake()
	}
	return begun, err
}

// Admitted is a vault that may act in a cluster as far as the catalogue knows, and who it is there.
type Admitted struct {
	Vault    catalogue.ID
	Identity string
}

// Admitted are the vaults that have asked for trusted access to a cluster.
func (j *Jobs) Admitted(ctx context.Context, cluster catalogue.ID) (found []Admitted, err error) {
	err = j.Keeper.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		found = nil
		return each(ctx, v, catalogue.ResourceQuery{Type: typeBinding, Under: cluster}, func(b catalogue.Resource) error {
			for _, l := range b.Links {
				if l.Relation != catalogue.LinkVault {
					continue
				}
				r, err := find(ctx, v, catalogue.ID(l.Target))
				if err != nil {
					return err
				}
				if r != nil {
					found = append(found, Admitted{Vault: r.ID, Identity: catalogue.VaultIdentity(r.ID, r.Created.At)})
				}
			}
			return nil
		})
	})
	return found, err
}

// Trusted is an error unless a vault has asked for trusted access to a cluster, and nobody has taken that away since. Whether the cluster
// has given it is the cluster's to say.
func (j *Jobs) Trusted(ctx context.Context, vault, cluster catalogue.ID) error {
	return j.Keeper.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		binding, _, err := bindingOf(ctx, v, cluster, vault)
		if err != nil || binding != "" {
			return err
		}
		return coffer.Errorf(coffer.CodeTrustedAccessMissing, "the trusted access of the vault %s to the cluster %s was taken away", vault.Name(), cluster.Name()).
			WithHint("create %s/trustedAccessRoleBindings/NAME anew with the role %s", cluster, BackupOperator)
	})
}

// Open are the jobs of all vaults that are under way in a cluster, the oldest first, up to 1,000.
func (j *Jobs) Open(ctx context.Context, cluster catalogue.ID) ([]catalogue.Job, error) {
	return view(ctx, j.Keeper.DB, func(ctx context.Context, v catalogue.View) ([]catalogue.Job, error) {
		return v.OpenJobs(ctx, catalogue.OpenJobQuery{Cluster: cluster, Limit: pageSize})
	})
}

// OpenClusters are the clusters that have jobs under way, without those that are skipped, and those whose link another server holds. linked
// says of a cluster that this one does.
func (j *Jobs) OpenClusters(ctx context.Context, skipped, linked func(catalogue.ID) bool) (open []catalogue.ID, err error) {
	err = j.Keeper.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		all, err := v.OpenClusters(ctx)
		if err != nil {
			return err
		}
		open = slices.DeleteFunc(all, skipped)
		elsewhere := map[string]bool{}
		for some := range slices.Chunk(slices.DeleteFunc(slices.Clone(open), linked), pageSize) {
			found, err := among(ctx, v, some)
			if err != nil {
				return err
			}
			for key, r := range found {
				f, err := ClusterFactsOf(r)
				if err != nil {
					return err
				}
				elsewhere[key] = f.State == ClusterConnected
			}
		}
		open = slices.DeleteFunc(open, func(id catalogue.ID) bool { return elsewhere[id.Key()] })
		return nil
	})
	return open, err
}
