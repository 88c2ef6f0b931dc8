package clients

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-azure-helpers/lang/pointer"
	vaults "github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupvaultresources"
	policies "github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/basebackuppolicyresources"
)

// providersPolicy is what the provider sends of a policy in its own acceptance tests: where nothing is said, an empty time zone and
// nulls.
func providersPolicy(timeZone string, criteria policies.ScheduleBasedBackupCriteria, daily ...string) policies.BaseBackupPolicyResource {
	body := policyBody()
	rules := body.Properties.(policies.BackupPolicy).PolicyRules
	backup := rules[0].(policies.AzureBackupRule)
	backup.Trigger = policies.ScheduleBasedTriggerContext{
		Schedule: policies.BackupSchedule{RepeatingTimeIntervals: []string{"R/2021-05-23T02:30:00+00:00/P1W"}, TimeZone: &timeZone},
		TaggingCriteria: []policies.TaggingCriteria{
			{IsDefault: true, TaggingPriority: 99, TagInfo: policies.RetentionTag{Id: pointer.To("Default_"), TagName: "Default"}},
			{TaggingPriority: 25, TagInfo: policies.RetentionTag{Id: pointer.To("Daily_"), TagName: "Daily"}, Criteria: &[]policies.BackupCriteria{criteria}},
		},
	}
	rules[0] = backup
	rule := rules[2].(policies.AzureRetentionRule)
	once := rule.Lifecycles[0]
	rule.Lifecycles = nil
	for _, duration := range daily {
		once.DeleteAfter = policies.AbsoluteDeleteOption{Duration: duration}
		rule.Lifecycles = append(rule.Lifecycles, once)
	}
	rules[2] = rule
	return body
}

func TestThePoliciesOfTheProvidersOwnTestsAreTaken(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	vault := tf.newVault()
	var none []policies.AbsoluteMarker
	for name, body := range map[string]policies.BaseBackupPolicyResource{
		"basic": providersPolicy("", policies.ScheduleBasedBackupCriteria{
			AbsoluteCriteria: &none, DaysOfTheWeek: &[]policies.DayOfWeek{policies.DayOfWeekThursday}, MonthsOfYear: &[]policies.Month{policies.MonthNovember},
			WeeksOfTheMonth: &[]policies.WeekNumber{policies.WeekNumberFirst}, ScheduleTimes: &[]string{"2021-05-23T02:30:00Z"},
		}, "P84D"),
		"complete": providersPolicy("India Standard Time", policies.ScheduleBasedBackupCriteria{
			AbsoluteCriteria: &[]policies.AbsoluteMarker{policies.AbsoluteMarkerFirstOfDay}, DaysOfTheWeek: pointer.To([]policies.DayOfWeek(nil)),
			MonthsOfYear: pointer.To([]policies.Month(nil)), WeeksOfTheMonth: pointer.To([]policies.WeekNumber(nil)), ScheduleTimes: &[]string{},
		}, "P7D", "P84D"),
	} {
		id := policyOf(vault, name)
		if _, err := tf.policies.BackupPoliciesCreateOrUpdate(tf.ctx, id, body); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := tf.policies.BackupPoliciesGet(tf.ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(sent(t, body).Properties, got.Model.Properties); d != "" {
			t.Errorf("%s (-sent +read):\n%s", name, d)
		}
	}
}

func TestEveryVaultThatTheProviderCanWriteComesBack(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	group := tf.newGroup()
	for _, store := range vaults.PossibleValuesForStorageSettingStoreTypes() {
		for i, redundancy := range vaults.PossibleValuesForStorageSettingTypes() {
			body := vaultBody()
			storage := &body.Properties.StorageSettings[0]
			storage.DatastoreType, storage.Type = pointer.To(vaults.StorageSettingStoreTypes(store)), pointer.To(vaults.StorageSettingTypes(redundancy))
			security := body.Properties.SecuritySettings
			security.SoftDeleteSettings.State = pointer.To(vaults.SoftDeleteState(vaults.PossibleValuesForSoftDeleteState()[i]))
			security.ImmutabilitySettings.State = pointer.To(vaults.ImmutabilityState(vaults.PossibleValuesForImmutabilityState()[i]))
			if redundancy == string(vaults.StorageSettingTypesGeoRedundant) {
				body.Properties.FeatureSettings = &vaults.FeatureSettings{CrossRegionRestoreSettings: &vaults.CrossRegionRestoreSettings{State: pointer.To(vaults.CrossRegionRestoreStateEnabled)}}
			}
			id := vaults.NewBackupVaultID(group.SubscriptionId, group.ResourceGroupName, newName("vault"))
			tf.putVault(id, body)
			// Terraform shows a difference where it reads anything else.
			got := tf.getVault(id).Properties
			if d := cmp.Diff(body.Properties.StorageSettings, got.StorageSettings); d != "" {
				t.Errorf("storage (-sent +read):\n%s", d)
			}
			if d := cmp.Diff(security, got.SecuritySettings); d != "" {
				t.Errorf("security (-sent +read):\n%s", d)
			}
			if want := body.Properties.FeatureSettings; want != nil && *got.FeatureSettings.CrossRegionRestoreSettings.State != *want.CrossRegionRestoreSettings.State {
				t.Errorf("features: %+v", got.FeatureSettings)
			}
		}
	}
}
