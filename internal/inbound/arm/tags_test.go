package arm

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/decide/job"
)

// TestABackupOfTheScheduleGetsItsTagWhenItHasEnded: only then it is known whether it is a good one.
func TestABackupOfTheScheduleGetsItsTagWhenItHasEnded(t *testing.T) {
	w := newInstance(t)
	daily := strings.Replace(policyProperties(), `"taggingCriteria":[`, `"taggingCriteria":[{"isDefault":false,"taggingPriority":25,"tagInfo":{"tagName":"Daily"},"criteria":[{"objectType":"ScheduleBasedBackupCriteria","absoluteCriteria":["FirstOfDay"]}]},`, 1)
	daily = strings.Replace(daily, `{"objectType":"AzureRetentionRule"`, `{"objectType":"AzureRetentionRule","name":"Daily","isDefault":false,"lifecycles":[{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":"P30D"},"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"}}]},{"objectType":"AzureRetentionRule"`, 1)
	w.must(200, http.MethodPut, policyID+version, `{"properties":`+daily+`}`)
	day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name        string
		slot        time.Time // zero is on demand
		phase, rule string
	}{
		{"on demand", time.Time{}, "Completed", "Default"},
		{"the first of the day is partial", day.Add(150 * time.Minute), "CompletedWithWarnings", "Daily"},
		{"the second is partial, too", day.Add(390 * time.Minute), "CompletedWithWarnings", "Default"},
		{"the first good one", day.Add(630 * time.Minute), "Completed", "Daily"},
		{"the second good one", day.Add(870 * time.Minute), "Completed", "Default"},
		{"the next day", day.Add(26*time.Hour + 30*time.Minute), "Completed", "Daily"},
	} {
		name := w.begin(instanceID+"/backup", w.backupOf())
		if _, err := w.jobs.Advance(t.Context(), vaultID, name, func(s job.State) job.State { s.Work.Slot = tt.slot; return s }); err != nil {
			t.Fatal(err)
		}
		w.look()
		w.aks.SetStatus("backups", name, `{"phase":"`+tt.phase+`"}`)
		w.look()
		got := w.must(200, http.MethodGet, instanceID+"/recoveryPoints/"+name+version, "")
		if got.at("properties", "retentionTagName") != tt.rule || got.at("properties", "coffer", "reason") == nil || got.at("properties", "coffer", "expires") == nil || (got.at("properties", "coffer", "slot") == nil) != tt.slot.IsZero() {
			t.Errorf("%s: %s", tt.name, got.text)
		}
	}
}
