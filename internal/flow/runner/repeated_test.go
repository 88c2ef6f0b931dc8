package runner_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	oneRequest     = "44444444-4444-4444-8444-444444444444"
	anotherRequest = "55555555-5555-4555-8555-555555555555"
)

// asks is the caller by a request that has an id of its own.
func (w *world) asks(request string) vault.Caller {
	by := w.by
	by.ClientRequest = request
	return by
}

// beginBy begins a job by a request, and answers its name and its operation.
func (w *world) beginBy(
	by vault.Caller, do func(context.Context, vault.Caller, catalogue.ID, []byte) (vault.Begun, error), body string,
) (name, operation string) {
	w.t.Helper()
	begun, err := do(w.t.Context(), by, instanceID, []byte(body))
	if err != nil {
		w.t.Fatal(err)
	}
	return begun.Job.Name(), begun.Operation.ID
}

func TestARepeatedRequestBeginsNothingAnew(t *testing.T) {
	w := newWorld(t)
	point := w.backedUp()
	body := restoreRequest(point, clusterID)
	first, operation := w.beginBy(w.asks(oneRequest), w.jobs.BeginRestore, body)
	restores := w.audited("Microsoft.DataProtection/backupVaults/backupInstances/restore/action")
	for _, wait := range []time.Duration{0, time.Minute, 13 * time.Minute} {
		w.Clock.Move(wait)
		// The id of an instance is one however it is spelled.
		begun, err := w.jobs.BeginRestore(t.Context(), w.asks(oneRequest), catalogue.ID(strings.ToUpper(string(instanceID))), []byte(body))
		if err != nil || begun.Job.Name() != first || begun.Operation.ID != operation || !strings.Contains(string(begun.Operation.Result), first) {
			t.Errorf("once more after %s: %+v, %v; want the job %s and the operation %s", wait, begun, err, first, operation)
		}
	}
	if n := w.audited("Microsoft.DataProtection/backupVaults/backupInstances/restore/action"); n != restores {
		t.Errorf("the audit log has %d restores, and had %d", n, restores)
	}
	// What is another request, and what has none that is known.
	stranger := w.asks(oneRequest)
	stranger.Principal.ObjectID = "66666666-6666-8666-8666-666666666666"
	if begun, err := w.jobs.BeginRestore(t.Context(), stranger, instanceID, []byte(body)); coffer.CodeOf(err) != coffer.CodeLinkedAuthorizationFailed {
		t.Errorf("somebody else, who may not restore, is answered %+v, %v", begun, err)
	}
	seen := map[string]string{first: "the first"}
	for what, begin := range map[string]func() (string, string){
		"another id":      func() (string, string) { return w.beginBy(w.asks(anotherRequest), w.jobs.BeginRestore, body) },
		"another body":    func() (string, string) { return w.beginBy(w.asks(oneRequest), w.jobs.BeginRestore, body+" ") },
		"another action":  func() (string, string) { return w.beginBy(w.asks(oneRequest), w.jobs.BeginPlan, body) },
		"no id":           func() (string, string) { return w.beginBy(w.by, w.jobs.BeginRestore, body) },
		"no id once more": func() (string, string) { return w.beginBy(w.by, w.jobs.BeginRestore, body) },
	} {
		name, _ := begin()
		if was, known := seen[name]; known {
			t.Errorf("%s has begun %s, which is of %s", what, name, was)
		}
		seen[name] = what
	}
	w.Clock.Move(2 * time.Minute)
	if name, _ := w.beginBy(w.asks(oneRequest), w.jobs.BeginRestore, body); seen[name] != "" {
		t.Errorf("after sixteen minutes, it has begun %s, which is of %s", name, seen[name])
	}
}

func TestARepeatedBackupIsNotRefusedForItself(t *testing.T) {
	w := newWorld(t)
	name, operation := w.beginBy(w.asks(oneRequest), w.jobs.BeginBackup, backupRequest)
	if again, same := w.beginBy(w.asks(oneRequest), w.jobs.BeginBackup, backupRequest); again != name || same != operation {
		t.Errorf("while it is under way: %s and %s, want %s and %s", again, same, name, operation)
	}
	if _, err := w.jobs.BeginBackup(t.Context(), w.asks(anotherRequest), instanceID, []byte(backupRequest)); coffer.CodeOf(err) != coffer.CodeJobUnderway {
		t.Errorf("another one: %v", err)
	}
	w.complete(name)
	if again, same := w.beginBy(w.asks(oneRequest), w.jobs.BeginBackup, backupRequest); again != name || same != operation {
		t.Errorf("once it is done: %s and %s, want %s and %s", again, same, name, operation)
	}
	if points := w.points(); len(points) != 1 {
		t.Errorf("there are %d recovery points", len(points))
	}
	// A copy of the vault's own: it was deleted, and made anew, with nothing of what was.
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		_, err := tx.DeleteJobs(ctx, catalogue.EndedJob{Vault: vaultID, Name: name})
		return err
	})
	if again, _ := w.beginBy(w.asks(oneRequest), w.jobs.BeginBackup, backupRequest); again == name {
		t.Error("a job that is gone was begun")
	}
}

func TestARequestWhoseJobHasFailedBeginsAnother(t *testing.T) {
	w := newWorld(t)
	first, _ := w.beginBy(w.asks(oneRequest), w.jobs.BeginBackup, backupRequest)
	w.look()
	w.cluster.SetStatus("backups", first, `{"phase":"Failed","message":"no","completionTime":"2026-05-04T12:00:05Z"}`)
	w.look()
	if got := w.job(first); got.Status != job.Failed {
		t.Fatalf("it is %s", got.Status)
	}
	second, operation := w.beginBy(w.asks(oneRequest), w.jobs.BeginBackup, backupRequest)
	if second == first {
		t.Error("what has failed is answered once more")
	}
	if again, same := w.beginBy(w.asks(oneRequest), w.jobs.BeginBackup, backupRequest); again != second || same != operation {
		t.Errorf("once more: %s and %s, want %s and %s", again, same, second, operation)
	}
}

func TestOfManyWhoRepeatOneRequestAtOnceOneBeginsIt(t *testing.T) {
	w := newWorld(t)
	point := w.backedUp()
	var mu sync.Mutex
	jobs, operations := map[string]bool{}, map[string]bool{}
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			begun, err := w.jobs.BeginRestore(t.Context(), w.asks([]string{oneRequest, anotherRequest}[n%2]), instanceID, []byte(restoreRequest(point, clusterID)))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			jobs[begun.Job.Name()], operations[begun.Operation.ID] = true, true
		})
	}
	all.Wait()
	if len(jobs) != 2 || len(operations) != 2 || len(w.jobNames()) != 3 {
		t.Errorf("two requests have begun %v by %v, and there are the jobs %v", jobs, operations, w.jobNames())
	}
}
