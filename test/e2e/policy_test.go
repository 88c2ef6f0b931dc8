//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
)

// TestAPolicyIsFollowed lets backup instances follow policies of a minute side by side, each in another state of protection, and has what
// carries that out away at each step: the link of the cluster, its connector, the server. Backups begin by themselves, once each; what has
// expired goes from the catalogue, the cluster and the storage, but for what is kept; nothing is lost, and in the end nothing is left.
func TestAPolicyIsFollowed(t *testing.T) {
	f := newFollowed(t)
	for _, step := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"backups begin by themselves", f.schedule},
		{"states change while the link is cut", f.changeStates},
		{"what was deleted is had again", f.haveAgain},
		{"the link is back", f.linkIsBack},
		{"what is kept is kept", f.keep},
		{"the server is away", f.resumeAndAway},
		{"backups go on", f.goOn},
		{"slots", f.slots},
		{"what was deleted goes when its time is over", f.end},
	} {
		began := time.Now()
		if !t.Run(step.name, step.run) {
			t.FailNow()
		}
		t.Logf("%s: %s", step.name, time.Since(began).Round(time.Second))
	}
}

func (f *followed) schedule(t *testing.T) {
	f.calm(t)
	// Beside those of the schedule: each instance has two at least.
	f.together(t, each([]string{suspended, stopped, shopOne, held, purged}, "backup-instance", "adhoc-backup", "--wait", "-n")...)
	for _, name := range minutely {
		eventually(t, "a recovery point of the schedule of "+name, 3*time.Minute, func(context.Context) (bool, error) {
			return slices.ContainsFunc(f.points(t, name), ofSchedule), nil
		})
	}
	found := f.points(t, kept)
	first := found[len(found)-1]
	if first.Coffer == nil || first.Coffer.Slot == nil || first.Coffer.Slot.Second() != 0 || first.Coffer.Reason == "" {
		t.Fatalf("the recovery point does not say which slot it is of, and why it is kept: %s", mustJSON(t, first))
	}
	j := f.job(t, f.vaultID(policyVault)+"/backupJobs/"+first.RecoveryPointID)
	if j.Operation != "ScheduledBackup" || j.IsUserTriggered || details(j)["ScheduledFor"] == "" {
		t.Errorf("its job: %s", mustJSON(t, j))
	}
	if delay := j.StartTime.Sub(*first.Coffer.Slot); delay < 0 || delay > time.Minute {
		t.Errorf("it began %s after its slot", delay)
	}
}

// changeStates cuts the link, asks for all that needs no cluster, and kills the server as soon as it has said yes. Backups and deletions
// wait for their cluster; a slot that comes while one waits is told by an alert.
func (f *followed) changeStates(t *testing.T) {
	f.calm(t)
	// On a busy machine, what somebody asked for may have expired until it was calm: then they ask once more.
	two := []string{suspended, shopOne}
	for attempt := 1; ; attempt++ {
		for _, name := range []string{suspended, stopped, shopOne, purged} {
			f.was[name] = lasting(f.points(t, name))
		}
		if !slices.ContainsFunc(two, func(name string) bool { return len(f.was[name]) < 2 }) {
			break
		}
		if attempt == 5 {
			t.Fatalf("recovery points: %v", f.was)
		}
		f.together(t, each(two, "backup-instance", "adhoc-backup", "--wait", "-n")...)
		f.calm(t)
	}
	cutLink(t)
	f.cut = time.Now()
	f.together(t,
		[]string{"backup-instance", "suspend-backup", "-n", suspended},
		[]string{"backup-instance", "stop-protection", "-n", stopped},
		[]string{"backup-instance", "delete", "-n", shopOne, "--yes"},
		[]string{"backup-instance", "delete", "-n", purged, "--yes"},
		[]string{"recovery-point", "hold", "-n", held, "latest", "--reason", "Case 42"},
	)
	f.must(t, "backup-instance", "deleted-backup-instance", "purge", "-n", purged, "--yes", "--no-wait")
	mustLab(t, "service", "kill", "vault")
	mustLab(t, "service", "up", "vault")

	for name, state := range map[string]string{suspended: "BackupSchedulesSuspended", stopped: "ProtectionStopped", kept: "ProtectionConfigured"} {
		if now := f.state(t, name); now != state {
			t.Errorf("after the server was killed %s is %s, was %s", name, now, state)
		}
	}
	for _, p := range f.points(t, held) {
		if p.Coffer != nil && p.Coffer.LegalHold != nil {
			f.heldPoint = p
		}
	}
	if f.heldPoint.RecoveryPointID == "" {
		t.Errorf("after the server was killed nothing of %s is held", held)
	}
	// Nobody may see the rows that are backed up any more, but for who restores them.
	if _, err := f.shop.SQL(t.Context(), "DELETE FROM orders WHERE id % 2 = 0"); err != nil {
		t.Fatal(err)
	}
	f.awaitAlert(t, kept, f.cut)
	eventually(t, "what has expired of "+suspended+" waits for the link", time.Minute, func(context.Context) (bool, error) {
		var owed []arm.PendingDeletion
		f.decode(t, &owed, "backup-vault", "pending-deletions")
		return slices.ContainsFunc(owed, func(d arm.PendingDeletion) bool {
			return strings.HasSuffix(d.BackupInstanceID, "/"+suspended) && len(leftOf(t, lastWord(d.RecoveryPointID))) > 0
		}), nil
	})
	if !f.isDeleted(t, purged) {
		t.Errorf("%s is purged, and its cluster cannot be reached", purged)
	}
}

// haveAgain has what was deleted again, kills the server as soon as it has said yes, and has it restored beside the original once there is a link.
func (f *followed) haveAgain(t *testing.T) {
	f.must(t, "backup-instance", "deleted-backup-instance", "undelete", "-n", shopOne)
	mustLab(t, "service", "kill", "vault")
	mustLab(t, "service", "up", "vault")
	if now := f.state(t, shopOne); now != "ProtectionStopped" {
		t.Errorf("what is had again is %s", now)
	}
	if now := names(f.points(t, shopOne)); !containsAll(now, f.was[shopOne]) {
		t.Errorf("recovery points that are had again: %v, were: %v", now, f.was[shopOne])
	}
	f.restore = f.begun(t, "backup-instance", "restore", "trigger", "-n", shopOne, "--recovery-point-id", "latest", "--namespace-mappings", namespaceOf(shopOne)+"="+f.beside.Namespace)
}

// linkIsBack finds done what waited for the link, though the connector is killed then.
func (f *followed) linkIsBack(t *testing.T) {
	mustLab(t, "heal", machineName(), "vault")
	killConnector(t)
	eventually(t, purged+" is purged", 3*time.Minute, func(context.Context) (bool, error) { return !f.isDeleted(t, purged), nil })
	mustBeGone(t, f.was[purged])
	// The last of them may have expired just now, and not be owed before the server looks again.
	eventually(t, "what has expired is deleted", 2*time.Minute, func(context.Context) (bool, error) {
		for _, p := range f.was[suspended][1:] {
			if left := leftOf(t, p); len(left) > 0 {
				return false, fmt.Errorf("of %s there is left: %v", p, left)
			}
		}
		var owed []arm.PendingDeletion
		f.decode(t, &owed, "backup-vault", "pending-deletions")
		return len(owed) == 0, nil
	})
}

// keep looks at what is past its time and kept.
func (f *followed) keep(t *testing.T) {
	if now := names(f.points(t, stopped)); !containsAll(now, f.was[stopped]) {
		t.Errorf("of %s, whose protection is stopped, there are %v, were: %v", stopped, now, f.was[stopped])
	}
	for _, name := range []string{suspended, stopped} {
		for _, j := range f.jobsOf(t, name) {
			if j.StartTime.After(f.cut.Add(10 * time.Second)) {
				t.Errorf("%s began since: %s", name, mustJSON(t, j))
			}
		}
	}
	left := f.points(t, suspended)
	if len(left) != 1 || left[0].RecoveryPointID != f.was[suspended][0] {
		t.Errorf("while backups are suspended there are %v, were: %v; want the latest", names(left), f.was[suspended])
	}
	for name, p := range map[string]string{held: f.heldPoint.RecoveryPointID, stopped: f.was[stopped][0], suspended: f.was[suspended][0]} {
		isIt := func(one arm.RecoveryPoint) bool { return one.RecoveryPointID == p }
		found := f.points(t, name)
		at := slices.IndexFunc(found, isIt)
		if at < 0 {
			t.Fatalf("%s has lost %s", name, p)
		}
		// The server looks each 15 s: what nothing keeps would be gone by then.
		waitUntil(t, found[at].ExpiryTime.Add(16*time.Second))
		if !slices.ContainsFunc(f.points(t, name), isIt) || len(leftOf(t, p)) == 0 {
			t.Errorf("%s, which %s is to keep, has expired; of it there is in the cluster: %v", p, name, leftOf(t, p))
		}
	}
}

// resumeAndAway resumes all while the link is cut, kills the server as soon as it has said yes, and lets slots pass meanwhile.
func (f *followed) resumeAndAway(t *testing.T) {
	// All that can be asked before is: there is less than half a minute between the last backup of a minute and the first of the next.
	const begin = "2026-01-01T00:00:00Z"
	policy := f.minutePolicy(t, "R/"+begin+"/PT1H", "PT0S")
	f.calm(t)
	cutLink(t)
	f.resumed = time.Now()
	next := f.resumed.Truncate(time.Minute).Add(time.Minute)
	f.follow(t, late, strings.ReplaceAll(policy, begin, next.Add(time.Second).UTC().Format(time.RFC3339)))
	f.together(t,
		[]string{"rest", "POST", f.vaultID(policyVault) + "/backupInstances/" + suspended + "/resumeBackups", "--body", mustFile(t, `{}`)},
		[]string{"backup-instance", "resume-protection", "-n", stopped},
		[]string{"backup-instance", "resume-protection", "-n", shopOne},
		[]string{"recovery-point", "release-hold", "-n", held, f.heldPoint.RecoveryPointID},
	)
	mustLab(t, "service", "kill", "vault")
	if now := time.Now(); !now.Before(next) {
		t.Fatalf("at %s the server was killed too late for the slot of %s", now, next)
	}
	t.Logf("the server was killed %s before the next slot", time.Until(next).Round(time.Second))
	waitUntil(t, next.Add(66*time.Second))
	mustLab(t, "service", "up", "vault")
	mustLab(t, "heal", machineName(), "vault")
	killConnector(t)
}

// goOn finds backups made by the schedule again, what was kept gone, and the rows of the application restored as they were.
func (f *followed) goOn(t *testing.T) {
	for _, name := range []string{suspended, stopped, shopOne, held, late} {
		eventually(t, "backups of "+name+" go on", 2*time.Minute, func(context.Context) (bool, error) {
			return slices.ContainsFunc(f.points(t, name), func(p arm.RecoveryPoint) bool { return ofSchedule(p) && p.RecoveryPointTime.After(f.resumed) }), nil
		})
	}
	f.mustComplete(t, f.restore)
	if after := mustDigest(t, f.beside); after != f.before {
		t.Errorf("the data is %s, was %s", after, f.before)
	}
	was := slices.Concat(f.was[stopped], f.was[shopOne], []string{f.heldPoint.RecoveryPointID})
	eventually(t, "what was kept while it was stopped, or held, is gone", 4*time.Minute, func(context.Context) (bool, error) {
		for _, p := range was {
			if len(leftOf(t, p)) > 0 {
				return false, nil
			}
		}
		return true, nil
	})
}

// slots finds one job for each slot, none twice, and an alert where one was missed.
func (f *followed) slots(t *testing.T) {
	seen := map[string]bool{}
	for _, j := range f.jobsOf(t, "") {
		slot := details(j)["ScheduledFor"]
		if at := j.BackupInstanceID + " " + slot; slot != "" && seen[at] {
			t.Errorf("there are two backups of %s", at)
		} else {
			seen[at] = true
		}
		if !j.Status.Is("Completed") && !j.Status.Is("InProgress") {
			t.Errorf("a job has not gone well: %s", mustJSON(t, j))
		}
	}
	slots := f.slotsOf(t, kept)
	missed := 0
	for i, s := range slots[:len(slots)-1] {
		missed += s.Missed
		if before := slots[i+1].Time; s.Time.Sub(before) != time.Duration(1+s.Missed)*time.Minute {
			t.Errorf("the slots of %s from %s to %s are not all accounted for: %s", kept, before, s.Time, mustJSON(t, slots))
		}
	}
	if missed != 1 {
		t.Errorf("while the server was away %d slots of %s were missed: %s", missed, kept, mustJSON(t, slots))
	}
	f.awaitAlert(t, kept, f.resumed)
	if slots := f.slotsOf(t, late); len(slots) != 1 || slots[0].Outcome != "CaughtUp" || slots[0].JobID == "" {
		t.Errorf("what was missed is caught up by %s", mustJSON(t, slots))
	}
	if points := f.points(t, late); len(points) != 1 {
		t.Errorf("what was missed was caught up %d times", len(points))
	}
	f.awaitAlert(t, late, f.resumed)
}

// end deletes all instances so that they can be had again for seconds, with the link cut and the server killed in the meantime, and finds
// nothing left.
func (f *followed) end(t *testing.T) {
	f.must(t, "backup-vault", "update", "--retention-duration-in-days", "14")
	all := []string{kept, suspended, stopped, shopOne, held, late}
	f.together(t, each(all, "backup-instance", "suspend-backup", "-n")...)
	eventually(t, "no backup is under way", 2*time.Minute, func(context.Context) (bool, error) { return f.isCalm(t), nil })
	// It is cut before, and nothing is purged to its end until it is there again, however long it takes to ask for all of it.
	cutLink(t)
	f.together(t, each(all, "backup-instance", "delete", "--yes", "-n")...)
	deleted := time.Now()
	mustLab(t, "service", "kill", "vault")
	waitUntil(t, deleted.Add(14*time.Second))
	mustLab(t, "service", "up", "vault")
	eventually(t, "what was deleted is about to be purged", time.Minute, func(context.Context) (bool, error) {
		return slices.ContainsFunc(f.jobsOf(t, kept), func(j arm.Job) bool { return j.Operation.Is("DeleteBackupData") && !hasEnded(j) }), nil
	})
	mustLab(t, "heal", machineName(), "vault")
	killConnector(t)
	for _, name := range all {
		eventually(t, name+" is purged", 3*time.Minute, func(context.Context) (bool, error) { return !f.isDeleted(t, name), nil })
	}
	var made []string
	for _, j := range f.jobsOf(t, "") {
		if strings.HasSuffix(string(j.Operation), "Backup") {
			made = append(made, j.ActivityID)
		}
	}
	t.Logf("%d backups were made", len(made))
	mustBeGone(t, made)
	mustBeWithout(t, nil, f.start)
	mustHaveNoSnapshotObjects(t)
}
