package arm

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const (
	vaultID  = group + "/providers/Microsoft.DataProtection/backupVaults/v1"
	policyID = vaultID + "/backupPolicies/p-1"
)

// vaultBody is what Terraform sends, and policyBody what the documentation of Azure has.
const (
	vaultBody = `{"identity":{"type":"SystemAssigned"},"location":"westeurope","properties":{"securitySettings":{"immutabilitySettings":{"state":"Disabled"},
		"softDeleteSettings":{"retentionDurationInDays":14,"state":"On"}},"storageSettings":[{"datastoreType":"VaultStore","type":"LocallyRedundant"}]},"tags":{}}`
	policyBody = `{"properties":{"objectType":"BackupPolicy","datasourceTypes":["Microsoft.ContainerService/managedClusters"],"policyRules":[
		{"objectType":"AzureBackupRule","name":"BackupIntervals","backupParameters":{"objectType":"AzureBackupParams","backupType":"Incremental"},
		"dataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},
		"trigger":{"objectType":"ScheduleBasedTriggerContext","schedule":{"repeatingTimeIntervals":["R/2026-01-01T02:30:00+00:00/PT4H"],"timeZone":"Coordinated Universal Time"},
		"taggingCriteria":[{"isDefault":true,"taggingPriority":99,"tagInfo":{"tagName":"Default"}}]}},
		{"objectType":"AzureRetentionRule","name":"Default","isDefault":true,"lifecycles":[{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":"P7D"},
		"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},"targetDataStoreCopySettings":[]}]}]}}`
)

func TestAVaultAndItsPolicyAsTerraformHasThem(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	made := w.must(201, http.MethodPut, vaultID+version, vaultBody)
	principal, _ := made.at("identity", "principalId").(string)
	if principal == "" || made.at("identity", "tenantId") != tenant || made.at("properties", "provisioningState") != "Succeeded" ||
		made.at("properties", "securitySettings", "softDeleteSettings", "state") != "On" || made.at("properties", "secureScore") == nil {
		t.Errorf("made: %s", made.text)
	}
	// A client that leaves something out finds it as it was.
	again := w.must(200, http.MethodPut, vaultID+version, `{"location":"West Europe","identity":{"type":"SystemAssigned"},"properties":{"storageSettings":[{"datastoreType":"VaultStore","type":"LocallyRedundant"}]}}`)
	if again.at("identity", "principalId") != principal || again.at("properties", "securitySettings", "softDeleteSettings", "state") != "On" {
		t.Errorf("again: %s", again.text)
	}
	w.must(200, http.MethodPatch, vaultID+version, `{"properties":{"securitySettings":{"softDeleteSettings":{"state":"AlwaysOn"}}}}`)
	refused := w.must(400, http.MethodPatch, vaultID+version, `{"properties":{"securitySettings":{"softDeleteSettings":{"state":"Off"}}}}`)
	if refused.at("error", "code") != "BMSUserErrorDisablingSoftDeleteStateNotAllowed" {
		t.Errorf("refused: %s", refused.text)
	}
	if kept := w.must(200, http.MethodGet, vaultID+version, ""); kept.at("properties", "securitySettings", "softDeleteSettings", "state") != "AlwaysOn" {
		t.Errorf("kept: %s", kept.text)
	}

	policy := w.must(200, http.MethodPut, policyID+version, policyBody)
	for _, part := range []string{`"R/2026-01-01T02:30:00+00:00/PT4H"`, `"Coordinated Universal Time"`, `"targetDataStoreCopySettings":[]`, `"id":"Default_"`} {
		if !strings.Contains(policy.text, part) {
			t.Errorf("the policy has no %s: %s", part, policy.text)
		}
	}
	w.must(200, http.MethodPut, policyID+version, policyBody)
	if got := w.must(200, http.MethodGet, vaultID+"/backupPolicies"+version, ""); len(got.at("value").([]any)) != 1 {
		t.Errorf("policies: %s", got.text)
	}
	bad := w.must(400, http.MethodPut, policyID+version, strings.NewReplacer("R/2026-01-01T02:30:00+00:00/PT4H", "R/PT4H", "P7D", "a week").Replace(policyBody))
	if bad.at("error", "code") != "BMSUserErrorInvalidInput" || len(bad.at("error", "details").([]any)) != 2 || !strings.Contains(bad.text, "recommendedAction") {
		t.Errorf("bad: %s", bad.text)
	}
	w.must(200, http.MethodDelete, policyID+version, "")
	w.must(200, http.MethodPut, policyID+version, policyBody)
	// Its policies go with a vault.
	w.must(200, http.MethodDelete, vaultID+version, "")
	w.must(404, http.MethodGet, policyID+version, "")
	log := w.audit()
	if last := log[len(log)-1]; last.Target != vaultID || last.Action != "Microsoft.DataProtection/backupVaults/delete" || !strings.Contains(string(last.After), "/deletedVaults/") {
		t.Errorf("the audit log ends with %+v", last)
	}
	// A role assignment is nothing that a group holds, and goes with it.
	w.must(204, http.MethodDelete, cluster+version, "")
	w.must(200, http.MethodDelete, group+version, "")
	w.must(201, http.MethodPut, group+version, `{"location":"westeurope"}`)
	if got := w.do("reader", http.MethodGet, group+version, ""); got.status != 403 {
		t.Errorf("who could read a group that is gone can read one that is made anew: %d", got.status)
	}
}

func TestTrustedAccessWaitsForItsCluster(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	binding := cluster + "/trustedAccessRoleBindings/b1"
	body := `{"properties":{"sourceResourceId":"` + strings.ToUpper(vaultID) + `","roles":["Microsoft.DataProtection/backupVaults/backup-operator"]}}`
	made := w.must(201, http.MethodPut, binding+version, body)
	if made.at("properties", "coffer", "state") != "Pending" || !strings.Contains(made.text, "coffer cluster join") {
		t.Errorf("made: %s", made.text)
	}
	w.must(200, http.MethodPut, binding+version, body)
	w.must(409, http.MethodPut, cluster+"/trustedAccessRoleBindings/b2"+version, body)
}

// TestTrustedAccessTellsNothingOfAVaultThatMayNotBeRead holds that who may write to a cluster cannot find out by it which vaults there
// are.
func TestTrustedAccessTellsNothingOfAVaultThatMayNotBeRead(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	w.must(201, http.MethodPut, cluster+"/providers/Microsoft.Authorization/roleAssignments/55555555-5555-4555-8555-555555555558"+version,
		`{"properties":{"roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c","principalId":"`+w.objectID("keeper")+`"}}`)
	for _, id := range []string{vaultID, vaultID + "-none"} {
		got := w.do("keeper", http.MethodPut, cluster+"/trustedAccessRoleBindings/b1"+version,
			`{"properties":{"sourceResourceId":"`+id+`","roles":["Microsoft.DataProtection/backupVaults/backup-operator"]}}`)
		if got.status != 403 || got.at("error", "code") != "LinkedAuthorizationFailed" {
			t.Errorf("%s: %d %s", id, got.status, got.text)
		}
	}
}

func TestAVaultThatHasRecoveryPointsToDeleteStays(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	write := func(do func(ctx context.Context, tx catalogue.Tx) error) {
		t.Helper()
		if err := w.db.Update(t.Context(), do); err != nil {
			t.Fatal(err)
		}
	}
	write(func(ctx context.Context, tx catalogue.Tx) error {
		return tx.PutDeletion(ctx, catalogue.Deletion{Vault: vaultID, Instance: instanceID, Point: "p1", Cluster: cluster, Since: time.Now(), Next: time.Now()})
	})
	if got := w.do("owner", http.MethodDelete, vaultID+version, ""); got.status != 409 || !strings.Contains(got.text, "still has to delete recovery points") {
		t.Errorf("a vault that has a recovery point to delete: %d %s", got.status, got.text)
	}
	write(func(ctx context.Context, tx catalogue.Tx) error {
		return tx.DeleteDeletion(ctx, vaultID, instanceID, "p1", "")
	})
	w.must(200, http.MethodDelete, vaultID+version, "")
}
