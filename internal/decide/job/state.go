package job

import (
	"cmp"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// The statuses of parts of a job.
const (
	taskNotStarted arm.Word = "NotStarted"
	taskInProgress arm.Word = "InProgress"
	taskCompleted  arm.Word = "Completed"
	taskFailed     arm.Word = "Failed"
	taskCancelled  arm.Word = "Cancelled"
)

const (
	// PickUpTime is how long an extension may take to begin a run before that is a warning.
	PickUpTime = 10 * time.Minute
	// QuietTime is how long the cluster of a cancelled job does not answer before the job hinders nobody from a deletion that can be undone.
	QuietTime = 10 * time.Minute
	// DeniedTime is how long a job waits for what its cluster refuses, such as trusted access that was taken away.
	DeniedTime = time.Hour
	// UnheardTime is the same of one whose run was seen in the cluster, and goes on there: whoever gives it up does not know what becomes of it.
	UnheardTime = 7 * 24 * time.Hour
	// NeverBegunTime is how long a job waits for a cluster that cannot be reached and in which it has not begun: what somebody asked for a
	// day ago may not be what they want now. A job that has begun waits for its cluster until somebody gives it up, and so does a backup of
	// the schedule: it is the one that catches up.
	NeverBegunTime = 24 * time.Hour
)

// Observe is the job once its run is seen to be so.
func (s State) Observe(r Run, now time.Time) State {
	s = s.met()
	if s.Work.UID != "" && s.Work.UID != r.UID {
		return s.Gone(now)
	}
	s.Work.UID = r.UID
	info := s.Body.ExtendedInfo
	info.SubTasks = tasks(s.steps(), info.SubTasks, r)
	info.AdditionalDetails["Step"] = r.Step
	// Those of the look before go: however many names a cluster comes up with, a job has those of one look.
	maps.DeleteFunc(info.AdditionalDetails, func(name, _ string) bool { return countName.MatchString(name) })
	for name, n := range r.Counts {
		info.AdditionalDetails[name] = strconv.FormatInt(n, 10)
	}
	if r.TimeLeft > 0 && !r.Phase.Final() {
		info.AdditionalDetails["timeLeft"] = r.TimeLeft.Truncate(time.Second).String()
	}
	for name, digest := range r.Digests {
		info.AdditionalDetails[name] = digest
	}
	if n, ok := r.Counts["bytes"]; ok && s.Work.Kind() == Backup {
		bytes := float64(n)
		info.DataTransferredInBytes = &bytes
	}
	for _, w := range r.Warnings {
		info.WarningDetails = append(info.WarningDetails, warning(w.Code, w.Resource, w.Message))
	}
	if r.WarningCount > 0 {
		info.AdditionalDetails["Warnings"] = strconv.Itoa(r.WarningCount)
	}
	if waits := now.Sub(r.Created); r.Phase == "" && !r.Created.IsZero() && waits >= PickUpTime {
		info.WarningDetails = append(info.WarningDetails, warning(string(coffer.CodeNotPickedUp), "",
			"the Backup extension has not begun the run "+r.Name+" for "+PickUpTime.String()+"; see whether its pods are running: kubectl get pods --all-namespaces | grep coffer"))
	}
	if !r.Phase.Final() {
		return s
	}
	if s.Work.Kind() == Backup && r.Phase.Succeeded() {
		// The cluster's clock is its own: a recovery point is taken while its job is under way.
		s.Work.Taken = within(r.Started, s.Body.StartTime, now)
		s.Work.Partial = r.Phase == v1alpha1.RunCompletedWithWarnings
		info.TargetRecoverPoint = &arm.JobPoint{RecoveryPointID: s.Body.ActivityID, RecoveryPointTime: &s.Work.Taken}
	}
	if r.Phase == v1alpha1.RunCancelled && s.Work.Why != "" {
		s.Body.ErrorDetails = []arm.UserFacingError{failure(string(coffer.CodeCancelled), s.Work.Why)}
	}
	if r.Phase == v1alpha1.RunFailed {
		s.Body.ErrorDetails = []arm.UserFacingError{failure(cmp.Or(r.Reason, string(coffer.CodeServerError)), cmp.Or(r.Message, "the run has failed, and does not say why"))}
	}
	return s.end(arm.Word(r.Phase), now)
}

// Start is the job that is about to begin in its cluster.
func (s State) Start() State {
	s.Work.Begun = true
	return s
}

// Scheduled says whether it is a backup of the schedule that no cluster has seen: what its instance says now is for it.
func (s State) Scheduled() bool {
	return !s.Ended() && s.Work.Kind() == Backup && !s.Work.Slot.IsZero() && s.Work.UID == ""
}

// Follow is a backup of the schedule, not begun yet, of what its instance protects by now, and by the policy that it follows by now.
func (s State) Follow(backup v1alpha1.BackupSpec, policy catalogue.ID) State {
	s.Work.Backup = backup.DeepCopy()
	s.Body.PolicyID, s.Body.PolicyName = string(policy), policy.Name()
	return s
}

// Withdraw is a backup of the schedule that no cluster has seen, once its instance is backed up no more: the schedule would not begin it now. One
// that was not begun ends; one of which a run may be there is told to end, and says why when it has. All others go on: what was seen in a
// cluster is a recovery point soon, and what somebody has asked for is wanted by somebody.
func (s State) Withdraw(why string, now time.Time) State {
	switch {
	case !s.Scheduled() || s.Work.Cancel:
		return s
	case !s.Work.Begun:
		return s.Abandon(why, now)
	}
	s = s.AskCancel(now)
	s.Work.Why = why
	return s
}

// met is the job once its cluster has answered: it waits for nothing.
func (s State) met() State {
	s = s.clone()
	s.Work.WaitsFor, s.Work.Since = "", time.Time{}
	s.Body.ExtendedInfo.WarningDetails = nil
	delete(s.Body.ExtendedInfo.AdditionalDetails, detailWaiting)
	return s
}

// detailWaiting says in a job what it waits for.
const detailWaiting = "Waiting"

// What a job says of its schedule: the slot that it is for, how many slots were due since while it went on, and the last of them.
const (
	detailSlot     = "ScheduledFor"
	detailOverruns = "Overruns"
	detailOverrun  = "Overrun"
)

// Overrun is the job that still goes on when the backup of a slot is due.
func (s State) Overrun(slot time.Time) State {
	s = s.clone()
	details := s.Body.ExtendedInfo.AdditionalDetails
	n, err := strconv.Atoi(details[detailOverruns])
	if err != nil {
		n = 0 // there was none before
	}
	details[detailOverruns] = strconv.Itoa(n + 1)
	details[detailOverrun] = "the backup that was due at " + slot.UTC().Format(time.RFC3339) + " is left out, for this one is still under way"
	return s
}

// Wait is the job while it cannot go on because of err. It fails where waiting has no end.
func (s State) Wait(err *coffer.Error, now time.Time) State {
	s = s.clone()
	if s.Work.WaitsFor != string(err.Code) {
		s.Work.WaitsFor, s.Work.Since = string(err.Code), now
	}
	most := time.Duration(0)
	hint := cmp.Or(err.Hint, "begin it anew once that is mended")
	switch {
	case !err.Transient && s.Work.UID != "":
		most = UnheardTime
		hint = "what has become of it is in the cluster: the " + string(s.Work.Kind()) + " " + s.Body.ActivityID + ", and of a backup the recovery point of that name"
	case !err.Transient:
		most = DeniedTime
	case !s.Work.Begun && s.Work.Slot.IsZero():
		most = NeverBegunTime
	}
	if waited := now.Sub(s.Work.Since); most > 0 && waited >= most {
		return s.Fail(coffer.Errorf(err.Code, "the job has waited for %s: %s", most, err.Message).WithHint("%s", hint), now)
	}
	info := s.Body.ExtendedInfo
	info.AdditionalDetails[detailWaiting] = Text(err.Message, maxMessage)
	info.WarningDetails = []arm.JobWarning{warning(string(err.Code), "", err.Error())}
	return s
}

// Fail is the job that ends by err.
func (s State) Fail(err *coffer.Error, now time.Time) State {
	s = s.clone()
	s.Body.ErrorDetails = []arm.UserFacingError{{
		Code: string(err.Code), Message: Text(err.Message, maxMessage), IsRetryable: err.Transient, IsUserError: isUserError(string(err.Code)),
		RecommendedAction: []string{cmp.Or(Text(err.Hint, maxMessage), "begin the job anew once that is mended")},
	}}
	return s.end(Failed, now)
}

// Gone is the job whose run somebody has deleted: making it again could overwrite what was changed since.
func (s State) Gone(now time.Time) State {
	return s.Fail(coffer.Errorf(coffer.CodeRunGone, "the %s %s was deleted in the cluster while it was under way", s.Work.Kind(), s.Body.ActivityID).
		WithHint("see in the cluster what it has done, and begin another job"), now)
}

// MeantFor says whether a job was asked of the cluster that has a UID.
func (s State) MeantFor(uid string) bool {
	return s.Work.ClusterUID == "" || strings.EqualFold(s.Work.ClusterUID, uid)
}

// Replaced is the job in whose cluster's place another one has joined: what it does there is not what was asked for.
func (s State) Replaced(now time.Time) State {
	return s.Fail(coffer.Errorf(coffer.CodeConflict, "the cluster that the job was asked of has left, and another one has joined under its id").
		WithHint("begin another job if it is to be carried out in this cluster"), now)
}

// AskCancel is the job once somebody has asked for its end. What was never begun in a cluster ends at once.
func (s State) AskCancel(now time.Time) State {
	s = s.clone()
	s.Work.Cancel = true
	s.Body.SupportedActions = []string{}
	s.Body.ExtendedInfo.AdditionalDetails["Cancelling"] = "true"
	if s.Work.Begun {
		return s
	}
	return s.end(Cancelled, now)
}

// Unheard says whether a job was cancelled, and its cluster has not answered for a while: nobody tells it to end.
func (s State) Unheard(now time.Time) bool {
	return s.Work.Cancel && s.Work.WaitsFor != "" && now.Sub(s.Work.Since) >= QuietTime
}

// Abandon is the job that ends because its instance is given up.
func (s State) Abandon(why string, now time.Time) State {
	s = s.clone()
	s.Body.ErrorDetails = []arm.UserFacingError{failure(string(coffer.CodeCancelled), why)}
	return s.end(Cancelled, now)
}

// Progress is a deletion that has deleted so many of the recovery points that there are.
func (s State) Progress(deleted, left int) State {
	s = s.met()
	s.Work.Deleted, s.Work.Total = deleted, deleted+left
	info := s.Body.ExtendedInfo
	info.AdditionalDetails["recoveryPointsDeleted"] = strconv.Itoa(deleted)
	info.AdditionalDetails["recoveryPointsTotal"] = strconv.Itoa(deleted + left)
	info.SubTasks = []arm.JobTask{{TaskID: 1, TaskName: s.steps()[0], TaskStatus: taskInProgress, TaskProgress: fmt.Sprintf("%d/%d", deleted, deleted+left)}}
	return s
}

// FailDeletion is a deletion that a recovery point could not be deleted by.
func (s State) FailDeletion(point string, r Run, now time.Time) State {
	s = s.clone()
	why := failure(cmp.Or(r.Reason, string(coffer.CodeServerError)), Text("the recovery point "+point+" is not deleted: "+cmp.Or(r.Message, "its run has failed, and does not say why"), maxMessage))
	s.Body.ErrorDetails = []arm.UserFacingError{why}
	return s.end(Failed, now)
}

// NotFound is a deletion of which one more recovery point was not there.
func (s State) NotFound() State {
	s = s.clone()
	s.Work.NotFound++
	s.Body.ExtendedInfo.AdditionalDetails["recoveryPointsNotFound"] = strconv.Itoa(s.Work.NotFound)
	return s
}

// Done is a deletion that has nothing left to delete. What was not there may lie in a container that the cluster had before: that is said.
func (s State) Done(now time.Time) State {
	s = s.clone()
	if s.Work.NotFound == 0 {
		return s.end(Completed, now)
	}
	s.Body.ExtendedInfo.WarningDetails = []arm.JobWarning{warning(string(coffer.CodeBackupNotFound), "", fmt.Sprintf(
		"%d of %d recovery points were not in the cluster's backup storage location, and are forgotten; "+
			"if the cluster, or its container, is another one than when they were made, see whether they are in the one before", s.Work.NotFound, s.Work.Deleted))}
	return s.end(CompletedWithWarnings, now)
}

// end is the job that is over.
func (s State) end(status arm.Word, now time.Time) State {
	now = within(now, s.Body.StartTime, now)
	s.Body.Status, s.Body.EndTime, s.Body.SupportedActions = status, &now, []string{}
	s.Body.Duration = Duration(now.Sub(s.Body.StartTime))
	delete(s.Body.ExtendedInfo.AdditionalDetails, "Cancelling")
	became := taskCompleted
	switch status {
	case Failed:
		became = taskFailed
	case Cancelled:
		became = taskCancelled
	}
	for i, t := range s.Body.ExtendedInfo.SubTasks {
		if t.TaskStatus == taskInProgress {
			s.Body.ExtendedInfo.SubTasks[i].TaskStatus = became
		}
	}
	return s
}

// tasks are the steps of a run, in their order. A step that is none of them is the way back.
func tasks(steps []string, before []arm.JobTask, r Run) []arm.JobTask {
	at := -1
	for i, step := range steps {
		if step == r.Step {
			at = i
		}
	}
	if at < 0 && r.Step != "" {
		return undoing(steps, before, r)
	}
	var found []arm.JobTask
	for i, step := range steps {
		status := taskNotStarted
		switch {
		case i < at || r.Phase.Succeeded():
			status = taskCompleted
		case i == at:
			status = taskInProgress
		}
		found = append(found, arm.JobTask{TaskID: i + 1, TaskName: step, TaskStatus: status})
	}
	return found
}

// undoing are the steps as far as they came, and the way back after them.
func undoing(steps []string, before []arm.JobTask, r Run) []arm.JobTask {
	var found []arm.JobTask
	for i, step := range steps {
		task := arm.JobTask{TaskID: i + 1, TaskName: step, TaskStatus: taskNotStarted}
		if i < len(before) && before[i].TaskName == step {
			task.TaskStatus = before[i].TaskStatus
		}
		if task.TaskStatus == taskInProgress {
			task.TaskStatus = taskFailed
		}
		found = append(found, task)
	}
	back := arm.JobTask{TaskID: len(steps) + 1, TaskName: r.Step, TaskStatus: taskInProgress}
	if r.Phase.Final() {
		back.TaskStatus = taskCompleted
	}
	return append(found, back)
}

func warning(code, resource, message string) arm.JobWarning {
	w := failure(cmp.Or(code, "KubernetesBackupGenericWarning"), message)
	return arm.JobWarning{ResourceName: resource, Warning: &w}
}

// failure is an error as jobs tell it. Messages of runs end with what to do, after a semicolon.
func failure(code, message string) arm.UserFacingError {
	action := "read the log of the job"
	if i := strings.LastIndex(message, "; "); i >= 0 {
		action = message[i+2:]
	}
	return arm.UserFacingError{Code: code, Message: message, IsUserError: isUserError(code), RecommendedAction: []string{action}}
}

func isUserError(code string) bool { return strings.Contains(code, "UserError") }

// within is a time, or the nearest of what is possible.
func within(t, first, last time.Time) time.Time {
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t.UTC().Truncate(time.Microsecond)
}

// Duration is written as ISO 8601 has it, in whole seconds: PT1H2M3S.
func Duration(d time.Duration) string {
	seconds := int64(max(d, 0) / time.Second)
	text := "PT"
	for _, unit := range []struct {
		of   int64
		word string
	}{{3600, "H"}, {60, "M"}} {
		if n := seconds / unit.of; n > 0 {
			text += strconv.FormatInt(n, 10) + unit.word
			seconds %= unit.of
		}
	}
	if seconds > 0 || text == "PT" {
		text += strconv.FormatInt(seconds, 10) + "S"
	}
	return text
}
