package retention

import "github.com/coffer-backup/coffer/api/arm"

// Template is the policy that one begins with: a backup every four hours, kept for seven days.
func Template() arm.Policy {
	yes, priority := true, int64(99)
	operational := &arm.DataStore{ObjectType: arm.TypeDataStore, DataStoreType: arm.OperationalStore}
	return arm.Policy{
		ObjectType:      arm.TypeBackupPolicy,
		DatasourceTypes: []string{arm.ManagedClusters},
		PolicyRules: []arm.PolicyRule{
			{
				ObjectType:       arm.TypeBackupRule,
				Name:             "BackupHourly",
				BackupParameters: &arm.BackupParameters{ObjectType: arm.TypeBackupParams, BackupType: "Incremental"},
				DataStore:        operational,
				Trigger: &arm.Trigger{
					ObjectType: arm.TypeScheduleTrigger,
					Schedule:   &arm.Schedule{RepeatingTimeIntervals: []string{"R/2023-01-04T09:00:00+00:00/PT4H"}},
					TaggingCriteria: arm.TaggingCriteria{{
						IsDefault: &yes, TaggingPriority: &priority, TagInfo: &arm.TagInfo{ID: "Default_", TagName: "Default"},
					}},
				},
			},
			{
				ObjectType: arm.TypeRetentionRule,
				Name:       "Default",
				IsDefault:  &yes,
				Lifecycles: []arm.Lifecycle{{
					DeleteAfter:                 &arm.DeleteOption{ObjectType: arm.TypeAbsoluteDelete, Duration: "P7D"},
					SourceDataStore:             operational,
					TargetDataStoreCopySettings: []arm.CopySetting{},
				}},
			},
		},
	}
}
