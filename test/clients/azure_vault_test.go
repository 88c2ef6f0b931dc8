package clients

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/dataprotection/armdataprotection/v3"
)

// putVault makes a vault, or replaces it.
func (a *azure) putVault(group, name string) armdataprotection.BackupVaultResource {
	a.t.Helper()
	poller, err := typed(a, armdataprotection.NewBackupVaultsClient).BeginCreateOrUpdate(a.ctx, group, name, armdataprotection.BackupVaultResource{
		Location: to.Ptr("westeurope"), Identity: &armdataprotection.DppIdentityDetails{Type: to.Ptr("SystemAssigned")},
		Properties: &armdataprotection.BackupVault{StorageSettings: []*armdataprotection.StorageSetting{{
			DatastoreType: to.Ptr(armdataprotection.StorageSettingStoreTypesVaultStore), Type: to.Ptr(armdataprotection.StorageSettingTypesGeoRedundant),
		}}},
	}, nil)
	return done(a, poller, err).BackupVaultResource
}

func vaultsOf(p armdataprotection.BackupVaultsClientGetInSubscriptionResponse) []*armdataprotection.BackupVaultResource {
	return p.Value
}

func TestAVaultLivesByMicrosoftsClient(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	group, name := a.newGroup(), newName("vault")
	vaults := typed(a, armdataprotection.NewBackupVaultsClient)
	made := a.putVault(group, name)
	if *made.Name != name || *made.Properties.ProvisioningState != armdataprotection.ProvisioningStateSucceeded || made.Identity.PrincipalID == nil || made.SystemData.CreatedAt == nil {
		t.Errorf("made: %+v", made)
	}
	poller, err := vaults.BeginUpdate(a.ctx, group, name, armdataprotection.PatchResourceRequestInput{
		Properties: &armdataprotection.PatchBackupVaultInput{FeatureSettings: &armdataprotection.FeatureSettings{
			CrossRegionRestoreSettings: &armdataprotection.CrossRegionRestoreSettings{State: to.Ptr(armdataprotection.CrossRegionRestoreStateEnabled)},
		}},
	}, nil)
	if patched := done(a, poller, err); *patched.Properties.FeatureSettings.CrossRegionRestoreSettings.State != "Enabled" || *patched.ETag == *made.ETag {
		t.Errorf("patched: %+v", patched)
	}
	if listed := all(a, vaults.NewGetInResourceGroupPager(group, nil)); len(listed) != 1 || len(listed[0].Value) != 1 || *listed[0].Value[0].ID != *made.ID {
		t.Errorf("listed: %+v", listed)
	}
	inSubscription := values(all(a, vaults.NewGetInSubscriptionPager(nil)), vaultsOf)
	if !slices.ContainsFunc(inSubscription, func(v *armdataprotection.BackupVaultResource) bool { return *v.ID == *made.ID }) {
		t.Errorf("not among the %d vaults of the subscription", len(inSubscription))
	}
	if listed := all(a, typed(a, armdataprotection.NewBackupInstancesClient).NewListPager(group, name, nil)); len(listed) != 1 || len(listed[0].Value) != 0 {
		t.Errorf("instances: %+v", listed)
	}
	gone, err := vaults.BeginDelete(a.ctx, group, name, nil)
	done(a, gone, err)
	_, err = vaults.Get(a.ctx, group, name, nil)
	mustBeRefused(t, err, http.StatusNotFound, "ResourceNotFound")
	gone, err = vaults.BeginDelete(a.ctx, group, name, nil)
	done(a, gone, err)
}

func TestAPolicyLivesByMicrosoftsClient(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	group, name := a.newGroup(), newName("vault")
	a.putVault(group, name)
	policies := typed(a, armdataprotection.NewBackupPoliciesClient)
	store := &armdataprotection.DataStoreInfoBase{DataStoreType: to.Ptr(armdataprotection.DataStoreTypesOperationalStore), ObjectType: to.Ptr("DataStoreInfoBase")}
	put, err := policies.CreateOrUpdate(a.ctx, group, name, "nightly", armdataprotection.BaseBackupPolicyResource{Properties: &armdataprotection.BackupPolicy{
		DatasourceTypes: []*string{to.Ptr("Microsoft.ContainerService/managedClusters")},
		PolicyRules: []armdataprotection.BasePolicyRuleClassification{
			&armdataprotection.AzureBackupRule{
				Name: to.Ptr("BackupDaily"), DataStore: store, BackupParameters: &armdataprotection.AzureBackupParams{BackupType: to.Ptr("Incremental")},
				Trigger: &armdataprotection.ScheduleBasedTriggerContext{
					Schedule:        &armdataprotection.BackupSchedule{RepeatingTimeIntervals: []*string{to.Ptr("R/2024-01-01T00:00:00+00:00/P1D")}, TimeZone: to.Ptr("UTC")},
					TaggingCriteria: []*armdataprotection.TaggingCriteria{{IsDefault: to.Ptr(true), TaggingPriority: to.Ptr(int64(99)), TagInfo: &armdataprotection.RetentionTag{TagName: to.Ptr("Default")}}},
				},
			},
			&armdataprotection.AzureRetentionRule{Name: to.Ptr("Default"), IsDefault: to.Ptr(true), Lifecycles: []*armdataprotection.SourceLifeCycle{{
				DeleteAfter: &armdataprotection.AbsoluteDeleteOption{Duration: to.Ptr("P7D")}, SourceDataStore: store, TargetDataStoreCopySettings: []*armdataprotection.TargetCopySetting{},
			}}},
		},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := policies.Get(a.ctx, group, name, "nightly", nil)
	if err != nil || *got.ID != *put.ID {
		t.Fatalf("got: %+v, %v", got, err)
	}
	rules := got.Properties.(*armdataprotection.BackupPolicy).PolicyRules
	trigger := rules[0].(*armdataprotection.AzureBackupRule).Trigger.(*armdataprotection.ScheduleBasedTriggerContext)
	if *trigger.TaggingCriteria[0].TagInfo.ID != "Default_" || *trigger.Schedule.RepeatingTimeIntervals[0] != "R/2024-01-01T00:00:00+00:00/P1D" {
		t.Errorf("trigger: %+v", trigger)
	}
	if listed := all(a, policies.NewListPager(group, name, nil)); len(listed) != 1 || len(listed[0].Value) != 1 {
		t.Errorf("listed: %+v", listed)
	}
	if _, err := policies.Delete(a.ctx, group, name, "nightly", nil); err != nil {
		t.Error(err)
	}
	_, err = policies.Get(a.ctx, group, name, "nightly", nil)
	mustBeRefused(t, err, http.StatusNotFound, "ResourceNotFound")
}

func TestAnOperationIsFoundWhereverClientsLook(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	group, name := a.newGroup(), newName("vault")
	vault := a.putVault(group, name)
	answer := a.call(http.StatusOK, http.MethodPatch, *vault.ID, map[string]any{"tags": map[string]string{"a": "1"}}, nil)
	operation := operationID(t, answer)
	byLocation, err := typed(a, armdataprotection.NewOperationStatusClient).Get(a.ctx, "westeurope", operation, nil)
	if err != nil || *byLocation.Status != "Succeeded" || *byLocation.Name != operation || byLocation.StartTime == nil || byLocation.EndTime == nil {
		t.Errorf("by location: %+v, %v", byLocation, err)
	}
	byGroup, err := typed(a, armdataprotection.NewOperationStatusResourceGroupContextClient).Get(a.ctx, group, operation, nil)
	if err != nil || *byGroup.Status != "Succeeded" {
		t.Errorf("by group: %+v, %v", byGroup, err)
	}
	byVault, err := typed(a, armdataprotection.NewOperationStatusBackupVaultContextClient).Get(a.ctx, group, name, operation, nil)
	if err != nil || *byVault.Status != "Succeeded" {
		t.Errorf("by vault: %+v, %v", byVault, err)
	}
	_, err = typed(a, armdataprotection.NewOperationStatusClient).Get(a.ctx, "westeurope", "o00000000-0000-4000-8000-000000000000", nil)
	mustBeRefused(t, err, http.StatusNotFound, "ResourceNotFound")
}

func TestANameIsCheckedBeforeAVaultIsMade(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	group, name := a.newGroup(), newName("vault")
	a.putVault(group, name)
	vaults := typed(a, armdataprotection.NewBackupVaultsClient)
	for _, c := range []struct {
		name      string
		available bool
		reason    string
	}{{newName("vault"), true, ""}, {name, false, "AlreadyExists"}, {"-", false, "Invalid"}} {
		got, err := vaults.CheckNameAvailability(a.ctx, group, "westeurope", armdataprotection.CheckNameAvailabilityRequest{
			Name: to.Ptr(c.name), Type: to.Ptr("Microsoft.DataProtection/backupVaults"),
		}, nil)
		if err != nil || *got.NameAvailable != c.available || !c.available && (*got.Reason != c.reason || *got.Message == "") {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestTheFeatureOfClustersIsThere(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	got, err := typed(a, armdataprotection.NewClient).CheckFeatureSupport(a.ctx, "westeurope", &armdataprotection.FeatureValidationRequest{
		FeatureType: to.Ptr(armdataprotection.FeatureTypeDataSourceType), FeatureName: to.Ptr("Microsoft.ContainerService/managedClusters"),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	features := got.FeatureValidationResponseBaseClassification.(*armdataprotection.FeatureValidationResponse).Features
	if len(features) != 1 || *features[0].SupportStatus != armdataprotection.FeatureSupportStatusGenerallyAvailable {
		t.Errorf("features: %+v", features)
	}
}

// operationID is the name of the operation that an answer speaks of.
func operationID(t *testing.T, answer *http.Response) string {
	t.Helper()
	at, err := url.Parse(answer.Header.Get("Azure-AsyncOperation"))
	if err != nil || !at.IsAbs() {
		t.Fatalf("Azure-AsyncOperation: %q", answer.Header.Get("Azure-AsyncOperation"))
	}
	return path.Base(at.Path)
}
