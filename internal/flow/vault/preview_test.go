package vault_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/retention"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// previewed is a request to preview a policy of an interval, whose default rule keeps for so long.
func previewed(interval, keep string) []byte {
	return fmt.Appendf(nil, `{"from":"2026-11-21T12:00:00Z","runs":3,"days":["2026-11-22"],"policy":{"objectType":"BackupPolicy","datasourceTypes":["Microsoft.ContainerService/managedClusters"],"policyRules":[
		{"objectType":"AzureBackupRule","name":"BackupHourly","backupParameters":{"objectType":"AzureBackupParams","backupType":"Incremental"},
		"dataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},"trigger":{"objectType":"ScheduleBasedTriggerContext",
		"schedule":{"repeatingTimeIntervals":["R/2026-01-01T00:00:00+00:00/%s"]},
		"taggingCriteria":[{"isDefault":true,"taggingPriority":99,"tagInfo":{"tagName":"Default"}}]}},
		{"objectType":"AzureRetentionRule","name":"Default","isDefault":true,"lifecycles":[{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":%q},
		"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"}}]}]}}`, interval, keep)
}

// TestAPolicyIsPreviewedByTheLimitsThatItIsKeptBy holds that a policy which the server takes is one that it tells of.
func TestAPolicyIsPreviewedByTheLimitsThatItIsKeptBy(t *testing.T) {
	const id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DataProtection/backupVaults/v"
	now := func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }
	for _, tt := range []struct {
		name           string
		limits         retention.Limits
		interval, keep string
		points         int
		refused        string
	}{
		{"five minutes", retention.Limits{}, "PT5M", "P1D", 288, ""},
		{"a minute, of a vault", retention.Limits{}, "PT1M", "P1D", 0, "shorter than 5 minutes"},
		{"a minute, where that is permitted", retention.Minutes(), "PT1M", "PT10M", 10, ""},
		{"five minutes, for a year", retention.Limits{}, "PT5M", "P360D", 432, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &vault.Keeper{Now: now, Policies: tt.limits}
			told, err := k.PreviewPolicy(t.Context(), id, previewed(tt.interval, tt.keep))
			if tt.refused != "" {
				if coffer.CodeOf(err) != coffer.CodeInvalidInput || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("%v, want %s", err, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(told.Runs) != 3 || len(told.Days) != 1 || len(told.Days[0].RecoveryPoints) != tt.points {
				t.Errorf("%d runs, %d days, %d recovery points, want %d", len(told.Runs), len(told.Days), len(told.Days[0].RecoveryPoints), tt.points)
			}
		})
	}
}
