package vault

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

// idleLook is after how long the schedule of an instance is looked at again that is never due as it is: one whose backups are suspended.
const idleLook = time.Hour

// Scheduled is what became of a slot that was due.
type Scheduled struct {
	Instance catalogue.ID
	Slot     catalogue.Slot
	// Start is when its backup should have begun.
	Start time.Time
}

// Due is a page of the instances whose schedules are to be looked at.
func (j *Jobs) Due(ctx context.Context, q catalogue.DueQuery) ([]catalogue.Due, error) {
	return view(ctx, j.Keeper.DB, func(ctx context.Context, v catalogue.View) ([]catalogue.Due, error) { return v.Due(ctx, q) })
}

// BeginDue looks at the schedules of instances, all in one transaction: it begins the backups that are due, writes down which could not
// begin, and when to look again. To look twice, or beside others, does nothing twice.
func (j *Jobs) BeginDue(ctx context.Context, instances []catalogue.ID) (done []Scheduled, err error) {
	now := j.Keeper.now()
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		done = nil
		for _, id := range instances {
			one, err := j.beginDue(ctx, tx, id, now)
			if err != nil {
				return err
			}
			if one != nil {
				done = append(done, *one)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(done) > 0 {
		j.wake()
	}
	return done, nil
}

// scheduled is an instance at a look at its schedule.
type scheduled struct {
	protected
	// since is when it began to be protected.
	now, since time.Time
	next       catalogue.Due
	due        schedule.Due
}

func (j *Jobs) beginDue(ctx context.Context, tx catalogue.Tx, id catalogue.ID, now time.Time) (*Scheduled, error) {
	due, err := tx.DueOf(ctx, id)
	if missing(err) {
		return nil, nil // the instance is gone
	}
	if err != nil || due.At.After(now) {
		return nil, err // another replica was first
	}
	s, err := readScheduled(ctx, tx, due, now)
	if err != nil {
		return nil, err
	}
	if s.next.Policy != "" {
		if err := j.keepTo(ctx, tx, &s, due); err != nil {
			return nil, err
		}
	}
	if s.due.Slot.IsZero() {
		return nil, tx.PutDue(ctx, s.next)
	}
	// What is due may have been set back. A job of that slot has its recovery point by now, and whoever began it again wrote both anew.
	before, err := tx.Slots(ctx, catalogue.SlotQuery{Instance: id, From: s.due.Slot, To: s.due.Slot, Limit: 1})
	if err != nil || len(before) > 0 {
		if err == nil {
			err = tx.PutDue(ctx, s.next)
		}
		return nil, err
	}
	slot, err := j.beginSlot(ctx, tx, s)
	if err != nil {
		return nil, err
	}
	return &Scheduled{Instance: s.resource.ID, Slot: slot, Start: s.policy.Timetable().Start(slot.At, id.Key())}, tx.PutDue(ctx, s.next)
}

// readScheduled reads what there is to do for an instance. One that backs up nothing now is looked at again later, from then on.
func readScheduled(ctx context.Context, v catalogue.View, due catalogue.Due, now time.Time) (s scheduled, err error) {
	s.now = now
	s.next = catalogue.Due{Instance: due.Instance, At: now.Add(idleLook), Slot: due.Slot}
	r, err := v.Resource(ctx, due.Instance)
	if err != nil {
		return s, err
	}
	record, err := ProtectionOf(r)
	if err != nil || !record.State.Schedules() || record.Deleting {
		return s, err
	}
	if s.protected, err = protectedOf(ctx, v, r); err != nil {
		return s, err
	}
	policy, err := v.Resource(ctx, s.config.Policy)
	if err != nil {
		return s, err
	}
	if s.next.Schedule = s.policy.Timetable().Digest(); s.next.Schedule != due.Schedule {
		// Another schedule began with the change: what was due by it before that was not missed.
		for _, changed := range []time.Time{record.Since, r.Changed.At, policy.Changed.At} {
			if changed.After(s.next.Slot) && !changed.After(now) {
				s.next.Slot = changed
			}
		}
	}
	s.since, s.next.Policy = record.Since, policyMark(policy)
	s.due = s.policy.Timetable().Due(due.Instance.Key(), s.next.Slot, now)
	if !s.due.Look.IsZero() {
		s.next.At = s.due.Look
	}
	if !s.due.Slot.IsZero() {
		s.next.Slot = s.due.Slot
	}
	return s, nil
}

// beginSlot begins the backup of a slot, or writes down why it does not.
func (j *Jobs) beginSlot(ctx context.Context, tx catalogue.Tx, s scheduled) (catalogue.Slot, error) {
	slot := catalogue.Slot{
		Instance: s.resource.ID, At: s.due.Slot, Outcome: catalogue.SlotBegun, Noted: s.now, Missed: s.due.Missed, Since: s.due.First,
	}
	if s.due.Late {
		slot.Outcome = catalogue.SlotCaughtUp
	}
	underway, err := openBackup(ctx, tx, s.resource.ID)
	if err != nil {
		return slot, err
	}
	var why error
	if underway == nil {
		slot.Job, why = s.jobName(), s.begin(ctx, tx)
	} else {
		slot.Outcome, err = j.overrun(ctx, tx, *underway, slot.At)
	}
	switch code := coffer.CodeOf(why); {
	case err != nil:
		return slot, err
	case code == coffer.CodeResourceNotFound:
		slot.Job, slot.Outcome = "", catalogue.SlotMissed
	case why != nil:
		return slot, why
	}
	if err := tx.AddSlot(ctx, slot); err != nil {
		return slot, err
	}
	return slot, j.reportSlot(ctx, tx, s, slot, underway, why)
}

// jobName is that of the slot's job and its run: whoever begins it, it is the same.
func (s scheduled) jobName() string {
	made := s.resource.ID.Key() + " " + s.resource.Created.At.UTC().Format(time.RFC3339Nano)
	return uuid.NewSHA1(uuid.NewSHA1(uuid.Nil, []byte(made)), []byte(s.due.Slot.UTC().Format(time.RFC3339))).String()
}

func (s scheduled) begin(ctx context.Context, tx catalogue.Tx) error {
	previous, err := previousSlot(ctx, tx, s.resource.ID, job.State{Work: job.Work{Slot: s.due.Slot}})
	if err != nil {
		return err
	}
	// The recovery point gets its tag once it is known to be good; this is the one that it has then.
	choice := s.policy.Choose(s.due.Slot, previous)
	r := s.request(Caller{Principal: catalogue.Principal{Name: "the schedule of " + s.config.Policy.Name()}}, job.ScheduledBackup, s.jobName(), s.now)
	spec := s.config.Backup
	r.PolicyRule, r.Work.Rule, r.Work.Slot, r.Work.Backup = s.policy.BackupRule, choice.Rule.Name, s.due.Slot, &spec
	return start(ctx, tx, r)
}

// overrun marks the job that is still under way when a slot is due. One that has not begun in its cluster yet is the one that catches up.
func (j *Jobs) overrun(ctx context.Context, tx catalogue.Tx, kept catalogue.Job, slot time.Time) (catalogue.SlotOutcome, error) {
	state, err := job.Read(kept)
	if err != nil {
		return "", err
	}
	if !state.Work.Begun {
		return catalogue.SlotMissed, nil
	}
	return catalogue.SlotOverrun, j.keep(ctx, tx, kept, state.Overrun(slot))
}

// openBackup is the backup of an instance that is under way, or nil.
func openBackup(ctx context.Context, v catalogue.View, id catalogue.ID) (*catalogue.Job, error) {
	for _, operation := range []arm.Word{job.ScheduledBackup, job.OnDemandBackup} {
		found, err := v.Jobs(ctx, catalogue.JobQuery{Vault: id.Parent(), Instance: id, Status: string(job.InProgress), Operation: string(operation), Limit: 1})
		if err != nil || len(found) > 0 {
			return first(found), err
		}
	}
	return nil, nil
}

func first(jobs []catalogue.Job) *catalogue.Job {
	if len(jobs) == 0 {
		return nil
	}
	return &jobs[0]
}

// look has the schedule of an instance looked at soon: it, or its policy, has changed.
func look(ctx context.Context, tx catalogue.Tx, instance catalogue.ID, now time.Time) error {
	due, err := tx.DueOf(ctx, instance)
	if missing(err) {
		due, err = catalogue.Due{Instance: instance}, nil
	}
	if err != nil {
		return err
	}
	due.At = now
	return tx.PutDue(ctx, due)
}

// lookAtFollowers has the schedules of all instances looked at that follow a policy.
func lookAtFollowers(ctx context.Context, tx catalogue.Tx, policy catalogue.Resource, now time.Time) error {
	q := catalogue.ResourceQuery{Type: typeInstance, Linked: &catalogue.Link{Relation: catalogue.LinkPolicy, Target: policy.ID.Key()}}
	return each(ctx, tx, q, func(r catalogue.Resource) error { return look(ctx, tx, r.ID, now) })
}
