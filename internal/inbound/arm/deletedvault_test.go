package arm

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

const deletedVaults = subscription + "/providers/Microsoft.DataProtection/locations/westeurope/deletedVaults"

// TestADeletedVaultIsWhereAzuresClientsLook holds the requests of Azure's API 2025-09-01.
func TestADeletedVaultIsWhereAzuresClientsLook(t *testing.T) {
	w := newInstance(t)
	w.must(200, http.MethodDelete, instanceID+version, "")
	if got := w.must(200, http.MethodGet, deletedVaults+version, ""); len(got.values()) != 0 {
		t.Errorf("before there is one: %s", got.text)
	}
	w.must(200, http.MethodDelete, vaultID+version, "")
	w.must(404, http.MethodGet, vaultID+version, "")
	list := w.must(200, http.MethodGet, strings.Replace(deletedVaults, "westeurope", "WestEurope", 1)+version, "")
	names := list.values("name")
	if len(names) != 1 || len(w.must(200, http.MethodGet, strings.Replace(deletedVaults, "westeurope", "northeurope", 1)+version, "").values()) != 0 {
		t.Fatalf("listed: %s", list.text)
	}
	path := deletedVaults + "/" + names[0].(string)
	one := w.must(200, http.MethodGet, path+version, "")
	if one.at("id") != path || one.at("properties", "originalBackupVaultId") != vaultID || one.at("properties", "originalBackupVaultResourcePath") != vaultID ||
		one.at("properties", "originalBackupVaultName") != "shop-vault" && !strings.HasSuffix(vaultID, one.at("properties", "originalBackupVaultName").(string)) ||
		one.at("properties", "resourceDeletionInfo", "scheduledPurgeTime") == nil || one.at("properties", "storageSettings") == nil {
		t.Errorf("shown: %s", one.text)
	}
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete} {
		w.must(405, method, path+version, "{}")
	}
	w.must(404, http.MethodGet, path+"/backupPolicies/pol"+version, "")
	w.grant("owner", "reader", access.BackupReaderID, subscription)
	w.as("reader", 200, "", http.MethodGet, path, "")
	w.as("nobody", 403, coffer.CodeAuthorizationFailed, http.MethodGet, path, "")
	if got := w.do("nobody", http.MethodGet, deletedVaults+version, ""); got.status != 200 || len(got.values()) != 0 {
		t.Errorf("who may read nothing is shown %s", got.text)
	}
	if got := w.do("reader", http.MethodPut, vaultID+version, "", "x-ms-deleted-vault-id", path); got.status != 403 {
		t.Errorf("a reader has it again: %d %s", got.status, got.text)
	}
	for header, code := range map[string]coffer.Code{"shop": coffer.CodeInvalidResourceID, vaultID: coffer.CodeInvalidInput, path + "0": coffer.CodeResourceNotFound} {
		if got := w.do("owner", http.MethodPut, vaultID+version, vaultBody, "x-ms-deleted-vault-id", header); got.at("error", "code") != string(code) {
			t.Errorf("%s: %d %s", header, got.status, got.text)
		}
	}
	again := w.must(200, http.MethodPut, vaultID+version, vaultBody, "x-ms-deleted-vault-id", path)
	if again.at("id") != vaultID || again.at("properties", "originalBackupVaultId") != nil || again.header.Get("Azure-AsyncOperation") == "" {
		t.Errorf("had again: %s", again.text)
	}
	w.must(404, http.MethodGet, path+version, "")
	w.must(200, http.MethodGet, policyID+version, "")
	// It is trusted as before.
	w.must(201, http.MethodPut, instanceID+version, `{"properties":`+instanceProperties+`}`)
}
