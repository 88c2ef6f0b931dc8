package vault

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/protection"
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

	cluster catalogue.ID
}

// Due is a page of the instances whose schedules are to be looked at.
func (j *Jobs) Due(ctx context.Context, q catalogue.DueQuery) ([]catalogue.Due, error) {
	return view(ctx, j.Keeper.DB, func(ctx context.Context, v catalogue.View) ([]catalogue.Due, error) { return v.Due(ctx, q) })
}

// BeginDue looks at the schedules of instances, up to 1,000, all in one transaction: it begins the backups that are due, writes down which
// could not begin, and when to look again. To look twice, or beside others, does nothing twice.
func (j *Jobs) BeginDue(ctx context.Context, instances []catalogue.ID) (done []Scheduled, err error) {
	now := j.Keeper.now()
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) (err error) {
		if err := tx.Turn(ctx); err != nil {
			return err
		}
		done, err = j.beginDue(ctx, tx, instances, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(done, func(s Scheduled) bool { return s.Slot.Job != "" && j.reaches(ctx, s.cluster) }) {
		j.wake()
	}
	return done, nil
}

// reaches says whether there is a way to a cluster from here: otherwise, a job in it is for another server to carry out, or has to wait.
func (j *Jobs) reaches(ctx context.Context, cluster catalogue.ID) bool {
	_, err := j.Clusters.Session(ctx, cluster)
	return err == nil
}

// scheduled is an instance at a look at its schedule.
type scheduled struct {
	protected
	// since is when it began to be protected.
	now, since time.Time
	// idle says that it backs up nothing now, for it is suspended or stopped.
	idle bool
	// was is what was due, and next what is due after the look.
	was, next catalogue.Due
	due       schedule.Due

	// slot is what becomes of the slot that is due, and job the one that begins for it; nil is none. why says why none can begin.
	slot catalogue.Slot
	job  *catalogue.Job
	why  error
	// underway is the backup that is still under way.
	underway *catalogue.Job
	// lost are recovery points that could not be read on the way.
	lost []lostPoint
}

// beginDue reads what is needed for all instances, finds what there is to do for each, and writes it for all: a look at many takes little
// longer than a look at one.
func (j *Jobs) beginDue(ctx context.Context, tx catalogue.Tx, instances []catalogue.ID, now time.Time) ([]Scheduled, error) {
	c := newCommons(tx)
	all, err := c.readSchedules(ctx, instances, now)
	if err != nil {
		return nil, err
	}
	var due []*scheduled
	for _, s := range all {
		if s.next.Policy != "" {
			if err := j.keepTo(ctx, tx, s); err != nil {
				return nil, err
			}
		}
		if s.next.Policy != "" && !s.idle {
			if err := j.reportAhead(ctx, tx, s); err != nil {
				return nil, err
			}
		}
		if !s.due.Slot.IsZero() {
			due = append(due, s)
		}
	}
	if err := j.readSlots(ctx, c, due); err != nil {
		return nil, err
	}
	done, err := j.beginSlots(ctx, tx, due)
	if err != nil {
		return nil, err
	}
	next := make([]catalogue.Due, len(all))
	for i, s := range all {
		next[i] = s.next
	}
	return done, tx.PutDue(ctx, next...)
}

// readSchedules reads what is due of instances. What is not due is left out: another replica was first, or the instance is gone.
func (c *commons) readSchedules(ctx context.Context, instances []catalogue.ID, now time.Time) ([]*scheduled, error) {
	due, err := c.view.DueOf(ctx, instances...)
	if err != nil {
		return nil, err
	}
	due = slices.DeleteFunc(due, func(d catalogue.Due) bool { return d.At.After(now) })
	ids := make([]catalogue.ID, len(due))
	for i, d := range due {
		ids[i] = d.Instance
	}
	resources, err := among(ctx, c.view, ids)
	if err != nil {
		return nil, err
	}
	all := make([]*scheduled, len(due))
	for i, d := range due {
		if all[i], err = c.readSchedule(ctx, d, resources[d.Instance.Key()], now); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// readSchedule reads what there is to do for an instance. One that backs up nothing now is looked at again later, from then on.
func (c *commons) readSchedule(ctx context.Context, due catalogue.Due, r catalogue.Resource, now time.Time) (*scheduled, error) {
	s := &scheduled{now: now, was: due, next: catalogue.Due{Instance: due.Instance, At: now.Add(idleLook), Slot: due.Slot}}
	record, err := ProtectionOf(r)
	if err != nil || record.Deleting || record.State == protection.SoftDeleted {
		return s, err
	}
	if s.protected, err = c.protectedOf(ctx, r); err != nil {
		return s, err
	}
	s.since, s.next.Policy = record.Since, policyMark(s.keptPolicy)
	if s.idle = !record.State.Schedules(); s.idle {
		return s, nil
	}
	s.comeBack()
	s.follow()
	if !s.due.Look.IsZero() {
		s.next.At = s.due.Look
	}
	if s.due.Slot.After(s.next.Slot) {
		s.next.Slot = s.due.Slot
	}
	return s, nil
}

// follow finds what is due by the schedule of the instance now, and by the one that it had at the last look, if that was another one.
func (s *scheduled) follow() {
	table, key := s.policy.Timetable(), s.was.Instance.Key()
	s.next.Schedule = table.Text()
	if s.was.Schedule == s.next.Schedule {
		s.due = table.Due(key, s.next.Slot, s.now)
		return
	}
	// Another schedule began with the change: what was due by it before that was not missed.
	for _, changed := range []time.Time{s.since, s.resource.Changed.At, s.keptPolicy.Changed.At} {
		if changed.After(s.next.Slot) && !changed.After(s.now) {
			s.next.Slot = changed
		}
	}
	before, err := schedule.ParseTimetable(s.was.Schedule)
	if err != nil {
		// It had none, for it is new or was not backed up, or none that is known.
		s.due = table.Due(key, s.next.Slot, s.now)
		return
	}
	since := s.was.Slot
	if s.since.After(since) {
		since = s.since
	}
	var settled bool
	if s.due, settled = table.DueAfter(before, key, since, s.next.Slot, s.now); !settled {
		s.next.Slot, s.next.Schedule = s.was.Slot, s.was.Schedule
	}
}

// readSlots finds what becomes of the slots that are due: the backup that begins, or why it does not.
func (j *Jobs) readSlots(ctx context.Context, c *commons, due []*scheduled) error {
	if len(due) == 0 {
		return nil
	}
	var instances, clusters []catalogue.ID
	for _, s := range due {
		instances, clusters = append(instances, s.resource.ID), append(clusters, s.config.Cluster)
	}
	// Of an instance, one backup is under way at a time.
	open, err := openJobs(ctx, c.view, pageSize, instances, job.ScheduledBackup, job.OnDemandBackup)
	if err != nil {
		return err
	}
	underway := map[string]*catalogue.Job{}
	for i, kept := range open {
		underway[kept.Instance.Key()] = &open[i]
	}
	if err := c.readClusters(ctx, clusters); err != nil {
		return err
	}
	for _, s := range due {
		s.underway = underway[s.resource.ID.Key()]
		if err := j.readSlot(ctx, c, s); err != nil {
			return err
		}
	}
	return nil
}

func (j *Jobs) readSlot(ctx context.Context, c *commons, s *scheduled) error {
	s.slot = catalogue.Slot{
		Instance: s.resource.ID, At: s.due.Slot, Outcome: catalogue.SlotBegun, Noted: s.now, Missed: s.due.Missed, Since: s.due.First,
	}
	if s.due.Late {
		s.slot.Outcome = catalogue.SlotCaughtUp
	}
	if s.underway != nil {
		state, err := job.Read(*s.underway)
		if s.slot.Outcome = catalogue.SlotOverrun; !state.Work.Begun {
			// It has not begun in its cluster yet, and is the one that catches up.
			s.slot.Outcome = catalogue.SlotMissed
		}
		return err
	}
	cluster, err := c.cluster(ctx, s.config.Cluster)
	if missing(err) {
		s.slot.Outcome, s.why = catalogue.SlotMissed, err
		return nil
	}
	if err != nil {
		return err
	}
	s.slot.Job = s.jobName()
	s.job, err = j.backup(ctx, c.view, s, cluster)
	return err
}

// beginSlots begins the backups of slots, or writes down why they do not begin.
func (j *Jobs) beginSlots(ctx context.Context, tx catalogue.Tx, due []*scheduled) (done []Scheduled, err error) {
	var slots []catalogue.Slot
	var begun []catalogue.Job
	for _, s := range due {
		slots = append(slots, s.slot)
		if s.job != nil {
			begun = append(begun, *s.job)
		}
	}
	// The slots first: what is due may have been set back. A job of that slot has its recovery point by now, and whoever began it again wrote
	// both anew. Of many, it is not known which one that is: the scheduler looks at fewer of them then.
	err = tx.AddSlot(ctx, slots...)
	if coffer.CodeOf(err) == coffer.CodePreconditionFailed && len(due) == 1 {
		return nil, nil
	}
	if err == nil {
		err = tx.PutJob(ctx, begun...)
	}
	if err != nil {
		return nil, err
	}
	for _, s := range due {
		if s.slot.Outcome == catalogue.SlotOverrun {
			err = j.overrun(ctx, tx, *s.underway, s.slot.At)
		}
		if err == nil {
			err = j.reportSlot(ctx, tx, s)
		}
		if err == nil {
			err = j.tellLost(ctx, tx, s.resource.ID, s.lost, s.now)
		}
		if err != nil {
			return nil, err
		}
		done = append(done, Scheduled{
			Instance: s.resource.ID, Slot: s.slot, Start: s.policy.Timetable().Start(s.slot.At, s.resource.ID.Key()), cluster: s.config.Cluster,
		})
	}
	return done, nil
}

// jobName is that of the slot's job and its run: whoever begins it, it is the same.
func (s *scheduled) jobName() string {
	made := s.resource.ID.Key() + " " + s.resource.Created.At.UTC().Format(time.RFC3339Nano)
	return uuid.NewSHA1(uuid.NewSHA1(uuid.Nil, []byte(made)), []byte(s.due.Slot.UTC().Format(time.RFC3339))).String()
}

// backup is the job that begins for the slot.
func (j *Jobs) backup(ctx context.Context, v catalogue.View, s *scheduled, cluster catalogue.Resource) (*catalogue.Job, error) {
	previous, lost, err := previousSlot(ctx, v, s.resource.ID, s.policy, job.State{Work: job.Work{Slot: s.due.Slot}})
	if err != nil {
		return nil, err
	}
	s.lost = lost
	// The recovery point gets its tag once it is known to be good; this is the one that it has then.
	choice := s.policy.Choose(s.due.Slot, previous)
	r := s.request(Caller{Principal: catalogue.Principal{Name: "the schedule of " + s.config.Policy.Name()}}, job.ScheduledBackup, s.slot.Job, s.now)
	spec := s.config.Backup
	r.PolicyRule, r.Work.Rule, r.Work.Slot, r.Work.Backup = s.policy.BackupRule, choice.Rule.Name, s.due.Slot, &spec
	kept, err := j.newJob(ctx, r, cluster)
	return &kept, err
}

// overrun marks the job that is still under way when a slot is due.
func (j *Jobs) overrun(ctx context.Context, tx catalogue.Tx, kept catalogue.Job, slot time.Time) error {
	state, err := job.Read(kept)
	if err != nil {
		return err
	}
	return j.keep(ctx, tx, kept, state.Overrun(slot))
}

// look has the schedule of an instance looked at soon: it, or its policy, has changed.
func look(ctx context.Context, tx catalogue.Tx, instance catalogue.ID, now time.Time) error {
	return lookAt(ctx, tx, []catalogue.ID{instance}, now)
}

func lookAt(ctx context.Context, tx catalogue.Tx, instances []catalogue.ID, now time.Time) error {
	kept, err := tx.DueOf(ctx, instances...)
	if err != nil {
		return err
	}
	was := map[string]catalogue.Due{}
	for _, due := range kept {
		was[due.Instance.Key()] = due
	}
	next := make([]catalogue.Due, len(instances))
	for i, id := range instances {
		next[i] = was[id.Key()]
		next[i].Instance, next[i].At = id, now
	}
	return tx.PutDue(ctx, next...)
}

// lookAtFollowers has the schedules of all instances looked at that follow a policy.
func lookAtFollowers(ctx context.Context, tx catalogue.Tx, policy catalogue.Resource, now time.Time) error {
	var followers []catalogue.ID
	q := catalogue.ResourceQuery{Type: typeInstance, Linked: &catalogue.Link{Relation: catalogue.LinkPolicy, Target: policy.ID.Key()}}
	err := each(ctx, tx, q, func(r catalogue.Resource) error { followers = append(followers, r.ID); return nil })
	if err != nil {
		return err
	}
	for some := range slices.Chunk(followers, pageSize) {
		if err := lookAt(ctx, tx, some, now); err != nil {
			return err
		}
	}
	return nil
}
