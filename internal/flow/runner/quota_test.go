package runner_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/quota"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

func TestOnDemandBackupsOfADayAreBounded(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.jobs.Keeper.Quotas = quota.Quotas{Backups: 2}
	w.backedUp()
	w.backup(failedRun) // What became of one does not matter.
	refused := func() {
		t.Helper()
		_, err := w.jobs.BeginBackup(t.Context(), w.by, instanceID, []byte(backupRequest))
		var coded *coffer.Error
		if !errors.As(err, &coded) || coded.Code != coffer.CodeQuotaReached || !strings.Contains(coded.Message, "the backup instance one has begun 2 on-demand backups since 2026-05-0") ||
			!strings.Contains(coded.Hint, "T00:00:00Z on; who runs the server can change it") {
			t.Errorf("a third one: %v", err)
		}
	}
	refused()
	w.Clock.Move(time.Date(2026, 5, 4, 23, 59, 59, 0, time.UTC).Sub(w.Clock.Now()))
	refused()
	w.Clock.Move(time.Second)
	w.backup(failedRun)
	w.backup(failedRun)
	refused()
	// The schedule goes on whatever people have asked for, and is not counted.
	w.until(day(5))
	if names := w.scheduled(); len(names) != 1 {
		t.Fatalf("the schedule: %v", names)
	}
	w.complete(w.scheduled()[0])
	w.until(day(6))
	w.complete(w.scheduled()[0])
	w.backup(failedRun)
	w.backup(failedRun)
	refused()
}

func TestOfManyRestoresAtOnceNoTwoTakeTheLastPlace(t *testing.T) {
	w := newWorld(t)
	point := w.backedUp()
	w.put(vaultID, strings.Replace(vaultBody("Off", "Disabled"), `"properties":{`, `"properties":{"coffer":{"quotas":{"restoresPerDay":3}},`, 1))
	w.jobs.Keeper.Quotas = quota.AKS()
	var begun, refused atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := w.jobs.BeginRestore(t.Context(), w.by, instanceID, []byte(restoreRequest(point, clusterID)))
			switch coded, ok := errors.AsType[*coffer.Error](err); {
			case err == nil:
				begun.Add(1)
			case ok && coded.Code == coffer.CodeQuotaReached && strings.Contains(coded.Hint, "who may write the vault can change it: properties.coffer.quotas.restoresPerDay"):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if begun.Load() != 3 || refused.Load() != 5 {
		t.Errorf("%d have begun, and %d were refused: there may be 3", begun.Load(), refused.Load())
	}
	// A plan restores nothing.
	if _, err := w.jobs.BeginPlan(t.Context(), w.by, instanceID, []byte(restoreRequest(point, clusterID))); err != nil {
		t.Error(err)
	}
}

func TestWhatAVaultHoldsIsBounded(t *testing.T) {
	w := newWorld(t)
	put := func(id catalogue.ID, body string) error {
		_, err := w.jobs.Keeper.Put(t.Context(), w.by, vault.Put{ID: id, Body: json.RawMessage(body)})
		return err
	}
	r, err := w.jobs.Keeper.Get(t.Context(), instanceID)
	if err != nil {
		t.Fatal(err)
	}
	body := string(r.Body)
	names := func(list string) string {
		return strings.Replace(body, `"includedNamespaces":["app"]`, `"includedNamespaces":[`+list+`]`, 1)
	}
	other := strings.ReplaceAll(body, "/pol\"", "/pol2\"")
	w.jobs.Keeper.Quotas = quota.Quotas{Policies: 2, Instances: 1, Namespaces: 2}
	for _, tt := range []struct {
		name string
		err  error
		code coffer.Code
	}{
		{"the last policy", put(vaultID+"/backupPolicies/pol2", policyBody), ""},
		{"one policy more", put(vaultID+"/backupPolicies/pol3", policyBody), coffer.CodeQuotaReached},
		{"a change of one that is there", put(policyID, strings.Replace(policyBody, "P7D", "P8D", 1)), ""},
		{"one instance more", put(vaultID+"/backupInstances/two", other), coffer.CodeQuotaReached},
		{"a change of the one that is there", put(instanceID, names(`"app","b"`)), ""},
		{"too many namespaces", put(instanceID, names(`"app","b","c"`)), coffer.CodeQuotaReached},
	} {
		if coffer.CodeOf(tt.err) != tt.code {
			t.Errorf("%s: %v", tt.name, tt.err)
		}
	}
	// What was there before a quota stays, and does not grow.
	w.jobs.Keeper.Quotas = quota.Quotas{Namespaces: 1}
	if err := put(instanceID, names(`"app","c"`)); err != nil {
		t.Errorf("as many namespaces as before: %v", err)
	}
	w.putVault("On", "Disabled")
	w.backedUp()
	if _, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, false); err != nil {
		t.Fatal(err)
	}
	w.jobs.Keeper.Quotas = quota.Quotas{Instances: 1}
	if err := put(vaultID+"/backupInstances/two", other); err != nil {
		t.Fatalf("in the place of one that was deleted: %v", err)
	}
	if _, err := w.jobs.Keeper.Undelete(t.Context(), w.by, vaultID+"/deletedBackupInstances/one"); coffer.CodeOf(err) != coffer.CodeQuotaReached {
		t.Errorf("to have it again: %v", err)
	}
}
