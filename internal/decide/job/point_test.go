package job

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

const dailyPolicy = `{"properties":{"objectType":"BackupPolicy","datasourceTypes":["Microsoft.ContainerService/managedClusters"],"policyRules":[
	{"objectType":"AzureBackupRule","name":"BackupDaily","backupParameters":{"objectType":"AzureBackupParams","backupType":"Incremental"},
	"dataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},"trigger":{"objectType":"ScheduleBasedTriggerContext",
	"schedule":{"repeatingTimeIntervals":["R/2026-01-01T00:00:00+00:00/PT12H"]},"taggingCriteria":[
	{"isDefault":false,"taggingPriority":10,"tagInfo":{"tagName":"Vault"},"criteria":[{"objectType":"ScheduleBasedBackupCriteria","absoluteCriteria":["FirstOfDay"]}]},
	{"isDefault":true,"taggingPriority":99,"tagInfo":{"tagName":"Default"}}]}},
	{"objectType":"AzureRetentionRule","name":"Vault","isDefault":false,"lifecycles":[{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":"P90D"},"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"VaultStore"}}]},
	{"objectType":"AzureRetentionRule","name":"Default","isDefault":true,"lifecycles":[{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":"P7D"},"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"}}]}]}}`

func TestARecoveryPointTellsWhatItWasPromised(t *testing.T) {
	body, err := arm.Decode[arm.PolicyResource]([]byte(dailyPolicy))
	if err != nil {
		t.Fatal(err)
	}
	policy, err := retention.Parse(body.Properties, "properties", retention.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	slot := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	noon := slot.Add(12 * time.Hour)
	taken := slot.Add(20 * time.Second)
	day := func(n int) *time.Time { d := taken.AddDate(0, 0, n); return &d }
	for _, tt := range []struct {
		name     string
		work     Work
		previous time.Time
		rule     string
		want     arm.CofferPoint
	}{
		{"the first of the day", Work{Slot: slot}, slot.Add(-12 * time.Hour), "Vault", arm.CofferPoint{Reason: "tag Vault: it is the first of 2026-11-21", Expires: day(90), Slot: &slot, CopyAfter: day(0), CopyExpires: day(90)}},
		{"not the first", Work{Slot: noon, Partial: true}, slot, "Default", arm.CofferPoint{Reason: "tag Default: no other tag is for it", Expires: day(7), Slot: &noon}},
		{"by hand", Work{Rule: "Default", Reason: "no retentionTagOverride was given"}, time.Time{}, "Default", arm.CofferPoint{Reason: "no retentionTagOverride was given", Expires: day(7)}},
		{"by a rule that is gone", Work{Rule: "Monthly", Reason: "retentionTagOverride is Monthly"}, time.Time{}, "Default", arm.CofferPoint{Reason: "the policy has no rule Monthly any more", Expires: day(7)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newState()
			tt.work.Taken = taken
			s.Work = tt.work
			got, promised := s.Point(policy, "3", tt.previous, time.Time{})
			expiry := promised.Operational.Expires
			if diff := cmp.Diff(&tt.want, got.Coffer); diff != "" || got.RetentionTagName != tt.rule || !expiry.Equal(*day(7)) {
				t.Errorf("rule %s, operational tier until %v, and (-want +got):\n%s", got.RetentionTagName, expiry, diff)
			}
			// It is read as it was made.
			made := retention.ReadPoint(got)
			if made.Good == tt.work.Partial || !made.Slot.Equal(tt.work.Slot) || !made.Operational.Present || !made.Expires().Equal(*tt.want.Expires) || made.Awaited() != (tt.want.CopyAfter != nil) {
				t.Errorf("read: %+v", made)
			}
		})
	}
}
