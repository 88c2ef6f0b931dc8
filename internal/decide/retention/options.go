package retention

import (
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/decide/refusal"
	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

// mostKept bounds keepAtLeast.
const mostKept = 100

const (
	spreadHint    = "write a duration such as PT5M, at most half of the shortest interval of the schedule; PT0S is none"
	objectiveHint = "write a duration with time for a backup beyond the schedule's interval, such as PT26H for one backup a day"
)

// options reads what Azure has no word for. What it is measured by, the schedule, has been read.
func (r *reader) options(at string, o *arm.CofferPolicyOptions) {
	r.policy.Spread = schedule.DefaultSpread
	if o == nil {
		return
	}
	r.windows(arm.At(at, "exclusionWindows"), o.ExclusionWindows)
	r.spread(arm.At(at, "spread"), o.Spread)
	if n := o.KeepAtLeast; n != nil {
		if *n < 1 || *n > mostKept {
			r.Addf(arm.At(at, "keepAtLeast"), "write how many recovery points are kept whatever their age, 1 to 100, or leave the field out", "is %d", *n)
		}
		r.policy.KeepAtLeast = int(*n)
	}
	r.objective(arm.At(at, "recoveryPointObjective"), o.RecoveryPointObjective)
	r.policy.Adopt = o.ExistingRecoveryPoints.Is(arm.AdoptExisting)
}

// windows reads those that are not refused with the form.
func (r *reader) windows(at string, windows []arm.ExclusionWindow) {
	if len(windows) > arm.MaxWindows {
		return // the form refuses them
	}
	first := map[schedule.Window]int{}
	for i, w := range windows {
		if w.Start == "" || w.Duration == "" {
			continue
		}
		path := arm.Item(at, i)
		start, err := schedule.ParseInterval(w.Start, r.policy.zone(), r.limits.Interval)
		if err != nil {
			r.Add(arm.At(path, "start"), err)
			continue
		}
		length, err := schedule.ParseDuration(w.Duration, start)
		if err != nil {
			r.Add(arm.At(path, "duration"), err)
			continue
		}
		read := schedule.Window{Start: start, For: length}
		if earlier, twice := first[read]; twice {
			r.Addf(path, "write each window once", "is the same as exclusionWindows[%d]", earlier)
			continue
		}
		first[read] = i
		r.policy.Windows = append(r.policy.Windows, read)
	}
}

func (r *reader) spread(at, text string) {
	if text == "" {
		return
	}
	if text == "PT0S" {
		r.policy.Spread = 0
		return
	}
	p, err := schedule.ParsePeriod(text)
	if err != nil {
		r.Add(at, err)
		return
	}
	for _, i := range r.policy.Schedule.Intervals {
		if p.OverHalf(i.Every) {
			r.Addf(at, spreadHint, "is %s, and half of the shortest interval of the schedule is less", shown(text))
			return
		}
	}
	r.policy.Spread = p.Longest()
}

func (r *reader) objective(at, text string) {
	if text == "" {
		return
	}
	p, err := schedule.ParsePeriod(text)
	if err != nil {
		r.Add(at, err)
		return
	}
	// The time between two backups is at most the shortest of the intervals.
	missed := len(r.policy.Schedule.Intervals) > 0
	for _, i := range r.policy.Schedule.Intervals {
		missed = missed && p.Less(i.Every)
	}
	if missed {
		r.Addf(at, objectiveHint, "is %s, which is shorter than the interval between two backups: it would be missed every time", shown(text))
	}
	r.policy.Objective = &p
}

// Timetable is when the backups of the policy are begun.
func (p Policy) Timetable() schedule.Timetable {
	return schedule.Timetable{Schedule: schedule.Schedule{Intervals: p.Schedule.Intervals, Zone: p.zone()}, Windows: p.Windows, Spread: p.Spread}
}

// CheckFuture refuses a policy that will never back up: from a time on all its slots lie in exclusion windows. at is the path of its
// properties in the body. One that starts in a hundred years is for backups on demand.
func (p Policy) CheckFuture(now time.Time, at string) error {
	if _, ok := p.Timetable().Next(now); ok {
		return nil
	}
	var list refusal.List
	list.Addf(arm.At(at, "coffer.exclusionWindows"), "leave a time of the schedule outside of the windows, or change the schedule's intervals",
		"exclude every time of the schedule: the policy would never back up")
	return list.Err("the backup policy")
}
