package job

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Copy is what a tiering job copies to the vault tier, and how far it is.
type Copy struct {
	// Point is the name of the recovery point, and Due when its copy was to be begun.
	Point string    `json:"point"`
	Due   time.Time `json:"due"`
	// Tries is how often it has failed, and Told when somebody was told last that it fails or is late.
	Tries int       `json:"tries,omitempty"`
	Told  time.Time `json:"told,omitzero"`
}

const (
	// CopyTime is how long after its time a copy is to be in the vault tier: AKS Backup's objective for it.
	CopyTime = 24 * time.Hour
	// tellTries is after how many failures somebody is told, and tellAgain how often they are told at most while it goes on.
	tellTries = 5
	tellAgain = time.Hour
)

// The pauses between looks at a copy: while it goes on, and after it has failed, which doubles from the first to the longest.
const (
	copyLook         = 30 * time.Second
	copyFirstPause   = 30 * time.Second
	copyLongestPause = time.Hour
)

// What a tiering job says beside its progress.
const (
	detailCopyDue  = "CopyDue"
	detailTries    = "FailedTries"
	copyTask       = "CopyingRecoveryPoint"
	waitsForCopier = "the vault tier"
)

// Copying is a tiering job whose copy goes on, so many bytes of which are copied; a total of 0 is one that is not known. next is when to look again.
func (s State) Copying(bytes, total int64, now time.Time) (state State, next time.Time) {
	s = s.met()
	work := *s.Work.Copy
	work.Tries = 0
	s.Work.Copy = &work
	delete(s.Body.ExtendedInfo.AdditionalDetails, detailTries)
	return s.copied(bytes, total), now.Add(copyLook)
}

func (s State) copied(bytes, total int64) State {
	task := arm.JobTask{TaskID: 1, TaskName: copyTask, TaskStatus: taskInProgress}
	if total > 0 {
		task.TaskProgress = fmt.Sprintf("%d/%d", bytes, total)
		s.Body.ExtendedInfo.AdditionalDetails["totalBytes"] = strconv.FormatInt(total, 10)
	}
	moved := float64(bytes)
	s.Body.ExtendedInfo.DataTransferredInBytes = &moved
	s.Body.ExtendedInfo.AdditionalDetails["bytes"] = strconv.FormatInt(bytes, 10)
	s.Body.ExtendedInfo.SubTasks = []arm.JobTask{task}
	return s
}

// NotCopied is a tiering job that a try has failed of. It is tried again at next, for as long as it takes.
func (s State) NotCopied(why *coffer.Error, now time.Time) (state State, next time.Time) {
	s = s.clone()
	if s.Work.WaitsFor == "" {
		s.Work.WaitsFor, s.Work.Since = waitsForCopier, now
	}
	work := *s.Work.Copy
	work.Tries++
	s.Work.Copy = &work
	info := s.Body.ExtendedInfo
	info.AdditionalDetails[detailTries] = strconv.Itoa(work.Tries)
	info.AdditionalDetails[detailWaiting] = Text(why.Message, maxMessage)
	info.WarningDetails = []arm.JobWarning{warning(string(why.Code), "", Text(why.Error(), maxMessage))}
	pause := copyFirstPause
	for i := 1; i < work.Tries && pause < copyLongestPause; i++ {
		pause *= 2
	}
	return s, now.Add(min(pause, copyLongestPause))
}

// Tell says whether somebody is to be told now that the copy fails again and again, or is late, with the job that knows that they were, and how.
func (s State) Tell(now time.Time) (state State, severity arm.Word, message string, tell bool) {
	work := *s.Work.Copy
	late := now.Sub(work.Due) >= CopyTime
	if !late && work.Tries < tellTries || !work.Told.IsZero() && now.Sub(work.Told) < tellAgain {
		return s, "", "", false
	}
	work.Told = now
	s.Work.Copy = &work
	severity = arm.SeverityWarning
	message = fmt.Sprintf("the recovery point %s of %s, whose copy was due at %s, is not in the vault tier", work.Point, s.Body.BackupInstanceFriendlyName, work.Due.UTC().Format(time.RFC3339))
	if late {
		severity = arm.SeverityError
		message += fmt.Sprintf(", %s late", Duration(now.Sub(work.Due).Truncate(time.Minute)))
	}
	if why := s.Body.ExtendedInfo.AdditionalDetails[detailWaiting]; why != "" {
		message += fmt.Sprintf(": %s (try %d)", why, work.Tries)
	} else {
		message += ": its copy goes on"
	}
	return s, severity, message, true
}

// Whole is a tiering job whose copy is in the vault tier, of so many bytes, and takes up so many there.
func (s State) Whole(bytes, stored int64, now time.Time) State {
	s = s.met().copied(bytes, bytes)
	s.Body.ExtendedInfo.AdditionalDetails["storedBytes"] = strconv.FormatInt(stored, 10)
	s.Body.ExtendedInfo.TargetRecoverPoint = s.Body.ExtendedInfo.SourceRecoverPoint
	return s.end(Completed, now)
}

// TooLate is a tiering job whose copy the vault tier would let go of before it has it.
func (s State) TooLate(until, now time.Time) State {
	last := s.Body.ExtendedInfo.AdditionalDetails[detailWaiting]
	return s.Fail(coffer.Errorf(coffer.CodeNotCopied, "the vault tier was to keep the copy until %s, and did not get it by then: %s",
		until.UTC().Format(time.RFC3339), cmp.Or(last, "it was not whole")).
		WithHint("see that copies succeed, or keep them longer; the recovery point is in no tier any more once its time is up there too"), now)
}

// Unwanted is a tiering job whose copy nobody wants any more.
func (s State) Unwanted(why string, now time.Time) State {
	s = s.clone()
	s.Body.ErrorDetails = []arm.UserFacingError{failure(string(coffer.CodeCancelled), why+"; what was copied is deleted in the vault tier")}
	return s.end(Cancelled, now)
}

// Paused is a tiering job that ends because its instance was deleted and can be had again: then another one goes on with the copy.
func (s State) Paused(now time.Time) State {
	s = s.clone()
	s.Body.ErrorDetails = []arm.UserFacingError{failure(string(coffer.CodeCancelled),
		"the backup instance was deleted; nothing more is copied of it, unless somebody has it again")}
	return s.end(Cancelled, now)
}
