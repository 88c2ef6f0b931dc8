package clients

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-azure-helpers/lang/pointer"
	"github.com/hashicorp/go-azure-helpers/lang/response"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupvaultresources"
	policies "github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/basebackuppolicyresources"
)

// policyBody is what azurerm_data_protection_backup_policy_kubernetes_cluster sends, with a retention rule for each day.
func policyBody() policies.BaseBackupPolicyResource {
	store := policies.DataStoreInfoBase{DataStoreType: policies.DataStoreTypesOperationalStore, ObjectType: "DataStoreInfoBase"}
	keep := func(duration string) []policies.SourceLifeCycle {
		return []policies.SourceLifeCycle{{
			DeleteAfter: policies.AbsoluteDeleteOption{Duration: duration}, SourceDataStore: store,
			TargetDataStoreCopySettings: &[]policies.TargetCopySetting{},
		}}
	}
	return policies.BaseBackupPolicyResource{Properties: policies.BackupPolicy{
		DatasourceTypes: []string{"Microsoft.ContainerService/managedClusters"},
		PolicyRules: []policies.BasePolicyRule{
			policies.AzureBackupRule{
				Name: "BackupIntervals", DataStore: store, BackupParameters: policies.AzureBackupParams{BackupType: "Incremental"},
				Trigger: policies.ScheduleBasedTriggerContext{
					Schedule: policies.BackupSchedule{RepeatingTimeIntervals: []string{"R/2190-01-01T02:30:00+01:00/PT4H"}, TimeZone: pointer.To("W. Europe Standard Time")},
					TaggingCriteria: []policies.TaggingCriteria{
						{IsDefault: false, TaggingPriority: 25, TagInfo: policies.RetentionTag{Id: pointer.To("Daily_"), TagName: "Daily"}, Criteria: &[]policies.BackupCriteria{
							policies.ScheduleBasedBackupCriteria{
								AbsoluteCriteria: &[]policies.AbsoluteMarker{policies.AbsoluteMarkerFirstOfDay},
							},
						}},
						{IsDefault: true, TaggingPriority: 99, TagInfo: policies.RetentionTag{Id: pointer.To("Default_"), TagName: "Default"}},
					},
				},
			},
			policies.AzureRetentionRule{Name: "Default", IsDefault: pointer.To(true), Lifecycles: keep("P7D")},
			policies.AzureRetentionRule{Name: "Daily", IsDefault: pointer.To(false), Lifecycles: keep("P84D")},
		},
	}}
}

// sent is a policy as it is on the wire: the SDK writes discriminators when it encodes.
func sent(t *testing.T, body policies.BaseBackupPolicyResource) policies.BaseBackupPolicyResource {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	var decoded policies.BaseBackupPolicyResource
	if err := json.Unmarshal(text, &decoded); err != nil {
		t.Fatal(err)
	}
	return decoded
}

func policyOf(vault backupvaultresources.BackupVaultId, name string) policies.BackupPolicyId {
	return policies.NewBackupPolicyID(vault.SubscriptionId, vault.ResourceGroupName, vault.BackupVaultName, name)
}

func TestAPolicyIsAnswered200WhetherItIsNewOrNot(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	id := policyOf(tf.newVault(), "nightly")
	if got, err := tf.policies.BackupPoliciesGet(tf.ctx, id); err == nil || !response.WasNotFound(got.HttpResponse) {
		t.Fatalf("before: %v", err)
	}
	for range 2 {
		// The SDK takes nothing but 200, and follows no operation.
		put, err := tf.policies.BackupPoliciesCreateOrUpdate(tf.ctx, id, policyBody())
		if err != nil || put.HttpResponse.StatusCode != http.StatusOK || put.Model == nil || pointer.From(put.Model.Id) != id.ID() {
			t.Fatalf("put: %+v, %v", put, err)
		}
	}
}

func TestAPolicyIsTheSameWhenItIsReadAgain(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	id := policyOf(tf.newVault(), "nightly")
	put, err := tf.policies.BackupPoliciesCreateOrUpdate(tf.ctx, id, policyBody())
	if err != nil {
		t.Fatal(err)
	}
	got, err := tf.policies.BackupPoliciesGet(tf.ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	want := sent(t, policyBody())
	// The provider compares intervals, time zones and durations as text, and arrays in their order.
	if d := cmp.Diff(want.Properties, got.Model.Properties); d != "" {
		t.Errorf("read (-sent +read):\n%s", d)
	}
	if d := cmp.Diff(put.Model.Properties, got.Model.Properties); d != "" {
		t.Errorf("read (-answered +read):\n%s", d)
	}
}

func TestEveryFormOfCriteriaComesBack(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	vault := tf.newVault()
	for name, criteria := range map[string]policies.ScheduleBasedBackupCriteria{
		"days-of-the-week": {
			DaysOfTheWeek: &[]policies.DayOfWeek{policies.DayOfWeekThursday, policies.DayOfWeekMonday}, ScheduleTimes: &[]string{"2026-01-01T02:30:00+01:00"},
		},
		"weeks-of-months": {
			DaysOfTheWeek: &[]policies.DayOfWeek{policies.DayOfWeekSunday}, WeeksOfTheMonth: &[]policies.WeekNumber{policies.WeekNumberLast, policies.WeekNumberFirst},
			MonthsOfYear: &[]policies.Month{policies.MonthMarch, policies.MonthJanuary}, ScheduleTimes: &[]string{"2026-01-01T02:30:00+01:00"},
		},
		"days-of-the-month": {DaysOfMonth: &[]policies.Day{{Date: pointer.To(int64(15)), IsLast: pointer.To(false)}}, ScheduleTimes: &[]string{"2026-01-01T02:30:00+01:00"}},
		"first-of-month":    {AbsoluteCriteria: &[]policies.AbsoluteMarker{policies.AbsoluteMarkerFirstOfMonth}},
	} {
		id := policyOf(vault, name)
		body := policyBody()
		tagging := body.Properties.(policies.BackupPolicy).PolicyRules[0].(policies.AzureBackupRule).Trigger.(policies.ScheduleBasedTriggerContext).TaggingCriteria
		tagging[0].Criteria = &[]policies.BackupCriteria{criteria}
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

func TestATagWithoutAnIdGetsOne(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	id := policyOf(tf.newVault(), "nightly")
	body := policyBody()
	trigger := body.Properties.(policies.BackupPolicy).PolicyRules[0].(policies.AzureBackupRule).Trigger.(policies.ScheduleBasedTriggerContext)
	for i := range trigger.TaggingCriteria {
		trigger.TaggingCriteria[i].TagInfo.Id = nil
	}
	put, err := tf.policies.BackupPoliciesCreateOrUpdate(tf.ctx, id, body)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sent(t, policyBody()).Properties, put.Model.Properties); d != "" {
		t.Errorf("answered (-with ids +answered):\n%s", d)
	}
}

func TestPoliciesAreListedOnAllPagesAndDeleted(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	vault := tf.newVault()
	parent := policies.BackupVaultId(vault)
	if empty, err := tf.policies.BackupPoliciesList(tf.ctx, parent); err != nil || empty.Model == nil || len(*empty.Model) != 0 {
		t.Errorf("empty: %+v, %v", empty.Model, err)
	}
	// More than there are on a page.
	const n = 120
	for range n {
		if _, err := tf.policies.BackupPoliciesCreateOrUpdate(tf.ctx, policyOf(vault, newName("policy-")), policyBody()); err != nil {
			t.Fatal(err)
		}
	}
	tf.exchanges()
	listed, err := tf.policies.BackupPoliciesListComplete(tf.ctx, parent)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range listed.Items {
		seen[pointer.From(p.Id)] = true
	}
	if len(seen) != n || len(listed.Items) != n {
		t.Errorf("%d policies of %d, %d of them different", len(listed.Items), n, len(seen))
	}
	if pages := tf.exchanges(); len(pages) != 2 {
		t.Errorf("%d pages", len(pages))
	}
	id, err := policies.ParseBackupPolicyID(pointer.From(listed.Items[0].Id))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{http.StatusOK, http.StatusNoContent} {
		if gone, err := tf.policies.BackupPoliciesDelete(tf.ctx, *id); err != nil || gone.HttpResponse.StatusCode != want {
			t.Errorf("delete: want %d: %v, %v", want, gone.HttpResponse, err)
		}
	}
	if got, err := tf.policies.BackupPoliciesGet(tf.ctx, *id); err == nil || !response.WasNotFound(got.HttpResponse) {
		t.Errorf("after: %v", err)
	}
}
